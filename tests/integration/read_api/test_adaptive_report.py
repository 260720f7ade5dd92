"""The report of an adaptive exam over HTTP, held against the events that it is about."""

import asyncio
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from domain.attempts.events import AbilityUpdated, AttemptScored, ItemPresented, ResponseGiven
from domain.cat.fit.person_fit import person_fit
from domain.cat.logistic import LogisticItems
from domain.cat.types import MISSING
from domain.exams.adaptive import AdaptiveRules, PretestPlan, Randomesque
from infra.postgres.roles import READER, role_conninfo
from infra.read_store import ReadStore
from projections.adaptive_report.queries import portions
from projections.adaptive_report.tally import Tally
from tests.support.adaptive_story import AdaptiveExam, publish_adaptive, take_adaptive
from tests.support.postgres import ROLE_SECRET, fresh_database
from tests.support.school import School, a_school, an_app, client_of, principal, project
from tests.support.story import ORG, OTHER_ORG

EXAMINEES = 60


@dataclass
class Given:
    """What the events say."""

    school: School
    exam: AdaptiveExam
    untaken: AdaptiveExam
    scored: dict[str, AttemptScored]
    presented: dict[str, list[ItemPresented]]
    answers: dict[str, list[AbilityUpdated]]


@pytest.fixture(scope="module")
def given():
    school, rng = a_school(), np.random.default_rng(4)
    story = school.story
    bank = LogisticItems.of(rng.lognormal(0.2, 0.3, 80), rng.normal(-0.5, 0.9, 80), 0.2)
    rules = AdaptiveRules(
        stop_se=0.4,
        max_items=15,
        exposure=Randomesque(3),
        pretest=PretestPlan(items=1, first_position=2, last_position=4),
    )
    with story.by(school.people["teacher"]):
        exam = publish_adaptive(story, bank, rules, pretest=3, audience="zone")
    for number in range(EXAMINEES):
        person = story.person(("student", ORG), name=f"S{number}")
        answers = 2 if number == 0 else None
        take_adaptive(story, exam, person, float(rng.normal()), rng, answers=answers)
    late = story.person(("student", ORG), name="Still at it")
    take_adaptive(story, exam, late, 0.0, rng, answers=4, hands_in=False)
    untaken = publish_adaptive(story, bank, AdaptiveRules())
    scored, presented, answered = {}, {}, {}
    for each in story.events:
        event, stream = each.recorded.event, each.recorded.stream_id
        match event:
            case AttemptScored(exam_id=exam.exam_id):
                scored[stream] = event
            case ItemPresented():
                presented.setdefault(stream, []).append(event)
            case AbilityUpdated(item_id=str()):
                answered.setdefault(stream, []).append(event)
    return Given(
        school,
        exam,
        untaken,
        scored,
        {stream: presented[stream] for stream in scored},
        {stream: answered.get(stream, []) for stream in scored},
    )


@pytest.fixture(scope="module")
def conninfo(postgres_server, given):
    with fresh_database(postgres_server) as conninfo:
        project(conninfo, given.school.story)
        yield conninfo


@pytest.fixture(scope="module")
def client(conninfo, given):
    people = given.school.people
    who = {
        "teacher": principal(people["teacher"], ("teacher", ORG)),
        "other teacher": principal(people["other teacher"], ("teacher", OTHER_ORG)),
        "mina": principal(people["mina"], ("student", ORG)),
    }
    with client_of(an_app(conninfo, who)) as client:
        yield client


@pytest.fixture(scope="module")
def report(client, given):
    return client.get("teacher", f"/exams/{given.exam.exam_id}/adaptive-report").json()


def test_counts_are_those_of_the_events(report, given):
    counts = Counter(each.item_id for steps in given.presented.values() for each in steps)
    assert (report["attempts"], report["attempts_open"]) == (EXAMINEES, 1)
    assert {each["item_id"]: each["given"] for each in report["items"]} == {
        item: counts.get(item, 0) for item in given.exam.items
    }
    assert report["never_given"] == sum(counts.get(item, 0) == 0 for item in given.exam.items)
    assert report["highest_exposure"] == max(counts.values()) / EXAMINEES
    assert report["pretest_items"] == 3
    for item in report["items"]:
        assert sum(item["by_ability"]) == item["given"]


def test_overlap_is_the_mean_over_all_pairs_of_tests(report, given):
    tests = [{each.item_id for each in steps} for steps in given.presented.values()]
    common = [len(one & other) for n, one in enumerate(tests) for other in tests[:n]]
    mean_length = np.mean([len(each) for each in tests])
    assert report["overlap"] == pytest.approx(np.mean(common) / mean_length, rel=1e-12)


def test_lengths_precision_and_reasons_are_those_of_the_events(report, given):
    abilities = [each.ability for each in given.scored.values()]
    assert report["length"]["mean"] == pytest.approx(np.mean([each.items for each in abilities]))
    assert report["se"]["median"] == pytest.approx(np.median([each.se for each in abilities]))
    assert report["expected_rmse"] == pytest.approx(np.sqrt(np.mean([each.se**2 for each in abilities])))
    assert report["share_below_stop_se"] == np.mean([each.se < 0.4 for each in abilities])
    reasons = Counter(each.stop_reason for each in abilities)
    assert report["stop_reasons"] == reasons
    assert reasons["examinee"] == 1
    assert {each["items"]: each["attempts"] for each in report["lengths"]} == Counter(
        each.items for each in abilities
    )


def test_shrinkage_is_what_the_prior_did_to_each_estimate(report, given):
    abilities = [each.ability for each in given.scored.values()]
    theta, se = (np.array([getattr(each, name) for each in abilities]) for name in ("theta", "se"))
    drawn = np.abs(theta * se**2 / (1 - se**2))
    extreme = drawn[np.abs(theta) >= 2]
    assert report["shrinkage"] == pytest.approx(drawn.mean())
    assert report["shrinkage_at_extremes"] == (pytest.approx(extreme.mean()) if extreme.size else None)


def test_each_attempt_is_counted_in_the_bin_of_its_ability(report, given):
    thetas = [each.ability.theta for each in given.scored.values()]
    for row in report["by_ability"]:
        low = -np.inf if row["low"] is None else row["low"]
        high = np.inf if row["high"] is None else row["high"]
        assert row["attempts"] == sum(low <= theta < high for theta in thetas)
    assert sum(row["attempts"] for row in report["by_ability"]) == EXAMINEES


def test_a_bank_that_is_too_easy_has_its_gap_at_the_upper_end(client, given):
    path = f"/exams/{given.exam.exam_id}/adaptive-report"
    report = client.get("teacher", path, params={"exposure_limit": 1.0}).json()
    gaps = {row["point"]: row["gap"] for row in report["by_ability"]}
    assert gaps[3.75] == "precision"
    assert gaps[-0.25] is None
    inside = [row for row in report["by_ability"] if row["gap"] is not None]
    assert report["attempts_in_gaps"] == sum(row["attempts"] for row in inside)


def test_the_lower_the_exposure_limit_the_fewer_items_are_fresh(client, given):
    path = f"/exams/{given.exam.exam_id}/adaptive-report"
    strict = client.get("teacher", path, params={"exposure_limit": 0.0}).json()
    gaps = {row["point"]: row["gap"] for row in strict["by_ability"]}
    assert gaps[-0.25] == "fresh_items"
    assert strict["overexposed"] == sum(item["given"] > 0 for item in strict["items"])


def test_right_answers_are_held_against_what_the_parameters_say(report, given):
    answers = [each for steps in given.answers.values() for each in steps]
    for row, item in enumerate(report["items"]):
        right = [each.right for each in answers if each.item_id == item["item_id"]]
        assert item["right"] == (pytest.approx(np.mean(right)) if right else None)
        thetas = [
            given.scored[stream].ability.theta
            for stream, steps in given.answers.items()
            if any(each.item_id == item["item_id"] for each in steps)
        ]
        if row < len(given.exam.bank) and thetas:
            chances = given.exam.bank[[row]].correct(thetas)[:, 0]
            assert item["expected_right"] == pytest.approx(chances.mean())
        else:
            assert item["expected_right"] is None


def test_times_are_those_between_an_item_and_its_response(report, given):
    shown, seconds = {}, {}
    for each in given.school.story.events:
        event, at = each.recorded.event, each.recorded.metadata.recorded_at
        if isinstance(event, ItemPresented):
            shown[each.recorded.stream_id, event.item_id] = at
        elif isinstance(event, ResponseGiven) and each.recorded.stream_id in given.scored:
            taken_s = (at - shown[each.recorded.stream_id, event.item_id]).total_seconds()
            seconds.setdefault(event.item_id, []).append(taken_s)
    for item in report["items"]:
        times = seconds.get(item["item_id"])
        assert item["median_s"] == (pytest.approx(np.median(times)) if times else None)
        assert item["slow_s"] == (pytest.approx(np.quantile(times, 0.9)) if times else None)


def test_person_fit_is_that_of_the_whole_table_of_responses(report, given):
    table = np.full((EXAMINEES, len(given.exam.bank)), MISSING)
    thetas = [each.ability.theta for each in given.scored.values()]
    for row, stream in enumerate(given.scored):
        for each in given.answers[stream]:
            if not each.pretest:
                table[row, given.exam.items.index(each.item_id)] = each.right
    fit = person_fit(given.exam.bank, table, thetas).lz_star
    fit = fit[np.isfinite(fit)]
    assert report["person_fit"]["attempts"] == fit.size
    assert report["person_fit"]["mean"] == pytest.approx(fit.mean())
    assert report["person_fit"]["flagged"] == (fit < -2.326).sum()


def test_attempts_are_read_a_few_at_a_time_each_once_and_counted_the_same(conninfo, given, report):
    pool_size = len(given.exam.items)
    rows = np.where(np.arange(pool_size) < len(given.exam.bank), np.arange(pool_size), -1)
    tally, seen, sizes = Tally(given.exam.bank, rows), [], []

    async def read():
        teacher = principal(given.school.people["teacher"], ("teacher", ORG))
        async with (
            ReadStore(role_conninfo(conninfo, READER, ROLE_SECRET), max_size=1) as store,
            store.session(teacher) as connection,
        ):
            async for portion in portions(connection, given.exam.exam_id, attempts_at_once=7):
                seen.extend(portion.attempt_ids)
                sizes.append(portion.theta.size)
                tally.add(portion)

    asyncio.run(read())
    assert seen == sorted(given.scored)
    assert sizes == [7] * 8 + [4]
    assert tally.given.sum(axis=1).tolist() == [item["given"] for item in report["items"]]
    assert tally.endings().se.mean() == pytest.approx(report["se"]["mean"])
    assert len(tally.unusual()) == 20
    fits = [each.minus_lz_star for each in tally.unusual()]
    assert fits == sorted(fits, reverse=True)
    assert -fits[0] == np.nanmin(tally.endings().lz_star)


def test_an_exam_that_nobody_took_has_a_report_of_its_pool_alone(client, given):
    report = client.get("teacher", f"/exams/{given.untaken.exam_id}/adaptive-report").json()
    assert (report["attempts"], report["overlap"], report["length"]["mean"]) == (0, None, None)
    assert report["never_given"] == report["pool_size"] == len(given.exam.bank)
    assert min(row["best_se"] for row in report["by_ability"]) < 0.35


def test_a_fixed_exam_has_no_such_report(client, given):
    exam_id = given.school.exams["at_once"]
    client.problem("teacher", f"/exams/{exam_id}/adaptive-report", 409, "exam-not-adaptive")


def test_the_report_is_for_the_staff_of_the_organisation_alone(client, given):
    path = f"/exams/{given.exam.exam_id}/adaptive-report"
    client.problem("mina", path, 403, "role-required")
    client.problem("other teacher", path, 404, "exam-not-found")
    client.problem(None, path, 401, "unauthenticated")
    unknown = "/exams/exam-019cabcd-0000-7000-8000-00000000dead/adaptive-report"
    client.problem("teacher", unknown, 404, "exam-not-found")
