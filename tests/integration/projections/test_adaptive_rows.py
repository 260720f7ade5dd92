"""Rows of adaptive exams and attempts: right, and the same however the log is cut."""

from random import Random

import msgspec
import numpy as np
import pytest

from domain.attempts.events import AbilityUpdated, AttemptScored, ResponseGiven
from domain.cat.logistic import LogisticItems
from domain.exams.adaptive import AdaptiveRules, Enemies, PretestPlan
from domain.exams.events import ExamDrafted
from infra.projections.rebuild import fingerprint
from projections.attempts.projection import AttemptsProjection
from projections.catalogue.projection import CatalogueProjection
from projections.item_analysis.projection import ItemAnalysisProjection
from projections.rows import RowMissing
from tests.support.adaptive_looks import found_ability, presented, updates
from tests.support.adaptive_story import publish_adaptive, take_adaptive
from tests.support.story import ORG, ChosenOptions, Story, a_choice_item

RULES = AdaptiveRules(
    max_items=5, stop_se=None, pretest=PretestPlan(items=1, first_position=2, last_position=3)
)
POOL_SIZE = 12


def an_exam(story, rules=RULES):
    rng = np.random.default_rng(1)
    bank = LogisticItems.of(rng.uniform(0.8, 2.0, 10), rng.normal(size=10), 0.2, 1.0)
    return publish_adaptive(story, bank, rules, pretest=2)


def a_taken_exam(**options):
    story = Story()
    exam = an_exam(story)
    attempt = take_adaptive(
        story, exam, story.person(("student", ORG)), 0.4, np.random.default_rng(3), **options
    )
    return story, exam, attempt


def interleaved(story, seed):
    """The same streams, in another order of the log."""
    random, mixed = Random(seed), Story()
    attempts, rest = {}, []
    for each in story.events:
        recorded = each.recorded
        if recorded.category == "attempt":
            attempts.setdefault(recorded.stream_id, []).append(recorded.event)
        else:
            rest.append(recorded)
    for recorded in rest:
        mixed.add(recorded.stream_id, recorded.event)
    while attempts:
        stream = random.choice(sorted(attempts))
        mixed.add(stream, attempts[stream].pop(0))
        if not attempts[stream]:
            del attempts[stream]
    return mixed


def apply_in_batches(connection, projection, events, size):
    for table in projection.tables:
        connection.execute(f"DELETE FROM read.{table}")
    for start in range(0, len(events), size):
        with connection.transaction(), connection.cursor() as cursor:
            projection.apply(cursor, events[start : start + size])


def project(connection, story, *projections):
    for projection in projections:
        apply_in_batches(connection, projection, story.events, 10_000)


def rows(connection, statement, *parameters):
    return connection.execute(statement, parameters).fetchall()


def test_the_rows_of_many_attempts_at_once_are_the_same_for_every_batch_size(projector):
    story = Story()
    exam, rng = an_exam(story), np.random.default_rng(2)
    for answers, hands_in in [(None, True), (3, True), (4, False), (0, False), (None, True), (1, True)]:
        student = story.person(("student", ORG))
        take_adaptive(story, exam, student, 0.0, rng, answers=answers, hands_in=hands_in)
    mixed = interleaved(story, seed=4)
    seen = set()
    for size in (1, 2, 3, 7, 10_000):
        apply_in_batches(projector, AttemptsProjection(), mixed.events, size)
        seen.add(fingerprint(projector, AttemptsProjection()))
    assert len(seen) == 1
    counted = rows(projector, "SELECT items_counted FROM read.attempt_abilities ORDER BY attempt_id")
    assert [row["items_counted"] for row in counted] == [5, 2, 3, 0, 5, 1]


def test_each_step_shows_what_was_presented_and_what_the_response_told(projector):
    story, exam, attempt = a_taken_exam()
    project(projector, story, AttemptsProjection())
    given, found = presented(story, attempt), updates(story, attempt)
    steps = rows(projector, "SELECT * FROM read.attempt_steps ORDER BY step")
    assert len(steps) == RULES.max_items + 1
    for row, item, update in zip(steps, given, found, strict=True):
        assert (row["step"], row["item_id"], row["pretest"]) == (item.step, item.item_id, item.pretest)
        assert (row["theta_before"], row["draw"]) == (item.theta, item.draw)
        assert (row["is_right"], row["theta"], row["se"]) == (update.right, update.theta, update.se)
        assert row["presented_at"] < row["responded_at"]
        assert (row["attempt_id"], row["exam_id"], row["org_id"]) == (attempt, exam.exam_id, ORG)
    [row] = rows(projector, "SELECT * FROM read.attempts")
    assert (row["adaptive"], row["status"], row["responses_given"]) == (True, "scored", len(steps))


def test_ability_of_an_attempt_begins_with_its_prior_and_ends_as_it_was_scored(projector):
    story, _, attempt = a_taken_exam()
    project(projector, story, AttemptsProjection())
    [row] = rows(projector, "SELECT * FROM read.attempt_abilities")
    found = found_ability(story, attempt)
    assert (row["prior_mean"], row["prior_sd"], row["carried_over_from"]) == (0.0, 1.0, None)
    assert (row["theta"], row["se"], row["method"]) == (found.theta, found.se, found.method)
    assert (row["items_counted"], row["items_presented"]) == (RULES.max_items, RULES.max_items + 1)
    assert (row["stop_reason"], row["category"]) == ("max_items", None)


def test_an_attempt_that_is_handed_in_early_says_by_whom_and_leaves_its_last_item_unanswered(projector):
    story, _, attempt = a_taken_exam(answers=2)
    project(projector, story, AttemptsProjection())
    [row] = rows(projector, "SELECT * FROM read.attempt_abilities")
    assert (row["stop_reason"], row["theta"]) == ("examinee", found_ability(story, attempt).theta)
    last = rows(projector, "SELECT * FROM read.attempt_steps ORDER BY step")[-1]
    assert (last["step"], last["responded_at"], last["is_right"], last["theta"]) == (3, None, None, None)


def test_a_response_that_the_engine_has_not_seen_yet_has_a_time_and_no_judgement(projector):
    story, exam, attempt = a_taken_exam(answers=1, hands_in=False)
    pending = presented(story, attempt)[-1]
    omitted = ResponseGiven(
        examinee_id=pending.examinee_id,
        exam_id=exam.exam_id,
        item_id=pending.item_id,
        item_version=1,
        response=None,
        sequence=1,
    )
    given = story.add(attempt, omitted)
    project(projector, story, AttemptsProjection())
    last = rows(projector, "SELECT * FROM read.attempt_steps ORDER BY step")[-1]
    assert (last["step"], last["is_right"], last["theta"]) == (pending.step, None, None)
    assert last["responded_at"] == given.recorded.metadata.recorded_at
    [row] = rows(projector, "SELECT responses_given FROM read.attempts")
    assert row["responses_given"] == 1  # none was given with the second


def test_fixed_attempts_have_neither_steps_nor_ability(projector):
    story = Story()
    exam = story.exam([story.item(story.bank(), "q", a_choice_item())])
    story.take(exam, story.person(("student", ORG)), [ChosenOptions(("1",))])
    project(projector, story, AttemptsProjection())
    assert rows(projector, "SELECT adaptive FROM read.attempts") == [{"adaptive": False}]
    for table in ("attempt_steps", "attempt_abilities"):
        assert rows(projector, f"SELECT * FROM read.{table}") == []


def test_a_judgement_of_an_item_that_was_never_presented_is_an_error(projector):
    story, _, attempt = a_taken_exam(answers=1, hands_in=False)
    project(projector, story, AttemptsProjection())
    update = updates(story, attempt)[-1]
    story.add(attempt, msgspec.structs.replace(update, step=9))
    with pytest.raises(RowMissing, match="attempt_steps"), projector.cursor() as cursor:
        AttemptsProjection().apply(cursor, story.events[-1:])


def test_an_adaptive_exam_shows_its_length_its_bank_and_no_greatest_score(projector):
    story = Story()
    exam = an_exam(story)
    project(projector, story, CatalogueProjection())
    [row] = rows(projector, "SELECT * FROM read.exams")
    assert (row["delivery"], row["item_count"], row["max_score"]) == ("adaptive", RULES.max_items, None)
    assert row["bank_version"] == 1
    assert row["bank_id"] == rows(projector, "SELECT bank_id FROM read.item_banks")[0]["bank_id"]
    [kept] = rows(projector, "SELECT * FROM read.adaptive_exams")
    assert (kept["pool_size"], kept["org_id"]) == (POOL_SIZE, ORG)
    assert msgspec.convert(kept["rules"], AdaptiveRules) == RULES
    pool = rows(projector, "SELECT item_id, parameters FROM read.exam_items ORDER BY ordinal")
    assert [row["item_id"] for row in pool] == exam.items
    assert pool[3]["parameters"] == {name: float(getattr(exam.bank, name)[3]) for name in "abcd"}
    assert [row["parameters"] for row in pool[-2:]] == [None, None]


def test_rules_with_constraints_come_out_of_the_rows_as_they_went_in(projector):
    story = Story()
    items = [story.item(story.bank(), f"q{n}", a_choice_item()) for n in range(2)]
    rules = AdaptiveRules(constraints=(Enemies(tuple(items)),), max_items=2)
    story.draft(items, adaptive=rules)
    project(projector, story, CatalogueProjection())
    [kept] = rows(projector, "SELECT rules FROM read.adaptive_exams")
    assert msgspec.convert(kept["rules"], AdaptiveRules) == rules


def test_an_exam_that_is_drafted_anew_as_a_fixed_one_keeps_nothing_adaptive(projector):
    story = Story()
    items = [story.item(story.bank(), f"q{n}", a_choice_item()) for n in range(3)]
    draft = story.draft(items, adaptive=AdaptiveRules(max_items=2))
    fixed = msgspec.structs.replace(story.blueprint(draft), adaptive=None)
    for size in (1, 10_000):
        story.add(draft, ExamDrafted(blueprint=fixed))
        apply_in_batches(projector, CatalogueProjection(), story.events, size)
        [row] = rows(projector, "SELECT delivery, item_count, max_score FROM read.exams")
        assert (row["delivery"], row["item_count"], row["max_score"]) == ("fixed", 3, 3)
        assert rows(projector, "SELECT * FROM read.adaptive_exams") == []


def test_item_analysis_passes_over_adaptive_exams_and_goes_on_with_the_others(projector):
    story, _, _ = a_taken_exam()
    fixed = story.exam([story.item(story.bank(), "q", a_choice_item())])
    story.take(fixed, story.person(("student", ORG)), [ChosenOptions(("1",))])
    assert any(
        isinstance(each.recorded.event, AttemptScored) and each.recorded.event.ability is not None
        for each in story.events
    )
    for size in (1, 10_000):
        apply_in_batches(projector, ItemAnalysisProjection(), story.events, size)
        assert rows(projector, "SELECT exam_id, n FROM read.exam_statistics") == [{"exam_id": fixed, "n": 1}]
        assert len(rows(projector, "SELECT * FROM read.score_distribution")) == 1


def test_the_prior_is_told_before_the_first_item_and_is_no_response(projector):
    story, _, attempt = a_taken_exam(answers=0, hands_in=False)
    prior = next(
        each.recorded.event for each in story.events if isinstance(each.recorded.event, AbilityUpdated)
    )
    project(projector, story, AttemptsProjection())
    [row] = rows(projector, "SELECT * FROM read.attempt_abilities")
    assert (row["attempt_id"], row["theta"], row["se"]) == (attempt, prior.theta, prior.se)
    assert (row["items_counted"], row["items_presented"], row["method"]) == (0, 1, "prior")
