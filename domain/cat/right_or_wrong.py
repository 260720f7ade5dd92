"""What all items scored right or wrong have in common, whether of one ability or of several."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike

from domain.cat.curves import BetweenAsymptotes
from domain.cat.types import Floats, Ints, as_responses


class RightOrWrong(ABC):
    """m items with a curve between two asymptotes; abilities are (n,), or (n, D) for several."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _curve(self, theta: ArrayLike) -> BetweenAsymptotes:
        """Of all items at each ability, (n, m)."""

    @property
    def categories(self) -> Ints:
        """(m,): 2, wrong (0) and right (1)."""
        return np.full(len(self), 2, dtype=np.int64)

    def correct(self, theta: ArrayLike) -> Floats:
        """(n, m): P(right | θ)."""
        return self._curve(theta).right

    def category_probabilities(self, theta: ArrayLike) -> Floats:
        """(n, m, 2): P(wrong), P(right)."""
        curve = self._curve(theta)
        return np.stack((curve.wrong, curve.right), axis=-1)

    def response_slopes(self, responses: ArrayLike, theta: ArrayLike) -> tuple[Floats, Floats]:
        """(n, m) twice: first and second derivative of the log-probability of the response given.

        By the argument of the curve, a (θ - b) or a·θ; 0 for a missing response. With several abilities the
        gradient of the log-likelihood is `first @ a`, its Hessian Σ_i second_i a_i a_iᵀ.

        Raises: InvalidResponse.
        """
        given = as_responses(responses, self.categories)
        wrong, right, wrong_bend, right_bend = self._curve(theta).slopes()
        answered = given >= 0
        first = np.where(given == 1, right, wrong) * answered
        return first, np.where(given == 1, right_bend, wrong_bend) * answered
