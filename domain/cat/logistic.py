"""Items scored right or wrong: the 1PL, 2PL, 3PL and 4PL models."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from domain.cat.category_model import CategoryModel, LogDerivatives, as_index, frozen_array
from domain.cat.curves import BetweenAsymptotes
from domain.cat.errors import InvalidItem
from domain.cat.right_or_wrong import RightOrWrong
from domain.cat.types import Floats, as_theta


@dataclass(frozen=True, eq=False)
class LogisticItems(RightOrWrong, CategoryModel):
    """m items with P(right | θ) = c + (d - c) Ψ(a (θ - b)), Ψ(x) = 1 / (1 + e^-x).

    a, b, c, d: (m,): discrimination (per logit), difficulty (logits), lower and upper asymptote
    [Birnbaum1968] [Barton1981]. c = 0 and d = 1 make the 2PL, equal a too the 1PL. Categories: 0 wrong,
    1 right. Indexing with an array of ints (or a slice or mask) gives a sub-bank.

    Everything is finite and right at any finite θ: 1 - P and log P are computed as such, not by subtraction.

    Raises: InvalidItem with the first row where a <= 0, c < 0, d > 1, c >= d or a number is not finite
    (row -1: the four are not arrays of one length).

    >>> items = LogisticItems.of(a=[1.0, 2.0], b=[0.0, 1.0], c=0.2)
    >>> items.correct(0.0).round(4)
    array([[0.6   , 0.2954]])
    >>> items.information([0.0, 1.0]).round(4)
    array([[0.1667, 0.1356],
           [0.1465, 0.6667]])
    >>> len(items[[1]])
    1
    """

    a: Floats
    b: Floats
    c: Floats
    d: Floats

    def __post_init__(self) -> None:
        for name in ("a", "b", "c", "d"):
            object.__setattr__(self, name, frozen_array(getattr(self, name)))
        if self.a.ndim != 1 or not self.a.shape == self.b.shape == self.c.shape == self.d.shape:
            raise InvalidItem(-1, "a, b, c and d are not arrays of one length")
        for wrong, reason in (
            (~np.isfinite(self.a + self.b + self.c + self.d), "a parameter is not finite"),
            (self.a <= 0, "a is not above 0"),
            (self.c < 0, "c is below 0"),
            (self.d > 1, "d is above 1"),
            (self.c >= self.d, "c is not below d"),
        ):
            if wrong.any():
                row = int(np.argmax(wrong))
                found = f"a={self.a[row]:.9g}, b={self.b[row]:.9g}, c={self.c[row]:.9g}, d={self.d[row]:.9g}"
                raise InvalidItem(row, f"{reason} ({found})")

    @classmethod
    def of(cls, a: ArrayLike, b: ArrayLike, c: ArrayLike = 0.0, d: ArrayLike = 1.0) -> Self:
        """Items from arrays or scalars, which are broadcast against each other.

        Raises: InvalidItem.

        >>> LogisticItems.of(1.0, [-1.0, 0.0, 1.0]).a
        array([1., 1., 1.])
        """
        given = (np.atleast_1d(np.asarray(each, dtype=np.float64)) for each in (a, b, c, d))
        try:
            return cls(*np.broadcast_arrays(*given))
        except ValueError as shapes_differ:
            raise InvalidItem(-1, "a, b, c and d are not arrays of one length") from shapes_differ

    def __len__(self) -> int:
        return self.a.size

    def __getitem__(self, rows: ArrayLike | slice) -> Self:
        index = as_index(rows)
        part = object.__new__(type(self))  # these were validated when the bank was made
        for name in ("a", "b", "c", "d"):
            object.__setattr__(part, name, frozen_array(getattr(self, name)[index]))
        return part

    def log_category_probabilities(self, theta: ArrayLike) -> Floats:
        """(n, m, 2): log P(wrong), log P(right); -1000 and not -inf for Ψ(-1000)."""
        return np.stack(self._curve(theta).logs(), axis=-1)

    def information(self, theta: ArrayLike) -> Floats:
        """(n, m): a² (d - c)² Ψ² (1 - Ψ)² / (P (1 - P)); for the 2PL a² Ψ (1 - Ψ)  [Birnbaum1968].

        0, not nan, where ability is far off.
        """
        return self.a**2 * self._curve(theta).information()

    def information_and_skew(self, theta: ArrayLike) -> tuple[Floats, Floats]:
        """(n, m) twice: I, and J = P' P'' / (P (1 - P)) = a (1 - 2Ψ) I  [Warm1989]."""
        information, skew = self._curve(theta).information_and_skew()
        return self.a**2 * information, self.a**3 * skew

    def log_derivatives(self, theta: ArrayLike) -> LogDerivatives:
        """(n, m, 2) each, of log P(wrong) and log P(right); see `BetweenAsymptotes.slopes`."""
        wrong, right, wrong_bend, right_bend = self._curve(theta).slopes()
        return LogDerivatives(
            np.stack((self.a * wrong, self.a * right), axis=-1),
            np.stack((self.a**2 * wrong_bend, self.a**2 * right_bend), axis=-1),
        )

    def response_derivatives(self, responses: ArrayLike, theta: ArrayLike) -> LogDerivatives:
        """(n, m) each, for the responses given; 0 for missing.

        Raises: InvalidResponse.
        """
        first, second = self.response_slopes(responses, theta)
        return LogDerivatives(self.a * first, self.a**2 * second)

    def _curve(self, theta: ArrayLike) -> BetweenAsymptotes:
        x = self.a * (as_theta(theta)[:, np.newaxis] - self.b)
        return BetweenAsymptotes(x, self.c, self.d)
