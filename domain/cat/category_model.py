"""What every unidimensional response model can do, given its category probabilities and their slopes.

With P_k(θ) the probability of category k, and derivatives by θ:

    expected information   I(θ)   = Σ_k P_k (log P_k)'²  =  -Σ_k P_k (log P_k)''
    observed information   J_x(θ) = -(log P_x)''
    log-likelihood         log L(θ) = Σ_i log P_{i, x_i}
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.cat.types import Floats, Ints, as_responses, as_theta

_SMALLEST_LOG = -1e300
"""Stands for log 0, so that a category that was not chosen adds 0 and not nan."""


@dataclass(frozen=True, eq=False)
class LogDerivatives:
    """d log P / dθ and d² log P / dθ², same shape; 0 where there is no category."""

    first: Floats
    second: Floats


class CategoryModel(ABC):
    """A bank of m items of one kind, or of several.

    A kind says what `log_category_probabilities` and `log_derivatives` are; the rest follows here, and a
    kind may do it faster.
    """

    @property
    @abstractmethod
    def categories(self) -> Ints:
        """(m,): the number of categories of each item."""

    @abstractmethod
    def __getitem__(self, rows: ArrayLike | slice) -> Self:
        """A sub-bank: an array of ints, a mask or a slice; an int gives a bank of one."""

    @abstractmethod
    def log_category_probabilities(self, theta: ArrayLike) -> Floats:
        """(n, m, K): log P_k(θ), -inf in the padding of items with fewer than K categories."""

    @abstractmethod
    def log_derivatives(self, theta: ArrayLike) -> LogDerivatives:
        """(n, m, K) each: slope and curvature of log P_k at each ability."""

    def __len__(self) -> int:
        return len(self.categories)

    def category_probabilities(self, theta: ArrayLike) -> Floats:
        """(n, m, K): P_k(θ), 0 in the padding; sums to 1 over the categories."""
        return np.exp(self.log_category_probabilities(theta))

    def expected_scores(self, theta: ArrayLike) -> Floats:
        """(n, m): Σ_k k P_k(θ), the mean score of each item, categories scored 0 to K - 1."""
        probabilities = self.category_probabilities(theta)
        scores: Floats = probabilities @ np.arange(probabilities.shape[-1], dtype=np.float64)
        return scores

    def information(self, theta: ArrayLike) -> Floats:
        """(n, m): expected (Fisher) information of each item at each ability."""
        slopes = self.log_derivatives(theta).first
        information: Floats = np.einsum("nmk,nmk,nmk->nm", self.category_probabilities(theta), slopes, slopes)
        return information

    def information_and_skew(self, theta: ArrayLike) -> tuple[Floats, Floats]:
        """(n, m) twice: I(θ), and J(θ) = Σ_k P_k' P_k'' / P_k, which Warm's estimate corrects by  [Warm1989].

        With s = (log P)': J = Σ_k P_k s_k (s_k' + s_k²), as P'' / P = s' + s².
        """
        at = self.log_derivatives(theta)
        weighted = self.category_probabilities(theta) * at.first
        return (weighted * at.first).sum(axis=-1), (weighted * (at.second + at.first**2)).sum(axis=-1)

    def observed_information(self, responses: ArrayLike, theta: ArrayLike) -> Floats:
        """(n, m): minus the second derivative of the log-likelihood; 0 for a missing response.

        Raises: InvalidResponse.
        """
        return -self.response_derivatives(responses, theta).second

    def response_derivatives(self, responses: ArrayLike, theta: ArrayLike) -> LogDerivatives:
        """(n, m) each: the derivatives of log P for the responses given, by person and item; 0 for missing.

        Raises: InvalidResponse.
        """
        given = as_responses(responses, self.categories)
        at = self.log_derivatives(theta)
        return LogDerivatives(_chosen(at.first, given), _chosen(at.second, given))

    def log_likelihood(self, responses: ArrayLike, points: ArrayLike) -> Floats:
        """(n, q): log L of each person at each of the points; 0 for a person without any response; never nan.

        Raises: InvalidResponse.
        """
        given = as_responses(responses, self.categories)
        table = np.maximum(self.log_category_probabilities(points), _SMALLEST_LOG)
        total = np.zeros((len(given), len(as_theta(points))))
        for category in range(table.shape[-1]):
            chosen = given == category
            if chosen.any():
                total += chosen.astype(np.float64) @ table[:, :, category].T
        return total


def _chosen(values: Floats, given: Ints) -> Floats:
    rows = np.broadcast_to(values, (len(given), *values.shape[1:]))
    picked = np.take_along_axis(rows, np.maximum(given, 0)[:, :, np.newaxis], axis=2)[:, :, 0]
    return np.where(given >= 0, picked, 0.0)


def as_index(rows: ArrayLike | slice) -> slice | NDArray[Any]:
    """What an array may be indexed with to get one: an int, a list of ints, nothing, a mask, a slice."""
    if isinstance(rows, slice):
        return rows
    index = np.atleast_1d(np.asarray(rows))
    return index if index.size else index.astype(np.int64)


def frozen_array(values: ArrayLike) -> Floats:
    """A copy as float64 that nobody can write to."""
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array
