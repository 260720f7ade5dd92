"""Q3: do two items share more than the ability?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.cat.errors import InvalidResponse, TooFewItems
from domain.cat.fit.scores import score_moments
from domain.cat.items import Items
from domain.cat.types import MISSING, Floats, as_responses, as_theta


@dataclass(frozen=True, eq=False)
class LocalDependence:
    """Q3 of each pair of items.

    Attributes:
        q3: (m, m), symmetric, 1 on the diagonal; NaN where a pair has fewer than three common examinees
            or a residual that does not vary.
        mean: of the pairs above the diagonal. About -1 / (m - 1) where items are locally independent.
        adjusted: q3 less the mean, for the pairs; 0 is what independence makes expect [Christensen2017].
    """

    q3: Floats
    mean: float
    adjusted: Floats

    @property
    def largest(self) -> tuple[int, int]:
        """The pair of items (rows of the bank) with the largest adjusted Q3, the first of equals.

        Raises: InvalidResponse where no pair has a Q3.
        """
        above = np.where(np.triu(np.ones_like(self.q3, dtype=bool), k=1), self.adjusted, np.nan)
        if np.isnan(above).all():
            raise InvalidResponse(-1, -1, "no pair of items can be compared")
        first, second = np.unravel_index(int(np.nanargmax(above)), above.shape)
        return int(first), int(second)


def q3(items: Items, responses: ArrayLike, theta: ArrayLike) -> LocalDependence:
    """Q3 of [Yen1984]: the correlation over examinees of the residuals d = x - E(x | theta) of two items.

    `theta` (n,) is each examinee's estimate from the whole test, EAP as a rule; that the item itself went
    into it is why independent items correlate by about -1 / (m - 1). A pair is correlated over those who
    responded to both. A value of 0.2 above the mean is the usual alarm [Christensen2017].

    Raises: TooFewItems for fewer than two items; InvalidResponse for an unknown category or another
        number of rows than of abilities.

    >>> from domain.cat.items import LogisticItems
    >>> items = LogisticItems.of([1.0, 1.0], [0.0, 0.0])
    >>> q3(items, [[1, 1], [0, 0], [1, 1], [0, 1]], [0.5, -0.5, 0.5, 0.0]).q3.round(3)
    array([[1.   , 0.358],
           [0.358, 1.   ]])
    """
    if len(items) < 2:
        raise TooFewItems(len(items), 2)
    given = as_responses(responses, items.categories)
    abilities = as_theta(theta)
    if len(abilities) != len(given):
        raise InvalidResponse(-1, -1, f"{len(given)} rows for {len(abilities)} abilities")
    counted = given != MISSING
    residuals = np.where(counted, given - score_moments(items, abilities).mean, 0.0)
    correlations = pairwise_correlations(residuals, counted)
    np.fill_diagonal(correlations, 1.0)
    pairs = correlations[np.triu_indices(len(items), k=1)]
    mean = float(np.nanmean(pairs)) if np.isfinite(pairs).any() else float("nan")
    return LocalDependence(correlations, mean, correlations - mean)


def pairwise_correlations(values: Floats, counted: NDArray[np.bool_]) -> Floats:
    """Pearson's correlation of each two columns of (n, m) over the rows in which both count.

    `values` is 0 where not counted. NaN for pairs with fewer than three rows or without variance.

    >>> pairwise_correlations(np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]]), np.ones((3, 2), dtype=bool))
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    present = counted.astype(np.float64)
    number = present.T @ present
    own_sum = values.T @ present  # [i, j]: Σ x_i over the rows that have both
    own_square = (values**2).T @ present
    covariance = number * (values.T @ values) - own_sum * own_sum.T
    variance = number * own_square - own_sum**2
    # Rounding leaves a residual that does not vary a variance of some ulps of its square.
    varies = variance > 1e-12 * np.maximum(number * own_square, 1e-300)
    defined = (number >= 3) & varies & varies.T
    scale = np.sqrt(np.where(defined, variance, 1.0) * np.where(defined, variance.T, 1.0))
    return np.where(defined, np.clip(covariance / scale, -1.0, 1.0), np.nan)
