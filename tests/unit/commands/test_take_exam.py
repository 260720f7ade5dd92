"""Taking an exam: who may start, who answers, who hands in; all of it also many times at once."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from commands.kinds import ATTEMPT, EXAM
from commands.streams import Outcome
from commands.take_exam import (
    GiveResponse,
    OnlyForOneself,
    StartAttempt,
    give_response,
    start_attempt,
    submit_attempt,
    submit_exam,
)
from domain.attempts.attempt import (
    AttemptFinished,
    AttemptNotFound,
    AttemptTimeIsUp,
    InProgress,
    ItemNotInExam,
    NoAttemptsLeft,
    SavedResponse,
    Scored,
)
from domain.attempts.events import (
    AttemptScored,
    AttemptStarted,
    AttemptSubmitted,
    ResponseChanged,
    ResponseGiven,
)
from domain.exams.events import ExamClosed, ExamPublished
from domain.exams.exam import (
    ExamIsClosed,
    ExamNotFound,
    ExamNotOpenYet,
    ExamNotPublished,
    ExamWindowOver,
)
from domain.items.events import ItemRevised
from domain.items.responses import ChosenOptions, GivenNumber
from domain.users.account import UserNotFound
from tests.support.exam_parts import (
    BANK_ID,
    CHOICE_ID,
    CHOICES_ID,
    EXAM_ID,
    NOON,
    NUMBER_ID,
    OTHER_SCHOOL,
    OTHER_STUDENT,
    SCHOOL,
    STUDENT,
    TEXT_ID,
    UNKNOWN_ITEM_ID,
    numeric,
)
from tests.support.memory import World

MINUTE = timedelta(minutes=1)


@pytest.fixture
def world():
    """A school with two students and a published exam of four items."""
    world = World()
    world.given_user(STUDENT)
    world.given_user(OTHER_STUDENT)
    return world


async def start(world, context=None, examinee_id=STUDENT, exam_id=EXAM_ID, write=None):
    return await start_attempt(
        write or world.write,
        context or world.student(examinee_id),
        StartAttempt(exam_id=exam_id, examinee_id=examinee_id),
    )


async def answer(world, attempt_id, item_id, response, sequence=None, *, context=None, write=None):
    return await give_response(
        write or world.write,
        context or world.student(),
        GiveResponse(attempt_id=attempt_id, item_id=item_id, response=response, sequence=sequence),
    )


def option(*ids):
    return ChosenOptions(ids)


def kinds(world, stream_id):
    return [type(event) for event in world.log.events(stream_id)]


# -- starting ------------------------------------------------------------------------------------------------


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
    world.given_user()
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
    somebody = world.given_user(world.fresh_id("user"), org_id=org_id, zone_id=zone_id)

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
    somebody = world.given_user(world.fresh_id("user"), org_id=OTHER_SCHOOL)

    with pytest.raises(UserNotFound):
        await start(world, context=world.program(), examinee_id=somebody)


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


# -- answering -----------------------------------------------------------------------------------------------


async def test_an_answer_is_recorded_for_the_exams_own_school(world):
    world.given_exam()
    attempt_id = (await start(world)).stream_id

    outcome = await answer(world, attempt_id, CHOICE_ID, option("2"), 1)

    assert outcome.state.responses == {CHOICE_ID: SavedResponse(option("2"), 1)}
    assert world.log.stream(attempt_id)[-1].metadata.org_id == SCHOOL
    assert world.log.events(attempt_id)[-1] == ResponseGiven(
        examinee_id=STUDENT,
        exam_id=EXAM_ID,
        item_id=CHOICE_ID,
        item_version=1,
        response=option("2"),
        sequence=1,
    )


async def test_nobody_answers_for_another(world):
    world.given_exam()
    attempt_id = (await start(world)).stream_id
    others = [
        world.student(OTHER_STUDENT),
        world.teacher(),
        world.asked_by("grader", staff_of=[SCHOOL], kind="service"),
        world.asked_by("deadlines", kind="clock"),
    ]

    for context in others:
        with pytest.raises(AttemptNotFound):
            await answer(world, attempt_id, CHOICE_ID, option("2"), context=context)

    assert kinds(world, attempt_id) == [AttemptStarted]


async def test_an_attempt_that_does_not_exist_takes_no_answer(world):
    world.given_exam()

    for unknown in ("", "attempt-1", world.fresh_id("attempt"), EXAM_ID, STUDENT):
        with pytest.raises(AttemptNotFound):
            await answer(world, unknown, CHOICE_ID, option("2"))


async def test_what_is_not_on_the_form_is_not_answered(world):
    world.given_exam()
    attempt_id = (await start(world)).stream_id

    with pytest.raises(ItemNotInExam):
        await answer(world, attempt_id, UNKNOWN_ITEM_ID, option("2"))


async def test_an_item_is_answered_and_scored_in_the_version_that_was_pinned(world):
    world.given_exam()
    world.record(
        NUMBER_ID, ItemRevised(bank_id=BANK_ID, code="code-2", item_version=2, content=numeric("99"))
    )
    attempt_id = (await start(world)).stream_id
    await answer(world, attempt_id, NUMBER_ID, GivenNumber("12.5"))

    await submit_attempt(world.write, world.student(), attempt_id)

    scored = world.log.events(attempt_id)[-1].items[2]
    assert (scored.item_id, scored.item_version, scored.score) == (NUMBER_ID, 1, 3)


@pytest.mark.parametrize("processes", [1, 2])
async def test_32_answers_to_one_item_at_once_leave_the_one_with_the_highest_sequence(world, processes):
    world.given_exam()
    attempt_id = (await start(world)).stream_id
    writing = [world.another_process() for _ in range(processes)]
    # In an order in which late ones come before and after early ones.
    sequences = [(n * 7) % 32 + 1 for n in range(32)]

    await asyncio.gather(
        *(
            answer(world, attempt_id, CHOICE_ID, option(str(s % 4 + 1)), s, write=writing[n % processes])
            for n, s in enumerate(sequences)
        )
    )

    saved = [event for event in world.log.events(attempt_id) if not isinstance(event, AttemptStarted)]
    assert [event.sequence for event in saved] == sorted({event.sequence for event in saved})
    assert [type(event) for event in saved] == [ResponseGiven] + [ResponseChanged] * (len(saved) - 1)
    loaded = await world.write.streams.read(ATTEMPT, attempt_id)
    assert loaded.state.responses == {CHOICE_ID: SavedResponse(option("1"), 32)}


async def test_answers_to_all_items_at_once_are_all_saved(world):
    world.given_exam()
    attempt_id = (await start(world)).stream_id
    responses = {
        CHOICE_ID: option("1"),
        CHOICES_ID: option("1", "3"),
        NUMBER_ID: GivenNumber("0"),
        TEXT_ID: None,
    }

    await asyncio.gather(
        *(answer(world, attempt_id, item_id, response, 1) for item_id, response in responses.items())
    )

    loaded = await world.write.streams.read(ATTEMPT, attempt_id)
    assert loaded.state.responses == {item_id: SavedResponse(r, 1) for item_id, r in responses.items()}


async def test_an_answer_after_the_time_is_refused_by_the_clock_that_was_passed_in(world):
    world.given_exam(time_limit_s=60)
    attempt_id = (await start(world)).stream_id
    world.clock.advance(seconds=65)
    await answer(world, attempt_id, CHOICE_ID, option("1"))
    world.clock.advance(microseconds=1)

    with pytest.raises(AttemptTimeIsUp):
        await answer(world, attempt_id, CHOICE_ID, option("2"))


# -- handing in ----------------------------------------------------------------------------------------------


async def test_handing_in_scores_what_was_saved(world):
    world.given_exam()
    attempt_id = (await start(world)).stream_id
    await answer(world, attempt_id, CHOICE_ID, option("2"))
    await answer(world, attempt_id, NUMBER_ID, GivenNumber("12"))

    outcome = await submit_attempt(world.write, world.student(), attempt_id)

    assert isinstance(outcome.state, Scored)
    assert (outcome.state.by, outcome.state.score, outcome.state.max_score) == ("examinee", 1, 10)
    with pytest.raises(AttemptFinished):
        await answer(world, attempt_id, CHOICE_ID, option("1"))


@pytest.mark.parametrize("processes", [1, 4])
async def test_handing_in_32_times_at_once_scores_once(world, processes):
    world.given_exam()
    attempt_id = (await start(world)).stream_id
    writing = [world.another_process() for _ in range(processes)]

    outcomes = await asyncio.gather(
        *(submit_attempt(writing[n % processes], world.student(), attempt_id) for n in range(32))
    )

    assert kinds(world, attempt_id) == [AttemptStarted, AttemptSubmitted, AttemptScored]
    assert {outcome.version for outcome in outcomes} == {3}
    assert sum(len(outcome.events) for outcome in outcomes) == 2


async def test_answers_that_race_with_handing_in_are_scored_or_refused_and_never_lost(world):
    world.given_exam()
    attempt_id = (await start(world)).stream_id
    processes = [world.another_process(), world.another_process()]
    items = [(CHOICE_ID, option("2")), (CHOICES_ID, option("1", "3")), (NUMBER_ID, GivenNumber("12.5"))]

    *answered, _ = await asyncio.gather(
        *(answer(world, attempt_id, item_id, response, write=processes[0]) for item_id, response in items),
        submit_attempt(processes[1], world.student(), attempt_id),
        return_exceptions=True,
    )

    scored = world.log.events(attempt_id)[-1]
    assert isinstance(scored, AttemptScored)
    in_result = {each.item_id for each in scored.items if each.response is not None}
    assert in_result == {
        item_id for (item_id, _), each in zip(items, answered, strict=True) if isinstance(each, Outcome)
    }
    assert {type(each) for each in answered} <= {Outcome, AttemptFinished}


async def test_a_teacher_of_the_school_hands_in_for_an_examinee_and_it_is_told(world):
    world.given_exam()
    attempt_id = (await start(world)).stream_id

    outcome = await submit_attempt(world.write, world.teacher(), attempt_id)

    assert outcome.state.by == "teacher"


async def test_nobody_else_hands_in_for_an_examinee(world):
    world.given_exam()
    attempt_id = (await start(world)).stream_id

    for context in (world.student(OTHER_STUDENT), world.teacher(OTHER_SCHOOL)):
        with pytest.raises(AttemptNotFound):
            await submit_attempt(world.write, context, attempt_id)
    for unknown in ("", EXAM_ID, world.fresh_id("attempt")):
        with pytest.raises(AttemptNotFound):
            await submit_attempt(world.write, world.student(), unknown)


async def test_handing_in_after_the_time_counts_as_the_clocks_doing(world):
    world.given_exam(time_limit_s=60)
    attempt_id = (await start(world)).stream_id
    world.clock.advance(seconds=66)

    assert (await submit_attempt(world.write, world.student(), attempt_id)).state.by == "clock"


async def test_handing_in_the_exam_hands_in_the_latest_attempt(world):
    world.given_exam(attempts_allowed=3)
    first = await start(world)
    await submit_exam(world.write, world.student(), EXAM_ID)
    second = await start(world)

    outcome = await submit_exam(world.write, world.student(), EXAM_ID)

    assert (outcome.stream_id, outcome.state.by) == (second.stream_id, "examinee")
    assert first.stream_id != second.stream_id
    assert (await submit_exam(world.write, world.student(), EXAM_ID)).events == ()


async def test_who_never_started_has_nothing_to_hand_in(world):
    world.given_exam()
    await start(world)

    with pytest.raises(AttemptNotFound):
        await submit_exam(world.write, world.student(OTHER_STUDENT), EXAM_ID)


async def test_a_claim_without_an_attempt_is_nothing_to_hand_in(world):
    world.given_exam()
    world.log.fail_before_the_next_append(ConnectionError("the process was killed"))
    with pytest.raises(ConnectionError):
        await start(world)

    with pytest.raises(AttemptNotFound):
        await submit_exam(world.write, world.student(), EXAM_ID)


async def test_an_exam_that_is_not_published_cannot_be_handed_in(world):
    world.given_exam(draft_only=True)

    for exam_id in (EXAM_ID, "", STUDENT, world.fresh_id("exam")):
        with pytest.raises(ExamNotFound):
            await submit_exam(world.write, world.student(), exam_id)


async def test_a_closed_exam_can_still_be_handed_in(world):
    world.given_exam()
    attempt = await start(world)
    world.record(EXAM_ID, ExamClosed(reason="teacher"))

    assert (await submit_exam(world.write, world.student(), EXAM_ID)).stream_id == attempt.stream_id


async def test_an_exam_that_this_process_knows_as_a_draft_can_be_handed_in_once_another_published_it(world):
    world.given_exam(draft_only=True)
    here, elsewhere = world.write, world.another_process()
    draft = (await here.streams.read(EXAM, EXAM_ID)).state
    world.record(EXAM_ID, ExamPublished(blueprint=msgspec.structs.replace(draft.blueprint)))
    attempt = await start(world, write=elsewhere)

    outcome = await submit_exam(here, world.student(), EXAM_ID)

    assert outcome.stream_id == attempt.stream_id
