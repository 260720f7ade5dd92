"""`Idempotency-Key` on real commands: sent twice, effective once, also after a crash in between."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

from tests.support.api import PASSWORD, Clock, choice_item, eventually, refusal, running_api
from tests.support.postgres import fresh_database, run_folder

LEASE_S = 10
_numbers = itertools.count(1)


@pytest.fixture
def key():
    return {"Idempotency-Key": f"key-{next(_numbers)}"}


@contextmanager
def answers_get_lost(api):
    """What a crash between the append and the keeping of the answer leaves behind."""
    store = api.services.idempotency
    kept = store.complete

    async def lost(*_):
        raise psycopg.OperationalError("the process was killed here")

    store.complete = lost
    try:
        yield
    finally:
        store.complete = kept


@contextmanager
def appends_wait(api):
    """Holds up every append until the block ends; `SELECT` on the log goes on."""
    with psycopg.connect(api.database.admin_conninfo) as connection:
        connection.execute("LOCK TABLE log.events IN EXCLUSIVE MODE")
        yield


def test_the_same_request_again_gets_the_first_answer_and_has_no_second_effect(school, key):
    body = {"name": "Bank"}
    first = school.teacher.http.post("/item-banks", json=body, headers=key)
    again = school.teacher.http.post("/item-banks", json=body, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    for header in ("ETag", "Consistency-Token"):
        assert again.headers[header] == first.headers[header]
    assert len(school.api.events(first.json()["bank_id"])) == 1


def test_the_same_key_with_another_body_is_refused(school, key):
    school.teacher.http.post("/item-banks", json={"name": "One"}, headers=key)
    other = school.teacher.http.post("/item-banks", json={"name": "Two"}, headers=key)
    assert refusal(other) == (422, "idempotency-key-reused")


def test_the_same_key_with_another_condition_is_refused(api, key):
    person = api.person()
    body = {"display_name": "이서연"}
    first = person.http.put("/users/me", json=body, headers=key)
    other = person.http.put("/users/me", json=body, headers={**key, "If-Match": '"1"'})
    assert first.status_code == 200
    assert refusal(other) == (422, "idempotency-key-reused")


def test_keys_of_two_people_have_nothing_to_do_with_each_other(api, school, key):
    mine = school.teacher.http.post("/item-banks", json={"name": "Bank"}, headers=key)
    other = api.school("Another school").teacher.http.post("/item-banks", json={"name": "Bank"}, headers=key)
    assert mine.json()["bank_id"] != other.json()["bank_id"]


def test_a_refusal_is_not_kept_and_the_corrected_request_needs_a_new_key(school, key):
    url = f"/item-banks/{school.bank()}/items"
    wrong = school.teacher.http.post(url, json={"code": "a", "content": {}}, headers=key)
    assert wrong.status_code == 422
    corrected = {"code": "a", "content": choice_item()}
    assert refusal(school.teacher.http.post(url, json=corrected, headers=key)) == (
        422,
        "idempotency-key-reused",
    )


def test_what_was_refused_can_be_sent_again_under_its_key_when_the_state_has_changed(school, key):
    exam_id = school.draft([school.item(school.bank(), choice_item())])
    assert refusal(school.teacher.http.post(f"/exams/{exam_id}/close", headers=key))[0] == 409
    school.teacher.http.post(f"/exams/{exam_id}/publish")
    assert school.teacher.http.post(f"/exams/{exam_id}/close", headers=key).json()["status"] == "closed"


@pytest.mark.parametrize("sent", ["", "x" * 256, "two words", "ä".encode()])
def test_a_key_that_breaks_its_rules_is_refused(school, sent):
    answer = school.teacher.http.post("/item-banks", json={"name": "Bank"}, headers={"Idempotency-Key": sent})
    assert refusal(answer) == (422, "invalid-request")
    assert answer.json()["errors"][0]["in"] == "header"


def test_without_a_token_a_key_claims_nothing(api, key):
    answer = api.client().post("/item-banks", json={"name": "Bank"}, headers=key)
    assert refusal(answer)[0] == 401


def test_of_32_times_the_same_request_at_once_one_takes_effect(school, key):
    request = {"method": "POST", "url": "/item-banks", "json": {"name": "Bank"}, "headers": key}
    answers = school.api.at_once([request] * 32, school.teacher.token)
    assert {answer.status_code for answer in answers} <= {201, 409}
    for answer in answers:
        if answer.status_code == 409:
            assert refusal(answer) == (409, "request-in-flight")
            assert int(answer.headers["Retry-After"]) >= 1
    [bank_id] = {answer.json()["bank_id"] for answer in answers if answer.status_code == 201}
    assert len(school.api.events(bank_id)) == 1


def test_while_the_first_is_being_answered_the_second_is_told_to_wait(school, key):
    def send():
        return school.teacher.http.post("/item-banks", json={"name": "Bank"}, headers=key)

    def claimed():
        with psycopg.connect(school.api.database.admin_conninfo) as connection:
            return connection.execute(
                "SELECT 1 FROM ops.idempotency WHERE key = %s", (key["Idempotency-Key"],)
            ).fetchone()

    with ThreadPoolExecutor(1) as threads:
        with appends_wait(school.api):
            first = threads.submit(send)
            eventually(claimed)
            second = send()
        assert refusal(second) == (409, "request-in-flight")
        assert second.headers["Retry-After"] == "1"
        assert first.result().status_code == 201


# Each command that a POST can order: what it needs, and what it must have done exactly once.


def _register(api, school, student):
    del api, school, student
    body = {
        "email": f"crash-{next(_numbers)}@example.org",
        "password": PASSWORD,
        "display_name": "민지",
    }
    return None, "/auth/register", body, "user_id", ["UserRegistered", "RoleGranted"]


def _bank(api, school, student):
    del api, student
    return school.teacher, "/item-banks", {"name": "Bank"}, "bank_id", ["ItemBankCreated"]


def _item(api, school, student):
    del api, student
    body = {"code": "one", "content": choice_item()}
    return school.teacher, f"/item-banks/{school.bank()}/items", body, "item_id", ["ItemCreated"]


def _draft(api, school, student):
    del api, student
    item_id = school.item(school.bank(), choice_item())
    body = {"title": {"ko": "시험"}, "items": [{"item_id": item_id}]}
    return school.teacher, "/exams", body, "exam_id", ["ExamDrafted"]


def _publish(api, school, student):
    del api, student
    exam_id = school.draft([school.item(school.bank(), choice_item())])
    return school.teacher, f"/exams/{exam_id}/publish", None, "exam_id", ["ExamDrafted", "ExamPublished"]


def _close(api, school, student):
    del api, student
    exam_id = school.exam().exam_id
    seen = ["ExamDrafted", "ExamPublished", "ExamClosed"]
    return school.teacher, f"/exams/{exam_id}/close", None, "exam_id", seen


def _release(api, school, student):
    del api, student
    exam_id = school.exam().exam_id
    seen = ["ExamDrafted", "ExamPublished", "ResultsReleased"]
    return school.teacher, f"/exams/{exam_id}/release", None, "exam_id", seen


def _start(api, school, student):
    del api
    exam_id = school.exam().exam_id
    return student, f"/exams/{exam_id}/attempts", None, "attempt_id", ["AttemptStarted"]


def _submit(api, school, student):
    del api
    exam_id = school.exam().exam_id
    attempt_id = student.http.post(f"/exams/{exam_id}/attempts").json()["attempt_id"]
    seen = ["AttemptStarted", "AttemptSubmitted", "AttemptScored"]
    return student, f"/attempts/{attempt_id}/submit", None, "attempt_id", seen


def _submit_exam(api, school, student):
    who, url, body, named, seen = _submit(api, school, student)
    [started, *_] = api.events(url.split("/")[2])
    return who, f"/exams/{started.exam_id}/submit", body, named, seen


@pytest.fixture(scope="module")
def crashing(postgres_server):
    """An API whose clock these tests set, and a school in it."""
    with (
        run_folder("api") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder, clock=Clock()) as running,
    ):
        yield running, running.school()


@pytest.mark.parametrize(
    "command",
    [_register, _bank, _item, _draft, _publish, _close, _release, _start, _submit, _submit_exam],
)
def test_after_a_crash_between_append_and_answer_the_command_is_recognised(crashing, key, command):
    api, school = crashing
    who, url, body, named, seen = command(api, school, school.student())
    http = api.client() if who is None else who.http
    with answers_get_lost(api):
        first = http.post(url, json=body, headers=key)
        assert first.is_success, first.text
    early = http.post(url, json=body, headers=key)
    assert refusal(early) == (409, "request-in-flight")
    api.clock.advance(LEASE_S + 1)
    again = http.post(url, json=body, headers=key)
    assert again.is_success, again.text
    assert again.json()[named] == first.json()[named]
    assert again.headers["Consistency-Token"] == first.headers["Consistency-Token"]
    assert [type(event).__name__ for event in api.events(first.json()[named])] == seen
    kept = http.post(url, json=body, headers=key)
    assert kept.headers["Idempotency-Replayed"] == "true"
    assert kept.content == again.content


def test_an_answer_to_an_item_that_was_saved_before_a_crash_is_saved_once(crashing, key):
    api, school = crashing
    student = school.student()
    exam = school.exam()
    attempt_id = student.http.post(f"/exams/{exam.exam_id}/attempts").json()["attempt_id"]
    url = f"/attempts/{attempt_id}/responses/{exam.item_ids[0]}"
    with answers_get_lost(api):
        student.http.put(url, json={"response": {"options": ["2"]}}, headers=key)
    api.clock.advance(LEASE_S + 1)
    again = student.http.put(url, json={"response": {"options": ["2"]}}, headers=key)
    assert (again.status_code, again.json()["sequence"]) == (200, 1)
    assert len(api.events(attempt_id)) == 2


def test_an_import_that_was_done_before_a_crash_is_not_done_again(crashing, key):
    api, school = crashing
    bank_id = school.bank()
    body = {"items": [{"code": "one", **choice_item()}]}
    with answers_get_lost(api):
        first = school.teacher.http.post(f"/item-banks/{bank_id}/import", json=body, headers=key).json()
    api.clock.advance(LEASE_S + 1)
    again = school.teacher.http.post(f"/item-banks/{bank_id}/import", json=body, headers=key)
    assert again.status_code == 200
    item_id = again.json()["rows"][0]["item_id"]
    assert item_id == first["rows"][0]["item_id"]
    assert len(api.events(item_id)) == 1


def test_kept_answers_do_not_lie_readable_in_the_table(school, key):
    answer = school.teacher.http.post("/item-banks", json={"name": "Readable"}, headers=key)
    with psycopg.connect(school.api.database.admin_conninfo) as connection:
        row = connection.execute(
            "SELECT body, request_hash FROM ops.idempotency WHERE key = %s", (key["Idempotency-Key"],)
        ).fetchone()
    assert b"Readable" not in row[0]
    assert answer.json()["bank_id"].encode() not in row[0]
