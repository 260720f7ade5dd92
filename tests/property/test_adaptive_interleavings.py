"""Whatever happens in whatever order: each adaptive attempt is what it would have been alone."""

import asyncio
from functools import cache
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.advance_attempt import advance_attempt
from commands.kinds import ATTEMPT
from commands.take_exam import GiveResponse, StartAttempt, give_response, start_attempt, submit_attempt
from domain.attempts import attempt
from domain.attempts.adaptive import Prior
from domain.attempts.attempt import (
    AttemptFinished,
    InProgress,
    ItemNotPending,
    NotStarted,
    ResponseIsFinal,
    Scored,
)
from domain.attempts.events import AttemptSubmitted, ItemPresented, ResponseGiven
from domain.cat.live.retelling import retell
from domain.exams.adaptive import (
    AdaptiveRules,
    AreaCount,
    AreaShare,
    Classification,
    Enemies,
    PretestPlan,
    Progressive,
    Randomesque,
    SympsonHetter,
)
from domain.exams.events import Blueprint, ExamDrafted, ExamPublished, FormItem
from domain.identifiers import stream_id
from domain.items.events import ItemCreated
from domain.items.scoring import score
from tests.support.adaptive_sitting import (
    RIGHT,
    WRONG,
    Taking,
    form_of,
    item_id,
    live_test,
    parameters,
    pool_of,
    row_of,
)
from tests.support.exam_parts import BANK_ID, EXAM_ID, choice, uuid7
from tests.support.memory import World

POOL = pool_of(parameters(24), "xyz", pretest=3)
RULES = {
    "plain": AdaptiveRules(stop_se=0.6, max_items=6),
    "pretest": AdaptiveRules(
        exposure=Randomesque(3), pretest=PretestPlan(items=2, last_position=5), max_items=6
    ),
    "sympson-hetter": AdaptiveRules(
        exposure=SympsonHetter((0.4,) * 27), classification=Classification(cuts=(0.0,)), max_items=6
    ),
    "shares": AdaptiveRules(
        shares=tuple(AreaShare(area, 1) for area in "xyz"), exposure=Progressive(), max_items=6
    ),
    "constraints": AdaptiveRules(
        constraints=(AreaCount("x", 2, 2), Enemies((item_id(1), item_id(4)))), stop_se=None, max_items=6
    ),
}


@cache
def served_form(name):
    """One that serves everybody, as in a process."""
    return form_of(live_test(RULES[name], POOL))


# -- three attempts, in pure domain code ---------------------------------------------------------------------

ACTIONS = ("right", "wrong", "nothing", "advance", "advance", "again", "change", "ahead", "submit")
orders = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(ACTIONS[:-1])), min_size=10, max_size=70
).flatmap(lambda done: st.just(done) | st.integers(0, 2).map(lambda which: [*done, (which, "submit")]))
begun = st.tuples(st.integers(0, 2**53 - 1), st.floats(-2, 2), st.sampled_from([0.4, 1.0])).map(
    lambda drawn: {"seed": drawn[0], "prior": Prior(mean=drawn[1], sd=drawn[2])}
)


def act(taking, action):
    """Carries the action out; whether it did something."""
    match action:
        case "right" | "wrong" | "nothing" if taking.pending is not None:
            return bool(taking.respond({"right": RIGHT, "wrong": WRONG, "nothing": None}[action]))
        case "advance":
            return bool(taking.advance())
        case "submit":
            return bool(taking.submit())
        case _:
            stray(taking, action)
            return False


def stray(taking, action):
    """What arrives late, twice or too early never does anything."""
    known = taking.sitting.steps
    answered = [step for step in known if step.answered]
    running = isinstance(taking.state, InProgress)
    before = len(taking.events)
    try:
        if action == "again" and answered and running:
            saved = taking.state.responses[answered[0].item_id]
            assert taking.respond(saved.response, answered[0].item_id) == []
        elif action == "change" and answered:
            was = (taking.state if running else taking.state.attempt).responses[answered[-1].item_id].response
            taking.respond(WRONG if was == RIGHT else RIGHT, answered[-1].item_id)
            pytest.fail("an answer was changed")
        elif action == "ahead":
            given = {step.item_id for step in known}
            taking.respond(RIGHT, next(item_id(row) for row in range(27) if item_id(row) not in given))
            pytest.fail("an item was answered before it was presented")
    except (ResponseIsFinal, ItemNotPending, AttemptFinished):
        pass
    assert len(taking.events) == before


@settings(deadline=None, max_examples=150)
@given(name=st.sampled_from(list(RULES)), openings=st.tuples(begun, begun, begun), order=orders)
def test_interleaved_attempts_are_each_as_if_taken_alone(name, openings, order):
    together = [Taking(served_form(name), **opening) for opening in openings]
    effective = [[], [], []]
    for which, action in order:
        if act(together[which], action):
            effective[which].append(action)

    for opening, actions, taken in zip(openings, effective, together, strict=True):
        alone = Taking(form_of(live_test(RULES[name], POOL)), **opening)
        for action in actions:
            assert act(alone, action)
        assert alone.events == taken.events
        assert alone.state == taken.state


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(list(RULES)),
    opening=begun,
    answers=st.lists(st.sampled_from(["right", "wrong", "nothing"]), min_size=8, max_size=8),
)
def test_a_decision_derived_again_from_any_prefix_of_the_events_is_the_same(name, opening, answers):
    taken = Taking(served_form(name), **opening)
    for answer in answers:
        act(taken, answer)
        act(taken, "advance")
    form = form_of(live_test(RULES[name], POOL))

    state = NotStarted()
    for at, event in enumerate(taken.events):
        state = attempt.evolve(state, event)
        if isinstance(event, ResponseGiven):
            decided = attempt.advance(state, form)
            assert decided
            assert decided == taken.events[at + 1 : at + 1 + len(decided)]

    judge = lambda an_id, _, response: score(form.item(an_id).content, response) > 0  # noqa: E731 - used once
    told = retell(form.test, taken.events, judge)
    assert len(told) == 1 + sum(isinstance(event, ResponseGiven) for event in taken.events)
    assert {each.verdict for each in told} == {"same"}


# -- ten thousand attempts, through the commands of two processes --------------------------------------------

EXAMINEES = 10_000
CONTENT = choice()
SHORT = AdaptiveRules(
    exposure=Randomesque(3),
    pretest=PretestPlan(items=1, first_position=1, last_position=3),
    stop_se=None,
    max_items=2,
)


def an_adaptive_exam(world):
    """A short one, in the log: what may be mixed up is the people."""
    items = tuple(FormItem(item_id(row), 1) for row in range(len(POOL.items)))
    for row, item in enumerate(items):
        world.record(item.item_id, ItemCreated(bank_id=BANK_ID, code=f"i{row}", content=CONTENT))
    plan = Blueprint(title={"en": "Adaptive"}, items=items, adaptive=SHORT, pool=POOL)
    world.record(EXAM_ID, ExamDrafted(blueprint=plan), ExamPublished(blueprint=plan))


def answer_of(number, an_id):
    return RIGHT if Random(number * 100 + row_of(an_id)).random() < 0.6 else WRONG


class Examinee:
    """Clicks twice, sends again, and is served by two processes and their engines, all at once."""

    def __init__(self, world, processes, number):
        self.chance = Random(number)
        self.world, self.processes, self.number = world, processes, number
        self.user_id = stream_id("user", uuid7(0x5_0000 + number))
        world.given_student(self.user_id)
        self.context = world.student(self.user_id)
        self.attempt_id = ""

    @property
    def write(self):
        return self.chance.choice(self.processes)

    def some(self, command):
        """Once or twice at the same time."""
        return [command() for _ in range(self.chance.choice((1, 1, 1, 2)))]

    async def take(self):
        command = StartAttempt(exam_id=EXAM_ID, examinee_id=self.user_id)
        outcomes = await asyncio.gather(*self.some(lambda: start_attempt(self.write, self.context, command)))
        assert len({outcome.stream_id for outcome in outcomes}) == 1
        self.attempt_id = outcomes[0].stream_id
        patience = self.chance.choice((1, 3, 99, 99, 99))
        while not isinstance(state := await self.known(), Scored):
            pending = state.sitting.pending
            if pending is not None:
                await asyncio.gather(*self.some(lambda item=pending.item_id: self.give(item)))
                patience -= 1
            if patience == 0:
                await submit_attempt(self.write, self.context, self.attempt_id)
            await asyncio.gather(*self.some(self.advance))
            if self.chance.random() < 0.1:
                await self.an_old_answer_arrives_again(state.sitting.steps[0].item_id)

    async def known(self):
        return (await self.write.streams.read(ATTEMPT, self.attempt_id)).state

    def give(self, an_id):
        command = GiveResponse(
            attempt_id=self.attempt_id, item_id=an_id, response=answer_of(self.number, an_id)
        )
        return give_response(self.write, self.context, command)

    def advance(self):
        engine = self.world.asked_by("cat-engine", kind="clock")
        return advance_attempt(self.write, engine, self.attempt_id)

    async def an_old_answer_arrives_again(self, an_id):
        try:
            assert (await self.give(an_id)).events == ()
        except AttemptFinished:
            assert isinstance(await self.known(), Scored)


async def everybody(world, processes):
    examinees = [Examinee(world, processes, number) for number in range(EXAMINEES)]
    await asyncio.gather(*(each.take() for each in examinees))
    return examinees


def alone(form, number, events):
    """The same answers, one after the other; handed in where it was handed in."""
    opening = events[1]
    taking = Taking(form, prior=Prior(mean=opening.theta, sd=opening.se), seed=opening.seed)
    presented = sum(isinstance(event, ItemPresented) for event in events)
    given = sum(isinstance(event, ResponseGiven) for event in events)
    by = next(event.by for event in events if isinstance(event, AttemptSubmitted))
    for _ in range(given):
        taking.respond(answer_of(number, taking.pending))
        if len(taking.presented) < presented or by == "engine":
            taking.advance()
    taking.submit()
    return taking.events


def test_ten_thousand_attempts_at_once_do_not_mix():
    world = World()
    an_adaptive_exam(world)
    processes = [world.write, world.another_process()]
    examinees = asyncio.run(everybody(world, processes))
    form = form_of(live_test(SHORT, POOL))

    assert len(world.log.streams("attempt")) == EXAMINEES
    seeds, ended_by = set(), set()
    for examinee in examinees:
        events = world.log.events(examinee.attempt_id)
        assert events[0].examinee_id == examinee.user_id
        assert events[1:] == [
            msgspec.structs.replace(event, examinee_id=examinee.user_id)
            for event in alone(form, examinee.number, events)[1:]
        ]
        seeds.add(events[1].seed)
        ended_by.add(next(event.by for event in events if isinstance(event, AttemptSubmitted)))
    assert len(seeds) == EXAMINEES
    assert ended_by == {"engine", "examinee"}
    assert world.log.conflicts > 0, "the two processes never met"
