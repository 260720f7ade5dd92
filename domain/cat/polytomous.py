"""Items with more than two ordered or unordered categories: graded, partial credit, rating scale, nominal."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.cat.category_model import CategoryModel, LogDerivatives, as_index, frozen_array
from domain.cat.curves import log_logistic, logistic_pair
from domain.cat.errors import InvalidItem
from domain.cat.types import Floats, Ints, as_theta


@dataclass(frozen=True, eq=False)
class GradedItems(CategoryModel):
    """m items of the graded response model  [Samejima1969].

    P(X >= k | θ) = Ψ(a (θ - b_k)) for k = 1 … K - 1, Ψ the logistic curve; P_k is the difference of two
    neighbours, computed as Ψ(x_k) Ψ(-x_{k+1}) (1 - e^(x_{k+1} - x_k)), so that no digits cancel.

    a: (m,) > 0; b: (m, K - 1), strictly ascending in each row, NaN behind the last threshold of an item
    with fewer categories. Indexing with an array of ints (or a slice or mask) gives a sub-bank.

    Raises: InvalidItem with the first row where a <= 0, a number is not finite, thresholds do not ascend,
    there is none, or NaN stands between two.

    >>> items = GradedItems(a=[1.5, 1.0], b=[[-1.0, 1.0], [0.0, np.nan]])
    >>> items.categories
    array([3, 2])
    >>> items.category_probabilities(0.0).round(4)
    array([[[0.1824, 0.6351, 0.1824],
            [0.5   , 0.5   , 0.    ]]])
    """

    a: Floats
    b: Floats

    def __post_init__(self) -> None:
        _freeze(self, a=self.a, b=np.atleast_2d(np.asarray(self.b, dtype=np.float64)))
        _check_slopes(self.a, self.b)
        _check_padding(self.b)
        with np.errstate(invalid="ignore"):  # False where one of the two is padding
            descending = np.diff(self.b, axis=1) <= 0
        _refuse(_anywhere(descending), "thresholds b do not ascend")

    def __len__(self) -> int:
        return self.a.size

    def __getitem__(self, rows: ArrayLike | slice) -> Self:
        index = as_index(rows)
        return type(self)(self.a[index], self.b[index])

    @property
    def categories(self) -> Ints:
        return 1 + _how_many(np.isfinite(self.b))

    def log_category_probabilities(self, theta: ArrayLike) -> Floats:
        """(n, m, K): log Ψ(x_k) + log Ψ(-x_{k+1}) + log(1 - e^(a (b_k - b_{k+1})))."""
        x = self._steps(theta)
        gap = self.a[:, np.newaxis] * np.diff(self.b, axis=1)
        width = np.zeros((len(self), x.shape[-1] - 1))  # log 1: the first and last category are open
        width[:, 1:-1] = np.where(np.isnan(gap), 0.0, np.log(-np.expm1(-np.nan_to_num(gap, nan=np.inf))))
        return log_logistic(x[..., :-1]) + log_logistic(-x[..., 1:]) + width

    def log_derivatives(self, theta: ArrayLike) -> LogDerivatives:
        """(n, m, K): (log P_k)' = a (Ψ(-x_k) - Ψ(x_{k+1})), (log P_k)'' = -a² (ΨΨ⁻ at x_k and at x_{k+1})."""
        upper, lower = logistic_pair(self._steps(theta))
        bend = upper * lower
        a = self.a[:, np.newaxis]
        real = np.arange(upper.shape[-1] - 1) < self.categories[:, np.newaxis]
        return LogDerivatives(
            np.where(real, a * (lower[..., :-1] - upper[..., 1:]), 0.0),
            np.where(real, -(a**2) * (bend[..., :-1] + bend[..., 1:]), 0.0),
        )

    def _steps(self, theta: ArrayLike) -> Floats:
        """(n, m, K + 1): x_0 = inf, x_1 … x_{K-1}, x_K = -inf; -inf for padding too."""
        at = as_theta(theta)
        x = np.full((at.size, len(self), self.b.shape[1] + 2), -np.inf)
        x[..., 0] = np.inf
        distance = at[:, np.newaxis, np.newaxis] - self.b
        x[..., 1:-1] = np.where(np.isnan(distance), -np.inf, self.a[:, np.newaxis] * distance)
        return x


class DividedModel(CategoryModel):
    """Models with P_k proportional to exp(s_k θ + t_k): slopes s, intercepts t, -inf for padding."""

    @property
    @abstractmethod
    def category_slopes(self) -> Floats:
        """(m, K): s, 0 in the padding."""

    @property
    @abstractmethod
    def category_intercepts(self) -> Floats:
        """(m, K): t, -inf in the padding."""

    @property
    def categories(self) -> Ints:
        return _how_many(np.isfinite(self.category_intercepts))

    def log_category_probabilities(self, theta: ArrayLike) -> Floats:
        """(n, m, K): s_k θ + t_k less the logarithm of the sum over the categories."""
        line = as_theta(theta)[:, np.newaxis, np.newaxis] * self.category_slopes + self.category_intercepts
        from scipy.special import logsumexp

        logs: Floats = line - logsumexp(line, axis=-1, keepdims=True)
        return logs

    def log_derivatives(self, theta: ArrayLike) -> LogDerivatives:
        """(n, m, K): (log P_k)' = s_k - mean of s, (log P_k)'' = -variance of s, under P(θ)."""
        probabilities = self.category_probabilities(theta)
        slopes = self.category_slopes
        mean = (probabilities * slopes).sum(axis=-1, keepdims=True)
        first = np.where(np.isfinite(self.category_intercepts), slopes - mean, 0.0)
        variance = (probabilities * first**2).sum(axis=-1, keepdims=True)
        return LogDerivatives(first, np.where(np.isfinite(self.category_intercepts), -variance, 0.0))


@dataclass(frozen=True, eq=False)
class PartialCreditItems(DividedModel):
    """m items of the generalised partial credit model  [Muraki1992]; with a = 1 the partial credit model.

    log P_k(θ) = Σ_{v=1..k} a (θ - b_v) - log of the sum over k = 0 … K - 1  [Masters1982].

    a: (m,) > 0; b: (m, K - 1), the steps, in any order (two neighbouring categories are equally likely at
    b_k), NaN behind the last step of an item with fewer categories. `rating_scale` makes them from a
    location and common steps. Indexing with an array of ints (or a slice or mask) gives a sub-bank.

    Raises: InvalidItem with the first row where a <= 0, a number is not finite, there is no step, or NaN
    stands between two.

    >>> items = PartialCreditItems(a=[1.0], b=[[-1.0, 1.0]])
    >>> items.category_probabilities(1.0).round(4)
    array([[[0.0634, 0.4683, 0.4683]]])
    """

    a: Floats
    b: Floats

    def __post_init__(self) -> None:
        _freeze(self, a=self.a, b=np.atleast_2d(np.asarray(self.b, dtype=np.float64)))
        _check_slopes(self.a, self.b)
        _check_padding(self.b)

    def __len__(self) -> int:
        return self.a.size

    def __getitem__(self, rows: ArrayLike | slice) -> Self:
        index = as_index(rows)
        return type(self)(self.a[index], self.b[index])

    @property
    def category_slopes(self) -> Floats:
        rank = np.arange(self.b.shape[1] + 1)
        slopes: Floats = np.where(np.isfinite(self.category_intercepts), self.a[:, np.newaxis] * rank, 0.0)
        return slopes

    @property
    def category_intercepts(self) -> Floats:
        sums = -self.a[:, np.newaxis] * np.cumsum(self.b, axis=1)
        return np.hstack((np.zeros((len(self), 1)), np.where(np.isnan(sums), -np.inf, sums)))


def rating_scale(a: ArrayLike, location: ArrayLike, steps: ArrayLike) -> PartialCreditItems:
    """Items of the rating scale model: the steps of item i are location_i + steps  [Andrich1978].

    a: (m,) or a scalar (1 for Andrich's model); location: (m,); steps: (K - 1,), common to all items,
    usually with mean 0.

    Raises: InvalidItem.

    >>> rating_scale(1.0, [0.0, 0.5], [-1.0, 1.0]).b
    array([[-1. ,  1. ],
           [-0.5,  1.5]])
    """
    places = np.atleast_1d(np.asarray(location, dtype=np.float64))
    common = np.atleast_1d(np.asarray(steps, dtype=np.float64))
    slopes = np.broadcast_to(np.asarray(a, dtype=np.float64), places.shape)
    return PartialCreditItems(slopes, places[:, np.newaxis] + common)


@dataclass(frozen=True, eq=False)
class NominalItems(DividedModel):
    """m items of the nominal response model  [Bock1972].

    log P_k(θ) = slopes_k θ + intercepts_k - log of the sum over k = 0 … K - 1.

    slopes, intercepts: (m, K), NaN behind the last category of an item with fewer. Only differences within
    a row matter: adding a constant to a row of either changes nothing. Indexing with an array of ints (or a
    slice or mask) gives a sub-bank.

    Raises: InvalidItem with the first row where the two differ in shape, a number is infinite, there are
    fewer than two categories, NaN stands between two, or all slopes are equal (the item measures nothing).

    >>> items = NominalItems(slopes=[[0.0, 1.0, 2.0]], intercepts=[[0.0, 1.0, 0.0]])
    >>> items.category_probabilities(0.0).round(4)
    array([[[0.2119, 0.5761, 0.2119]]])
    """

    slopes: Floats
    intercepts: Floats

    def __post_init__(self) -> None:
        slopes, intercepts = (
            np.atleast_2d(np.asarray(each, dtype=np.float64)) for each in (self.slopes, self.intercepts)
        )
        _freeze(self, slopes=slopes, intercepts=intercepts)
        if slopes.shape != intercepts.shape or slopes.ndim != 2:
            raise InvalidItem(-1, f"slopes {slopes.shape} and intercepts {intercepts.shape} differ in shape")
        _refuse(_anywhere(np.isnan(slopes) != np.isnan(intercepts)), "a slope without an intercept")
        _check_padding(slopes)
        _check_padding(intercepts)
        _refuse(_how_many(np.isfinite(slopes)) < 2, "fewer than two categories")
        _refuse(np.nanmax(slopes, axis=1) <= np.nanmin(slopes, axis=1), "all slopes are equal")

    def __len__(self) -> int:
        return len(self.slopes)

    def __getitem__(self, rows: ArrayLike | slice) -> Self:
        index = as_index(rows)
        return type(self)(self.slopes[index], self.intercepts[index])

    @property
    def category_slopes(self) -> Floats:
        return np.nan_to_num(self.slopes, nan=0.0)

    @property
    def category_intercepts(self) -> Floats:
        return np.where(np.isnan(self.intercepts), -np.inf, self.intercepts)


def _anywhere(table: NDArray[np.bool_]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.asarray(table.any(axis=1))
    return found


def _how_many(table: NDArray[np.bool_]) -> Ints:
    counts: Ints = table.sum(axis=1, dtype=np.int64)
    return counts


def _freeze(items: CategoryModel, **arrays: ArrayLike) -> None:
    for name, values in arrays.items():
        object.__setattr__(items, name, frozen_array(values))


def _refuse(wrong: NDArray[np.bool_], reason: str) -> None:
    if wrong.any():
        raise InvalidItem(int(np.argmax(wrong)), reason)


def _check_slopes(a: Floats, b: Floats) -> None:
    if a.ndim != 1 or b.ndim != 2 or len(a) != len(b):
        raise InvalidItem(-1, f"a of shape {a.shape} with b of shape {b.shape}")
    _refuse(~np.isfinite(a), "a is not finite")
    _refuse(a <= 0, "a is not above 0")


def _check_padding(values: Floats) -> None:
    """Numbers first, NaN behind them, at least one number."""
    _refuse(_anywhere(np.isinf(values)), "a parameter is not finite")
    absent = np.isnan(values)
    if values.shape[1] == 0:
        raise InvalidItem(-1, "no thresholds or categories")
    _refuse(absent[:, 0], "no thresholds or categories")
    _refuse(_anywhere(absent[:, :-1] & ~absent[:, 1:]), "a gap between its parameters")
