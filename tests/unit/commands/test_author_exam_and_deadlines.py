"""Authoring an exam, and what the clock does with exams and attempts by itself."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from commands.author_exam import (
    DraftExam,
    Pick,
    RedraftExam,
    close_exam,
    draft_exam,
    publish_exam,
    redraft_exam,
    release_results,
)
from commands.reactions.deadlines import DueAttempt, meet_deadlines
from commands.take_exam import StartAttempt, start_attempt
from domain.attempts.attempt import AttemptNotFound
from domain.attempts.events import AttemptScored, AttemptStarted, AttemptSubmitted
from domain.errors import StaleVersion
from domain.exams.events import ExamClosed, ExamDrafted, ExamPublished, FormItem, ResultsReleased
from domain.exams.exam import ExamNotDraft, ExamNotFound, ExamNotPublished, UnusableBlueprint
from domain.identifiers import stream_id
from domain.items.events import ItemRevised
from tests.support.exam_parts import (
    BANK_ID,
    CHOICE_ID,
    EXAM_ID,
    NOON,
    NUMBER_ID,
    OTHER_SCHOOL,
    SCHOOL,
    STUDENT,
    UNKNOWN_ITEM_ID,
    blueprint,
    numeric,
)
from tests.support.memory import World

PLAN = blueprint(items=())


@pytest.fixture
def world():
    """A school with four items, one of which has two versions."""
    world = World()
    world.given_items()
    world.record(
        NUMBER_ID, ItemRevised(bank_id=BANK_ID, code="code-2", item_version=2, content=numeric("13"))
    )
    return world


async def draft(world, *picks, context=None, org_id=SCHOOL, plan=PLAN):
    return await draft_exam(
        world.write, context or world.teacher(), DraftExam(org_id=org_id, blueprint=plan, picks=picks)
    )


async def test_a_draft_pins_the_newest_version_of_what_is_picked_without_one(world):
    context = world.teacher()

    outcome = await draft(world, Pick(NUMBER_ID), Pick(CHOICE_ID, 1), context=context)

    assert outcome.stream_id == stream_id("exam", context.command_id)
    assert outcome.events == (
        ExamDrafted(
            blueprint=msgspec.structs.replace(PLAN, items=(FormItem(NUMBER_ID, 2), FormItem(CHOICE_ID, 1)))
        ),
    )
    assert outcome.owner.org_id == SCHOOL


async def test_an_older_version_can_be_picked(world):
    outcome = await draft(world, Pick(NUMBER_ID, 1))

    assert outcome.state.blueprint.items == (FormItem(NUMBER_ID, 1),)


async def test_every_pick_that_cannot_be_used_is_told(world):
    elsewhere = world.fresh_id("item")
    world.record(elsewhere, *world.log.events(CHOICE_ID), org_id=OTHER_SCHOOL)

    with pytest.raises(UnusableBlueprint) as refusal:
        await draft(
            world,
            Pick(CHOICE_ID),
            Pick(UNKNOWN_ITEM_ID),
            Pick(elsewhere),
            Pick(NUMBER_ID, 3),
            Pick(BANK_ID),
            Pick(NUMBER_ID, -1),
        )

    assert [(fault["pointer"], fault["code"]) for fault in refusal.value.data()["errors"]] == [
        ("/items/1/item_id", "unknown-item"),
        ("/items/2/item_id", "unknown-item"),
        ("/items/3/item_version", "unknown-version"),
        ("/items/4/item_id", "unknown-item"),
        ("/items/5/item_version", "unknown-version"),
    ]
    assert world.log.streams("exam") == []


async def test_a_draft_is_rewritten_until_it_is_published(world):
    exam_id = (await draft(world, Pick(CHOICE_ID))).stream_id
    redraft = RedraftExam(exam_id=exam_id, blueprint=PLAN, picks=(Pick(NUMBER_ID),), expected_version=1)

    again = await redraft_exam(world.write, world.teacher(), redraft)
    assert again.state.blueprint.items == (FormItem(NUMBER_ID, 2),)
    with pytest.raises(StaleVersion):
        await redraft_exam(world.write, world.teacher(), redraft)
    published = await publish_exam(world.write, world.teacher(), exam_id, expected_version=2)
    assert published.events == (ExamPublished(blueprint=again.state.blueprint),)
    with pytest.raises(ExamNotDraft):
        await redraft_exam(
            world.write, world.teacher(), msgspec.structs.replace(redraft, expected_version=None)
        )


async def test_an_exam_is_published_closed_and_released_once_however_many_say_so(world):
    exam_id = (await draft(world, Pick(CHOICE_ID))).stream_id
    processes = [world.write, world.another_process(), world.another_process()]

    for order in (publish_exam, close_exam, release_results):
        await asyncio.gather(*(order(processes[n % 3], world.teacher(), exam_id) for n in range(12)))

    assert [type(event) for event in world.log.events(exam_id)] == [
        ExamDrafted,
        ExamPublished,
        ExamClosed,
        ResultsReleased,
    ]
    assert world.log.events(exam_id)[2].reason == "teacher"


async def test_another_schools_staff_does_not_know_the_exam(world):
    exam_id = (await draft(world, Pick(CHOICE_ID))).stream_id

    for stranger in (world.teacher(OTHER_SCHOOL), world.student()):
        with pytest.raises(ExamNotFound):
            await draft(world, Pick(CHOICE_ID), context=stranger)
        with pytest.raises(ExamNotFound):
            await redraft_exam(
                world.write, stranger, RedraftExam(exam_id=exam_id, blueprint=PLAN, picks=(Pick(CHOICE_ID),))
            )
        for order in (publish_exam, close_exam, release_results):
            with pytest.raises(ExamNotFound):
                await order(world.write, stranger, exam_id)
    for order in (publish_exam, close_exam, release_results):
        with pytest.raises(ExamNotFound):
            await order(world.write, world.teacher(), world.fresh_id("exam"))


async def test_what_is_not_published_is_neither_closed_nor_released(world):
    exam_id = (await draft(world, Pick(CHOICE_ID))).stream_id

    for order in (close_exam, release_results):
        with pytest.raises(ExamNotPublished):
            await order(world.write, world.teacher(), exam_id)


# -- the clock -----------------------------------------------------------------------------------------------


class Due:
    """What the read side believes to be due, whatever the time: it may be late."""

    def __init__(self, exams=(), attempts=()):
        self._exams = list(exams)
        self._attempts = list(attempts)
        self.asked_at = set()

    async def exams(self, now, limit):
        self.asked_at.add(now)
        return self._exams[:limit]

    async def attempts(self, now, limit):
        self.asked_at.add(now)
        return self._attempts[:limit]


@pytest.fixture
async def running(world):
    """An attempt at an exam that is open for an hour."""
    world.given_student()
    world.given_exam(closes_at=NOON + timedelta(hours=1))
    outcome = await start_attempt(
        world.write, world.student(), StartAttempt(exam_id=EXAM_ID, examinee_id=STUDENT)
    )
    world.clock.advance(hours=2)
    return outcome.stream_id


async def test_what_is_due_is_closed_and_handed_in_by_the_clock(world, running):
    due = Due([EXAM_ID], [DueAttempt(running, "clock")])

    met = await meet_deadlines(world.write, due)

    assert (met.done, met.failed, met.more) == (2, (), False)

    assert due.asked_at == {world.clock.now}
    assert world.log.events(EXAM_ID)[-1] == ExamClosed(reason="window_ended")
    assert [type(event) for event in world.log.events(running)] == [
        AttemptStarted,
        AttemptSubmitted,
        AttemptScored,
    ]
    assert world.log.events(running)[1].by == "clock"
    for recorded in (world.log.stream(EXAM_ID)[-1], world.log.stream(running)[-1]):
        assert recorded.metadata.actor.kind == "clock"
        assert (recorded.metadata.zone_id, recorded.metadata.org_id) == ("univprep", SCHOOL)


async def test_an_attempt_of_an_exam_that_was_closed_is_handed_in_for_the_teacher(world, running):
    world.clock.advance(hours=-2)

    await meet_deadlines(world.write, Due([], [DueAttempt(running, "teacher")]))

    assert world.log.events(running)[1].by == "teacher"


async def test_where_time_was_up_before_the_exam_was_closed_it_was_the_clock(world, running):
    await meet_deadlines(world.write, Due([], [DueAttempt(running, "teacher")]))

    assert world.log.events(running)[1].by == "clock"


async def test_what_cannot_be_handed_in_holds_up_nothing_else(world, running):
    nowhere = world.fresh_id("attempt")
    due = Due([world.fresh_id("exam")], [DueAttempt(nowhere, "clock"), DueAttempt(running, "clock")])

    met = await meet_deadlines(world.write, due)

    assert met.done == 1
    assert [type(error) for _, error in met.failed] == [ExamNotFound, AttemptNotFound]
    assert world.log.events(running)[1].by == "clock"


async def test_what_the_clock_does_is_correlated_with_what_it_follows_from(world, running):
    await meet_deadlines(world.write, Due([], [DueAttempt(running, "clock")]))

    assert len({event.metadata.correlation_id for event in world.log.stream(running)}) == 1


async def test_deadlines_that_are_met_late_twice_and_in_several_processes_are_met_once(world, running):
    due = Due([EXAM_ID], [DueAttempt(running, "clock")])
    processes = [world.write, world.another_process(), world.another_process()]

    await asyncio.gather(*(meet_deadlines(processes[n % 3], due) for n in range(9)))
    before = list(world.log.all)
    await meet_deadlines(world.write, due)

    assert world.log.all == before
    assert len(world.log.events(running)) == 3
    assert [type(event) for event in world.log.events(EXAM_ID)].count(ExamClosed) == 1


async def test_no_more_than_asked_for_is_done_at_once(world, running):
    due = Due([EXAM_ID], [DueAttempt(running, "clock")] * 5)

    met = await meet_deadlines(world.write, due, limit=2)

    assert (met.done, met.more) == (3, True)
