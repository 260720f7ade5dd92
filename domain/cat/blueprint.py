"""What a test must look like, whatever it measures: the constraints of test assembly [vanderLinden2005].

A blueprint says how many items a test has and lists named constraints over the m items of a bank. It can
tell whether a set of items meets them (`broken`); `domain.cat.shadow` finds the best set that does.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.cat.errors import CatError, TooFewItems
from domain.cat.types import Floats, Ints

LENGTH: Final = "length"
"""The name under which the number of items of the test is reported."""

Bools = NDArray[np.bool_]

_ROOM = 1e-9
"""Sums of amounts may miss a limit by this share of it: they are sums of floats."""


class InvalidConstraint(CatError):
    """Carries `constraint` (its name) and `reason`."""

    code = "invalid-constraint"
    title = "A constraint on the test cannot be used"

    def __init__(self, constraint: str, reason: str) -> None:
        super().__init__(constraint=constraint, reason=reason)

    def detail(self) -> str:
        return f"Constraint {self.constraint}: {self.reason}."


@dataclass(frozen=True, eq=False)
class CountBetween:
    """From `low` to `high` of these items are in the test (`high` None: no upper limit).

    >>> CountBetween("algebra", [0, 1, 2], low=1, high=2).items
    array([0, 1, 2])
    """

    name: str
    items: Ints
    low: int = 0
    high: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", _rows(self.name, self.items))
        _ordered(self.name, self.low, np.inf if self.high is None else self.high)


@dataclass(frozen=True, eq=False)
class SumBetween:
    """The amounts (m,) of the items in the test, words or seconds, add up to something in [low, high]."""

    name: str
    amounts: Floats
    low: float = -np.inf
    high: float = np.inf

    def __post_init__(self) -> None:
        amounts = np.array(self.amounts, dtype=np.float64)
        if amounts.ndim != 1 or not np.isfinite(amounts).all():
            raise InvalidConstraint(self.name, "an amount is not finite, or amounts are not one an item")
        amounts.setflags(write=False)
        object.__setattr__(self, "amounts", amounts)
        _ordered(self.name, self.low, self.high)


@dataclass(frozen=True, eq=False)
class Enemies:
    """At most one of these items is in the test: one gives another's answer away."""

    name: str
    items: Ints

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", _rows(self.name, self.items))


@dataclass(frozen=True, eq=False)
class Testlet:
    """Items that share a stimulus. With neither limit: all of them or none.

    With limits: none of them, or from `low` to `high` of them. An item belongs to one testlet at most.
    """

    name: str
    items: Ints
    low: int | None = None
    high: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", _rows(self.name, self.items))
        low, high = self.limits
        _ordered(self.name, low, high)
        if low < 1 or low > self.items.size:
            raise InvalidConstraint(self.name, f"at least {low} of {self.items.size} items")

    @property
    def whole(self) -> bool:
        """Whether it is all or none."""
        return self.low is None and self.high is None

    @property
    def limits(self) -> tuple[int, int]:
        """How many there are at least and at most, where there are any."""
        if self.whole:
            return self.items.size, self.items.size
        return (1 if self.low is None else self.low), (self.items.size if self.high is None else self.high)


Constraint = CountBetween | SumBetween | Enemies | Testlet


@dataclass(frozen=True, eq=False)
class Blueprint:
    """A test of `length` items out of a bank of `bank_size`, under constraints whose names are unique.

    Raises: TooFewItems where the bank is smaller than the test; InvalidConstraint where a name is used
    twice, a constraint names an item that the bank does not have, or an item is in two testlets.

    >>> blueprint = Blueprint(4, 2, (CountBetween("algebra", [0, 1], low=1), Enemies("twins", [1, 2])))
    >>> blueprint.broken([1, 2])
    ('twins',)
    >>> blueprint.broken([2, 3, 1])
    ('length', 'twins')
    """

    bank_size: int
    length: int
    constraints: tuple[Constraint, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "constraints", tuple(self.constraints))
        if self.length < 1:
            raise InvalidConstraint(LENGTH, f"a test of {self.length} items")
        if self.bank_size < self.length:
            raise TooFewItems(self.bank_size, self.length)
        names = {LENGTH}
        in_testlets = np.zeros(self.bank_size, dtype=bool)
        for each in self.constraints:
            if each.name in names:
                raise InvalidConstraint(each.name, "the name is used twice")
            names.add(each.name)
            if isinstance(each, SumBetween):
                if each.amounts.size != self.bank_size:
                    raise InvalidConstraint(
                        each.name, f"{each.amounts.size} amounts for {self.bank_size} items"
                    )
                continue
            if each.items.size and each.items.max() >= self.bank_size:
                raise InvalidConstraint(each.name, f"there is no item {each.items.max()}")
            if isinstance(each, Testlet):
                if in_testlets[each.items].any():
                    raise InvalidConstraint(each.name, "one of its items is in another testlet too")
                in_testlets[each.items] = True

    @property
    def testlets(self) -> Iterator[Testlet]:
        return (each for each in self.constraints if isinstance(each, Testlet))

    def broken(self, items: ArrayLike) -> tuple[str, ...]:
        """The names of the constraints that a test of these items does not meet; none: it is admissible."""
        chosen = np.zeros(self.bank_size, dtype=bool)
        chosen[np.asarray(items, dtype=np.int64)] = True
        length = () if np.count_nonzero(chosen) == self.length else (LENGTH,)
        return length + tuple(each.name for each in self.constraints if not _met(each, chosen))


def counts_per_area(
    content: Sequence[str], limits: Mapping[str, tuple[int, int | None]]
) -> tuple[CountBetween, ...]:
    """A `CountBetween` for each area of `limits` (area: (low, high)); `content` (m,) is each item's area.

    Raises: InvalidConstraint where an area has fewer items than it needs.

    >>> [(each.name, each.items.tolist()) for each in counts_per_area("aab", {"a": (1, 2), "b": (0, 1)})]
    [('a', [0, 1]), ('b', [2])]
    """
    area_of = np.asarray(list(content))
    found = []
    for area, (low, high) in limits.items():
        items = np.flatnonzero(area_of == area)
        if items.size < low:
            raise InvalidConstraint(area, f"{low} items are wanted and the bank has {items.size}")
        found.append(CountBetween(area, items, low, high))
    return tuple(found)


def _met(constraint: Constraint, chosen: Bools) -> bool:
    match constraint:
        case CountBetween(items=items, low=low, high=high):
            return low <= int(chosen[items].sum()) <= (items.size if high is None else high)
        case SumBetween(amounts=amounts, low=at_least, high=at_most):
            total = float(amounts[chosen].sum())
            room = _ROOM * max(1.0, float(np.abs(amounts[chosen]).sum()))
            return at_least - room <= total <= at_most + room
        case Enemies(items=items):
            return int(chosen[items].sum()) <= 1
        case Testlet(items=items):
            low, most = constraint.limits
            return int(chosen[items].sum()) in (0, *range(low, most + 1))


def _rows(name: str, items: Iterable[int] | Ints) -> Ints:
    rows = np.unique(np.asarray(items if isinstance(items, np.ndarray) else list(items), dtype=np.int64))
    if rows.size and rows[0] < 0:
        raise InvalidConstraint(name, f"there is no item {rows[0]}")
    rows.setflags(write=False)
    return rows


def _ordered(name: str, low: float, high: float) -> None:
    if not low <= high:  # NaN is in no order
        raise InvalidConstraint(name, f"from {low} to {high}")
