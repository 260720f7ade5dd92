"""What adaptive tests came to, for everybody and for groups: an audit that stands beside DIF.

DIF asks whether items work alike in two groups. Here it is asked whether the tests did: whether people of
equal ability got tests of equal length and precision, and how far the prior drew each group to the mean.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from domain.cat.errors import InvalidResponse
from domain.cat.types import Floats, Ints, as_theta

LEAST_SHOWN: Final = 10
"""Smaller groups are not shown: their figures would be figures of persons."""

STRATUM_WIDTH: Final = 0.5
"""Logits; people whose estimates lie in one such interval count as of equal ability."""


@dataclass(frozen=True, eq=False)
class Outcomes:
    """How n tests ended, each (n,): estimate and its standard error, items that counted, prior, reason.

    Raises: InvalidResponse where the arrays differ in length.
    """

    theta: Floats
    se: Floats
    length: Ints
    prior_mean: Floats
    prior_sd: Floats
    stop_reasons: tuple[str, ...]

    def __post_init__(self) -> None:
        arrays = (self.theta, self.se, self.length, self.prior_mean, self.prior_sd)
        if any(each.shape != (len(self.stop_reasons),) for each in arrays):
            raise InvalidResponse(-1, -1, "the outcomes differ in number")

    def __len__(self) -> int:
        return self.theta.size

    def __getitem__(self, rows: Ints) -> "Outcomes":
        return Outcomes(
            self.theta[rows],
            self.se[rows],
            self.length[rows],
            self.prior_mean[rows],
            self.prior_sd[rows],
            tuple(self.stop_reasons[row] for row in rows.tolist()),
        )


@dataclass(frozen=True)
class Difference:
    """Between a group and everybody else: raw, and at equal ability with its standard error and p value.

    NaN where nobody can be compared.
    """

    raw: float
    at_equal_ability: float
    se: float
    p_value: float


@dataclass(frozen=True)
class GroupOutcome:
    """`shrinkage` is the mean of `drawn_to_the_mean`, `shrinkage_size` that of its size (logits)."""

    group: str
    count: int
    mean_theta: float
    sd_theta: float
    mean_length: float
    mean_se: float
    shrinkage: float
    shrinkage_size: float
    stop_reasons: dict[str, int]
    length_difference: Difference
    se_difference: Difference


@dataclass(frozen=True)
class GroupOutcomes:
    """The groups that may be shown, the largest first. `hidden`: how many groups were too small."""

    groups: tuple[GroupOutcome, ...]
    hidden: int


def drawn_to_the_mean(theta: ArrayLike, se: ArrayLike, prior_mean: ArrayLike, prior_sd: ArrayLike) -> Floats:
    """(n,): what the prior added to each estimate, logits: negative above the prior mean, positive below.

    A normal posterior of mean θ and variance s² under a prior N(μ, σ²) comes from a likelihood whose
    maximum t satisfies θ - μ = (1 - s² / σ²) (t - μ)  [Kelley1947]. So

        θ - t = -(θ - μ) r / (1 - r),    r = s² / σ².

    0 where the test told nothing (s² >= σ²): then there is no t.

    >>> drawn_to_the_mean([2.0, 0.0, -2.0], 0.3, 0.0, 1.0).round(3) + 0.0
    array([-0.198,  0.   ,  0.198])
    """
    estimates = as_theta(theta)
    unexplained = np.broadcast_to((as_theta(se) / as_theta(prior_sd)) ** 2, estimates.shape)
    factor = np.divide(
        unexplained, 1 - unexplained, out=np.zeros_like(estimates), where=unexplained < 1 - 1e-12
    )
    drawn: Floats = -(estimates - as_theta(prior_mean)) * factor
    return drawn


def outcomes_by_group(
    outcomes: Outcomes, groups: Sequence[str], *, least_shown: int = LEAST_SHOWN
) -> GroupOutcomes:
    """The outcomes of each group of at least `least_shown` people; `groups` (n,) names everybody's.

    Raises: InvalidResponse where there are not as many groups as outcomes.

    >>> some = np.repeat([1.0, 0.0], 20)
    >>> ended = Outcomes(some, 0.3 + 0 * some, np.repeat([25, 20], 20), 0 * some, 1 + 0 * some, ("se",) * 40)
    >>> found = outcomes_by_group(ended, ["a"] * 20 + ["b"] * 20)
    >>> [(each.group, each.mean_length) for each in found.groups]
    [('a', 25.0), ('b', 20.0)]
    """
    if len(groups) != len(outcomes):
        raise InvalidResponse(-1, -1, f"{len(groups)} groups for {len(outcomes)} outcomes")
    names = np.asarray(groups, dtype=str)
    drawn = drawn_to_the_mean(outcomes.theta, outcomes.se, outcomes.prior_mean, outcomes.prior_sd)
    sizes = Counter(names.tolist())
    shown = sorted(
        (name for name in sizes if sizes[name] >= least_shown), key=lambda each: (-sizes[each], each)
    )
    found = []
    for name in shown:
        here = names == name
        part = outcomes[np.flatnonzero(here)]
        found.append(
            GroupOutcome(
                name,
                len(part),
                float(part.theta.mean()),
                float(part.theta.std(ddof=1)) if len(part) > 1 else float("nan"),
                float(part.length.mean()),
                float(part.se.mean()),
                float(drawn[here].mean()),
                float(np.abs(drawn[here]).mean()),
                dict(sorted(Counter(part.stop_reasons).items())),
                difference(outcomes.length.astype(np.float64), outcomes.theta, here),
                difference(outcomes.se, outcomes.theta, here),
            )
        )
    return GroupOutcomes(tuple(found), len(sizes) - len(shown))


def difference(values: Floats, theta: Floats, here: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Difference:
    """Means of `values` (n,) in a group (`here`, (n,)) less those of everybody else.

    At equal ability it is the mean over strata s of estimated ability, weighted by the members of the group
    n_s, as in standardisation [Dorans1986]; its variance is Σ w_s² (v_s / n_s + v'_s / n'_s), w_s the
    share of stratum s. Strata with fewer than two people on a side are left out: they have no variance.

    >>> theta = np.repeat([0.0, 1.0], 20)
    >>> values = 10 + 5 * theta + np.tile([0.0, 1.0], 20)
    >>> found = difference(values, theta, np.arange(40) >= 18)
    >>> round(found.raw, 2), found.at_equal_ability
    (4.55, 0.0)
    """
    inside, outside = values[here], values[~here]
    nothing = float("nan")
    if not inside.size or not outside.size:
        return Difference(nothing, nothing, nothing, nothing)
    raw = float(inside.mean() - outside.mean())
    strata = np.floor(theta / STRATUM_WIDTH).astype(np.int64)
    strata -= strata.min()
    mine, theirs = _by_stratum(inside, strata[here]), _by_stratum(outside, strata[~here])
    width = min(mine[0].size, theirs[0].size)
    (n, mean, variance), (others, their_mean, their_variance) = (
        [each[:width] for each in side] for side in (mine, theirs)
    )
    used = (n > 1) & (others > 1)
    if not used.any():
        return Difference(raw, nothing, nothing, nothing)
    weights = n[used] / n[used].sum()
    adjusted = float(weights @ (mean[used] - their_mean[used]))
    error = float(np.sqrt(weights**2 @ (variance[used] / n[used] + their_variance[used] / others[used])))
    if error == 0:
        return Difference(raw, adjusted, 0.0, nothing)
    return Difference(raw, adjusted, error, math.erfc(abs(adjusted) / error / math.sqrt(2)))


def _by_stratum(values: Floats, strata: Ints) -> tuple[Floats, Floats, Floats]:
    """How many there are in each, their mean and their variance (divisor n - 1)."""
    count = np.bincount(strata).astype(np.float64)
    mean = np.bincount(strata, values) / np.maximum(count, 1)
    # About the mean of the stratum, not by squares: those lose what is equal.
    squares = np.bincount(strata, (values - mean[strata]) ** 2)
    return count, mean, squares / np.maximum(count - 1, 1)
