"""Whoever sends the consistency token of a write reads that write, whatever the projections are doing."""

import psycopg
import pytest

from tests.support.api import choice_item, refusal, running_api
from tests.support.postgres import run_folder


def after(written, http, url):
    """What a read says that carries the token of a write."""
    assert written.is_success, written.text
    answer = http.get(url, headers={"Consistency-Token": written.headers["Consistency-Token"]})
    assert answer.status_code == 200, answer.text
    return answer


def test_every_write_is_seen_by_the_read_that_follows_it(school):
    http, student = school.teacher.http, school.student()
    for _ in range(5):
        bank = http.post("/item-banks", json={"name": "Seen"})
        bank_id = bank.json()["bank_id"]
        assert after(bank, http, f"/item-banks/{bank_id}").json()["name"] == "Seen"
        assert bank_id in after(bank, http, "/item-banks").text

        item = http.post(f"/item-banks/{bank_id}/items", json={"code": "a", "content": choice_item()})
        item_id = item.json()["item_id"]
        assert after(item, http, f"/items/{item_id}").json()["item_version"] == 1
        assert item_id in after(item, http, f"/item-banks/{bank_id}/items").text
        revised = http.put(f"/items/{item_id}", json={"content": choice_item(points=4)})
        seen = after(revised, http, f"/items/{item_id}")
        assert (seen.json()["points"], seen.headers["ETag"]) == (4, revised.headers["ETag"])

        body = {"title": {"ko": "시험"}, "items": [{"item_id": item_id}]}
        draft = http.post("/exams", json=body)
        exam_id = draft.json()["exam_id"]
        assert after(draft, http, f"/exams/{exam_id}").json()["status"] == "draft"
        redraft = http.put(f"/exams/{exam_id}", json={**body, "time_limit_s": 77})
        assert after(redraft, http, f"/exams/{exam_id}").json()["time_limit_s"] == 77
        published = http.post(f"/exams/{exam_id}/publish")
        assert after(published, http, f"/exams/{exam_id}").json()["status"] == "published"

        started = student.http.post(f"/exams/{exam_id}/attempts")
        attempt_id = started.json()["attempt_id"]
        assert after(started, student.http, f"/attempts/{attempt_id}").json()["status"] == "in_progress"
        given = student.http.put(
            f"/attempts/{attempt_id}/responses/{item_id}", json={"response": {"options": ["2"]}}
        )
        shown = after(given, student.http, f"/attempts/{attempt_id}")
        assert shown.json()["items"][0]["response"] == {"options": ["2"]}
        assert shown.headers["ETag"] == given.headers["ETag"]
        submitted = student.http.post(f"/attempts/{attempt_id}/submit")
        assert after(submitted, student.http, f"/attempts/{attempt_id}").json()["score"] == 4
        results = after(submitted, http, f"/exams/{exam_id}/results").json()
        assert (results["summary"]["scored"], results["items"][0]["score"]) == (1, 4)
        assert after(submitted, http, f"/analytics/exam/{exam_id}").json()["n"] == 1

        closed = http.post(f"/exams/{exam_id}/close")
        assert after(closed, http, f"/exams/{exam_id}").json()["status"] == "closed"
        released = http.post(f"/exams/{exam_id}/release")
        assert after(released, http, f"/exams/{exam_id}").json()["results_released"] is True


def test_an_import_is_seen_whole_and_so_is_one_that_changed_nothing(school):
    http, bank_id = school.teacher.http, school.bank()
    document = {"items": [{"code": f"i-{n:03}", **choice_item()} for n in range(100)]}
    for _ in range(2):
        imported = http.post(f"/item-banks/{bank_id}/import", json=document)
        assert after(imported, http, f"/item-banks/{bank_id}").json()["items"] == 100
    dry = http.post(f"/item-banks/{bank_id}/import?dry_run=true", json=document)
    assert "Consistency-Token" not in dry.headers


def test_those_who_are_enrolled_are_known_by_name_at_once(school):
    exam, (_, service), admin = school.exam(), school.service(), school.admin()
    body = {"examinees": [{"external_ref": f"seen-{n}", "display_name": f"학생 {n}"} for n in range(20)]}
    enrolled = admin.http.post("/examinees", json=body)
    last = enrolled.json()["examinees"][-1]["user_id"]
    started = service.http.post(f"/exams/{exam.exam_id}/attempts", json={"examinee_id": last})
    again = admin.http.post("/examinees", json=body)
    for answer in (enrolled, again):
        assert after(answer, admin.http, "/users/me").is_success
    [attempt] = after(started, admin.http, f"/exams/{exam.exam_id}/attempts").json()["items"]
    assert attempt["display_name"] == "학생 19"


def test_a_profile_is_seen_as_it_was_written(api):
    person = api.person()
    for name in ("이서연", "박지훈"):
        changed = person.http.put("/users/me", json={"display_name": name})
        seen = after(changed, person.http, "/users/me")
        assert (seen.json()["display_name"], seen.headers["ETag"]) == (name, changed.headers["ETag"])


@pytest.mark.parametrize("token", ["", "nonsense", "W10", "WzEsImV4YW0tMDE5MDE2NDYiLDFd", "A" * 400])
def test_what_no_write_has_answered_with_is_refused(school, token):
    answer = school.teacher.http.get("/exams", headers={"Consistency-Token": token})
    assert refusal(answer) == (422, "bad-consistency-token")


def test_a_read_that_waits_too_long_says_so_and_is_right_later(database):
    with run_folder("api") as folder, running_api(database, folder, consistency_wait_s=0.2) as api:
        school = api.school()
        with psycopg.connect(database) as connection:
            # Whoever holds the checkpoint holds up the projection.
            connection.execute("SELECT 1 FROM ops.projections WHERE name = 'catalogue' FOR UPDATE")
            written = school.teacher.http.post("/item-banks", json={"name": "Late"})
            token = {"Consistency-Token": written.headers["Consistency-Token"]}
            behind = school.teacher.http.get("/item-banks", headers=token)
            assert refusal(behind) == (503, "read-model-behind")
            assert behind.headers["Retry-After"] == "1"
        seen = None
        while seen is None or seen.status_code == 503:
            seen = school.teacher.http.get("/item-banks", headers=token)
        assert "Late" in seen.text
