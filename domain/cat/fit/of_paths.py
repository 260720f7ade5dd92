"""lz* of tests in which everybody had other items, without a table of people by items.

In an adaptive test the items are chosen so that every answer is about as likely as not. Then a pattern of
answers can hardly be unlikely, and the index sees less than in a fixed test. Under the model it lies about
0.3 to 0.5 above 0, so that fewer people than the nominal share are flagged [VanKrimpen1999].
"""

from dataclasses import dataclass

import numpy as np

from domain.cat.curves import BetweenAsymptotes
from domain.cat.errors import InvalidResponse
from domain.cat.logistic import LogisticItems
from domain.cat.types import Floats, Ints


@dataclass(frozen=True, eq=False)
class GivenItems:
    """n tests of k responses in all, those of each test side by side.

    starts: (n,): where each test begins; no test is empty. rows, right: (k,): the item, and 1 or 0.
    """

    starts: Ints
    rows: Ints
    right: Ints

    def __post_init__(self) -> None:
        bounds = np.append(self.starts, self.rows.size)
        if self.rows.shape != self.right.shape or (self.starts.size and self.starts[0] != 0):
            raise InvalidResponse(-1, -1, "tests that do not begin where the responses do")
        if (np.diff(bounds) < 1).any():
            raise InvalidResponse(int(np.argmax(np.diff(bounds) < 1)), -1, "a test without a response")

    @property
    def examinee(self) -> Ints:
        """(k,): the number of the test that each response is of."""
        lengths = np.diff(np.append(self.starts, self.rows.size))
        return np.repeat(np.arange(self.starts.size), lengths)

    def sums(self, values: Floats) -> Floats:
        """(n,): of values (k,) in each test."""
        total: Floats = np.add.reduceat(values, self.starts) if self.starts.size else np.zeros(0)
        return total


def information_used(items: LogisticItems, given: GivenItems, theta: Floats) -> Floats:
    """(n,): the test information, at theta (n,), of what each was given.

    >>> one = GivenItems(np.array([0]), np.array([0, 1]), np.array([1, 0]))
    >>> information_used(LogisticItems.of(2.0, [0.0, 0.0]), one, np.array([0.0]))
    array([2.])
    """
    return given.sums(items.a[given.rows] ** 2 * _curve(items, given, theta).information())


def person_fit_of_paths(items: LogisticItems, given: GivenItems, theta: Floats) -> Floats:
    """lz* (n,) at the abilities theta (n,); the same number as `person_fit` gives, NaN where nothing is said.

    >>> from domain.cat.fit.person_fit import person_fit
    >>> items = LogisticItems.of(1.0, np.linspace(-2.0, 2.0, 9))
    >>> one = GivenItems(np.array([0]), np.arange(9), np.array([0, 0, 0, 0, 1, 1, 1, 1, 1]))
    >>> sparse = person_fit_of_paths(items, one, np.array([0.3]))
    >>> bool(np.isclose(sparse[0], person_fit(items, [one.right], [0.3]).lz_star[0]))
    True
    """
    curve, a = _curve(items, given, theta), items.a[given.rows]
    wrong, right = curve.wrong, curve.right
    log_wrong, log_right = (np.where(np.isfinite(each), each, 0.0) for each in curve.logs())
    slope_wrong, slope_right = (a * each for each in curve.slopes()[:2])
    products = given.sums(wrong * log_wrong * slope_wrong + right * log_right * slope_right)
    information = given.sums(wrong * slope_wrong**2 + right * slope_right**2)
    taken = np.divide(products, information, out=np.zeros_like(information), where=information > 0)
    taken = taken[given.examinee]
    weight_wrong, weight_right = log_wrong - taken * slope_wrong, log_right - taken * slope_right
    mean = wrong * weight_wrong + right * weight_right
    surprise = given.sums(np.where(given.right == 1, weight_right, weight_wrong) - mean)
    spread = np.sqrt(given.sums(wrong * right * (weight_right - weight_wrong) ** 2))
    said: Floats = np.divide(surprise, spread, out=np.full_like(spread, np.nan), where=spread > 1e-9)
    return said


def _curve(items: LogisticItems, given: GivenItems, theta: Floats) -> BetweenAsymptotes:
    rows = given.rows
    x = items.a[rows] * (theta[given.examinee] - items.b[rows])
    return BetweenAsymptotes(x, items.c[rows], items.d[rows])
