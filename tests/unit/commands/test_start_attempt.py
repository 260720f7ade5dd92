"""Starting an attempt: who may, when, and how often; all of it also many times at once."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from commands.take_exam import (
    OnlyForOneself,
    submit_attempt,
)
from domain.attempts.attempt import (
    AttemptNotFound,
    InProgress,
    NoAttemptsLeft,
)
from domain.attempts.events import (
    AttemptScored,
    AttemptStarted,
    AttemptSubmitted,
)
from domain.exams.events import ExamClosed
from domain.exams.exam import (
    ExamIsClosed,
    ExamNotFound,
    ExamNotOpenYet,
    ExamNotPublished,
    ExamWindowOver,
)
from domain.items.responses import ChosenOptions
from domain.users.account import UserNotFound
from domain.users.events import RoleGranted, RoleLapsed
from tests.support.exam_parts import (
    CHOICE_ID,
    EXAM_ID,
    NOON,
    OTHER_SCHOOL,
    OTHER_STUDENT,
    SCHOOL,
    STUDENT,
)
from tests.support.memory import World
from tests.support.sitting import MINUTE, a_world, answer, kinds, option, start


@pytest.fixture
def world():
    return a_world()


async def test_an_attempt_starts_with_its_deadline_for_the_exams_own_school_and_zone(world):
    world.given_exam(time_limit_s=600)

    outcome = await start(world)

    started = AttemptStarted(
        exam_id=EXAM_ID,
        examinee_id=STUDENT,
        ordinal=1,
        started_at=NOON,
        deadline=NOON + 10 * MINUTE,
        grace_s=5.0,
    )
    assert outcome.events == (started,)
    [recorded] = world.log.stream(outcome.stream_id)
    assert recorded.event == started
    assert (recorded.metadata.zone_id, recorded.metadata.org_id) == ("univprep", SCHOOL)
    assert recorded.metadata.actor.id == STUDENT


async def test_starting_again_goes_on_with_the_attempt_that_is_running(world):
    world.given_exam(attempts_allowed=3)
    first = await start(world)
    answered = await answer(world, first.stream_id, CHOICE_ID, option("1"))

    for write in (world.write, world.another_process()):
        again = await start(world, write=write)
        assert (again.stream_id, again.events) == (first.stream_id, ())
        assert again.state == answered.state
    assert len(world.log.streams("attempt")) == 1


@pytest.mark.parametrize("processes", [1, 4])
@pytest.mark.parametrize("attempts_allowed", [1, 5])
async def test_32_starts_at_once_start_one_attempt(world, processes, attempts_allowed):
    world.given_exam(attempts_allowed=attempts_allowed)
    writing = [world.another_process() for _ in range(processes)]

    outcomes = await asyncio.gather(*(start(world, write=writing[n % processes]) for n in range(32)))

    [attempt_id] = world.log.streams("attempt")
    assert kinds(world, attempt_id) == [AttemptStarted]
    assert {outcome.stream_id for outcome in outcomes} == {attempt_id}
    assert sum(len(outcome.events) for outcome in outcomes) == 1
    assert all(isinstance(outcome.state, InProgress) for outcome in outcomes)


async def test_the_same_request_again_starts_no_other_attempt_even_after_the_first_was_handed_in(world):
    world.given_exam(attempts_allowed=3)
    request = world.asked_by(STUDENT, repeatable=True)
    started = await start(world, context=request)
    await submit_attempt(world.write, world.student(), started.stream_id)

    again = await start(world, context=request)

    assert again.stream_id == started.stream_id
    assert len(world.log.streams("attempt")) == 1


async def test_every_examinee_has_attempts_of_their_own(world):
    world.given_exam()

    first, second = await asyncio.gather(start(world), start(world, examinee_id=OTHER_STUDENT))

    assert first.stream_id != second.stream_id
    assert (first.state.examinee_id, second.state.examinee_id) == (STUDENT, OTHER_STUDENT)


async def test_a_crash_between_claim_and_append_costs_no_attempt(world):
    world.given_exam(attempts_allowed=1)
    world.log.fail_before_the_next_append(ConnectionError("the process was killed"))
    with pytest.raises(ConnectionError):
        await start(world)

    outcome = await start(world)

    assert outcome.state.ordinal == 1
    assert world.log.streams("attempt") == [outcome.stream_id]


async def test_as_many_attempts_as_are_allowed_can_be_taken_one_after_the_other(world):
    world.given_exam(attempts_allowed=2)
    first = await start(world)
    await submit_attempt(world.write, world.student(), first.stream_id)

    second = await start(world)
    assert second.state.ordinal == 2
    assert second.stream_id != first.stream_id
    await submit_attempt(world.write, world.student(), second.stream_id)

    with pytest.raises(NoAttemptsLeft) as refusal:
        await start(world)
    assert refusal.value.data() == {"attempts_allowed": 2}
    assert len(world.log.streams("attempt")) == 2


async def test_an_attempt_whose_time_is_up_is_handed_in_before_the_next_one_starts(world):
    world.given_exam(attempts_allowed=2, time_limit_s=60)
    first = await start(world)
    await answer(world, first.stream_id, CHOICE_ID, option("2"))
    world.clock.advance(seconds=65)
    assert (await start(world)).stream_id == first.stream_id  # the grace is not over yet
    world.clock.advance(microseconds=1)

    second = await start(world)

    assert second.state.ordinal == 2
    assert second.state.deadline == world.clock.now + MINUTE
    assert kinds(world, first.stream_id)[-2:] == [AttemptSubmitted, AttemptScored]
    assert world.log.events(first.stream_id)[-2].by == "clock"
    assert world.log.events(first.stream_id)[-1].score == 1


async def test_an_only_attempt_whose_time_is_up_is_handed_in_and_no_other_starts(world):
    world.given_exam(time_limit_s=60)
    first = await start(world)
    world.clock.advance(seconds=66)

    with pytest.raises(NoAttemptsLeft):
        await start(world)

    assert kinds(world, first.stream_id) == [AttemptStarted, AttemptSubmitted, AttemptScored]


async def test_an_exam_is_not_started_outside_of_its_window(world):
    world.given_exam(opens_at=NOON, closes_at=NOON + 10 * MINUTE)

    world.clock.now = NOON - timedelta(microseconds=1)
    with pytest.raises(ExamNotOpenYet):
        await start(world)
    world.clock.now = NOON + 10 * MINUTE
    with pytest.raises(ExamWindowOver):
        await start(world)
    world.clock.now = NOON + 9 * MINUTE
    assert (await start(world)).state.deadline == NOON + 10 * MINUTE


class RunningClock:
    """Every look at it is a moment later than the one before."""

    def __init__(self, now, step):
        self.now = now
        self.step = step

    def __call__(self):
        self.now += self.step
        return self.now


@pytest.mark.parametrize("looks", range(1, 8))
async def test_no_attempt_starts_after_the_window_while_the_clock_goes_on_running(looks):
    closes_at = NOON + timedelta(seconds=looks)
    world = World(clock=RunningClock(NOON, timedelta(0)))
    world.given_student()
    world.given_exam(closes_at=closes_at)
    world.clock.step = timedelta(seconds=1)

    try:
        outcome = await start(world)
    except ExamWindowOver:
        assert world.log.streams("attempt") == []
    else:
        assert outcome.state.started_at < closes_at
        assert outcome.state.started_at < outcome.state.deadline


async def test_a_draft_is_not_known_to_examinees(world):
    world.given_exam(draft_only=True)

    with pytest.raises(ExamNotFound):
        await start(world)


@pytest.mark.parametrize("unknown", ["", "exam", EXAM_ID.replace("exam-", "item-"), EXAM_ID[:-1] + "f"])
async def test_an_exam_that_does_not_exist_cannot_be_started(world, unknown):
    world.given_exam()

    with pytest.raises(ExamNotFound):
        await start(world, exam_id=unknown)


async def test_a_closed_exam_starts_for_nobody_and_what_still_runs_is_handed_in(world):
    world.given_exam()
    running = await start(world)
    world.record(EXAM_ID, ExamClosed(reason="teacher"))

    for examinee_id in (STUDENT, OTHER_STUDENT):
        with pytest.raises(ExamIsClosed):
            await start(world, examinee_id=examinee_id)
    assert world.log.events(running.stream_id)[1].by == "teacher"


async def test_a_closed_exam_takes_no_more_answers_within_a_second(world):
    world.given_exam()
    attempt_id = (await start(world)).stream_id
    await answer(world, attempt_id, CHOICE_ID, ChosenOptions(("1",)))
    world.record(EXAM_ID, ExamClosed(reason="teacher"))  # by another process
    world.clock.advance(seconds=1)

    with pytest.raises(ExamIsClosed):
        await answer(world, attempt_id, CHOICE_ID, ChosenOptions(("2",)))


async def test_a_draft_is_unpublished_to_its_staff_and_nothing_to_others(world):
    world.given_exam(draft_only=True)

    with pytest.raises(ExamNotPublished):
        await start(world, context=world.teacher())
    with pytest.raises(ExamNotFound):
        await start(world)


@pytest.mark.parametrize(
    ("audience", "org_id", "zone_id", "admitted"),
    [
        ("organization", SCHOOL, "univprep", True),
        ("organization", OTHER_SCHOOL, "univprep", False),
        ("organization", None, "univprep", False),
        ("organization", SCHOOL, "kzone", False),
        ("zone", SCHOOL, "univprep", True),
        ("zone", OTHER_SCHOOL, "univprep", True),
        ("zone", None, "univprep", True),
        ("zone", SCHOOL, "kzone", False),
        ("zone", None, "kzone", False),
    ],
)
async def test_an_exam_is_for_its_school_or_for_its_zone(world, audience, org_id, zone_id, admitted):
    world.given_exam(audience=audience)
    somebody = world.given_student(world.fresh_id("user"), org_id=org_id, zone_id=zone_id)

    if admitted:
        outcome = await start(world, examinee_id=somebody)
        assert outcome.owner.org_id == SCHOOL
    else:
        with pytest.raises(ExamNotFound):
            await start(world, examinee_id=somebody)
        assert world.log.streams("attempt") == []


async def test_the_schools_own_program_may_start_for_an_examinee(world):
    world.given_exam()

    outcome = await start(world, context=world.program())

    assert outcome.state.examinee_id == STUDENT
    assert (await start(world)).stream_id == outcome.stream_id


async def test_a_teacher_starts_for_nobody(world):
    world.given_exam()

    with pytest.raises(OnlyForOneself):
        await start(world, context=world.teacher())


async def test_a_program_starts_for_nobody_elses_examinees(world):
    world.given_exam(audience="zone")
    somebody = world.given_student(world.fresh_id("user"), org_id=OTHER_SCHOOL)

    with pytest.raises(UserNotFound):
        await start(world, context=world.program(), examinee_id=somebody)


@pytest.mark.parametrize("how", ["oneself", "program"])
async def test_who_is_a_member_no_longer_starts_nothing_there_whoever_enrolled_them(world, how):
    world.given_exam()
    world.record(STUDENT, RoleLapsed(role="student", org_id=SCHOOL, reason="removed"))

    with pytest.raises(ExamNotFound if how == "oneself" else UserNotFound):
        await start(world, context=world.student() if how == "oneself" else world.program())
    assert world.log.streams("attempt") == []


@pytest.mark.parametrize("how", ["oneself", "program"])
@pytest.mark.parametrize("enrolled_by", [None, OTHER_SCHOOL])
async def test_who_became_a_member_by_invitation_takes_its_exams_whoever_enrolled_them(
    world, how, enrolled_by
):
    world.given_exam()
    guest = world.given_student(world.fresh_id("user"), org_id=enrolled_by)
    world.record(guest, RoleGranted(role="student", org_id=SCHOOL))

    context = world.student(guest) if how == "oneself" else world.program()
    outcome = await start(world, context=context, examinee_id=guest)

    assert outcome.state.examinee_id == guest


async def test_a_program_answers_in_the_open_for_whose_attempt_it_holds_the_token(world):
    world.given_exam()
    attempt_id = (await start(world, context=world.program())).stream_id
    acting = msgspec.structs.replace(world.program(), acting_as=STUDENT)

    await answer(world, attempt_id, CHOICE_ID, ChosenOptions(("1",)), context=acting)

    assert world.log.stream(attempt_id)[-1].metadata.actor == acting.actor
    with pytest.raises(AttemptNotFound):
        await answer(world, attempt_id, CHOICE_ID, ChosenOptions(("2",)), context=world.program())


async def test_nobody_else_starts_for_an_examinee(world):
    world.given_exam()

    for context in (world.student(OTHER_STUDENT), world.teacher(OTHER_SCHOOL)):
        with pytest.raises(ExamNotFound):
            await start(world, context=context)


async def test_who_does_not_exist_takes_no_exam(world):
    world.given_exam(audience="zone")
    nobody = world.fresh_id("user")

    with pytest.raises(UserNotFound):
        await start(world, examinee_id=nobody)
    with pytest.raises(UserNotFound):
        await start(world, context=world.program(), examinee_id=nobody)
