"""Do the responses to a pretest item follow the curve that was estimated from them?"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from domain.cat.grid import DEFAULT_GRID
from domain.cat.types import Floats

_GROUPS: Final = (5, 10)
_IN_A_GROUP: Final = 50


@dataclass(frozen=True)
class Fit:
    """See `fit_of`."""

    statistic: float
    df: int
    p_value: float
    misfit: float
    infit: float
    outfit: float


def fit_of(curve: Floats, right: NDArray[np.bool_], known: Floats, estimated: int) -> Fit:
    """Right answers by groups of ability, observed and expected [Yen1981].

    curve: (q,) chance of a right answer at the points of the default grid. known: (k, q) weights of ability
    by the operational items alone, whose choice no pretest item bears upon; the whole of them, not a point,
    so that uncertain abilities are no misfit. estimated: parameters of the curve, which cost a degree of
    freedom each. 5 to 10 groups of equal size by mean ability. misfit: root mean square of (observed -
    expected) shares, less what chance alone makes. infit, outfit: mean squares, 1 expected
    [WrightMasters1982].
    """
    from scipy.special import chdtrc

    p = known @ curve
    variance = p * (1 - p)
    left = right - p
    groups = int(np.clip(len(p) // _IN_A_GROUP, *_GROUPS))
    order = np.argsort(known @ DEFAULT_GRID.points, kind="stable")
    label = np.empty(len(p), dtype=np.int64)
    label[order] = np.arange(len(p)) * groups // len(p)
    size = np.bincount(label, minlength=groups)
    excess = np.bincount(label, weights=left, minlength=groups)
    spread = np.bincount(label, weights=variance, minlength=groups)
    statistic, df = float((excess**2 / spread).sum()), groups - estimated
    beyond = float(((excess**2 - spread) / size).sum()) / len(p)
    return Fit(
        statistic=statistic,
        df=df,
        p_value=float(chdtrc(df, statistic)),
        misfit=float(np.sqrt(max(beyond, 0.0))),
        infit=float((left**2).sum() / variance.sum()),
        outfit=float((left**2 / variance).mean()),
    )
