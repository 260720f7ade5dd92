"""Rows of every projection on a real PostgreSQL: right, and the same however the log is cut."""

import hashlib
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.exams.events import ExamClosed
from domain.items.content import MultipleResponse
from domain.items.responses import ChosenOptions
from infra.projections.rebuild import fingerprint
from projections.access.projection import AccessProjection
from projections.attempts.projection import AttemptsProjection
from projections.calibrations.projection import CalibrationsProjection
from projections.catalogue.projection import CatalogueProjection
from projections.item_analysis.projection import ItemAnalysisProjection
from projections.people.projection import PeopleProjection
from projections.role_reviews.projection import RoleReviewsProjection
from projections.rows import RowMissing
from tests.support.story import ORG, Story, a_choice_item, a_numeric_item, a_whole_story

PROJECTIONS = [
    AccessProjection(),
    PeopleProjection(),
    CatalogueProjection(),
    AttemptsProjection(),
    ItemAnalysisProjection(),
    CalibrationsProjection(),
    RoleReviewsProjection(),
]
BY_NAME = pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda each: each.name)


def apply_in_batches(connection, projection, events, size):
    for start in range(0, len(events), size):
        with connection.transaction(), connection.cursor() as cursor:
            projection.apply(cursor, events[start : start + size])


def apply_all(connection, story):
    for projection in PROJECTIONS:
        apply_in_batches(connection, projection, story.events, 500)


def empty(connection, projection):
    for table in projection.tables:
        connection.execute(f"DELETE FROM read.{table}")


def rows(connection, statement, *parameters):
    return connection.execute(statement, parameters).fetchall()


def copied(connection, projection):
    """The tables as bytes, without the help of the code under test."""
    text = hashlib.sha256()
    for table in sorted(projection.tables):
        found = connection.execute(f"SELECT t::text AS line FROM read.{table} t").fetchall()
        text.update("\n".join(sorted(row["line"] for row in found)).encode())
    return text.hexdigest()


@BY_NAME
def test_the_rows_are_the_same_for_every_batch_size(projector, projection):
    story = a_whole_story(relations=True)
    seen = set()
    for size in (1, 7, 500):
        empty(projector, projection)
        apply_in_batches(projector, projection, story.events, size)
        seen.add((fingerprint(projector, projection), copied(projector, projection)))
    assert len(seen) == 1


def test_the_rows_are_the_same_wherever_the_log_is_cut(projector):
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(seed=st.integers(0, 5), cuts=st.lists(st.integers(0, 400), max_size=12))
    def check(seed, cuts):
        events = a_whole_story(4, seed).events
        for projection in PROJECTIONS:
            empty(projector, projection)
            apply_in_batches(projector, projection, events, 10_000)
            whole = copied(projector, projection)
            empty(projector, projection)
            borders = sorted({0, len(events), *(min(cut, len(events)) for cut in cuts)})
            for begin, end in pairwise(borders):
                apply_in_batches(projector, projection, events[begin:end], 10_000)
            assert copied(projector, projection) == whole

    check()


@BY_NAME
def test_events_of_other_kinds_are_passed_over(projector, projection):
    foreign = [
        each
        for each in a_whole_story(relations=True).events
        if not isinstance(each.recorded.event, projection.event_types)
    ]
    assert foreign
    apply_in_batches(projector, projection, foreign, 500)
    for table in projection.tables:
        assert rows(projector, f"SELECT * FROM read.{table}") == []


def test_a_person_is_shown_with_their_newest_profile_and_all_roles(projector):
    story = a_whole_story(relations=True)
    apply_all(projector, story)
    [person] = rows(projector, "SELECT * FROM read.people ORDER BY user_id LIMIT 1")
    assert (person["display_name"], person["language"]) == ("새 이름", "en")
    assert person["roles"] == [{"role": "student", "org_id": ORG}]
    assert person["version"] == 3


def test_key_explanation_and_parameters_stand_in_the_key_table_alone(projector):
    story = Story()
    story.item(story.bank(), "q1", a_choice_item(("KEYED", "other")))
    apply_all(projector, story)
    [item] = rows(projector, "SELECT * FROM read.item_versions")
    assert set(item["public"]) == {"stem", "options"}
    assert "Because" not in str(item)
    [kept_back] = rows(projector, "SELECT * FROM read.item_keys")
    assert kept_back["key"] == {"options": ["KEYED"]}
    assert kept_back["explanation"] == {"en": "Because it says so."}
    assert kept_back["irt"]["a"] == 1.1


def test_only_the_newest_version_of_an_item_is_marked_as_such(projector):
    story = a_whole_story(relations=True)
    apply_all(projector, story)
    newest = rows(projector, "SELECT item_id, item_version FROM read.item_versions WHERE newest")
    assert Counter(row["item_version"] for row in newest) == {1: 18, 2: 1}
    assert len({row["item_id"] for row in newest}) == len(newest)


def test_an_exam_shows_its_state_its_form_and_its_greatest_score(projector):
    story = Story()
    bank = story.bank()
    first, second = story.item(bank, "a", a_choice_item(points=3)), story.item(bank, "b", a_numeric_item(2))
    exam = story.exam([second, first], release="after_closing")
    story.add(exam, ExamClosed(reason="window_ended"))
    apply_all(projector, story)
    [row] = rows(projector, "SELECT * FROM read.exams")
    assert (row["status"], row["item_count"], row["max_score"], row["version"]) == ("closed", 2, 5, 3)
    assert row["drafted_at"] < row["published_at"] < row["closed_at"]
    form = rows(projector, "SELECT item_id FROM read.exam_items ORDER BY ordinal")
    assert [item["item_id"] for item in form] == [second, first]


def test_a_redrafted_exam_keeps_no_item_of_the_earlier_draft(projector):
    from domain.exams.events import ExamDrafted

    story = Story()
    bank = story.bank()
    items = [story.item(bank, f"q{n}", a_choice_item()) for n in range(3)]
    long = story.draft(items)
    short = story.blueprint(story.draft(items[:1]))
    story.add(long, ExamDrafted(blueprint=short))
    apply_all(projector, story)
    form = rows(projector, "SELECT item_id FROM read.exam_items WHERE exam_id = %s", long)
    assert [row["item_id"] for row in form] == items[:1]
    [row] = rows(projector, "SELECT item_count, max_score, version FROM read.exams WHERE exam_id = %s", long)
    assert (row["item_count"], row["max_score"], row["version"]) == (1, 1, 2)


def test_an_attempt_counts_the_answers_that_stand(projector):
    story = Story()
    bank = story.bank()
    items = [story.item(bank, f"q{n}", a_choice_item()) for n in range(3)]
    attempt = story.start(story.exam(items), story.person(("student", ORG)))
    story.respond(attempt, items[0], ChosenOptions(("1",)))
    story.respond(attempt, items[0], ChosenOptions(("2",)))
    story.respond(attempt, items[1], ChosenOptions(("1",)))
    story.respond(attempt, items[1], None)
    apply_all(projector, story)
    [row] = rows(projector, "SELECT * FROM read.attempts")
    assert (row["status"], row["responses_given"], row["version"]) == ("in_progress", 1, 5)
    assert rows(projector, "SELECT * FROM read.attempt_scores") == []
    saved = rows(projector, "SELECT * FROM read.attempt_responses ORDER BY item_id")
    assert [(each["response"], each["changes"], each["sequence"]) for each in saved] == [
        ({"kind": "options", "options": ["2"]}, 1, 2),
        (None, 1, 2),
    ]
    story.submit(attempt)
    projected = story.events[-2:]
    apply_in_batches(projector, AttemptsProjection(), projected, 1)
    [row] = rows(projector, "SELECT * FROM read.attempts")
    assert (row["status"], row["submitted_by"]) == ("scored", "examinee")
    [result] = rows(projector, "SELECT * FROM read.attempt_scores")
    assert (result["attempt_id"], result["score"], result["max_score"]) == (attempt, 0, 3)
    assert row["scored_at"] == projected[-1].recorded.metadata.recorded_at
    assert len(rows(projector, "SELECT * FROM read.scored_items")) == 3


def test_only_the_first_attempt_of_an_examinee_is_analysed(projector):
    story = Story()
    item = story.item(story.bank(), "q", a_choice_item())
    exam = story.exam([item], attempts_allowed=2)
    student = story.person(("student", ORG))
    story.take(exam, student, [ChosenOptions(("2",))])
    story.take(exam, student, [ChosenOptions(("1",))], ordinal=2)
    apply_all(projector, story)
    [sums] = rows(projector, "SELECT n, sum_score FROM read.exam_statistics")
    assert (sums["n"], sums["sum_score"]) == (1, 0)
    chosen = rows(projector, "SELECT option, chosen FROM read.option_statistics ORDER BY ordinal")
    assert [(row["option"], row["chosen"]) for row in chosen] == [("1", 0), ("2", 1), ("3", 0), ("4", 0)]


def test_an_exam_without_examinees_has_noughts_for_every_item_and_option(projector):
    story = Story()
    bank = story.bank()
    story.exam([story.item(bank, "a", a_choice_item()), story.item(bank, "b", a_numeric_item())])
    apply_all(projector, story)
    items = rows(projector, "SELECT ordinal, n, max_score FROM read.item_statistics ORDER BY ordinal")
    assert [(row["ordinal"], row["n"], row["max_score"]) for row in items] == [(1, 0, 1), (2, 0, 2)]
    assert len(rows(projector, "SELECT * FROM read.option_statistics WHERE chosen = 0")) == 4


def test_every_chosen_option_of_a_multiple_response_counts(projector):
    story = Story()
    plain = a_choice_item()
    content = MultipleResponse(
        content_area="reading", stem=plain.stem, options=plain.options, key=plain.key, points=1
    )
    exam = story.exam([story.item(story.bank(), "m", content)])
    story.take(exam, story.person(("student", ORG)), [ChosenOptions(("1", "3"))])
    apply_all(projector, story)
    chosen = rows(projector, "SELECT option FROM read.option_statistics WHERE chosen = 1 ORDER BY option")
    assert [row["option"] for row in chosen] == ["1", "3"]


def test_sums_beyond_64_bits_stay_exact(projector):
    points = 4_000_000_000_000
    story = Story()
    exam = story.exam([story.item(story.bank(), "q", a_choice_item(points=points))])
    for _ in range(3):
        story.take(exam, story.person(("student", ORG)), [ChosenOptions(("1",))])
    for size in (1, 500):
        for projection in PROJECTIONS:
            empty(projector, projection)
            apply_in_batches(projector, projection, story.events, size)
        [row] = rows(projector, "SELECT sum_score_squared FROM read.exam_statistics")
        assert int(row["sum_score_squared"]) == 3 * points * points


def test_an_event_about_something_unknown_is_an_error_and_not_ignored(projector):
    story = Story()
    item = story.item(story.bank(), "q", a_choice_item())
    exam = story.exam([item])
    attempt = story.start(exam, story.person(("student", ORG)))
    story.submit(attempt)
    with pytest.raises(RowMissing):
        apply_in_batches(projector, AttemptsProjection(), story.events[-2:], 500)
    with pytest.raises(RowMissing):
        apply_in_batches(projector, ItemAnalysisProjection(), story.events[-1:], 500)
