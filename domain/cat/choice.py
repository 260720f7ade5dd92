"""What an item is chosen from, and the choice itself, told so that it can be replayed and explained."""

from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from domain.cat.errors import TooFewItems
from domain.cat.items import Items
from domain.cat.types import Floats, Ints

Bools = NDArray[np.bool_]

TIE: Final = 1e-12
"""Criteria that differ by less, relatively, are the same: no last digit of a machine's exponential may
decide which item a person sees."""

_NONE: Final = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Standing:
    """What is known of one examinee before the next item.

    theta: the estimate (logits). posterior: (q,) weights over `points` (q,), summing to 1. given: (k,)
    rows of the bank in the order in which they were given. left: (m,), which items may be chosen now.

    >>> standing = Standing.at(0.5, bank_size=3, given=[1])
    >>> standing.left
    array([ True, False,  True])
    """

    theta: float
    points: Floats
    posterior: Floats
    given: Ints
    left: Bools

    @classmethod
    def at(cls, theta: float, bank_size: int, given: "Ints | list[int] | None" = None) -> "Standing":
        """All that rules which look at the estimate alone need: every item is left that was not given."""
        rows = np.asarray([] if given is None else given, dtype=np.int64)
        left = np.ones(bank_size, dtype=bool)
        left[rows] = False
        return cls(theta, np.array([theta]), np.array([1.0]), rows, left)


@dataclass(frozen=True, eq=False)
class Choice:
    """The item chosen, and why.

    item: row of the bank. criterion: (m,) what the rule gave each item, -inf where the item could not be
    chosen. candidates: the items among which chance or a tie decided, best first. draw: the number in
    [0, 1) that decided, None where nothing was left to chance. passed_over: items that would have been
    given, had exposure control not held them back.
    """

    item: int
    criterion: Floats
    candidates: Ints
    draw: float | None = None
    passed_over: Ints = field(default_factory=lambda: _NONE)


class Rule(Protocol):
    """Chooses the next item. With the same bank, standing and state of `rng` it makes the same choice.

    Raises: TooFewItems where no item is left.
    """

    def __call__(self, bank: Items, standing: Standing, rng: np.random.Generator) -> Choice: ...


def ranked(criterion: Floats) -> Ints:
    """Rows that can be chosen (criterion above -inf), best first; ties go to the lowest row.

    Raises: TooFewItems where there is none.

    >>> ranked(np.array([1.0, 3.0, 3.0, -np.inf, 2.0]))
    array([1, 2, 4, 0])
    """
    order = np.argsort(-criterion, kind="stable")
    order = order[criterion[order] > -np.inf]
    if not order.size:
        raise TooFewItems(0, 1)
    # Neighbours in this order that are the same but for rounding go by row, not by their last digit.
    values = criterion[order]
    falls = np.empty(order.size, dtype=bool)
    falls[0] = False
    falls[1:] = values[1:] < values[:-1] - TIE * np.abs(values[:-1])
    by_row: Ints = order[np.lexsort((order, np.cumsum(falls)))]
    return by_row


def best(criterion: Floats, left: Bools) -> Choice:
    """The item with the largest criterion among those left; a tie goes to the lowest row.

    Raises: TooFewItems where none is left.

    >>> best(np.array([1.0, 3.0, 3.0]), np.array([True, True, True])).item
    1
    """
    masked = np.where(left, criterion, -np.inf)
    highest = masked.max(initial=-np.inf)
    if highest == -np.inf:
        raise TooFewItems(0, 1)
    tied = np.flatnonzero(masked >= highest - TIE * abs(highest))
    return Choice(int(tied[0]), masked, tied)
