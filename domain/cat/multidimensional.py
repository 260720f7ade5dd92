"""Items that measure several abilities, which make up for each other: the compensatory 2PL and 3PL."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from domain.cat.category_model import as_index, frozen_array
from domain.cat.curves import BetweenAsymptotes
from domain.cat.errors import InvalidItem
from domain.cat.right_or_wrong import RightOrWrong
from domain.cat.types import Floats, as_responses


@dataclass(frozen=True, eq=False)
class MultidimensionalItems(RightOrWrong):
    """m items with P(right | θ) = c + (1 - c) Ψ(a·θ + intercept), θ of D abilities  [Reckase2009].

    a: (m, D), not 0 throughout a row; intercept: (m,); c: (m,), 0 for the 2PL. Abilities are (n, D); a
    single one (D,) becomes (1, D). Indexing with an array of ints (or a slice or mask) gives a sub-bank.

    The information of an item is a matrix of rank one, w(θ) a aᵀ with w = P'² / (P (1 - P)), P' by a·θ.

    Raises: InvalidItem with the first row where a is all 0, c < 0, c >= 1 or a number is not finite (row
    -1: the shapes do not fit).

    >>> items = MultidimensionalItems(a=[[1.0, 0.0], [0.6, 0.8]], intercept=[0.0, 0.5], c=[0.0, 0.2])
    >>> items.correct([0.0, 0.0]).round(4)
    array([[0.5  , 0.698]])
    >>> items.information_matrix([0.0, 0.0])[0, 0]
    array([[0.25, 0.  ],
           [0.  , 0.  ]])
    """

    a: Floats
    intercept: Floats
    c: Floats

    def __post_init__(self) -> None:
        object.__setattr__(self, "a", frozen_array(np.atleast_2d(np.asarray(self.a, dtype=np.float64))))
        for name in ("intercept", "c"):
            object.__setattr__(self, name, frozen_array(np.atleast_1d(getattr(self, name))))
        a, rows = self.a, self.a.shape[:1]
        if a.ndim != 2 or a.shape[1] == 0 or not rows == self.intercept.shape == self.c.shape:
            raise InvalidItem(-1, f"a {a.shape}, intercept {self.intercept.shape} and c {self.c.shape}")
        for wrong, reason in (
            (~np.isfinite(a.sum(axis=1) + self.intercept + self.c), "a parameter is not finite"),
            ((a == 0).all(axis=1), "a is 0 in every dimension"),
            (self.c < 0, "c is below 0"),
            (self.c >= 1, "c is not below 1"),
        ):
            if wrong.any():
                raise InvalidItem(int(np.argmax(wrong)), reason)

    def __len__(self) -> int:
        return len(self.a)

    def __getitem__(self, rows: ArrayLike | slice) -> Self:
        index = as_index(rows)
        return type(self)(self.a[index], self.intercept[index], self.c[index])

    @property
    def dimensions(self) -> int:
        return int(self.a.shape[1])

    def log_correct(self, theta: ArrayLike) -> tuple[Floats, Floats]:
        """(n, m) twice: log P(wrong | θ) and log P(right | θ)."""
        return self._curve(theta).logs()

    def information_weight(self, theta: ArrayLike) -> Floats:
        """(n, m): w(θ), so that w a aᵀ is the information matrix of the item."""
        return self._curve(theta).information()

    def information_weight_and_skew(self, theta: ArrayLike) -> tuple[Floats, Floats]:
        """(n, m) twice: w(θ), and J = P' P'' / (P (1 - P)), slopes by a·θ; see `multidimensional_wle`."""
        return self._curve(theta).information_and_skew()

    def information_matrix(self, theta: ArrayLike) -> Floats:
        """(n, m, D, D): the expected information of each item."""
        weight = self.information_weight(theta)[:, :, np.newaxis, np.newaxis]
        matrices: Floats = weight * (self.a[:, :, np.newaxis] * self.a[:, np.newaxis, :])
        return matrices

    def information(self, theta: ArrayLike, direction: ArrayLike | None = None) -> Floats:
        """(n, m): w(θ) (a·u)², the information in the direction u (D,), which is scaled to length 1.

        Without a direction: w(θ) |a|², that in the direction in which the item itself measures best, also
        the trace of the information matrix  [Reckase2009].

        >>> items = MultidimensionalItems(a=[[0.6, 0.8]], intercept=[0.0], c=[0.0])
        >>> items.information([0.0, 0.0]), items.information([0.0, 0.0], direction=[1.0, 0.0])
        (array([[0.25]]), array([[0.09]]))
        """
        if direction is None:
            squared: Floats = (self.a**2).sum(axis=1)
        else:
            along = np.asarray(direction, dtype=np.float64)
            squared = (self.a @ (along / np.linalg.norm(along))) ** 2
        return self.information_weight(theta) * squared

    def observed_information(self, responses: ArrayLike, theta: ArrayLike) -> Floats:
        """(n, m): minus the second derivative of the log-likelihood in the item's own direction, per person.

        Times a aᵀ / |a|² it is the observed information matrix. 0 for a missing response.

        Raises: InvalidResponse.
        """
        squared: Floats = (self.a**2).sum(axis=1)
        return -self.response_slopes(responses, theta)[1] * squared

    def log_likelihood(self, responses: ArrayLike, points: ArrayLike) -> Floats:
        """(n, q): of each person at each of the points (q, D); 0 without any response; never nan.

        Raises: InvalidResponse.
        """
        given = as_responses(responses, self.categories)
        wrong, right = self.log_correct(points)
        total: Floats = (given == 1).astype(np.float64) @ right.T + (given == 0).astype(np.float64) @ wrong.T
        return total

    def _curve(self, theta: ArrayLike) -> BetweenAsymptotes:
        at = np.atleast_2d(np.asarray(theta, dtype=np.float64))
        return BetweenAsymptotes(at @ self.a.T + self.intercept, self.c, np.ones(len(self)))
