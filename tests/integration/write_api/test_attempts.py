"""Taking an exam over HTTP: start, answer, hand in; also twice, late, and 32 times at once."""

import random

import pytest

from tests.support.api import choice_item, eventually, refusal

NUMERIC = {
    "kind": "numeric",
    "content_area": "mathematics",
    "stem": {"en": "How much?"},
    "points": 2,
    "key": {"value": "12.5"},
}
SHORT_TEXT = {
    "kind": "short_text",
    "content_area": "biology",
    "stem": {"en": "What?"},
    "key": {"accepted": ["photosynthesis"]},
}


@pytest.fixture
def exam(school):
    return school.exam()


@pytest.fixture
def student(school):
    return school.student()


def start(student, exam):
    answer = student.http.post(f"/exams/{exam.exam_id}/attempts")
    assert answer.status_code == 201, answer.text
    return answer.json()


def kinds(api, stream_id):
    return [type(event).__name__ for event in api.events(stream_id)]


def saved(student, attempt_id, item_id, token):
    items = student.http.get(f"/attempts/{attempt_id}", headers={"Consistency-Token": token}).json()["items"]
    return next(item for item in items if item["item_id"] == item_id)


def test_an_attempt_says_when_it_ends_and_what_time_it_is(school, student):
    exam = school.exam(time_limit_s=600)
    attempt = start(student, exam)
    assert attempt["status"] == "in_progress"
    assert attempt["ordinal"] == 1
    assert attempt["examinee_id"] == student.user_id
    assert attempt["started_at"] <= attempt["server_now"] < attempt["deadline"]
    assert attempt["attempt_token_expires_in"] >= 600


def test_starting_again_goes_on_with_the_running_attempt(student, exam):
    first = start(student, exam)
    again = student.http.post(f"/exams/{exam.exam_id}/attempts", json={})
    assert again.status_code == 200
    assert again.json()["attempt_id"] == first["attempt_id"]


def test_32_starts_at_once_are_one_attempt(school, student, exam):
    request = {"method": "POST", "url": f"/exams/{exam.exam_id}/attempts"}
    answers = school.api.at_once([request] * 32, student.token)
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert sum(answer.status_code == 201 for answer in answers) >= 1
    [attempt_id] = {answer.json()["attempt_id"] for answer in answers}
    assert kinds(school.api, attempt_id) == ["AttemptStarted"]


def test_only_as_many_attempts_as_allowed_can_be_started(school, student):
    exam = school.exam(attempts_allowed=2)
    for ordinal in (1, 2):
        attempt = start(student, exam)
        assert attempt["ordinal"] == ordinal
        student.http.post(f"/attempts/{attempt['attempt_id']}/submit")
    answer = student.http.post(f"/exams/{exam.exam_id}/attempts")
    assert refusal(answer) == (409, "no-attempts-left")
    assert answer.json()["attempts_allowed"] == 2


def test_answers_are_saved_at_once_changed_and_taken_back(school, student, exam):
    attempt_id = start(student, exam)["attempt_id"]
    url = f"/attempts/{attempt_id}/responses/{exam.item_ids[0]}"
    given = student.http.put(url, json={"response": {"options": ["1"]}})
    assert given.status_code == 200
    assert (given.json()["response"], given.json()["sequence"], given.json()["applied"]) == (
        {"options": ["1"]},
        1,
        True,
    )
    changed = student.http.put(url, json={"response": {"options": ["2"]}})
    assert changed.json()["sequence"] == 2
    shown = saved(student, attempt_id, exam.item_ids[0], changed.headers["Consistency-Token"])
    assert (shown["response"], shown["sequence"]) == ({"options": ["2"]}, 2)
    cleared = student.http.put(url, json={"response": None})
    assert cleared.json()["response"] is None
    assert kinds(school.api, attempt_id) == [
        "AttemptStarted",
        "ResponseGiven",
        "ResponseChanged",
        "ResponseChanged",
    ]


def test_a_late_replay_changes_nothing_and_a_reused_number_is_refused(student, exam):
    attempt_id = start(student, exam)["attempt_id"]
    url = f"/attempts/{attempt_id}/responses/{exam.item_ids[0]}"
    student.http.put(url, json={"response": {"options": ["3"]}, "sequence": 7})
    late = student.http.put(url, json={"response": {"options": ["1"]}, "sequence": 5})
    assert late.status_code == 200
    assert (late.json()["applied"], late.json()["response"]) == (False, {"options": ["3"]})
    same = student.http.put(url, json={"response": {"options": ["3"]}, "sequence": 7})
    assert (same.status_code, same.json()["applied"]) == (200, False)
    other = student.http.put(url, json={"response": {"options": ["1"]}, "sequence": 7})
    assert refusal(other) == (409, "sequence-reused")


def test_of_32_answers_at_once_in_any_order_the_highest_number_wins(school, student, exam):
    attempt_id = start(student, exam)["attempt_id"]
    numbers = list(range(1, 33))
    random.Random(7).shuffle(numbers)
    requests = [
        {
            "method": "PUT",
            "url": f"/attempts/{attempt_id}/responses/{exam.item_ids[0]}",
            "json": {"response": {"options": [str(number % 4 + 1)]}, "sequence": number},
        }
        for number in numbers
    ]
    answers = school.api.at_once(requests, student.token)
    assert {answer.status_code for answer in answers} == {200}
    last = school.api.events(attempt_id)[-1]
    assert (last.sequence, last.response.options) == (32, ("1",))
    sequences = [event.sequence for event in school.api.events(attempt_id)[1:]]
    assert sequences == sorted(sequences)


def test_32_submissions_at_once_hand_in_and_score_once(school, student, exam):
    attempt_id = start(student, exam)["attempt_id"]
    for item_id in exam.item_ids:
        student.http.put(f"/attempts/{attempt_id}/responses/{item_id}", json={"response": {"options": ["2"]}})
    both = [f"/attempts/{attempt_id}/submit", f"/exams/{exam.exam_id}/submit"]
    answers = school.api.at_once([{"method": "POST", "url": url} for url in both * 16], student.token)
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["status"] for answer in answers} == {"scored"}
    seen = kinds(school.api, attempt_id)
    assert seen.count("AttemptSubmitted") == 1
    assert seen.count("AttemptScored") == 1
    assert school.api.events(attempt_id)[-1].score == 3


def test_after_submission_no_answer_changes(student, exam):
    attempt_id = start(student, exam)["attempt_id"]
    student.http.post(f"/exams/{exam.exam_id}/submit")
    answer = student.http.put(
        f"/attempts/{attempt_id}/responses/{exam.item_ids[0]}", json={"response": {"options": ["2"]}}
    )
    assert refusal(answer) == (409, "attempt-finished")


def test_every_kind_of_answer_is_scored_by_its_item(school, student):
    multiple = {**choice_item(), "kind": "multiple_response", "key": {"options": ["1", "3"]}, "points": 4}
    exam = school.exam([choice_item(), multiple, NUMERIC, SHORT_TEXT])
    attempt_id = start(student, exam)["attempt_id"]
    given = [{"options": ["2"]}, {"options": ["3", "1"]}, {"value": "12.50"}, {"text": "Photosynthesis"}]
    for item_id, response in zip(exam.item_ids, given, strict=True):
        answer = student.http.put(f"/attempts/{attempt_id}/responses/{item_id}", json={"response": response})
        assert answer.status_code == 200, answer.text
    submitted = student.http.post(f"/attempts/{attempt_id}/submit")
    token = submitted.headers["Consistency-Token"]
    shown = student.http.get(f"/attempts/{attempt_id}", headers={"Consistency-Token": token}).json()
    assert (shown["score"], shown["max_score"]) == (8, 8)
    assert [item["result"]["score"] for item in shown["items"]] == [1, 4, 2, 1]


@pytest.mark.parametrize(
    ("item", "response"),
    [
        (0, {"options": ["9"]}),
        (0, {"options": ["1", "2"]}),
        (0, {"value": "1"}),
        (0, {"text": "2"}),
        (1, {"options": ["1"]}),
        (2, {"value": "1"}),
    ],
)
def test_an_answer_that_does_not_fit_its_item_is_refused(school, student, item, response):
    exam = school.exam([choice_item(), NUMERIC, SHORT_TEXT])
    attempt_id = start(student, exam)["attempt_id"]
    answer = student.http.put(
        f"/attempts/{attempt_id}/responses/{exam.item_ids[item]}", json={"response": response}
    )
    assert refusal(answer) == (422, "response-does-not-fit")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"response": {}},
        {"response": {"options": ["2"], "text": "2"}},
        {"response": {"value": "1e5"}},
        {"response": {"value": "12\n"}},
        {"response": {"text": ""}},
        {"response": {"text": "x" * 2001}},
        {"response": {"options": ["2"]}, "sequence": 0},
        {"response": {"options": ["2"]}, "sequence": 2**53},
        {"response": {"options": ["2"]}, "sequence": 1.5},
        {"response": {"options": ["2"]}, "sequence": "1"},
    ],
)
def test_a_body_that_is_no_answer_is_refused(student, exam, body):
    attempt_id = start(student, exam)["attempt_id"]
    answer = student.http.put(f"/attempts/{attempt_id}/responses/{exam.item_ids[0]}", json=body)
    assert refusal(answer) == (422, "invalid-request")


def test_an_item_of_another_exam_is_not_found(school, student, exam):
    attempt_id = start(student, exam)["attempt_id"]
    other = school.exam()
    answer = student.http.put(
        f"/attempts/{attempt_id}/responses/{other.item_ids[0]}", json={"response": {"options": ["2"]}}
    )
    assert refusal(answer) == (404, "item-not-in-exam")


def test_handing_in_what_was_never_started_is_not_found(student, exam):
    answer = student.http.post(f"/exams/{exam.exam_id}/submit")
    assert refusal(answer) == (404, "attempt-not-found")


def test_nobody_but_a_program_of_the_organisation_starts_for_an_examinee(api, school, student, exam):
    _, service = school.service()
    url, body = f"/exams/{exam.exam_id}/attempts", {"examinee_id": student.user_id}
    assert refusal(school.teacher.http.post(url, json=body)) == (403, "only-for-oneself")
    started = service.http.post(url, json=body)
    assert (started.status_code, started.json()["examinee_id"]) == (201, student.user_id)
    attempt_id = started.json()["attempt_id"]
    answered = api.client(started.json()["attempt_token"]).put(
        f"/attempts/{attempt_id}/responses/{exam.item_ids[0]}", json={"response": {"options": ["2"]}}
    )
    assert answered.status_code == 200
    started, given = school.api.recorded(attempt_id)
    assert given.event.examinee_id == student.user_id
    # The log says who did it, and for whom.
    assert {started.metadata.actor.kind, given.metadata.actor.kind} == {"service"}


def test_a_teacher_answers_for_nobody_and_may_hand_in(school, student, exam):
    attempt_id = start(student, exam)["attempt_id"]
    answered = school.teacher.http.put(
        f"/attempts/{attempt_id}/responses/{exam.item_ids[0]}", json={"response": {"options": ["2"]}}
    )
    assert refusal(answered) == (404, "attempt-not-found")
    handed_in = school.teacher.http.post(f"/attempts/{attempt_id}/submit")
    assert (handed_in.status_code, handed_in.json()["submitted_by"]) == (200, "teacher")


def test_closing_an_exam_hands_in_what_runs(school, student, exam):
    attempt_id = start(student, exam)["attempt_id"]
    school.teacher.http.post(f"/exams/{exam.exam_id}/close")
    eventually(lambda: "AttemptScored" in kinds(school.api, attempt_id))
    assert school.api.events(attempt_id)[-2].by == "teacher"


def test_examinees_are_enrolled_in_bulk_once(school):
    admin = school.admin()
    body = {"examinees": [{"external_ref": f"bulk-{n}", "display_name": "학생"} for n in range(100)]}
    first = admin.http.post("/examinees", json=body).json()
    again = admin.http.post("/examinees", json=body).json()
    assert (first["enrolled"], first["existing"]) == (100, 0)
    assert (again["enrolled"], again["existing"]) == (0, 100)
    assert [each["user_id"] for each in first["examinees"]] == [
        each["user_id"] for each in again["examinees"]
    ]
    double = {"examinees": [{"external_ref": "a"}, {"external_ref": "a"}]}
    assert refusal(admin.http.post("/examinees", json=double)) == (422, "duplicate-examinee")
    assert refusal(school.teacher.http.post("/examinees", json=body)) == (403, "role-required")


def test_8_enrolments_of_the_same_people_at_once_make_each_account_once(school):
    admin = school.admin()
    body = {"examinees": [{"external_ref": f"race-{n}"} for n in range(20)]}
    request = {"method": "POST", "url": "/examinees", "json": body}
    answers = school.api.at_once([request] * 8, admin.token)
    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.json()["enrolled"] for answer in answers) == 20
    [user_ids] = {tuple(each["user_id"] for each in answer.json()["examinees"]) for answer in answers}
    assert kinds(school.api, user_ids[0]) == ["UserRegistered", "RoleGranted"]
