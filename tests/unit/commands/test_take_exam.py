"""Answering and handing in: what is saved, refused and scored; all of it also many times at once."""

import asyncio

import msgspec
import pytest

from commands.kinds import ATTEMPT, EXAM
from commands.streams import Outcome
from commands.take_exam import (
    submit_attempt,
    submit_exam,
)
from domain.attempts.attempt import (
    AttemptFinished,
    AttemptNotFound,
    AttemptTimeIsUp,
    ItemNotInExam,
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
    ExamNotFound,
)
from domain.items.events import ItemRevised
from domain.items.responses import GivenNumber
from tests.support.exam_parts import (
    BANK_ID,
    CHOICE_ID,
    CHOICES_ID,
    EXAM_ID,
    NUMBER_ID,
    OTHER_SCHOOL,
    OTHER_STUDENT,
    SCHOOL,
    STUDENT,
    TEXT_ID,
    UNKNOWN_ITEM_ID,
    numeric,
)
from tests.support.sitting import a_world, answer, kinds, option, start


@pytest.fixture
def world():
    return a_world()


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
