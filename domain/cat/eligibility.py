"""Exposure control by random ineligibility: before a test begins it is drawn which items it may use.

Unlike Sympson and Hetter's it needs no simulation: the probabilities follow from counts of the examinees so
far and adapt for as long as the bank is used  [vanderLinden2004].
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from domain.cat.choice import Bools
from domain.cat.errors import InvalidItem
from domain.cat.types import Floats


@dataclass(frozen=True, eq=False)
class Eligibility:
    """Counts over the examinees so far, and the probabilities that follow.

    r_max: the largest share of examinees who may be given an item. given, eligible: (m,), (faded) numbers
    of examinees who were given each item, and for whom it was eligible. fading: the weight that the past
    keeps with each examinee; 1 counts all alike, 0.999 about the last thousand.

    The probability of eligibility is min(1, r_max · eligible / given), and 1 for an item that nobody was
    given: it falls when the share of those who were given the item exceeds r_max, and rises below.

    >>> counts = Eligibility.start(bank_size=3, r_max=0.5)
    >>> counts = counts.after([True, True, True], [0]).after([True, True, True], [0])
    >>> counts.probabilities
    array([0.5, 1. , 1. ])
    """

    r_max: float
    given: Floats
    eligible: Floats
    fading: float = 1.0

    @classmethod
    def start(cls, bank_size: int, r_max: float = 0.2, fading: float = 1.0) -> Self:
        """No examinee so far: everything is eligible.

        Raises: InvalidItem where r_max or fading are not in (0, 1].
        """
        if not (0 < r_max <= 1 and 0 < fading <= 1):
            raise InvalidItem(-1, f"a largest exposure of {r_max} and a fading of {fading}")
        return cls(r_max, np.zeros(bank_size), np.zeros(bank_size), fading)

    @property
    def probabilities(self) -> Floats:
        """(m,): of each item to be eligible for the next examinee."""
        ratio = np.divide(
            self.eligible, self.given, out=np.full(self.given.size, np.inf), where=self.given > 0
        )
        likely: Floats = np.minimum(1.0, self.r_max * ratio)
        return likely

    def draw(self, rng: np.random.Generator) -> Bools:
        """(m,): which items are eligible for the next examinee; one number is drawn for each item."""
        return rng.random(self.given.size) < self.probabilities

    def after(self, eligible: ArrayLike, items: ArrayLike, *, kept: bool = True) -> Self:
        """The counts after one more examinee.

        eligible: (m,) as drawn. items: rows of the items given. kept: False where no test could do without
        ineligible items, so that every item was let in: all then count as eligible.
        """
        drawn = np.asarray(eligible, dtype=bool) | (not kept)
        given = np.zeros(self.given.size)
        given[np.asarray(items, dtype=np.int64)] = 1.0
        return replace(
            self, given=self.fading * self.given + given, eligible=self.fading * self.eligible + drawn
        )
