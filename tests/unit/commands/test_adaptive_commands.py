"""Adaptive attempts through the commands: what they begin with, and whose turn it is."""

import asyncio

import pytest

import commands.forms
from commands.advance_attempt import advance_attempt
from commands.author_exam import publish_exam
from commands.kinds import ATTEMPT
from commands.take_exam import GiveResponse, StartAttempt, give_response, start_attempt, submit_attempt
from domain.attempts.attempt import AttemptNotFound, InProgress, Scored
from domain.attempts.events import AbilityUpdated, AttemptScored, AttemptStarted, ItemPresented
from domain.cat.live.engine import LiveTest
from domain.exams.adaptive import AdaptiveRules, AreaCount, CarryOver
from domain.exams.events import Blueprint, ExamDrafted, ExamPublished, FormItem
from domain.exams.exam import UnusableBlueprint
from domain.identifiers import stream_id
from domain.items.content import ItemParameters
from domain.items.events import ItemBankCreated, ItemCreated
from tests.support.adaptive_sitting import RIGHT, WRONG, item_id, parameters, pool_of
from tests.support.exam_parts import BANK_ID, CHOICE_ID, EXAM_ID, SCHOOL, STUDENT, choice, uuid7
from tests.support.memory import World

POOL = pool_of(parameters(12))
ITEMS = tuple(FormItem(item_id(row), 1) for row in range(12))
RULES = AdaptiveRules(stop_se=None, max_items=3)
LATER_EXAM = stream_id("exam", uuid7(0x99))
CARRIED = AdaptiveRules(
    stop_se=None, max_items=3, carry_over=CarryOver(exam_id=EXAM_ID, max_age_days=30, drift_sd=0.4)
)


@pytest.fixture
def world():
    """A student, and two adaptive exams on one bank; the later one carries ability over from the first."""
    world = World()
    world.given_student()
    world.record(BANK_ID, ItemBankCreated(name="Bank"))
    for row, item in enumerate(ITEMS):
        a, b, c, d = POOL.items[row].parameters
        content = choice(content_area="x", irt=ItemParameters(a=a, b=b, c=c, d=d))
        world.record(item.item_id, ItemCreated(bank_id=BANK_ID, code=f"i{row}", content=content))
    for exam_id, rules in ((EXAM_ID, RULES), (LATER_EXAM, CARRIED)):
        plan = Blueprint(title={"en": "A"}, items=ITEMS, adaptive=rules, pool=POOL, attempts_allowed=5)
        world.record(exam_id, ExamDrafted(blueprint=plan), ExamPublished(blueprint=plan))
    return world


async def begin(world, exam_id=EXAM_ID, write=None):
    command = StartAttempt(exam_id=exam_id, examinee_id=STUDENT)
    return await start_attempt(write or world.write, world.student(), command)


async def respond(world, attempt_id, response=RIGHT):
    state = (await world.write.streams.read(ATTEMPT, attempt_id)).state
    command = GiveResponse(attempt_id=attempt_id, item_id=state.sitting.pending.item_id, response=response)
    return await give_response(world.write, world.student(), command)


async def advance(world, attempt_id, write=None):
    return await advance_attempt(write or world.write, world.asked_by("engine", kind="clock"), attempt_id)


async def take(world, responses, exam_id=EXAM_ID):
    """The attempt's result; handed in after these responses, where it has not ended by itself."""
    attempt_id = (await begin(world, exam_id)).stream_id
    for response in responses:
        await respond(world, attempt_id, response)
        await advance(world, attempt_id)
    await submit_attempt(world.write, world.student(), attempt_id)
    scored = world.log.events(attempt_id)[-1]
    assert isinstance(scored, AttemptScored)
    return attempt_id, scored.ability


def opening(world, attempt_id):
    first = world.log.events(attempt_id)[1]
    assert isinstance(first, AbilityUpdated)
    return first


async def test_the_first_item_comes_with_the_start(world):
    started = await begin(world)
    assert [type(event) for event in started.events] == [AttemptStarted, AbilityUpdated, ItemPresented]
    again = await begin(world)
    assert (again.stream_id, again.events) == (started.stream_id, ())


async def test_every_attempt_has_a_seed_of_its_own(world):
    seeds = {opening(world, (await take(world, [RIGHT]))[0]).seed for _ in range(5)}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**53 for seed in seeds)


async def test_engines_of_two_processes_decide_once(world):
    attempt_id = (await begin(world)).stream_id
    other = world.another_process()
    for _ in range(3):
        await respond(world, attempt_id)
        before = len(world.log.stream(attempt_id))
        outcomes = await asyncio.gather(
            *(advance(world, attempt_id, write) for write in (world.write, other, world.write, other))
        )
        decided = [outcome.events for outcome in outcomes if outcome is not None and outcome.events]
        assert len(decided) == 1
        assert len(world.log.stream(attempt_id)) == before + len(decided[0])
    assert isinstance((await world.write.streams.read(ATTEMPT, attempt_id)).state, Scored)


async def test_the_engine_leaves_a_fixed_form_alone_and_knows_what_there_is_not(world):
    fixed = stream_id("exam", uuid7(0x77))
    plan = Blueprint(title={"en": "Fixed"}, items=(FormItem(CHOICE_ID, 1),))
    world.record(CHOICE_ID, ItemCreated(bank_id=BANK_ID, code="fixed", content=choice()))
    world.record(fixed, ExamDrafted(blueprint=plan), ExamPublished(blueprint=plan))
    assert await advance(world, (await begin(world, fixed)).stream_id) is None
    with pytest.raises(AttemptNotFound):
        await advance(world, stream_id("attempt", uuid7(0x78)))


async def test_a_decision_that_was_lost_with_its_process_is_made_by_the_next_one(world):
    attempt_id = (await begin(world)).stream_id
    await respond(world, attempt_id)
    world.log.fail_before_the_next_append(ConnectionError("killed"))
    with pytest.raises(ConnectionError):
        await advance(world, attempt_id)
    decided = await advance(world, attempt_id, world.another_process())
    assert [type(event) for event in decided.events] == [AbilityUpdated, ItemPresented]


async def test_a_decision_whose_answer_was_lost_is_not_made_twice(world):
    attempt_id = (await begin(world)).stream_id
    await respond(world, attempt_id)
    world.log.fail_after_the_next_append(ConnectionError("killed"))
    with pytest.raises(ConnectionError):
        await advance(world, attempt_id)
    assert (await advance(world, attempt_id, world.another_process())).events == ()
    state = (await world.another_process().streams.read(ATTEMPT, attempt_id)).state
    assert isinstance(state, InProgress)
    assert len(state.sitting.steps) == 2


async def test_without_an_earlier_test_the_prior_is_the_exams(world):
    first = opening(world, (await begin(world, LATER_EXAM)).stream_id)
    assert (first.theta, first.se, first.carried_over_from) == (0.0, 1.0, None)


async def test_the_latest_ability_is_carried_over_and_widened(world):
    await take(world, [RIGHT] * 3)
    world.clock.advance(days=1)
    attempt_id, ability = await take(world, [WRONG] * 3)

    first = opening(world, (await begin(world, LATER_EXAM)).stream_id)

    assert first.carried_over_from == attempt_id
    assert first.theta == ability.theta < 0
    assert first.se == pytest.approx((ability.se**2 + 0.4**2) ** 0.5)


async def test_what_is_too_old_still_runs_or_found_nothing_is_not_carried_over(world):
    await take(world, [RIGHT] * 3)
    world.clock.advance(days=31)
    await take(world, [])
    await begin(world)
    first = opening(world, (await begin(world, LATER_EXAM)).stream_id)
    assert (first.theta, first.se, first.carried_over_from) == (0.0, 1.0, None)

    world.clock.advance(days=-2)
    attempt_id = (await begin(world)).stream_id
    await respond(world, attempt_id)
    await submit_attempt(world.write, world.student(), attempt_id)
    await submit_attempt(world.write, world.student(), (await begin(world, LATER_EXAM)).stream_id)
    assert opening(world, (await begin(world, LATER_EXAM)).stream_id).carried_over_from == attempt_id


async def test_a_class_that_begins_at_once_has_the_form_assembled_once(world, monkeypatch):
    made = []

    def counted(*arguments):
        made.append(arguments)
        return LiveTest(*arguments)

    monkeypatch.setattr(commands.forms, "LiveTest", counted)
    forms = await asyncio.gather(*(world.write.forms.published(EXAM_ID) for _ in range(30)))
    assert len(made) == 1
    assert len({id(form) for form in forms}) == 1


async def test_a_form_that_could_not_be_read_is_read_by_the_next_who_asks(world, monkeypatch):
    def failing(*_):
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(commands.forms, "LiveTest", failing)
        with pytest.raises(MemoryError):
            await world.write.forms.published(EXAM_ID)
    assert (await world.write.forms.published(EXAM_ID)).test is not None


async def test_publishing_pins_what_the_items_are_then(world):
    exam_id = stream_id("exam", uuid7(0x55))
    world.record(exam_id, ExamDrafted(blueprint=Blueprint(title={"en": "A"}, items=ITEMS, adaptive=RULES)))
    await publish_exam(world.write, world.teacher(SCHOOL), exam_id)
    pool = world.log.events(exam_id)[-1].blueprint.pool
    assert pool.bank_id == BANK_ID
    assert pool.items == POOL.items


async def test_constraints_that_no_test_can_meet_are_not_published(world):
    exam_id = stream_id("exam", uuid7(0x55))
    impossible = AdaptiveRules(max_items=3, constraints=(AreaCount("x", 0, 2),))
    plan = Blueprint(title={"en": "A"}, items=ITEMS, adaptive=impossible)
    world.record(exam_id, ExamDrafted(blueprint=plan))
    with pytest.raises(UnusableBlueprint) as refused:
        await publish_exam(world.write, world.teacher(SCHOOL), exam_id)
    [fault] = refused.value.data()["errors"]
    assert fault["pointer"] == "/adaptive/constraints"
    assert "x" in fault["detail"]
