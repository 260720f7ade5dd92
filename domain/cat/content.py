"""Content balancing without a solver: each area gets about its share of the items.

For constraints that must hold (enemies, testlets, budgets, exact counts) see `domain.cat.shadow`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from domain.cat.blueprint import InvalidConstraint
from domain.cat.choice import Choice, Rule, Standing
from domain.cat.errors import TooFewItems
from domain.cat.items import Items
from domain.cat.types import Floats, Ints


@dataclass(frozen=True, eq=False)
class ContentBalanced:
    """The next item is from the area that lags furthest behind its share  [Kingsbury1989].

    area: (m,), the number of the area of each item. shares: (areas,), summing to 1. The area with the
    largest share_k - given_k / n comes next, of those that have items left; a tie goes to the first, and
    before the first item this is the area with the largest share. Within the area the rule decides. An area
    with a share of 0 comes where no other has items left.

    >>> from domain.cat.items import LogisticItems
    >>> from domain.cat.selection import MaximumInformation
    >>> rule = ContentBalanced.of(MaximumInformation(), "aab", {"a": 0.5, "b": 0.5})
    >>> bank = LogisticItems.of(1.0, [0.0, 0.1, 3.0])
    >>> rule(bank, Standing.at(0.0, 3, [0]), np.random.default_rng(0)).item
    2
    """

    rule: Rule
    area: Ints
    shares: Floats

    @classmethod
    def of(cls, rule: Rule, content: Sequence[str], shares: Mapping[str, float]) -> Self:
        """content: (m,), the area of each item; shares: of each area, in any unit (they are scaled).

        Raises: InvalidConstraint with the area whose share is negative, not finite or missing, or where all
        are 0.
        """
        names = list(shares)
        sizes = np.array([shares[name] for name in names], dtype=np.float64)
        for name, size in zip(names, sizes, strict=True):
            if not (np.isfinite(size) and size >= 0):
                raise InvalidConstraint(name, f"a share of {size}")
        for name in content:
            if name not in shares:
                raise InvalidConstraint(name, "the area has no share")
        if not sizes.sum() > 0:
            raise InvalidConstraint("content", "every share is 0")
        number = {name: at for at, name in enumerate(names)}
        return cls(rule, np.array([number[name] for name in content], dtype=np.int64), sizes / sizes.sum())

    def __call__(self, bank: Items, standing: Standing, rng: np.random.Generator) -> Choice:
        return self.rule(bank, self.narrowed(standing)[1], rng)

    def narrowed(self, standing: Standing) -> tuple[int, Standing]:
        """The number of the area that is due, and the same standing with its items alone left.

        Raises: TooFewItems where no area has items left.
        """
        given = np.bincount(self.area[standing.given], minlength=self.shares.size)
        behind = self.shares - given / max(standing.given.size, 1)
        behind[self.shares == 0] -= 2.0  # else it would be due as soon as all others have their share
        behind[np.bincount(self.area[standing.left], minlength=self.shares.size) == 0] = -np.inf
        furthest = int(np.argmax(np.round(behind, 12)))  # 1/3 - 1/3 is no lead
        if behind[furthest] == -np.inf:
            raise TooFewItems(0, 1)
        of_area = Standing(
            standing.theta,
            standing.points,
            standing.posterior,
            standing.given,
            standing.left & (self.area == furthest),
        )
        return furthest, of_area
