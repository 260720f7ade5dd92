"""The shadow test: before each item the best whole test that holds what was given and meets every constraint.

The next item is the most informative free item of that test, so an adaptive test can never paint itself
into a corner, and constraints and measurement are not traded against each other [vanderLinden1998a]
[vanderLinden2005].

Each shadow test is an integer linear program, settled by the first of these that can:

greedy      the most informative items, with those given, meet the constraints: nothing binds, no program
relaxed     the linear relaxation, solved from the basis of the test before, proves a test that is at hand
searched    branch and bound over the few columns that reduced costs leave open
programmed  HiGHS' own search, where the one above grew too large

Every answer carries a bound that proves how far it is at most from the best test. An answer depends on its
arguments alone (the test before among them), so that a decision can be replayed.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

import highspy
import numpy as np
from numpy.typing import ArrayLike

from domain.cat.blueprint import Blueprint, InvalidConstraint
from domain.cat.choice import Bools, Choice, best
from domain.cat.errors import Infeasible, InvalidItem, TooFewItems
from domain.cat.shadow.contradiction import contradiction
from domain.cat.shadow.program import program_of
from domain.cat.shadow.search import IntegerSearch, Solution
from domain.cat.types import Floats, Ints

How = Literal["greedy", "relaxed", "searched", "programmed"]

_FREE = 1e-9  # a multiplier below this costs nothing


@dataclass(frozen=True, eq=False)
class ShadowTest:
    """A test that meets the blueprint, and the proof of how good it is.

    items: (length,) ascending. value: Σ criterion over them; no test has more than `bound`. how: the step
    that settled it. binding: names of the constraints that cost value here (their multiplier is not 0).
    eligible_only: False where no test without ineligible items exists, so that these were let in, or where a
    testlet that was begun brought one along. basis: where the solver starts from the next time.
    """

    items: Ints
    value: float
    bound: float
    how: How
    binding: tuple[str, ...]
    eligible_only: bool
    basis: highspy.HighsBasis | None = field(default=None, repr=False)

    @property
    def gap(self) -> float:
        """(bound - value) / |value|: what a better test could win at most."""
        return (self.bound - self.value) / max(abs(self.value), float(np.finfo(np.float64).tiny))


@dataclass(frozen=True, eq=False)
class ShadowStep:
    """The next item and why, and the shadow test that it is from."""

    choice: Choice
    test: ShadowTest


class ShadowAssembler:
    """Assembles shadow tests for one blueprint; made once, used for every examinee, by one thread at a time.

    gap: how far from the best test an answer may be, relative to its value.

    Raises: Infeasible where no test meets the blueprint, with the names of constraints that contradict
    each other, of which none could be left out (as far as a search of limited size can tell);
    InvalidConstraint where the gap is negative.

    >>> from domain.cat.blueprint import CountBetween
    >>> blueprint = Blueprint(5, 3, (CountBetween("algebra", [0, 1, 2], high=1),))
    >>> assembler = ShadowAssembler(blueprint)
    >>> test = assembler.assemble([0.9, 0.8, 0.7, 0.2, 0.1])
    >>> test.items, round(test.value, 9), test.how
    (array([0, 3, 4]), 1.2, 'relaxed')
    >>> assembler.next_item([0.9, 0.8, 0.7, 0.2, 0.1], given=[3]).choice.item
    0
    """

    def __init__(self, blueprint: Blueprint, gap: float = 1e-4) -> None:
        if not gap >= 0:
            raise InvalidConstraint("gap", f"a gap of {gap}")
        self.blueprint = blueprint
        self.gap = gap
        self._program = program_of(blueprint)
        self._search = IntegerSearch(self._program)
        self._testlet_of = np.full(blueprint.bank_size, -1)
        for number, testlet in enumerate(blueprint.testlets):
            self._testlet_of[testlet.items] = number
        self._first: tuple[Floats, ShadowTest] | None = None
        self.assemble(np.zeros(blueprint.bank_size))

    def next_item(
        self,
        criterion: ArrayLike,
        given: ArrayLike = (),
        eligible: ArrayLike | None = None,
        before: ShadowTest | None = None,
    ) -> ShadowStep:
        """The free item of the shadow test with the largest criterion; a tie goes to the lowest row.

        Once a testlet is begun, its items in the shadow test come first. Arguments as for `assemble`;
        `given` is in the order in which the items were given.

        Raises: Infeasible; TooFewItems where the test is complete.
        """
        values, rows = self._criterion(criterion), self._given(given)
        if rows.size >= self.blueprint.length:
            raise TooFewItems(self.blueprint.length, rows.size + 1)
        test = self.assemble(values, rows, eligible, before)
        free = np.zeros(self.blueprint.bank_size, dtype=bool)
        free[test.items] = True
        free[rows] = False
        if rows.size and self._testlet_of[rows[-1]] >= 0:
            begun = free & (self._testlet_of == self._testlet_of[rows[-1]])
            free = begun if begun.any() else free
        return ShadowStep(best(values, free), test)

    def assemble(
        self,
        criterion: ArrayLike,
        given: ArrayLike = (),
        eligible: ArrayLike | None = None,
        before: ShadowTest | None = None,
    ) -> ShadowTest:
        """The test with the largest Σ criterion that has all items given and meets the blueprint.

        criterion: (m,), as a rule the information at the estimate. given: rows that are in the test
        whatever they bring. eligible: (m,), False for items that exposure control holds back from this
        examinee; where no test can do without them they are let in [vanderLinden2004]. before: the shadow
        test of the step before, from which this one is found faster.

        Raises: Infeasible with the names of constraints that cannot be met together; InvalidItem where a
        criterion is not finite, or an item given is not in the bank or given twice.
        """
        values, rows = self._criterion(criterion), self._given(given)
        if eligible is not None:
            flags = np.asarray(eligible, dtype=bool)
            if flags.shape != values.shape:
                raise InvalidItem(-1, f"eligibility of shape {flags.shape} for {values.size} items")
            without = self._assembled(values, rows, flags, before)
            if without is not None:
                # A testlet already begun may bring an item along.
                brought = np.setdiff1d(without.items[~flags[without.items]], rows)
                return replace(without, eligible_only=False) if brought.size else without
        # All who begin at the same ability begin with the same test: the costliest to find, found once.
        first = not rows.size and before is None
        if first and self._first is not None and np.array_equal(values, self._first[0]):
            found: ShadowTest | None = self._first[1]
        else:
            found = self._assembled(values, rows, None, before)
        if found is None:
            raise Infeasible(contradiction(self.blueprint, rows))
        if first:
            self._first = values.copy(), found
        return found if eligible is None else replace(found, eligible_only=False)

    def _criterion(self, criterion: ArrayLike) -> Floats:
        values = np.asarray(criterion, dtype=np.float64)
        if values.shape != (self.blueprint.bank_size,):
            raise InvalidItem(-1, f"criteria of shape {values.shape} for {self.blueprint.bank_size} items")
        if not np.isfinite(values).all():
            raise InvalidItem(int(np.argmin(np.isfinite(values))), "the criterion is not finite")
        return values

    def _given(self, given: ArrayLike) -> Ints:
        rows = np.asarray(given, dtype=np.int64)
        outside = (rows < 0) | (rows >= self.blueprint.bank_size)
        if outside.any():
            raise InvalidItem(int(rows[np.argmax(outside)]), "is given but not in the bank")
        counts = np.bincount(rows)
        if counts.max(initial=0) > 1:
            raise InvalidItem(int(np.argmax(counts)), "is given twice")
        return rows

    def _assembled(
        self, values: Floats, given: Ints, eligible: Bools | None, before: ShadowTest | None
    ) -> ShadowTest | None:
        """None where there is no such test."""
        program = self._program
        low, high = np.zeros(program.columns), np.ones(program.columns)
        if eligible is not None:
            high[program.column_of[~eligible]] = 0.0
        low[program.column_of[given]] = 1.0
        high = np.maximum(low, high)
        greedy = self._greedy(values, given, high)
        if greedy is not None:
            value = float(values[greedy].sum())
            return ShadowTest(greedy, value, value, "greedy", (), eligible_only=True)
        known = [] if before is None else [program.solution_of(before.items)]
        start = None if before is None else before.basis
        found = self._search.solve(program.costs(values), (low, high), self.gap, known, start)
        return None if found is None else self._test(values, found)

    def _greedy(self, values: Floats, given: Ints, high: Floats) -> Ints | None:
        """The most informative items with those given, where they are a test."""
        program = self._program
        if any(True for _ in self.blueprint.testlets):
            return None
        wanted = self.blueprint.length - given.size
        open_to = np.where(high > 0, values, -np.inf)
        open_to[given] = -np.inf
        order = np.argsort(-open_to, kind="stable")[:wanted]
        if wanted < 0 or open_to[order].min(initial=np.inf) == -np.inf:
            return None
        items = np.sort(np.concatenate([given, order]))
        return items if self._search.meets(program.solution_of(items)) else None

    def _test(self, values: Floats, found: Solution) -> ShadowTest:
        items = np.flatnonzero(found.at[self._program.column_of] > 0.5)
        priced = [
            name
            for name, price in zip(self._program.row_names, found.prices, strict=True)
            if abs(price) > _FREE
        ]
        value = float(values[items].sum())
        return ShadowTest(
            items,
            value,
            max(value, found.bound),
            found.how,
            tuple(dict.fromkeys(priced)),
            eligible_only=True,
            basis=found.basis,
        )
