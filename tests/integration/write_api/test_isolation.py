"""Who sees and touches what: other people's attempts, other organisations, and the key before its time."""

import itertools
import json

import pytest

from infra.http.principal import RoleGrant
from tests.support.api import choice_item, refusal

SECRETS = ["s3cret-explanation", "s3cret-accepted", "987654.321", "1.2345678", "-0.8765432"]
NO_CALIBRATION = "calibration-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"
CATEGORIES = {"bank_id": "item_bank", "org_id": "organization"}
"""Where the name of a path parameter does not begin with the category of its stream."""
NEVER_TOLD = {"key", "explanation", "irt", "accepted", "tolerance", "is_key", "score", "p_value"}
WITH_SECRETS = [
    choice_item(
        key={"options": ["3"]},
        explanation={"ko": "s3cret-explanation", "en": "s3cret-explanation"},
        irt={"a": 1.2345678, "b": -0.8765432},
    ),
    {
        "kind": "numeric",
        "content_area": "mathematics",
        "stem": {"ko": "얼마입니까?"},
        "key": {"value": "987654.321"},
    },
    {
        "kind": "short_text",
        "content_area": "biology",
        "stem": {"ko": "무엇입니까?"},
        "key": {"accepted": ["s3cret-accepted"]},
        "explanation": {"ko": "s3cret-explanation"},
    },
]


def start(student, exam):
    answer = student.http.post(f"/exams/{exam.exam_id}/attempts")
    assert answer.status_code == 201, answer.text
    return answer.json()


def some_id(name):
    """What could stand in a path under this name, and is nobody's."""
    if name == "zone_id":
        return "univprep"
    return f"{CATEGORIES.get(name, name.removesuffix('_id'))}-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"


class Ids(dict):
    def __missing__(self, name):
        return some_id(name)


def fetchable(api, ids):
    """Every GET route with every id that fits into it, with and without its query parameters."""
    queries = ["", "?lang=en", "?version=1", "?limit=200"]
    for path, operations in api.app.openapi()["paths"].items():
        if "get" not in operations or path == "/metrics":
            continue
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        for values in itertools.product(*(ids.get(name, [some_id(name)]) for name in names)):
            filled = path
            for name, value in zip(names, values, strict=True):
                filled = filled.replace("{" + name + "}", value)
            for query in queries:
                yield filled + query


def told(document):
    """Names of the members of a document that are not null, at any depth."""
    if isinstance(document, dict):
        for name, value in document.items():
            if value is not None:
                yield name
            yield from told(value)
    elif isinstance(document, list):
        for value in document:
            yield from told(value)


def assert_tells_nothing(answer):
    for secret in SECRETS:
        assert secret not in answer.text, f"{answer.request.method} {answer.request.url} tells the key"
    if answer.is_success and "json" in answer.headers["content-type"]:
        seen = NEVER_TOLD & set(told(answer.json()))
        assert not seen, f"{answer.request.method} {answer.request.url} tells {seen}"


@pytest.mark.parametrize("release", ["by_hand", "after_closing", "at_once"])
def test_nothing_that_an_examinee_can_fetch_tells_the_key_before_release(api, school, release):
    exam = school.exam(WITH_SECRETS, release=release)
    student = school.student()
    attempt = start(student, exam)
    attempt_id = attempt["attempt_id"]
    ids = {
        "exam_id": [exam.exam_id],
        "attempt_id": [attempt_id],
        "bank_id": [exam.bank_id],
        "item_id": exam.item_ids,
        "calibration_id": [NO_CALIBRATION],
    }
    written = []

    def look():
        asked = 0
        headers = {"Consistency-Token": written[-1].headers["Consistency-Token"]}
        for http in (student.http, api.client(attempt["attempt_token"])):
            for url in fetchable(api, ids):
                answer = http.get(api.base_url + url, headers=headers)
                assert answer.status_code < 500, answer.text
                assert_tells_nothing(answer)
                asked += answer.is_success
        assert asked >= 8, "hardly anything was looked at"

    given = [{"options": ["1"]}, {"value": "1"}, {"text": "don't know"}]
    for item_id, response in zip(exam.item_ids, given, strict=True):
        url = f"/attempts/{attempt_id}/responses/{item_id}"
        written.append(student.http.put(url, json={"response": response}))
    wrong = student.http.put(
        f"/attempts/{attempt_id}/responses/{exam.item_ids[0]}", json={"response": {"options": ["9"]}}
    )
    look()
    written.append(student.http.post(f"/attempts/{attempt_id}/submit"))
    written.append(student.http.post(f"/exams/{exam.exam_id}/submit"))
    for answer in [*written, wrong]:
        assert_tells_nothing(answer)
    if release != "at_once":
        look()
        results = student.http.get(f"/exams/{exam.exam_id}/results")
        assert refusal(results) == (409, "results-not-released")
    # And when the time has come, all of it is there: the silence above was not that of an empty page.
    if release == "by_hand":
        written.append(school.teacher.http.post(f"/exams/{exam.exam_id}/release"))
    if release == "after_closing":
        written.append(school.teacher.http.post(f"/exams/{exam.exam_id}/close"))
    shown = student.http.get(
        f"/attempts/{attempt_id}", headers={"Consistency-Token": written[-1].headers["Consistency-Token"]}
    )
    assert "s3cret-explanation" in shown.text
    assert "s3cret-accepted" in shown.text
    assert "987654.321" in shown.text
    assert shown.json()["score"] == 0
    # The parameters are for the staff alone, at any time.
    assert "1.2345678" not in shown.text


def test_another_students_attempt_is_not_found_whatever_is_done_to_it(school):
    exam = school.exam()
    mine, other = school.students(2)
    attempt_id = start(mine, exam)["attempt_id"]
    url = f"/attempts/{attempt_id}"
    answers = [
        other.http.get(url),
        other.http.put(f"{url}/responses/{exam.item_ids[0]}", json={"response": {"options": ["2"]}}),
        other.http.post(f"{url}/submit"),
    ]
    nothing = "attempt-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"
    unknown = other.http.post(f"/attempts/{nothing}/submit")
    assert [refusal(answer) for answer in [*answers, unknown]] == [(404, "attempt-not-found")] * 4
    for answer in answers:
        assert mine.user_id not in answer.text
    assert len(school.api.events(attempt_id)) == 1


def test_a_student_starts_no_attempt_for_somebody_else(school):
    exam = school.exam()
    mine, other = school.students(2)
    answer = mine.http.post(f"/exams/{exam.exam_id}/attempts", json={"examinee_id": other.user_id})
    assert refusal(answer) == (404, "exam-not-found")


def test_an_attempt_token_opens_its_attempt_and_nothing_else(api, school):
    first, second = school.exam(), school.exam()
    student = school.student()
    attempt = start(student, first)
    other = start(student, second)
    holder = api.client(attempt["attempt_token"])
    url = f"/attempts/{attempt['attempt_id']}"
    saved = holder.put(f"{url}/responses/{first.item_ids[0]}", json={"response": {"options": ["2"]}})
    assert saved.status_code == 200
    assert holder.get(url, headers={"Consistency-Token": saved.headers["Consistency-Token"]}).is_success
    closed = [
        holder.get(f"/attempts/{other['attempt_id']}"),
        holder.post(f"/attempts/{other['attempt_id']}/submit"),
        holder.put(
            f"/attempts/{other['attempt_id']}/responses/{second.item_ids[0]}",
            json={"response": {"options": ["2"]}},
        ),
        holder.get("/users/me"),
        holder.put("/users/me", json={}),
        holder.get("/exams"),
        holder.post(f"/exams/{first.exam_id}/attempts"),
        holder.post(f"/exams/{first.exam_id}/submit"),
        holder.post("/item-banks", json={"name": "Bank"}),
        holder.get(f"/exams/{first.exam_id}/results"),
    ]
    assert [refusal(answer) for answer in closed] == [(403, "attempt-token-only")] * len(closed)
    assert holder.post(f"{url}/submit").json()["status"] == "scored"


def test_no_route_but_those_of_an_attempt_takes_an_attempt_token(api, school):
    exam = school.exam()
    attempt = start(school.student(), exam)
    ids = {
        "exam_id": exam.exam_id,
        "attempt_id": "attempt-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f",
        "bank_id": exam.bank_id,
        "item_id": exam.item_ids[0],
        "calibration_id": NO_CALIBRATION,
    }
    for path, operations in api.app.openapi()["paths"].items():
        for method, operation in operations.items():
            if {"bearer": []} not in operation.get("security", []):
                continue
            url = api.base_url + path.format_map(Ids(ids))
            answer = api.client(attempt["attempt_token"]).request(method, url, json={})
            assert refusal(answer) == (403, "attempt-token-only"), f"{method} {path}"


def test_a_teacher_of_another_organisation_finds_nothing_of_ours(api, school):
    exam = school.exam()
    attempt_id = start(school.student(), exam)["attempt_id"]
    stranger = api.school("Another school").teacher
    content = {"content": choice_item()}
    answers = [
        stranger.http.get(f"/attempts/{attempt_id}"),
        stranger.http.post(f"/attempts/{attempt_id}/submit"),
        stranger.http.get(f"/exams/{exam.exam_id}"),
        stranger.http.get(f"/exams/{exam.exam_id}/attempts"),
        stranger.http.get(f"/exams/{exam.exam_id}/results"),
        stranger.http.get(f"/analytics/exam/{exam.exam_id}"),
        stranger.http.post(f"/exams/{exam.exam_id}/close"),
        stranger.http.post(f"/exams/{exam.exam_id}/attempts"),
        stranger.http.get(f"/item-banks/{exam.bank_id}"),
        stranger.http.get(f"/item-banks/{exam.bank_id}/items"),
        stranger.http.post(f"/item-banks/{exam.bank_id}/items", json={"code": "x", **content}),
        stranger.http.get(f"/items/{exam.item_ids[0]}"),
        stranger.http.put(f"/items/{exam.item_ids[0]}", json=content),
    ]
    assert {refusal(answer)[0] for answer in answers} == {404}
    for answer in answers:
        assert "Mock exam" not in json.dumps(answer.json(), ensure_ascii=False)


def test_the_administrator_of_another_organisation_changes_no_role_of_ours(api, school):
    stranger, teacher = api.school().admin().http, school.teacher
    path = f"/users/{teacher.user_id}/roles"
    there = {"org_id": school.org_id}
    before = api.events(teacher.user_id)
    for answer in (
        stranger.post(path, json={"role": "org_admin", **there}),
        stranger.post(f"{path}/teacher/confirm", params=there),
        stranger.delete(f"{path}/teacher", params=there),
    ):
        assert refusal(answer) == (403, "role-not-yours-to-change")
    assert api.events(teacher.user_id) == before


def test_the_zone_is_a_wall(api, school):
    exam = school.exam(audience="zone")
    elsewhere = api.school("A school in another zone", zone_id="mediprep")
    student = elsewhere.api.person(zone_id="mediprep")
    token = api.token(student.user_id, RoleGrant("student"), zone_id="mediprep")
    outside = api.client(token)
    assert refusal(outside.post(f"/exams/{exam.exam_id}/attempts")) == (404, "exam-not-found")
    assert refusal(outside.get(f"/exams/{exam.exam_id}")) == (404, "exam-not-found")
    assert exam.exam_id not in outside.get("/exams").text


def test_an_exam_for_the_zone_is_open_to_its_students_and_one_for_the_organisation_is_not(api, school):
    for_all, for_us = school.exam(audience="zone"), school.exam(audience="organization")
    somebody = api.person()
    anybody = api.client(api.token(somebody.user_id, RoleGrant("student")))
    assert anybody.post(f"/exams/{for_all.exam_id}/attempts").status_code == 201
    assert refusal(anybody.post(f"/exams/{for_us.exam_id}/attempts")) == (404, "exam-not-found")


def test_whoever_may_start_an_exam_finds_it_in_the_list(school):
    exam = school.exam()
    enrolled = school.student()
    started = school.student().http.post(f"/exams/{exam.exam_id}/attempts")
    token = {"Consistency-Token": started.headers["Consistency-Token"]}
    shown = enrolled.http.get("/exams?limit=200", headers=token).json()["items"]
    assert exam.exam_id in {each["exam_id"] for each in shown}
    assert enrolled.http.post(f"/exams/{exam.exam_id}/attempts").status_code == 201
