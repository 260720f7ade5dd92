"""Adaptive exams with made-up items, and the sitting of them in pure domain code."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from domain.attempts import attempt
from domain.attempts.adaptive import Prior, Sitting
from domain.attempts.attempt import Attempt, InProgress, NotStarted, Scored, SentResponse
from domain.attempts.events import AbilityUpdated, AttemptScored, AttemptStarted, ItemPresented, ScoredAbility
from domain.cat.live.engine import LiveTest
from domain.events import Event
from domain.exams.adaptive import AdaptiveRules, Pool, PooledItem
from domain.exams.events import FormItem
from domain.exams.form import Form, PinnedItem
from domain.identifiers import stream_id
from domain.items.responses import ChosenOptions
from tests.support.exam_parts import BANK_ID, EXAM_ID, NOON, STUDENT, choice, uuid7

RIGHT, WRONG = ChosenOptions(("2",)), ChosenOptions(("1",))
PRIOR = Prior(mean=0.0, sd=1.0)
SEED = 20_260_302

Answering = Callable[[int, str], bool]
"""Row of the item in the pool and its id, to whether it is answered right."""


def item_id(row: int) -> str:
    return stream_id("item", uuid7(0x1_0000 + row))


def row_of(an_id: str) -> int:
    return int(an_id[-12:], 16) - 0x1_0000


def parameters(count: int, seed: int = 1) -> np.ndarray:
    """(count, 4): a, b, c, d of a 3PL bank."""
    rng = np.random.default_rng(seed)
    a, b, c = rng.lognormal(0.2, 0.3, count), rng.normal(0.0, 1.2, count), rng.uniform(0.05, 0.25, count)
    return np.column_stack([a, b, c, np.ones(count)])


def pool_of(table: np.ndarray, areas: str | Sequence[str] = "x", *, pretest: int = 0) -> Pool:
    """The items of `table`, then so many without parameters; areas go round and round."""
    total = len(table) + pretest
    known: list[tuple[float, float, float, float] | None] = [tuple(row) for row in table.tolist()]
    known += [None] * pretest
    pooled = tuple(PooledItem(areas[row % len(areas)], known[row]) for row in range(total))
    return Pool(bank_id=BANK_ID, bank_version=4, items=pooled)


def live_test(rules: AdaptiveRules | None = None, pool: Pool | None = None) -> LiveTest:
    pool = pool or pool_of(parameters(60))
    items = tuple(FormItem(item_id(row), 1) for row in range(len(pool.items)))
    return LiveTest(rules or AdaptiveRules(), pool, items)


def form_of(test: LiveTest) -> Form:
    content = choice()
    every = sorted((*test.items, *test.pretest_items), key=lambda item: item.item_id)
    return Form([PinnedItem(item.item_id, item.item_version, content) for item in every], test)


def started(deadline: datetime | None = None, examinee_id: str = STUDENT) -> AttemptStarted:
    return AttemptStarted(
        exam_id=EXAM_ID, examinee_id=examinee_id, ordinal=1, started_at=NOON, deadline=deadline, grace_s=5.0
    )


def alternating() -> Answering:
    """Right, wrong, right, …"""
    calls = iter(range(1_000))
    return lambda row, an_id: next(calls) % 2 == 0  # noqa: ARG005 - whatever the item


def always(right: bool) -> Answering:
    return lambda row, an_id: right  # noqa: ARG005 - whatever the item


def by_model(table: np.ndarray, theta: float, seed: int) -> Answering:
    """As an examinee of this ability would, by chance that follows from the seed and the item alone."""
    chance = np.random.default_rng(seed).random(len(table) + 1_000)

    def answer(row: int, an_id: str) -> bool:  # noqa: ARG001 - the row says it
        if row >= len(table):
            return bool(chance[row] < 0.5)
        a, b, c, d = table[row]
        return bool(chance[row] < c + (d - c) / (1 + np.exp(-a * (theta - b))))

    return answer


@dataclass
class Taking:
    """One attempt, step by step."""

    form: Form
    prior: Prior = PRIOR
    seed: int = SEED
    deadline: datetime | None = None
    events: list[Event] = field(default_factory=list)
    state: Attempt = field(default_factory=NotStarted)

    def __post_init__(self) -> None:
        assert self.form.test is not None
        begun = started(self.deadline)
        self._happened(attempt.start_adaptive(self.state, begun, self.form.test, self.prior, self.seed))

    @property
    def sitting(self) -> Sitting:
        state = self.state.attempt if isinstance(self.state, Scored) else self.state
        assert isinstance(state, InProgress)
        assert state.sitting is not None
        return state.sitting

    @property
    def pending(self) -> str | None:
        return None if self.sitting.pending is None else self.sitting.pending.item_id

    def respond(self, response: Any, an_id: str | None = None, now: datetime = NOON) -> list[Event]:
        sent = SentResponse(item_id=an_id or self.pending or "", response=response)
        return self._happened(attempt.give_response(self.state, self.form, sent, now))

    def advance(self) -> list[Event]:
        return self._happened(attempt.advance(self.state, self.form))

    def submit(self, by: Any = "examinee", now: datetime = NOON) -> list[Event]:
        return self._happened(attempt.submit(self.state, self.form, by, now))

    def step(self, *, right: bool) -> list[Event]:
        self.respond(RIGHT if right else WRONG)
        return self.advance()

    def to_the_end(self, answering: Answering) -> "Taking":
        while isinstance(self.state, InProgress):
            assert self.pending is not None
            self.step(right=answering(row_of(self.pending), self.pending))
        return self

    # -- what came of it ------------------------------------------------------------------------------------

    @property
    def presented(self) -> list[ItemPresented]:
        return [event for event in self.events if isinstance(event, ItemPresented)]

    @property
    def updates(self) -> list[AbilityUpdated]:
        return [event for event in self.events if isinstance(event, AbilityUpdated)]

    @property
    def rows(self) -> list[int]:
        """Of the items that count, in the order given."""
        return [row_of(event.item_id) for event in self.presented if not event.pretest]

    @property
    def result(self) -> ScoredAbility:
        scored = self.events[-1]
        assert isinstance(scored, AttemptScored)
        assert scored.ability is not None
        return scored.ability

    def _happened(self, events: list[Event]) -> list[Event]:
        for event in events:
            self.state = attempt.evolve(self.state, event)
        self.events += events
        return events


def take(test: LiveTest, answering: Answering | None = None, **begin: Any) -> Taking:
    return Taking(form_of(test), **begin).to_the_end(answering or alternating())
