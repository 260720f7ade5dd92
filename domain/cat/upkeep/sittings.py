"""The responses of many adaptive tests, each in the order in which it was given."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.cat.errors import InvalidResponse
from domain.cat.types import MISSING, Ints


@dataclass(frozen=True, eq=False)
class Sittings:
    """n tests of at most s responses.

    items: (n, s) which item, a row of the bank, `MISSING` behind a test's last response. right: (n, s).
    groups: (n,) from 0: whose examinees are alike (those of one exam, as a rule).

    Raises: InvalidResponse where shapes differ, an item comes twice in a test, or a number is none.

    >>> tests = Sittings.of([[0, 2], [1, MISSING]], [[True, False], [True, False]], [0, 0])
    >>> tests.counts(3), len(tests)
    (array([1, 1, 1]), 2)
    """

    items: Ints
    right: NDArray[np.bool_]
    groups: Ints

    @classmethod
    def of(cls, items: ArrayLike, right: ArrayLike, groups: ArrayLike) -> "Sittings":
        return cls(
            np.asarray(items, dtype=np.int64),
            np.asarray(right, dtype=np.bool_),
            np.asarray(groups, dtype=np.int64),
        )

    def __post_init__(self) -> None:
        if self.items.ndim != 2 or self.items.shape != self.right.shape:
            raise InvalidResponse(-1, -1, f"items {self.items.shape} and right {self.right.shape}")
        if self.groups.shape != (len(self.items),) or (self.groups < 0).any():
            raise InvalidResponse(-1, -1, "each test is of one group, counted from 0")
        ordered = np.sort(self.items, axis=1)
        again = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != MISSING)
        if (self.items < MISSING).any() or again.any():
            raise InvalidResponse(
                int(np.argmax(again.any(axis=1))), -1, "an item twice in a test, or none at all"
            )

    def __len__(self) -> int:
        return len(self.items)

    def counts(self, bank_size: int) -> Ints:
        """(m,): responses to each item of the bank."""
        return np.bincount(self.items[self.items >= 0], minlength=bank_size)

    def right_counts(self, bank_size: int) -> Ints:
        """(m,): right responses to each item of the bank."""
        return np.bincount(self.items[(self.items >= 0) & self.right], minlength=bank_size)

    def responses_to(self, rows: Ints, bank_size: int) -> Ints:
        """(n, k): responses to these items, `MISSING` where one was not given."""
        column = np.full(bank_size + 1, MISSING)  # the last one for `MISSING` itself
        column[rows] = np.arange(len(rows))
        found = column[self.items]
        table = np.full((len(self), len(rows)), MISSING)
        person, step = np.nonzero(found >= 0)
        table[person, found[person, step]] = self.right[person, step]
        return table
