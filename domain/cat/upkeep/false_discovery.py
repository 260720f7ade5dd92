"""Many items are tested at once: which small probabilities are more than chance?"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.cat.types import Floats


def discoveries(p_values: ArrayLike, rate: float) -> NDArray[np.bool_]:
    """Which tests stand out, so that of those that do a share `rate` is expected to be false.

    The k smallest, with k the largest for which p_(k) <= k rate / m [Benjamini1995]. NaN (no test) neither
    counts nor stands out.

    >>> discoveries([0.001, 0.04, 0.03, 0.9, np.nan], 0.05)
    array([ True, False, False, False, False])
    """
    p: Floats = np.asarray(p_values, dtype=np.float64)
    found = np.zeros(p.shape, dtype=np.bool_)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    below = np.flatnonzero(p[order] <= rate * np.arange(1, len(order) + 1) / max(len(order), 1))
    if below.size:
        found[order[: below[-1] + 1]] = True
    return found
