"""Authoring an adaptive exam over HTTP: its rules, its pool, and everything that can be wrong with them."""

import time

import pytest

from domain.exams.adaptive import AdaptiveRules, AreaCount, Enemies, PretestPlan, Randomesque, SympsonHetter
from tests.support.adaptive_api import adaptive_exam, pool_of_items
from tests.support.api import choice_item, refusal

UNKNOWN_ITEM = "item-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"
UNKNOWN_EXAM = "exam-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"


@pytest.fixture(scope="module")
def pool(shared_manual_school):
    return pool_of_items(shared_manual_school, operational=10, pretest=2)


def body(item_ids, **rules):
    return {
        "title": {"ko": "적응형 검사", "en": "Adaptive test"},
        "items": [{"item_id": each} for each in item_ids],
        "adaptive": rules,
    }


def drafted(school, exam_id):
    return school.api.events(exam_id)[-1].blueprint


def test_the_defaults_are_maximum_information_until_the_error_is_small_or_fifty_items(manual_school, pool):
    answer = manual_school.teacher.http.post("/exams", json=body(pool[1]))
    assert answer.status_code == 201
    assert (answer.json()["delivery"], answer.json()["pool"]) == ("adaptive", None)
    rules = drafted(manual_school, answer.json()["exam_id"]).adaptive
    assert rules == AdaptiveRules()
    assert (rules.selection, rules.stop_se, rules.max_items) == ("maximum_information", 0.3, 50)


def test_every_rule_is_recorded_as_it_was_written(manual_school, pool):
    item_ids = pool[1]
    rules = {
        "selection": "kullback_leibler",
        "exposure": {"kind": "randomesque", "among": 3},
        "constraints": [
            {"kind": "area_count", "area": "reading", "low": 1, "high": 4},
            {"kind": "enemies", "items": item_ids[:2]},
        ],
        "stop_se": None,
        "max_items": 4,
        "min_items": 2,
        "min_information": 0.1,
        "classification": {"cuts": [-1, 0.5], "confidence": 0.9},
        "prior_mean": 1,
        "prior_sd": 2,
        "pretest": {"items": 1, "first_position": 2, "last_position": 3},
        "shows_key": True,
    }
    answer = manual_school.teacher.http.post("/exams", json=body(item_ids, **rules))
    assert answer.status_code == 201, answer.text
    recorded = drafted(manual_school, answer.json()["exam_id"]).adaptive
    assert recorded.selection == "kullback_leibler"
    assert recorded.exposure == Randomesque(3)
    assert recorded.constraints == (AreaCount("reading", 1, 4), Enemies(tuple(item_ids[:2])))
    assert (recorded.stop_se, recorded.min_items, recorded.max_items) == (None, 2, 4)
    assert recorded.classification.cuts == (-1.0, 0.5)
    assert recorded.pretest == PretestPlan(items=1, first_position=2, last_position=3)
    assert (recorded.prior_mean, recorded.prior_sd, recorded.shows_key) == (1.0, 2.0, True)
    exam_id = answer.json()["exam_id"]
    shares = {"shares": [{"area": "reading", "share": 2}], "exposure": {"kind": "progressive"}}
    assert manual_school.teacher.http.put(f"/exams/{exam_id}", json=body(item_ids, **shares)).is_success
    assert drafted(manual_school, exam_id).adaptive.constraints == ()
    held_back = {"exposure": {"kind": "sympson_hetter", "probabilities": [0.5] * len(item_ids)}}
    assert manual_school.teacher.http.put(f"/exams/{exam_id}", json=body(item_ids, **held_back)).is_success
    assert drafted(manual_school, exam_id).adaptive.exposure == SympsonHetter((0.5,) * len(item_ids))


def test_a_published_exam_says_what_its_pool_is(manual_school, pool):
    bank_id, item_ids = pool
    exam_id = manual_school.draft(item_ids, adaptive={"pretest": {"items": 1}})
    published = manual_school.teacher.http.post(f"/exams/{exam_id}/publish").json()
    assert published["delivery"] == "adaptive"
    assert published["pool"] == {"items": 12, "pretest_items": 2, "bank_id": bank_id, "bank_version": 1}
    fixed = manual_school.draft(item_ids)
    published = manual_school.teacher.http.post(f"/exams/{fixed}/publish").json()
    assert (published["delivery"], published["pool"]) == ("fixed", None)


@pytest.mark.parametrize(
    ("rules", "pointer"),
    [
        ({"selection": "by_hand"}, "#/adaptive/selection"),
        ({"exposure": {"kind": "lottery"}}, "#/adaptive/exposure"),
        ({"exposure": {"kind": "randomesque", "among": 0}}, "#/adaptive/exposure/among"),
        ({"exposure": {"kind": "progressive", "acceleration": "2"}}, "#/adaptive/exposure/acceleration"),
        (
            {"exposure": {"kind": "sympson_hetter", "probabilities": [2]}},
            "#/adaptive/exposure/probabilities/0",
        ),
        ({"stop_se": 0}, "#/adaptive/stop_se"),
        ({"max_items": 201}, "#/adaptive/max_items"),
        ({"max_items": True}, "#/adaptive/max_items"),
        ({"constraints": [{"kind": "area_count", "area": ""}]}, "#/adaptive/constraints/0/area"),
        (
            {"constraints": [{"kind": "enemies", "items": [UNKNOWN_ITEM]}]},
            "#/adaptive/constraints/0/items",
        ),
        ({"classification": {}}, "#/adaptive/classification/cuts"),
        ({"carry_over": {"exam_id": "exam-1"}}, "#/adaptive/carry_over/exam_id"),
        ({"prior_sd": 0.1}, "#/adaptive/prior_sd"),
        ({"prior": 0}, "#/adaptive/prior"),
    ],
)
def test_rules_of_the_wrong_shape_are_refused_with_a_pointer(manual_school, pool, rules, pointer):
    answer = manual_school.teacher.http.post("/exams", json=body(pool[1], **rules))
    assert refusal(answer) == (422, "invalid-request")
    assert pointer in {error["pointer"] for error in answer.json()["errors"]}


@pytest.mark.parametrize(
    ("rules", "pointer", "code"),
    [
        ({"min_items": 9, "max_items": 8}, "#/adaptive/min_items", "number-of-items"),
        ({"min_items": 13}, "#/adaptive/min_items", "too-few-items"),
        (
            {"exposure": {"kind": "sympson_hetter", "probabilities": [1]}},
            "#/adaptive/exposure/probabilities",
            "one-an-item",
        ),
        (
            {"constraints": [{"kind": "enemies", "items": [UNKNOWN_ITEM, UNKNOWN_ITEM]}]},
            "#/adaptive/constraints/0/items/0",
            "unknown-item",
        ),
        (
            {"constraints": [{"kind": "area_count", "area": "reading", "low": 3, "high": 2}]},
            "#/adaptive/constraints/0",
            "limits",
        ),
        ({"classification": {"cuts": [1, 0]}}, "#/adaptive/classification/cuts", "cut-scores"),
        (
            {"pretest": {"items": 2, "first_position": 3, "last_position": 3}},
            "#/adaptive/pretest/items",
            "number-of-items",
        ),
        ({"carry_over": {"exam_id": UNKNOWN_EXAM}}, "#/adaptive/carry_over/exam_id", "unknown-exam"),
    ],
)
def test_rules_that_cannot_be_are_refused_with_a_pointer(manual_school, pool, rules, pointer, code):
    answer = manual_school.teacher.http.post("/exams", json=body(pool[1], **rules))
    assert refusal(answer) == (422, "unusable-exam")
    assert (pointer, code) in {(error["pointer"], error["code"]) for error in answer.json()["errors"]}


@pytest.mark.parametrize(
    ("rules", "pointer", "code"),
    [
        ({"shares": [{"area": "music", "share": 1}]}, "#/adaptive/shares/0/area", "unknown-area"),
        ({"min_items": 11}, "#/items", "too-few-items"),
        ({"pretest": {"items": 3}}, "#/adaptive/pretest/items", "too-few-items"),
        (
            {"max_items": 8, "constraints": [{"kind": "area_count", "area": "reading", "high": 2}]},
            "#/adaptive/constraints",
            None,
        ),
    ],
)
def test_what_the_pool_cannot_give_is_refused_at_publication(manual_school, pool, rules, pointer, code):
    exam_id = manual_school.draft(pool[1], adaptive=rules)
    answer = manual_school.teacher.http.post(f"/exams/{exam_id}/publish")
    assert refusal(answer) == (422, "unusable-exam")
    found = {(error["pointer"], error["code"]) for error in answer.json()["errors"]}
    assert (pointer, code) in found or (code is None and pointer in {each for each, _ in found})


def test_ability_is_carried_over_from_exams_of_the_own_organisation_alone(manual_api, manual_school, pool):
    bank_id, item_ids = pool
    del bank_id
    earlier = manual_school.draft(item_ids, adaptive={})
    assert manual_school.teacher.http.post(f"/exams/{earlier}/publish").is_success
    carried = {"carry_over": {"exam_id": earlier}}
    later = manual_school.draft(item_ids, adaptive=carried)
    assert manual_school.teacher.http.post(f"/exams/{later}/publish").is_success
    other_school = manual_api.school()
    others = adaptive_exam(other_school)
    answer = other_school.teacher.http.post("/exams", json=body(others.item_ids, **carried))
    assert refusal(answer) == (422, "unusable-exam")
    [error] = answer.json()["errors"]
    assert (error["pointer"], error["code"]) == ("#/adaptive/carry_over/exam_id", "unknown-exam")


def test_a_form_for_everybody_has_five_hundred_items_at_most_and_a_pool_more(manual_school):
    bank_id, item_ids = pool_of_items(manual_school, operational=501)
    del bank_id
    fixed = {name: value for name, value in body(item_ids).items() if name != "adaptive"}
    answer = manual_school.teacher.http.post("/exams", json=fixed)
    assert refusal(answer) == (422, "unusable-exam")
    assert answer.json()["errors"][0]["pointer"] == "#/items"
    assert manual_school.teacher.http.post("/exams", json=body(item_ids)).status_code == 201


def test_a_pool_of_two_thousand_items_is_drafted_and_published_in_a_few_seconds(manual_school):
    bank_id, item_ids = pool_of_items(manual_school, operational=2000)
    del bank_id
    began = time.monotonic()
    answer = manual_school.teacher.http.post("/exams", json=body(item_ids))
    assert answer.status_code == 201
    assert manual_school.teacher.http.post(f"/exams/{answer.json()['exam_id']}/publish").status_code == 200
    took_s = time.monotonic() - began
    print(f"drafted and published in {took_s:.1f} s")
    assert took_s < 20


def test_an_item_of_another_bank_is_on_another_scale(manual_school, pool):
    other_bank = manual_school.bank()
    foreign = manual_school.item(other_bank, choice_item(irt={"a": 1, "b": 0}))
    exam_id = manual_school.draft([*pool[1], foreign], adaptive={})
    answer = manual_school.teacher.http.post(f"/exams/{exam_id}/publish")
    assert refusal(answer) == (422, "unusable-exam")
    assert {(each["pointer"], each["code"]) for each in answer.json()["errors"]} == {
        ("#/items/12", "another-bank")
    }
