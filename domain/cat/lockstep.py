"""Many adaptive tests side by side: each step is taken by all examinees at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.cat.choice import Rule, Standing
from domain.cat.errors import InvalidLimits, TooFewItems
from domain.cat.items import Items
from domain.cat.maximum_information import NO_ITEM, Choosing, Flags
from domain.cat.session import AdaptiveBank
from domain.cat.types import MISSING, Floats, Ints, as_responses

Number = TypeVar("Number", np.float64, np.int64)

ROWS_AT_ONCE: Final = 512
"""Examinees in one block: what they need stays in the processor's cache."""

Estimating = Callable[[Ints], tuple[Floats, Floats]]
"""Responses (n, m), `MISSING` where an item was not given, to abilities and standard errors, each (n,)."""

Answering = Callable[[Ints, Ints], Ints]
"""Rows of examinees and the items that they get, each (k,), to their responses (k,)."""

Ruling = Callable[[int, Standing], int]
"""The row of an examinee, and what is known of them, to the item that comes next."""

Telling = Callable[[int, int], None]
"""Told how many examinees are done, and how many there are."""


def tell_nobody(done: int, total: int) -> None:
    """For those who need no progress."""


class StopReason(StrEnum):
    SE = "se"
    MAX_ITEMS = "max_items"
    NO_ITEMS_LEFT = "no_items_left"


@dataclass(frozen=True)
class Limits:
    """When a test ends.

    Once `min_items` are given: as soon as the standard error is below `se` (None: never for that); and at
    `max_items` at the latest. The standard error is looked at first. A test has one item at least.

    Raises: InvalidLimits.
    """

    se: float | None = 0.3
    max_items: int = 50
    min_items: int = 0

    def __post_init__(self) -> None:
        if self.se is not None and not self.se > 0:
            raise InvalidLimits(f"a standard error of {self.se} is never reached")
        if self.max_items < 1:
            raise InvalidLimits(f"at most {self.max_items} items are no test")
        if not 0 <= self.min_items <= self.max_items:
            raise InvalidLimits(f"at least {self.min_items} and at most {self.max_items} items")


@dataclass(frozen=True, eq=False)
class Paths:
    """What happened to n examinees, of whom the longest path has L items.

    `items` (n, L): indices in the order given, `NO_ITEM` (-1) after the end; `theta_after`, `se_after`
    (n, L): the estimate after each, NaN after the end. `theta`, `se`, `counts`, `stop_reasons` (n,): at
    the end.
    """

    items: Ints
    theta_after: Floats
    se_after: Floats
    theta: Floats
    se: Floats
    counts: Ints
    stop_reasons: tuple[StopReason, ...]


def administer(  # noqa: PLR0913 - each is a choice of its own
    bank: AdaptiveBank,
    responses: ArrayLike,
    limits: Limits | None = None,
    *,
    start: float = 0.0,
    choosing: Choosing | Ruling | None = None,
    estimating: Estimating | None = None,
    tell: Telling = tell_nobody,
) -> Paths:
    """Gives an adaptive test to each row of `responses` (n, m), which holds what each would answer.

    An item that a row has no response to (`MISSING`) is not given to that examinee. The first item is
    chosen at `start`; then at the estimate: EAP on the bank's grid, updated response by response, or what
    `estimating` makes of the responses so far. `choosing`: another way of choosing, for all at once, or for
    one examinee at a time as `by_rule` makes it. `limits`: see `Limits`; the default is SE < 0.3 or 50 items.
    Deterministic: nothing is drawn here but by a rule.

    Raises: InvalidResponse; InvalidLimits where `start` is no number; TooFewItems where the bank has fewer
    items than `limits.min_items`, or somebody has responses to fewer, or to none.

    >>> from domain.cat.logistic import LogisticItems
    >>> bank = AdaptiveBank(LogisticItems.of(1.5, [-1.0, 0.0, 1.0]))
    >>> paths = administer(bank, [[1, 1, 0], [0, 0, 0]])
    >>> paths.items
    array([[1, 2, 0],
           [1, 0, 2]])
    >>> paths.theta.round(4), paths.stop_reasons[0].value
    (array([ 0.3549, -1.1075]), 'no_items_left')
    """
    limits = limits or Limits()
    answers = as_responses(responses, bank.items.categories)
    withheld = answers == MISSING
    return administer_answering(
        bank,
        withheld,
        lambda rows, items: answers[rows, items],
        limits,
        start=start,
        choosing=choosing,
        estimating=estimating,
        tell=tell,
    )


def administer_answering(  # noqa: PLR0913 - each is a choice of its own
    bank: AdaptiveBank,
    withheld: Flags,
    answering: Answering,
    limits: Limits | None = None,
    *,
    start: float = 0.0,
    choosing: Choosing | Ruling | None = None,
    estimating: Estimating | None = None,
    tell: Telling = tell_nobody,
) -> Paths:
    """As `administer`, where a response is asked for when an item is given: `answering` is taken at its word.

    `withheld` (n, m): which items an examinee does not get.

    Raises: InvalidLimits and TooFewItems, as `administer` does.

    >>> from domain.cat.logistic import LogisticItems
    >>> bank = AdaptiveBank(LogisticItems.of(1.5, [-1.0, 0.0, 1.0]))
    >>> administer_answering(bank, np.zeros((1, 3), dtype=bool), lambda rows, items: items % 2).items
    array([[1, 2, 0]])
    """
    limits = limits or Limits()
    if not np.isfinite(start):
        raise InvalidLimits(f"a start at ability {start}")
    fewest = len(bank) - (int(withheld.sum(axis=1).max(initial=0)) if withheld.any() else 0)
    if fewest < max(limits.min_items, 1):
        raise TooFewItems(fewest, max(limits.min_items, 1))
    rule = bank.choosing if choosing is None else choosing
    parts = []
    total = len(withheld)
    for begin in range(0, total, ROWS_AT_ONCE):
        end = min(begin + ROWS_AT_ONCE, total)
        block = _Block(bank, np.arange(begin, end), withheld[begin:end], answering, limits, start)
        parts.append(block.run(rule, estimating))
        tell(end, total)
    return join_paths(parts)


class RuledChoices:
    """A rule for one examinee at a time, as `by_rule` makes it.

    `passed_over`: of each examinee, the items that exposure control passed over. They are held back until
    the test ends, unless nothing else is left.
    """

    def __init__(self, rule: Rule, items: Items, generators: Sequence[np.random.Generator]) -> None:
        self._rule = rule
        self._items = items
        self._generators = generators
        self.passed_over: dict[int, Ints] = {}

    def __call__(self, examinee: int, standing: Standing) -> int:
        if not standing.given.size:
            self.passed_over.pop(examinee, None)  # a new test
        held = self.passed_over.get(examinee)
        if held is not None:
            left = standing.left.copy()
            left[held] = False
            standing = replace(standing, left=left) if left.any() else standing
        choice = self._rule(self._items, standing, self._generators[examinee])
        if choice.passed_over.size:
            before = choice.passed_over[:0] if held is None else held
            self.passed_over[examinee] = np.concatenate([before, choice.passed_over])
        return choice.item


def by_rule(rule: Rule, items: Items, generators: Sequence[np.random.Generator]) -> RuledChoices:
    """A rule for one examinee at a time.

    Each examinee has a generator of their own, so that nobody's path depends on who else is tested. What
    exposure control passes over is not chosen for that examinee again.

    >>> from domain.cat.logistic import LogisticItems
    >>> from domain.cat.selection import PosteriorWeightedInformation
    >>> items = LogisticItems.of(1.5, [-1.0, 0.0, 1.0])
    >>> ruling = by_rule(PosteriorWeightedInformation(), items, np.random.default_rng(1).spawn(1))
    >>> administer(AdaptiveBank(items), [[1, 1, 0]], choosing=ruling).items
    array([[1, 2, 0]])
    """
    return RuledChoices(rule, items, generators)


def join_paths(parts: list[Paths]) -> Paths:
    """The paths of all parts, in their order."""
    length = max((part.items.shape[1] for part in parts), default=0)
    if not parts:
        nothing, none = np.zeros((0, 0)), np.zeros((0, 0), dtype=np.int64)
        return Paths(none, nothing, nothing, np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.int64), ())

    def stacked(tables: list[NDArray[Number]], filler: float) -> NDArray[Number]:
        wide = (
            np.pad(each, ((0, 0), (0, length - each.shape[1])), constant_values=filler) for each in tables
        )
        return np.concatenate(list(wide))

    return Paths(
        items=stacked([part.items for part in parts], NO_ITEM),
        theta_after=stacked([part.theta_after for part in parts], np.nan),
        se_after=stacked([part.se_after for part in parts], np.nan),
        theta=np.concatenate([part.theta for part in parts]),
        se=np.concatenate([part.se for part in parts]),
        counts=np.concatenate([part.counts for part in parts]),
        stop_reasons=tuple(reason for part in parts for reason in part.stop_reasons),
    )


class _Block:
    """Examinees who go through their tests together. Whoever has finished is taken out of the arrays."""

    def __init__(  # noqa: PLR0913, PLR0917 - what the tests of a block consist of
        self,
        bank: AdaptiveBank,
        examinees: Ints,
        withheld: Flags,
        answering: Answering,
        limits: Limits,
        start: float,
    ) -> None:
        count = len(examinees)
        self._bank = bank
        self._examinees = examinees
        self._answering = answering
        self._limits = limits
        self._steps = min(limits.max_items, len(bank))
        # At work, in the order of `_rows`:
        self._rows = np.arange(count)
        self._given = withheld.copy()
        self._log_density = np.tile(bank.prior.log_density, (count, 1))
        self._theta = np.full(count, start)
        # Of all:
        self._items = np.full((count, self._steps), NO_ITEM, dtype=np.int64)
        self._theta_after = np.full((count, self._steps), np.nan)
        self._se_after = np.full((count, self._steps), np.nan)
        self._counts = np.full(count, self._steps, dtype=np.int64)
        self._answers = np.zeros((count, self._steps), dtype=np.int64)
        self._reasons = [StopReason.MAX_ITEMS] * count

    def run(self, rule: Choosing | Ruling, estimating: Estimating | None) -> Paths:
        limits = self._limits
        for step in range(self._steps):
            chosen = self._choose(rule, step)
            if step:
                chosen = chosen[self._finish(chosen == NO_ITEM, StopReason.NO_ITEMS_LEFT, step)]
            if not self._rows.size:
                break
            self._given[np.arange(self._rows.size), chosen] = True
            self._items[self._rows, step] = chosen
            answers = self._answering(self._examinees[self._rows], chosen)
            self._answers[self._rows, step] = answers
            self._theta, se = self._bank.after_each(self._log_density, chosen, answers)
            if estimating is not None:
                self._theta, se = estimating(self._answered_so_far(step + 1))
            self._theta_after[self._rows, step] = self._theta
            self._se_after[self._rows, step] = se
            if limits.se is not None and step + 1 >= limits.min_items:
                self._finish(se < limits.se, StopReason.SE, step + 1)
        if self._steps < limits.max_items:
            self._say(self._rows, StopReason.NO_ITEMS_LEFT)
        longest = int(self._counts.max(initial=0))
        last = np.arange(self._counts.size), self._counts - 1
        return Paths(
            items=self._items[:, :longest],
            theta_after=self._theta_after[:, :longest],
            se_after=self._se_after[:, :longest],
            theta=self._theta_after[last],
            se=self._se_after[last],
            counts=self._counts,
            stop_reasons=tuple(self._reasons),
        )

    def _choose(self, rule: Choosing | Ruling, step: int) -> Ints:
        if not callable(rule):
            return rule.choose_each(self._theta, self._given)
        points = self._bank.grid.points
        density = np.exp(self._log_density - self._log_density.max(axis=1, keepdims=True))
        density /= density.sum(axis=1, keepdims=True)
        chosen = np.full(self._rows.size, NO_ITEM, dtype=np.int64)
        for at, row in enumerate(self._rows.tolist()):
            left = ~self._given[at]
            if left.any():
                given = self._items[row, :step]
                standing = Standing(float(self._theta[at]), points, density[at], given, left)
                chosen[at] = rule(int(self._examinees[row]), standing)
        return chosen

    def _answered_so_far(self, count: int) -> Ints:
        """The responses (k, m) of those at work, all of whom have had `count` items; `MISSING` elsewhere."""
        answered = np.full(self._given.shape, MISSING, dtype=np.int64)
        at = self._rows[:, None], np.arange(count)[None]
        np.put_along_axis(answered, self._items[at], self._answers[at], axis=1)
        return answered

    def _say(self, rows: Ints, reason: StopReason) -> None:
        for row in rows.tolist():
            self._reasons[row] = reason

    def _finish(self, done: Flags, reason: StopReason, count: int) -> Flags:
        """Takes those who are `done` out; says who stayed."""
        stay = ~done
        if done.any():
            left = self._rows[done]
            self._counts[left] = count
            self._say(left, reason)
            self._rows = self._rows[stay]
            self._given = self._given[stay]
            self._log_density = self._log_density[stay]
            self._theta = self._theta[stay]
        return stay
