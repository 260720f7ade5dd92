"""From pretest to promotion over HTTP: what a calibration says, who may see it, and what a decision changes.

Those who were examined are the same for all tests of this file.
"""

import numpy as np
import pytest

from commands.reactions.calibrations import calibrate_banks_with_news
from tests.integration.calibrations.conftest import DRIFTS, EXAMINEES, OPERATIONAL, PRETEST, RULES, a_bank
from tests.support.api import ExamMade, refusal
from tests.support.calibrating import examined


@pytest.fixture(scope="module")
def calibrated(tested):
    """The answer of the first calibration, and its consistency token."""
    answer = tested.school.teacher.http.post(f"{tested.bank}/calibrations")
    assert answer.status_code == 201, answer.text
    return answer


def seen(tested, calibrated, path):
    token = {"Consistency-Token": calibrated.headers["Consistency-Token"]}
    answer = tested.school.teacher.http.get(f"{tested.bank}/{path}", headers=token)
    assert answer.status_code == 200, answer.text
    return answer


def test_a_dry_run_says_what_would_be_found_and_records_nothing(tested):
    before = len(tested.api.events(tested.exam.bank_id))
    answer = tested.school.teacher.http.post(f"{tested.bank}/calibrations", params={"dry_run": True})

    assert answer.status_code == 201
    assert answer.json()["recorded"] is False
    assert len(tested.api.events(tested.exam.bank_id)) == before


def test_a_calibration_puts_pretest_items_on_the_banks_scale(tested, calibrated):
    made = calibrated.json()
    detail = seen(tested, calibrated, f"calibrations/{made['calibration_id']}").json()
    pretest = {each["item_id"]: each for each in detail["items"] if each["role"] == "pretest"}

    assert (made["examinees"], made["recorded"], made["converged"]) == (EXAMINEES, True, True)
    assert detail["window"]["exam_ids"] == [tested.exam.exam_id]
    assert sorted(pretest) == sorted(tested.pretest_ids)
    for row, item_id in enumerate(tested.pretest_ids, OPERATIONAL):
        found = pretest[item_id]
        assert found["used"] is None
        assert found["code"] == f"item-{row}"
        assert found["responses"] == EXAMINEES
        assert abs(found["parameters"]["b"] - tested.truth.b[row]) < 4 * found["errors"]["b"]
        assert abs(found["parameters"]["a"] - tested.truth.a[row]) < 4 * found["errors"]["a"]


def test_an_item_that_drifts_raises_one_alarm_and_no_second_one(tested, calibrated):
    harder = tested.exam.item_ids[DRIFTS]
    [alarm] = seen(tested, calibrated, "drift").json()["alarms"]
    again = tested.school.teacher.http.post(f"{tested.bank}/calibrations", params={"dry_run": True}).json()

    assert alarm["item_id"] == harder
    assert alarm["drift"]["mean_residual"] < -0.05
    assert alarm["drift"]["change_b"] > 0.3
    assert alarm["settled"] is False
    assert calibrated.json()["new_drift_alarms"] == 1
    assert again["new_drift_alarms"] == 0
    assert [each["item_id"] for each in again["items"] if each["proposal"] == "review"] == [harder]


def test_what_is_promoted_is_used_by_later_exams_and_by_no_earlier_one(tested, calibrated):
    made = calibrated.json()
    chosen = tested.pretest_ids[0]
    scale = seen(tested, calibrated, "scale")
    body = {"calibration_id": made["calibration_id"], "item_ids": [chosen], "reason": "Reviewed on Monday."}
    answer = tested.school.teacher.http.post(
        f"{tested.bank}/promotions", json=body, headers={"If-Match": scale.headers["ETag"]}
    )
    stale = tested.school.teacher.http.post(
        f"{tested.bank}/promotions", json=body, headers={"If-Match": scale.headers["ETag"]}
    )
    later = tested.publish(PRETEST - 1)

    assert answer.status_code == 201, answer.text
    assert answer.json()["bank_version"] == 2
    assert refusal(stale) == (412, "stale-version")
    before, after = tested.pool_of(tested.exam.exam_id), tested.pool_of(later.exam_id)
    [found] = [each["parameters"] for each in made["items"] if each["item_id"] == chosen]
    assert (before.bank_version, after.bank_version) == (1, 2)
    assert before.items[OPERATIONAL].parameters is None
    assert after.items[OPERATIONAL].parameters == (found["a"], found["b"], found["c"], found["d"])
    assert after.items[OPERATIONAL + 1].parameters is None
    [promotion] = seen(tested, answer, "scale").json()["promotions"]
    assert promotion["promoted_by"] == tested.school.teacher.user_id
    assert [each["item_id"] for each in promotion["items"]] == [chosen]


def test_promoting_what_was_promoted_already_changes_nothing(tested, calibrated):
    body = {
        "calibration_id": calibrated.json()["calibration_id"],
        "item_ids": [tested.pretest_ids[0]],
        "reason": "Once more.",
    }
    first = tested.school.teacher.http.post(f"{tested.bank}/promotions", json=body).json()
    second = tested.school.teacher.http.post(f"{tested.bank}/promotions", json=body).json()

    assert first == second


def test_an_item_without_parameters_cannot_be_promoted(tested, calibrated):
    body = {
        "calibration_id": calibrated.json()["calibration_id"],
        "item_ids": [tested.pretest_ids[0], tested.exam.item_ids[0]],
        "reason": "?",
    }
    answer = tested.school.teacher.http.post(f"{tested.bank}/promotions", json=body)

    assert refusal(answer) == (422, "nothing-to-promote")
    assert [each["pointer"] for each in answer.json()["errors"]] == ["#/item_ids/1"]


def test_nobody_else_calibrates_or_looks(tested, calibrated):
    calibration = f"calibrations/{calibrated.json()['calibration_id']}"
    paths = ["scale", "calibrations", calibration, "drift"]
    other = tested.api.school("Other school").teacher
    student = tested.school.student()

    assert refusal(other.http.post(f"{tested.bank}/calibrations")) == (404, "item-bank-not-found")
    assert student.http.post(f"{tested.bank}/calibrations").status_code == 403
    token = {"Consistency-Token": calibrated.headers["Consistency-Token"]}
    for path in paths:
        assert refusal(other.http.get(f"{tested.bank}/{path}", headers=token)) == (404, "item-bank-not-found")
        assert student.http.get(f"{tested.bank}/{path}", headers=token).status_code == 403


def test_a_calibration_that_does_not_exist_is_not_found(tested, calibrated):
    teacher = tested.school.teacher.http
    token = {"Consistency-Token": calibrated.headers["Consistency-Token"]}
    for unknown in ("nonsense", tested.exam.exam_id, "0198f0a2-7b1c-7c3e-8d2f-0123456789ab"):
        answer = teacher.get(f"{tested.bank}/calibrations/{unknown}", headers=token)
        assert refusal(answer) == (404, "calibration-not-found")
    body = {"calibration_id": "nonsense", "item_ids": [tested.pretest_ids[0]], "reason": "?"}
    assert refusal(teacher.post(f"{tested.bank}/promotions", json=body)) == (409, "calibration-superseded")


def test_with_too_few_examinees_there_is_no_calibration(tested):
    school = tested.school
    answer = school.teacher.http.post(f"/item-banks/{school.bank()}/calibrations")

    assert refusal(answer) == (409, "too-few-examinees")
    assert (answer.json()["examinees"], answer.json()["needed"]) == (0, 200)


def test_a_request_that_comes_twice_calibrates_once(tested):
    key = {"Idempotency-Key": "calibrate-me-once"}
    first = tested.school.teacher.http.post(f"{tested.bank}/calibrations", headers=key)
    again = tested.school.teacher.http.post(f"{tested.bank}/calibrations", headers=key)

    assert first.status_code == 201
    assert first.json()["calibration_id"] == again.json()["calibration_id"]


def test_calibrations_are_listed_newest_first_in_pages(tested):
    made = tested.school.teacher.http.post(f"{tested.bank}/calibrations")
    token = {"Consistency-Token": made.headers["Consistency-Token"]}
    http = tested.school.teacher.http
    everything = http.get(f"{tested.bank}/calibrations", headers=token).json()["items"]
    first = http.get(f"{tested.bank}/calibrations", params={"limit": 1}, headers=token).json()
    rest = http.get(f"{tested.bank}/calibrations", params={"cursor": first["next_cursor"]}).json()

    assert everything[0]["calibration_id"] == made.json()["calibration_id"]
    assert first["items"] + rest["items"] == everything
    assert len(everything) >= 2


def test_rules_that_cannot_be_meant_are_refused_and_others_are_kept(tested):
    school = tested.school
    bank = f"/item-banks/{school.bank()}"
    wrong = school.teacher.http.put(f"{bank}/calibration-rules", json={"error_rate": 0.9})
    right = school.teacher.http.put(f"{bank}/calibration-rules", json={"min_examinees": 100})
    token = {"Consistency-Token": right.headers["Consistency-Token"]}

    assert wrong.status_code == 422
    assert right.status_code == 200
    scale = school.teacher.http.get(f"{bank}/scale", headers=token).json()
    assert scale["rules"]["min_examinees"] == 100
    assert scale["rules"]["min_responses"] == 200


def test_the_schedule_calibrates_what_has_news_and_promotes_where_the_rules_say_so(tested):
    api, school = tested.api, tested.school
    bank_id, item_ids, truth = a_bank(school)
    rules = {
        "promotes_automatically": True,
        "min_examinees": 120,
        "min_responses": 100,
        "max_se_difficulty": 1.0,
        "max_se_discrimination": 1.0,
    }
    assert school.teacher.http.put(f"/item-banks/{bank_id}/calibration-rules", json=rules).status_code == 200
    exam_id = school.draft(item_ids, adaptive=RULES)
    assert school.teacher.http.post(f"/exams/{exam_id}/publish").status_code == 200
    exam = ExamMade(exam_id, bank_id, item_ids)
    thetas = np.random.default_rng(9).normal(0.0, 1.0, 120).tolist()
    examined(api, school, exam, truth, thetas, seed=2)

    first = api.run(calibrate_banks_with_news(api.write, api.services.calibrations))
    second = api.run(calibrate_banks_with_news(api.write, api.services.calibrations))

    assert bank_id in first.calibrated
    assert first.failed == ()
    assert second.calibrated == ()
    promoted = api.events(bank_id)[-1]
    assert promoted.automatic
    assert {each.item_id for each in promoted.items} <= set(item_ids[OPERATIONAL:])
