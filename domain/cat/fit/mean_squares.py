"""Infit and outfit: are the residuals as large as the model says, no more and no less?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from domain.cat.errors import InvalidResponse
from domain.cat.fit.scores import score_moments
from domain.cat.items import Items
from domain.cat.types import MISSING, Floats, as_responses, as_theta


@dataclass(frozen=True, eq=False)
class MeanSquares:
    """Per item (m,) or per person (n,). The mean squares are about 1 under the model.

    Attributes:
        infit: residuals weighted by information: Σ (x - E)² / Σ W.
        outfit: mean of the squared standardised residuals, led by what surprises: mean of (x - E)² / W.
        infit_z: infit as a standard normal deviate (ZSTD).
        outfit_z: the same of outfit.
    """

    infit: Floats
    outfit: Floats
    infit_z: Floats
    outfit_z: Floats


def item_mean_squares(items: Items, responses: ArrayLike, theta: ArrayLike) -> MeanSquares:
    """Infit and outfit of each item [WrightMasters1982, chapter 5]; all arrays (m,).

    With x the item's score, and E, W and C the mean, variance and fourth central moment of x that the
    model expects of an examinee at ability theta, z² = (x - E)² / W, and sums over the N who responded:

        outfit u = Σ z² / N                 Var(u) = Σ (C / W²) / N² - 1 / N
        infit  v = Σ (x - E)² / Σ W         Var(v) = Σ (C - W²) / (Σ W)²
        ZSTD     = (MS^(1/3) - 1) · 3 / q + q / 3,   q² = Var(MS)      (Wilson and Hilferty)

    ZSTD is standard normal where theta is the true ability, or was estimated from other responses.
    Estimates from these very responses follow them: mean squares come out below 1 on short tests, and
    EAP estimates, drawn to the mean, add to it. Use it then to compare, not to test.

    An examinee whose score is certain (W underflows to 0) enters neither. NaN where nobody responded, and
    ZSTD is NaN where the mean square has no variance (all at P = 1/2 exactly).

    Args:
        items: m items of one ability dimension.
        responses: (n, m); missing ones are left out.
        theta: (n,), logits.

    Raises: InvalidResponse for an unknown category or another number of rows than of abilities.

    >>> from domain.cat.items import LogisticItems
    >>> items = LogisticItems.of([1.0, 1.0], [0.0, 2.0])
    >>> item_mean_squares(items, [[1, 0], [0, 1], [1, 0]], [1.0, 0.0, 1.0]).outfit.round(3)
    array([0.579, 2.708])
    """
    return _mean_squares(items, responses, theta, axis=0)


def person_mean_squares(items: Items, responses: ArrayLike, theta: ArrayLike) -> MeanSquares:
    """Infit and outfit of each examinee; all arrays (n,). Formulas and edge cases as `item_mean_squares`.

    Raises: InvalidResponse.

    >>> from domain.cat.items import LogisticItems
    >>> items = LogisticItems.of([1.0, 1.0, 1.0], [-2.0, 0.0, 2.0])
    >>> likely, unlikely = person_mean_squares(items, [[1, 1, 0], [0, 0, 1]], [0.0, 0.0]).outfit
    >>> round(float(likely), 3), round(float(unlikely), 3)
    (0.424, 5.259)
    """
    return _mean_squares(items, responses, theta, axis=1)


def _mean_squares(items: Items, responses: ArrayLike, theta: ArrayLike, axis: int) -> MeanSquares:
    given = as_responses(responses, items.categories)
    abilities = as_theta(theta)
    if len(abilities) != len(given):
        raise InvalidResponse(-1, -1, f"{len(given)} rows for {len(abilities)} abilities")
    moments = score_moments(items, abilities)
    counted = (given != MISSING) & (moments.variance > 0)
    squared = np.where(counted, (given - moments.mean) ** 2, 0.0)
    variance = np.where(counted, moments.variance, 0.0)
    fourth = np.where(counted, moments.fourth, 0.0)

    standardised = np.divide(squared, variance, out=np.zeros_like(squared), where=counted)
    kurtosis = np.where(counted, moments.kurtosis, 0.0)
    number, total = counted.sum(axis=axis).astype(np.float64), variance.sum(axis=axis)
    outfit = _ratio(standardised.sum(axis=axis), number)
    outfit_variance = _ratio(kurtosis.sum(axis=axis) - number, number**2)
    infit = _ratio(squared.sum(axis=axis), total)
    infit_variance = _ratio((fourth - variance**2).sum(axis=axis), total**2)
    return MeanSquares(infit, outfit, _deviate(infit, infit_variance), _deviate(outfit, outfit_variance))


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full_like(below, np.nan), where=below > 0)


def _deviate(mean_square: Floats, variance: Floats) -> Floats:
    """Wilson and Hilferty's cube root, standardised; NaN without variance."""
    spread = np.sqrt(np.where(variance > 1e-15, variance, np.nan))  # below: rounding of exactly none
    deviate: Floats = (np.cbrt(mean_square) - 1) * (3 / spread) + spread / 3
    return deviate
