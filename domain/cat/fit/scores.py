"""Item scores given ability: their moments, and who answered everything."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from domain.cat.errors import InvalidResponse
from domain.cat.items import Items
from domain.cat.types import MISSING, Floats, Ints, as_responses, as_theta


@dataclass(frozen=True, eq=False)
class ScoreMoments:
    """Of each item's score (its category, 0 to K - 1) given ability; each array is (n, m)."""

    mean: Floats
    variance: Floats
    fourth: Floats  # central

    @property
    def kurtosis(self) -> Floats:
        """Fourth central moment over the squared variance; NaN where there is no variance."""
        squared = self.variance**2
        return np.divide(self.fourth, squared, out=np.full_like(squared, np.nan), where=squared > 0)


def score_moments(items: Items, theta: ArrayLike) -> ScoreMoments:
    """E(x), Var(x) and E(x - E(x))⁴ of the score x of each item at each ability theta (n,).

    The categories must be ordered: the score of a nominal item means nothing. Central moments are summed
    over the categories as they stand, not got by subtraction, so that those of very easy and very hard
    items keep their digits.

    >>> from domain.cat.items import LogisticItems
    >>> moments = score_moments(LogisticItems.of(1.0, [0.0]), 0.0)
    >>> moments.mean, moments.variance, moments.fourth
    (array([[0.5]]), array([[0.25]]), array([[0.0625]]))
    """
    probabilities = items.category_probabilities(as_theta(theta))
    scores = np.arange(probabilities.shape[2], dtype=np.float64)
    mean = probabilities @ scores
    squared = (scores - mean[:, :, None]) ** 2
    variance = np.einsum("nmk,nmk->nm", probabilities, squared)
    return ScoreMoments(mean, variance, np.einsum("nmk,nmk->nm", probabilities, squared**2))


def complete_responses(items: Items, responses: ArrayLike) -> Ints:
    """The rows (n', m) without a missing response: sum scores and margins need all of them.

    Raises: InvalidResponse where a response is none of its item's categories, or no row is complete.
    """
    given = as_responses(responses, items.categories)
    complete: Ints = given[(given != MISSING).all(axis=1)]
    if len(complete) == 0:
        raise InvalidResponse(-1, -1, "no examinee answered every item")
    return complete
