"""An attempt: answers given, changed, taken back, late, twice, and handed in."""

from datetime import timedelta

import msgspec
import pytest

from commands.kinds import ATTEMPT
from domain.attempts.attempt import (
    AttemptExists,
    AttemptFinished,
    AttemptNotFound,
    AttemptTimeIsUp,
    InProgress,
    ItemNotInExam,
    NotStarted,
    SavedResponse,
    Scored,
    SentResponse,
    SequenceReused,
    Submitted,
    give_response,
    start,
    submit,
)
from domain.attempts.events import (
    AttemptScored,
    AttemptStarted,
    AttemptSubmitted,
    ResponseChanged,
    ResponseGiven,
    ScoredItem,
)
from domain.exams.form import Form, PinnedItem
from domain.items.responses import ChosenOptions, GivenNumber, GivenText, ResponseDoesNotFit
from tests.support.exam_parts import (
    CHOICE_ID,
    CHOICES_ID,
    EXAM_ID,
    FORM,
    NOON,
    NUMBER_ID,
    STUDENT,
    TEXT_ID,
    UNKNOWN_ITEM_ID,
    choice,
    numeric,
)
from tests.support.given import fold, given

TICK = timedelta(microseconds=1)
DEADLINE = NOON + timedelta(hours=1)
GRACE_S = 5.0
LAST_MOMENT = DEADLINE + timedelta(seconds=GRACE_S)

STARTED = AttemptStarted(
    exam_id=EXAM_ID,
    examinee_id=STUDENT,
    ordinal=1,
    started_at=NOON,
    deadline=DEADLINE,
    grace_s=GRACE_S,
)
UNLIMITED = msgspec.structs.replace(STARTED, deadline=None)


def fact(event_class, item_id, response, sequence):
    return event_class(
        examinee_id=STUDENT,
        exam_id=EXAM_ID,
        item_id=item_id,
        item_version=1,
        response=response,
        sequence=sequence,
    )


def first(item_id, response, sequence=1):
    return fact(ResponseGiven, item_id, response, sequence)


def later(item_id, response, sequence=2):
    return fact(ResponseChanged, item_id, response, sequence)


def option(*ids):
    return ChosenOptions(ids)


def sent(item_id, response, sequence=None):
    return SentResponse(item_id=item_id, response=response, sequence=sequence)


def submitted(by="examinee"):
    return AttemptSubmitted(exam_id=EXAM_ID, examinee_id=STUDENT, by=by)


def scored(*responses, earned):
    """The result of the form's four items (1, 2, 3 and 4 points), given the responses and what they earn."""
    items = tuple(
        ScoredItem(
            item_id=pinned.item_id,
            item_version=1,
            response=response,
            score=points,
            max_score=pinned.content.points,
        )
        for pinned, response, points in zip(FORM.items, responses, earned, strict=True)
    )
    return AttemptScored(
        exam_id=EXAM_ID,
        examinee_id=STUDENT,
        ordinal=1,
        items=items,
        score=sum(earned),
        max_score=10,
        scoring_version=1,
    )


NOTHING_ANSWERED = scored(None, None, None, None, earned=(0, 0, 0, 0))


def give(*facts, response, now=NOON):
    return given(ATTEMPT, *facts).when(give_response, FORM, response, now)


def test_an_attempt_starts_once():
    after = given(ATTEMPT).when(start, STARTED).then(STARTED)

    assert after.state == InProgress(
        exam_id=EXAM_ID,
        examinee_id=STUDENT,
        ordinal=1,
        started_at=NOON,
        deadline=DEADLINE,
        grace_s=GRACE_S,
        responses={},
    )
    after.when(start, STARTED).then_refused(AttemptExists)


def test_what_was_handed_in_does_not_start_again():
    given(ATTEMPT, STARTED, submitted()).when(start, STARTED).then_refused(AttemptExists)
    given(ATTEMPT, STARTED, submitted(), NOTHING_ANSWERED).when(start, STARTED).then_refused(AttemptExists)


def test_the_first_response_to_an_item_is_given_and_the_next_changes_it():
    after = (
        give(STARTED, response=sent(CHOICE_ID, option("1"), 1))
        .then(first(CHOICE_ID, option("1"), 1))
        .when(give_response, FORM, sent(CHOICE_ID, option("2"), 2), NOON)
        .then(later(CHOICE_ID, option("2"), 2))
    )

    assert after.state.responses == {CHOICE_ID: SavedResponse(option("2"), 2)}


def test_items_are_answered_apart_from_each_other_each_with_its_own_counter():
    give(STARTED, first(CHOICE_ID, option("1"), 9), response=sent(NUMBER_ID, GivenNumber("12"), 1)).then(
        first(NUMBER_ID, GivenNumber("12"), 1)
    )


def test_a_response_is_kept_in_its_normal_form_and_compared_in_it():
    answered = give(STARTED, response=sent(CHOICES_ID, option("3", "1"), 1)).then(
        first(CHOICES_ID, option("1", "3"), 1)
    )

    answered.when(give_response, FORM, sent(CHOICES_ID, option("3", "1"), 1), NOON).then_nothing()


def test_the_pinned_version_of_the_item_is_told_with_the_response():
    form = Form([PinnedItem(CHOICE_ID, 7, choice())])

    [event] = give_response(fold(ATTEMPT, (STARTED,)), form, sent(CHOICE_ID, option("1"), 1), NOON)

    assert event.item_version == 7


def test_null_takes_the_answer_back_and_a_later_one_gives_it_again():
    after = give(STARTED, first(CHOICE_ID, option("1"), 1), response=sent(CHOICE_ID, None, 2)).then(
        later(CHOICE_ID, None, 2)
    )

    assert after.state.responses == {CHOICE_ID: SavedResponse(None, 2)}
    after.when(give_response, FORM, sent(CHOICE_ID, option("1"), 3), NOON).then(
        later(CHOICE_ID, option("1"), 3)
    )


def test_taking_back_what_was_never_given_is_remembered_so_that_a_late_answer_stays_out():
    after = give(STARTED, response=sent(CHOICE_ID, None, 2)).then(first(CHOICE_ID, None, 2))

    after.when(give_response, FORM, sent(CHOICE_ID, option("1"), 1), NOON).then_nothing()


def test_without_a_sequence_a_response_counts_as_the_latest():
    after = (
        give(STARTED, response=sent(CHOICE_ID, option("1")))
        .then(first(CHOICE_ID, option("1"), 1))
        .when(give_response, FORM, sent(CHOICE_ID, option("1")), NOON)
        .then(later(CHOICE_ID, option("1"), 2))
        .when(give_response, FORM, sent(CHOICE_ID, option("3"), 40), NOON)
        .then(later(CHOICE_ID, option("3"), 40))
        .when(give_response, FORM, sent(CHOICE_ID, None), NOON)
        .then(later(CHOICE_ID, None, 41))
    )

    assert after.state.responses == {CHOICE_ID: SavedResponse(None, 41)}


@pytest.mark.parametrize("response", [option("1"), option("4"), None])
def test_a_response_that_arrives_late_changes_nothing(response):
    give(
        STARTED,
        first(CHOICE_ID, option("1"), 1),
        later(CHOICE_ID, option("2"), 5),
        response=sent(CHOICE_ID, response, 4),
    ).then_nothing()


@pytest.mark.parametrize("response", [option("2"), None])
def test_the_same_response_sent_twice_changes_nothing(response):
    give(STARTED, first(CHOICE_ID, response, 5), response=sent(CHOICE_ID, response, 5)).then_nothing()


@pytest.mark.parametrize(
    ("saved", "other"), [(option("2"), option("3")), (option("2"), None), (None, option("2"))]
)
def test_another_response_with_the_same_sequence_is_refused(saved, other):
    give(STARTED, first(CHOICE_ID, saved, 5), response=sent(CHOICE_ID, other, 5)).then_refused(
        SequenceReused, sequence=5
    )


def test_an_item_that_is_not_on_the_form_cannot_be_answered():
    give(STARTED, response=sent(UNKNOWN_ITEM_ID, option("1"), 1)).then_refused(ItemNotInExam)


@pytest.mark.parametrize(
    ("item_id", "response"),
    [
        (CHOICE_ID, GivenText("2")),
        (CHOICE_ID, option("9")),
        (NUMBER_ID, GivenNumber("many")),
        (TEXT_ID, option("1")),
    ],
)
def test_a_response_that_does_not_fit_is_refused(item_id, response):
    give(STARTED, response=sent(item_id, response, 1)).then_refused(ResponseDoesNotFit)


def test_nothing_can_be_answered_or_handed_in_before_the_start():
    give(response=sent(CHOICE_ID, option("1"), 1)).then_refused(AttemptNotFound)
    given(ATTEMPT).when(submit, FORM, "examinee", NOON).then_refused(AttemptNotFound)


@pytest.mark.parametrize("now", [DEADLINE - TICK, DEADLINE, DEADLINE + TICK, LAST_MOMENT])
def test_a_response_counts_until_the_grace_after_the_deadline_is_over(now):
    give(STARTED, response=sent(CHOICE_ID, option("1"), 1), now=now).then(first(CHOICE_ID, option("1"), 1))


@pytest.mark.parametrize("late_by", [TICK, timedelta(days=1)])
def test_after_the_grace_no_response_is_taken(late_by):
    give(STARTED, response=sent(CHOICE_ID, option("1"), 1), now=LAST_MOMENT + late_by).then_refused(
        AttemptTimeIsUp, deadline="2026-03-02T13:00:00+00:00"
    )
    give(
        STARTED,
        first(CHOICE_ID, option("1"), 1),
        response=sent(CHOICE_ID, option("2"), 2),
        now=LAST_MOMENT + late_by,
    ).then_refused(AttemptTimeIsUp)


def test_after_the_time_a_saved_response_can_still_be_confirmed():
    facts = (STARTED, first(CHOICE_ID, option("1"), 4))

    give(*facts, response=sent(CHOICE_ID, option("1"), 4), now=LAST_MOMENT + TICK).then_nothing()
    give(*facts, response=sent(CHOICE_ID, option("3"), 3), now=LAST_MOMENT + TICK).then_nothing()


def test_without_a_deadline_time_is_never_up():
    give(UNLIMITED, response=sent(CHOICE_ID, option("1"), 1), now=NOON + timedelta(days=3650)).then(
        first(CHOICE_ID, option("1"), 1)
    )


def test_handing_in_scores_every_item_in_the_order_of_the_form():
    facts = (
        STARTED,
        first(TEXT_ID, GivenText(" 서울 "), 1),
        first(CHOICE_ID, option("4"), 1),
        later(CHOICE_ID, option("2"), 2),
        first(CHOICES_ID, option("1"), 1),
    )

    after = given(ATTEMPT, *facts).when(submit, FORM, "examinee", NOON)

    result = scored(option("2"), option("1"), None, GivenText(" 서울 "), earned=(1, 0, 0, 4))
    assert after.then(submitted(), result).state == Scored(
        attempt=fold(ATTEMPT, facts), by="examinee", score=5, max_score=10
    )


def test_the_order_is_that_of_the_form_and_not_of_ids_or_answers():
    form = Form([PinnedItem(NUMBER_ID, 3, numeric("1")), PinnedItem(CHOICE_ID, 2, choice(points=7))])
    state = fold(ATTEMPT, (STARTED, first(CHOICE_ID, option("2")), first(NUMBER_ID, GivenNumber("1.0"))))

    [_, result] = submit(state, form, "examinee", NOON)

    assert [(item.item_id, item.item_version, item.score) for item in result.items] == [
        (NUMBER_ID, 3, 3),
        (CHOICE_ID, 2, 7),
    ]
    assert (result.score, result.max_score) == (10, 10)


def test_an_answer_that_was_taken_back_earns_nothing():
    facts = (STARTED, first(CHOICE_ID, option("2"), 1), later(CHOICE_ID, None, 2))

    given(ATTEMPT, *facts).when(submit, FORM, "examinee", NOON).then(submitted(), NOTHING_ANSWERED)


def test_handing_in_twice_changes_nothing():
    once = given(ATTEMPT, STARTED).when(submit, FORM, "examinee", NOON).then(submitted(), NOTHING_ANSWERED)

    once.when(submit, FORM, "examinee", NOON).then_nothing()
    once.when(submit, FORM, "clock", LAST_MOMENT + TICK).then_nothing()
    once.when(submit, FORM, "teacher", NOON).then_nothing()


def test_what_was_handed_in_but_not_scored_is_scored_by_the_next_who_hands_in():
    facts = (STARTED, first(CHOICE_ID, option("2"), 1), submitted("clock"))

    after = given(ATTEMPT, *facts).when(submit, FORM, "examinee", NOON)

    result = scored(option("2"), None, None, None, earned=(1, 0, 0, 0))
    assert after.then(result).state.by == "clock"


@pytest.mark.parametrize(
    ("by", "now", "counts_as"),
    [
        ("examinee", NOON, "examinee"),
        ("examinee", DEADLINE, "examinee"),
        ("examinee", LAST_MOMENT, "examinee"),
        ("examinee", LAST_MOMENT + TICK, "clock"),
        ("clock", LAST_MOMENT + TICK, "clock"),
        ("teacher", NOON, "teacher"),
        ("teacher", LAST_MOMENT + TICK, "clock"),
        ("engine", NOON, "engine"),
    ],
)
def test_handing_in_after_the_time_counts_as_the_clocks_doing(by, now, counts_as):
    given(ATTEMPT, STARTED).when(submit, FORM, by, now).then(submitted(counts_as), NOTHING_ANSWERED)


def test_without_a_deadline_the_examinee_hands_in_however_late():
    given(ATTEMPT, UNLIMITED).when(submit, FORM, "examinee", NOON + timedelta(days=3650)).then(
        submitted("examinee"), NOTHING_ANSWERED
    )


@pytest.mark.parametrize("ending", [(submitted("clock"),), (submitted("clock"), NOTHING_ANSWERED)])
@pytest.mark.parametrize("response", [sent(CHOICE_ID, option("1"), 1), sent(CHOICE_ID, option("4"), 9)])
def test_what_is_handed_in_takes_no_response_any_more(ending, response):
    facts = (STARTED, first(CHOICE_ID, option("1"), 1), *ending)

    give(*facts, response=response).then_refused(AttemptFinished, submitted_by="clock")


IN_PROGRESS = fold(ATTEMPT, (STARTED,))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ((first(CHOICE_ID, option("1")),), NotStarted()),
        ((submitted(),), NotStarted()),
        ((STARTED, STARTED), IN_PROGRESS),
        ((STARTED, NOTHING_ANSWERED), IN_PROGRESS),
        (
            (STARTED, submitted(), first(CHOICE_ID, option("1"))),
            Submitted(attempt=IN_PROGRESS, by="examinee"),
        ),
        ((STARTED, submitted(), submitted("clock")), Submitted(attempt=IN_PROGRESS, by="examinee")),
        (
            (STARTED, submitted(), NOTHING_ANSWERED, first(CHOICE_ID, option("1")), submitted("clock")),
            Scored(attempt=IN_PROGRESS, by="examinee", score=0, max_score=10),
        ),
    ],
)
def test_facts_that_do_not_follow_from_a_state_leave_it_as_it_is(facts, expected):
    assert fold(ATTEMPT, facts) == expected


def test_a_state_is_never_changed_in_place():
    before = fold(ATTEMPT, (STARTED, first(CHOICE_ID, option("1"), 1)))
    held = dict(before.responses)

    fold(ATTEMPT, (later(CHOICE_ID, option("2"), 2), first(NUMBER_ID, GivenNumber("1"))), before)

    assert before.responses == held
