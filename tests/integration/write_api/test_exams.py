"""An exam from its draft to its results, over HTTP."""

from datetime import UTC, datetime, timedelta

import pytest

from infra.http.principal import RoleGrant
from tests.support.api import choice_item, refusal


def moment(hours):
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


@pytest.fixture
def item_ids(school):
    bank_id = school.bank()
    return [school.item(bank_id, choice_item()) for _ in range(2)]


def body(item_ids, **changes):
    return {"title": {"ko": "모의고사"}, "items": [{"item_id": each} for each in item_ids], **changes}


def test_a_draft_pins_the_newest_versions_unless_others_are_named(school, item_ids):
    school.teacher.http.put(f"/items/{item_ids[0]}", json={"content": choice_item(points=2)})
    answer = school.teacher.http.post("/exams", json=body(item_ids))
    assert answer.status_code == 201
    made = answer.json()
    assert (made["status"], made["results_released"], made["version"]) == ("draft", False, 1)
    assert [item["item_version"] for item in made["items"]] == [2, 1]
    named = body(item_ids) | {"items": [{"item_id": item_ids[0], "item_version": 1}]}
    assert school.teacher.http.post("/exams", json=named).json()["items"][0]["item_version"] == 1


def test_a_revision_leaves_the_versions_that_an_exam_has_pinned(school, item_ids):
    exam_id = school.draft(item_ids)
    school.teacher.http.put(f"/items/{item_ids[0]}", json={"content": choice_item(points=2)})
    published = school.teacher.http.post(f"/exams/{exam_id}/publish").json()
    assert [item["item_version"] for item in published["items"]] == [1, 1]


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"opens_at": moment(2), "closes_at": moment(1)}, "#/closes_at", "empty-window"),
        ({"items": "double"}, "#/items/1", "duplicate-item"),
        ({"items": "unknown"}, "#/items/0/item_id", "unknown-item"),
        ({"items": "version"}, "#/items/0/item_version", "unknown-version"),
    ],
)
def test_a_draft_that_cannot_be_used_is_refused_with_a_pointer(school, item_ids, change, pointer, code):
    picks = {
        "double": [{"item_id": item_ids[0]}] * 2,
        "unknown": [{"item_id": "item-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"}],
        "version": [{"item_id": item_ids[0], "item_version": 9}],
    }
    if "items" in change:
        change = {"items": picks[change["items"]]}
    answer = school.teacher.http.post("/exams", json=body(item_ids, **change))
    assert refusal(answer) == (422, "unusable-exam")
    assert (pointer, code) in {(error["pointer"], error["code"]) for error in answer.json()["errors"]}


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"time_limit_s": 0}, "#/time_limit_s"),
        ({"time_limit_s": "60"}, "#/time_limit_s"),
        ({"opens_at": "2026-01-01T00:00:00"}, "#/opens_at"),
        ({"opens_at": 1_700_000_000}, "#/opens_at"),
        ({"closes_at": "9999-01-01T00:00:00Z"}, "#/closes_at"),
        ({"title": {}}, "#/title"),
        ({"release": "never"}, "#/release"),
        ({"attempts_allowed": 101}, "#/attempts_allowed"),
        ({"items": []}, "#/items"),
        ({"status": "published"}, "#/status"),
    ],
)
def test_a_body_that_breaks_its_rules_is_refused_with_a_pointer(school, item_ids, change, pointer):
    answer = school.teacher.http.post("/exams", json=body(item_ids, **change))
    assert refusal(answer) == (422, "invalid-request")
    assert pointer in {error["pointer"] for error in answer.json()["errors"]}


def test_items_of_another_organisation_cannot_be_picked(api, item_ids):
    other = api.school("Another school")
    answer = other.teacher.http.post("/exams", json=body(item_ids))
    assert refusal(answer) == (422, "unusable-exam")


def test_a_draft_is_replaced_by_whoever_has_seen_it_and_never_after_publishing(school, item_ids):
    exam_id = school.draft(item_ids)
    new = body(item_ids[:1], time_limit_s=600)
    answer = school.teacher.http.put(f"/exams/{exam_id}", json=new, headers={"If-Match": '"1"'})
    assert (answer.status_code, len(answer.json()["items"])) == (200, 1)
    stale = school.teacher.http.put(f"/exams/{exam_id}", json=body(item_ids), headers={"If-Match": '"1"'})
    assert refusal(stale) == (412, "stale-version")
    late = school.teacher.http.post(f"/exams/{exam_id}/publish", headers={"If-Match": '"1"'})
    assert refusal(late) == (412, "stale-version")
    published = school.teacher.http.post(
        f"/exams/{exam_id}/publish", headers={"If-Match": answer.headers["ETag"]}
    )
    assert (published.status_code, published.json()["status"]) == (200, "published")
    assert refusal(school.teacher.http.put(f"/exams/{exam_id}", json=new)) == (409, "exam-not-draft")


def test_publishing_closing_and_releasing_twice_changes_nothing(school, item_ids):
    exam_id = school.draft(item_ids)
    for step, seen in (("publish", "published"), ("close", "closed"), ("release", "closed")):
        once = school.teacher.http.post(f"/exams/{exam_id}/{step}")
        twice = school.teacher.http.post(f"/exams/{exam_id}/{step}")
        assert (once.status_code, twice.status_code) == (200, 200)
        assert once.json() == twice.json()
        assert once.json()["status"] == seen
    kinds = [type(event).__name__ for event in school.api.events(exam_id)]
    assert kinds == ["ExamDrafted", "ExamPublished", "ExamClosed", "ResultsReleased"]


def test_steps_out_of_order_are_refused_with_their_reason(school, item_ids):
    exam_id = school.draft(item_ids)
    student = school.student()
    assert refusal(school.teacher.http.post(f"/exams/{exam_id}/close")) == (409, "exam-not-published")
    assert refusal(school.teacher.http.post(f"/exams/{exam_id}/release")) == (409, "exam-not-published")
    assert refusal(student.http.post(f"/exams/{exam_id}/attempts")) == (404, "exam-not-found")
    school.teacher.http.post(f"/exams/{exam_id}/publish")
    school.teacher.http.post(f"/exams/{exam_id}/close")
    assert refusal(school.teacher.http.post(f"/exams/{exam_id}/publish")) == (409, "exam-closed")
    assert refusal(student.http.post(f"/exams/{exam_id}/attempts")) == (409, "exam-closed")


def test_an_exam_whose_window_is_over_cannot_be_published(school, item_ids):
    exam_id = school.draft(item_ids, closes_at=moment(-1))
    answer = school.teacher.http.post(f"/exams/{exam_id}/publish")
    assert refusal(answer) == (409, "exam-window-over")


def test_an_exam_cannot_be_taken_before_it_opens(school, item_ids):
    exam_id = school.draft(item_ids, opens_at=moment(1))
    school.teacher.http.post(f"/exams/{exam_id}/publish")
    answer = school.student().http.post(f"/exams/{exam_id}/attempts")
    assert refusal(answer) == (409, "exam-not-open-yet")
    assert answer.json()["opens_at"]


@pytest.mark.parametrize("step", ["publish", "close", "release"])
def test_another_organisations_exam_is_not_found(api, school, item_ids, step):
    exam_id = school.draft(item_ids)
    other = api.school("Another school")
    answer = other.teacher.http.post(f"/exams/{exam_id}/{step}")
    assert refusal(answer) == (404, "exam-not-found")


@pytest.mark.parametrize("step", ["publish", "close", "release"])
def test_students_author_nothing(school, item_ids, step):
    exam_id = school.draft(item_ids)
    student = school.student()
    assert refusal(student.http.post(f"/exams/{exam_id}/{step}")) == (403, "role-required")
    assert refusal(student.http.post("/exams", json=body(item_ids))) == (403, "role-required")


def test_32_who_publish_at_once_publish_once(school, item_ids):
    exam_id = school.draft(item_ids)
    request = {"method": "POST", "url": f"/exams/{exam_id}/publish"}
    answers = school.api.at_once([request] * 32, school.teacher.token)
    assert {answer.status_code for answer in answers} == {200}
    assert len(school.api.events(exam_id)) == 2


def test_a_program_and_an_administrator_of_the_organisation_author_too(school, item_ids):
    _, service = school.service()
    for author in (service, school.admin()):
        assert author.http.post("/exams", json=body(item_ids)).status_code == 201


def test_whoever_works_for_two_organisations_says_for_which(api, school, item_ids):
    other = api.school("Another school")
    token = api.token(
        school.teacher.user_id, RoleGrant("teacher", school.org_id), RoleGrant("teacher", other.org_id)
    )
    both = api.client(token)
    assert refusal(both.post("/exams", json=body(item_ids))) == (422, "organization-required")
    assert both.post("/exams", json=body(item_ids, org_id=school.org_id)).status_code == 201
