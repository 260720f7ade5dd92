"""An exam from its draft to its results: what may be done when, and why not otherwise."""

from datetime import timedelta

import pytest

from commands.kinds import EXAM
from domain.exams.events import ExamClosed, ExamDrafted, ExamPublished, FormItem, ResultsReleased
from domain.exams.exam import (
    MAX_ATTEMPTS,
    MAX_ITEMS,
    MAX_TIME_LIMIT_S,
    Closed,
    Draft,
    ExamExists,
    ExamIsClosed,
    ExamNotDraft,
    ExamNotFound,
    ExamNotOpenYet,
    ExamNotPublished,
    ExamWindowOver,
    Nothing,
    Published,
    UnusableBlueprint,
    close,
    deadline,
    draft,
    open_for_attempts,
    publish,
    release_results,
)
from domain.identifiers import stream_id
from tests.support.exam_parts import CHOICE_ID, NOON, NUMBER_ID, blueprint, uuid7
from tests.support.given import fold, given

TICK = timedelta(microseconds=1)
HOUR = timedelta(hours=1)

PLAIN = blueprint()
DRAFTED = ExamDrafted(blueprint=PLAIN)
PUBLISHED = ExamPublished(blueprint=PLAIN)
CLOSED = ExamClosed(reason="teacher")
RELEASED = ResultsReleased()
WINDOW = blueprint(opens_at=NOON, closes_at=NOON + HOUR)


def published(plan):
    return given(EXAM, ExamDrafted(blueprint=plan), ExamPublished(blueprint=plan))


def test_a_draft_is_written_and_rewritten():
    other = blueprint(title={"en": "Final"}, attempts_allowed=3)

    after = (
        given(EXAM)
        .when(draft, PLAIN, new=True)
        .then(DRAFTED)
        .when(draft, other, new=False)
        .then(ExamDrafted(blueprint=other))
    )

    assert after.state == Draft(other)


def test_a_draft_that_stays_as_it_is_is_no_event():
    given(EXAM, DRAFTED).when(draft, blueprint(), new=False).then_nothing()


def test_a_new_draft_takes_no_other_drafts_place():
    given(EXAM, DRAFTED).when(draft, PLAIN, new=True).then_refused(ExamExists)


def test_a_draft_that_does_not_exist_cannot_be_rewritten():
    given(EXAM).when(draft, PLAIN, new=False).then_refused(ExamNotFound)


@pytest.mark.parametrize("facts", [(DRAFTED, PUBLISHED), (DRAFTED, PUBLISHED, CLOSED)])
@pytest.mark.parametrize("new", [True, False])
def test_what_is_published_is_never_rewritten(facts, new):
    given(EXAM, *facts).when(draft, PLAIN, new=new).then_refused(ExamNotDraft)
    given(EXAM, *facts).when(draft, blueprint(attempts_allowed=9), new=new).then_refused(ExamNotDraft)


def test_publishing_repeats_the_newest_draft_as_it_stands():
    newest = blueprint(time_limit_s=60)

    after = given(EXAM, DRAFTED, ExamDrafted(blueprint=newest)).when(publish, NOON)

    assert after.then(ExamPublished(blueprint=newest)).state == Published(
        blueprint=newest, results_released=False
    )


def test_publishing_twice_changes_nothing():
    given(EXAM, DRAFTED, PUBLISHED).when(publish, NOON).then_nothing()


def test_what_cannot_be_published_says_why():
    given(EXAM).when(publish, NOON).then_refused(ExamNotFound)
    given(EXAM, DRAFTED, PUBLISHED, CLOSED).when(publish, NOON).then_refused(ExamIsClosed)


@pytest.mark.parametrize("late_by", [timedelta(0), TICK, HOUR])
def test_an_exam_whose_window_is_over_is_not_published_any_more(late_by):
    given(EXAM, ExamDrafted(blueprint=WINDOW)).when(publish, NOON + HOUR + late_by).then_refused(
        ExamWindowOver, closes_at="2026-03-02T13:00:00+00:00"
    )


def test_an_exam_is_published_up_to_the_last_moment_of_its_window():
    given(EXAM, ExamDrafted(blueprint=WINDOW)).when(publish, NOON + HOUR - TICK).then(
        ExamPublished(blueprint=WINDOW)
    )


@pytest.mark.parametrize(("by_clock", "reason"), [(True, "window_ended"), (False, "teacher")])
def test_closing_says_who_closed(by_clock, reason):
    after = given(EXAM, DRAFTED, PUBLISHED).when(close, by_clock=by_clock).then(ExamClosed(reason=reason))

    assert after.state == Closed(blueprint=PLAIN, results_released=False)
    after.when(close, by_clock=True).then_nothing()


def test_what_is_not_published_cannot_be_closed_and_has_no_results():
    for decide, keywords in ((close, {"by_clock": False}), (release_results, {})):
        given(EXAM).when(decide, **keywords).then_refused(ExamNotFound)
        given(EXAM, DRAFTED).when(decide, **keywords).then_refused(ExamNotPublished)


@pytest.mark.parametrize("facts", [(DRAFTED, PUBLISHED), (DRAFTED, PUBLISHED, CLOSED)])
def test_results_are_released_once_while_it_runs_or_after_it_is_closed(facts):
    after = given(EXAM, *facts).when(release_results).then(RELEASED)

    assert after.state.results_released
    after.when(release_results).then_nothing()


def test_results_stay_released_when_the_exam_is_closed():
    assert fold(EXAM, (DRAFTED, PUBLISHED, RELEASED, CLOSED)) == Closed(
        blueprint=PLAIN, results_released=True
    )


@pytest.mark.parametrize(
    ("facts", "error"),
    [((), ExamNotFound), ((DRAFTED,), ExamNotPublished), ((DRAFTED, PUBLISHED, CLOSED), ExamIsClosed)],
)
def test_an_exam_that_is_not_open_says_why(facts, error):
    with pytest.raises(error):
        open_for_attempts(fold(EXAM, facts), NOON)


@pytest.mark.parametrize("now", [NOON, NOON + TICK, NOON + HOUR - TICK])
def test_the_window_holds_its_first_moment_and_all_before_its_last(now):
    state = published(WINDOW).state

    assert open_for_attempts(state, now) is state


def test_before_the_window_it_is_told_when_it_opens():
    with pytest.raises(ExamNotOpenYet) as refusal:
        open_for_attempts(published(WINDOW).state, NOON - TICK)

    assert refusal.value.data() == {"opens_at": "2026-03-02T12:00:00+00:00"}


@pytest.mark.parametrize("late_by", [timedelta(0), TICK, HOUR])
def test_the_moment_in_which_the_window_closes_is_outside_of_it(late_by):
    with pytest.raises(ExamWindowOver) as refusal:
        open_for_attempts(published(WINDOW).state, NOON + HOUR + late_by)

    assert refusal.value.data() == {"closes_at": "2026-03-02T13:00:00+00:00"}


def test_half_a_window_is_open_on_the_other_side():
    assert open_for_attempts(published(blueprint(opens_at=NOON)).state, NOON + 1000 * HOUR)
    assert open_for_attempts(published(blueprint(closes_at=NOON)).state, NOON - 1000 * HOUR)
    assert open_for_attempts(published(PLAIN).state, NOON)


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (blueprint(), None),
        (blueprint(time_limit_s=90), NOON + timedelta(seconds=90)),
        (blueprint(closes_at=NOON + HOUR), NOON + HOUR),
        (blueprint(time_limit_s=90, closes_at=NOON + HOUR), NOON + timedelta(seconds=90)),
        (blueprint(time_limit_s=7200, closes_at=NOON + HOUR), NOON + HOUR),
        (blueprint(time_limit_s=3600, closes_at=NOON + HOUR), NOON + HOUR),
    ],
)
def test_an_attempt_ends_with_its_time_or_with_the_window_whichever_is_first(plan, expected):
    assert deadline(plan, NOON) == expected


def items(number):
    return tuple(FormItem(stream_id("item", uuid7(each)), 1) for each in range(number))


FAULTY = [
    (blueprint(title={}), [("/title", "no-language")]),
    (blueprint(title={"ko": "시험", "en": " "}), [("/title/en", "empty-text")]),
    (blueprint(items=()), [("/items", "number-of-items")]),
    (blueprint(items=items(MAX_ITEMS + 1)), [("/items", "number-of-items")]),
    (
        blueprint(items=(FormItem(CHOICE_ID, 1), FormItem(NUMBER_ID, 1), FormItem(CHOICE_ID, 2))),
        [("/items/2", "duplicate-item")],
    ),
    (blueprint(time_limit_s=0), [("/time_limit_s", "time-limit")]),
    (blueprint(time_limit_s=MAX_TIME_LIMIT_S + 1), [("/time_limit_s", "time-limit")]),
    (blueprint(attempts_allowed=0), [("/attempts_allowed", "attempts-allowed")]),
    (blueprint(attempts_allowed=MAX_ATTEMPTS + 1), [("/attempts_allowed", "attempts-allowed")]),
    (blueprint(opens_at=NOON, closes_at=NOON), [("/closes_at", "empty-window")]),
    (blueprint(opens_at=NOON, closes_at=NOON - TICK), [("/closes_at", "empty-window")]),
    (
        blueprint(title={}, items=(), time_limit_s=-5, attempts_allowed=-1),
        [
            ("/title", "no-language"),
            ("/items", "number-of-items"),
            ("/time_limit_s", "time-limit"),
            ("/attempts_allowed", "attempts-allowed"),
        ],
    ),
]


@pytest.mark.parametrize(("plan", "expected"), FAULTY)
def test_an_unusable_plan_is_refused_with_everything_that_is_wrong(plan, expected):
    for decision in (
        given(EXAM).when(draft, plan, new=True),
        given(EXAM, DRAFTED).when(draft, plan, new=False),
    ):
        decision.then_refused(UnusableBlueprint)
        assert [(fault["pointer"], fault["code"]) for fault in decision.refusal.data()["errors"]] == expected


@pytest.mark.parametrize(
    "plan",
    [
        blueprint(items=items(1)),
        blueprint(items=items(MAX_ITEMS)),
        blueprint(time_limit_s=1),
        blueprint(time_limit_s=MAX_TIME_LIMIT_S),
        blueprint(attempts_allowed=MAX_ATTEMPTS),
        blueprint(opens_at=NOON, closes_at=NOON + TICK),
    ],
)
def test_a_plan_at_the_edge_of_what_is_allowed_is_usable(plan):
    given(EXAM).when(draft, plan, new=True).then(ExamDrafted(blueprint=plan))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ((PUBLISHED,), Nothing()),
        ((CLOSED,), Nothing()),
        ((DRAFTED, CLOSED), Draft(PLAIN)),
        ((DRAFTED, RELEASED), Draft(PLAIN)),
        ((DRAFTED, PUBLISHED, DRAFTED), Published(blueprint=PLAIN, results_released=False)),
    ],
)
def test_facts_that_do_not_follow_from_a_state_leave_it_as_it_is(facts, expected):
    assert fold(EXAM, facts) == expected
