"""Time limits and windows: what is refused when time is up, and what the clock does by itself."""

from datetime import timedelta

import pytest

from tests.support.api import Clock, eventually, refusal, running_api
from tests.support.postgres import fresh_database, run_folder

GRACE_S = 5


@pytest.fixture(scope="module")
def timed(postgres_server):
    """A school in an API whose clock these tests advance. It never goes back, as no clock does."""
    with (
        run_folder("api") as folder,
        fresh_database(postgres_server) as conninfo,
        running_api(conninfo, folder, clock=Clock()) as running,
    ):
        yield running.school()


def kinds(school, stream_id):
    return [type(event).__name__ for event in school.api.events(stream_id)]


def start(student, exam):
    answer = student.http.post(f"/exams/{exam.exam_id}/attempts")
    assert answer.status_code == 201, answer.text
    return answer.json()


def answer_first(student, exam, attempt_id, option="2", **body):
    return student.http.put(
        f"/attempts/{attempt_id}/responses/{exam.item_ids[0]}",
        json={"response": {"options": [option]}, **body},
    )


def test_an_answer_within_the_grace_still_counts(timed):
    exam, student = timed.exam(time_limit_s=600), timed.student()
    attempt = start(student, exam)
    timed.api.clock.advance(600 + GRACE_S / 2)
    answer = answer_first(student, exam, attempt["attempt_id"])
    assert answer.status_code == 200
    assert answer.json()["server_now"] > answer.json()["deadline"] == attempt["deadline"]


def test_when_time_is_up_no_answer_is_taken_and_the_clock_hands_in_what_was_saved(timed):
    exam, student = timed.exam(time_limit_s=600), timed.student()
    attempt = start(student, exam)
    answer_first(student, exam, attempt["attempt_id"])
    timed.api.clock.advance(600 + GRACE_S + 1)
    late = answer_first(student, exam, attempt["attempt_id"], option="1")
    status, problem = refusal(late)
    # The reaction may have been faster than this request.
    assert (status, problem) in {(409, "attempt-time-is-up"), (409, "attempt-finished")}
    eventually(lambda: "AttemptScored" in kinds(timed, attempt["attempt_id"]))
    submitted, scored = timed.api.events(attempt["attempt_id"])[-2:]
    assert submitted.by == "clock"
    assert scored.score == 1
    actor = timed.api.recorded(attempt["attempt_id"])[-1].metadata.actor
    assert (actor.kind, actor.id) == ("clock", "deadlines")


def test_a_replay_of_a_saved_answer_is_harmless_after_time_is_up(timed):
    exam, student = timed.exam(time_limit_s=600), timed.student()
    attempt_id = start(student, exam)["attempt_id"]
    answer_first(student, exam, attempt_id, sequence=1)
    timed.api.clock.advance(600 + GRACE_S + 1)
    again = answer_first(student, exam, attempt_id, sequence=1)
    assert again.status_code == 200 or refusal(again) == (409, "attempt-finished")
    assert kinds(timed, attempt_id).count("ResponseGiven") == 1


def test_a_late_submission_counts_as_the_clocks(timed):
    exam, student = timed.exam(time_limit_s=600), timed.student()
    attempt_id = start(student, exam)["attempt_id"]
    timed.api.clock.advance(600 + GRACE_S + 1)
    answer = student.http.post(f"/attempts/{attempt_id}/submit")
    assert (answer.status_code, answer.json()["submitted_by"]) == (200, "clock")
    assert kinds(timed, attempt_id) == ["AttemptStarted", "AttemptSubmitted", "AttemptScored"]


def test_a_submission_in_time_is_the_examinees(timed):
    exam, student = timed.exam(time_limit_s=600), timed.student()
    attempt_id = start(student, exam)["attempt_id"]
    answer = student.http.post(f"/attempts/{attempt_id}/submit")
    assert (answer.json()["status"], answer.json()["submitted_by"]) == ("scored", "examinee")


def test_an_attempt_ends_with_the_window_when_that_comes_before_its_time_limit(timed):
    closes_at = timed.api.clock() + timedelta(seconds=300)
    exam, student = timed.exam(time_limit_s=600, closes_at=closes_at.isoformat()), timed.student()
    attempt = start(student, exam)
    assert attempt["deadline"] == closes_at.isoformat().replace("+00:00", "Z")


def test_when_the_window_is_over_the_clock_closes_the_exam_and_hands_in_what_runs(timed):
    closes_at = timed.api.clock() + timedelta(seconds=300)
    exam = timed.exam(closes_at=closes_at.isoformat(), release="after_closing")
    student = timed.student()
    attempt_id = start(student, exam)["attempt_id"]
    answer_first(student, exam, attempt_id)
    timed.api.clock.advance(301)
    late = timed.student().http.post(f"/exams/{exam.exam_id}/attempts")
    assert refusal(late) == (409, "exam-window-over")
    timed.api.clock.advance(GRACE_S + 1)
    eventually(lambda: kinds(timed, exam.exam_id)[-1] == "ExamClosed")
    assert timed.api.events(exam.exam_id)[-1].reason == "window_ended"
    eventually(lambda: kinds(timed, attempt_id)[-1] == "AttemptScored")
    results = eventually(
        lambda: (answer := student.http.get(f"/exams/{exam.exam_id}/results")).is_success and answer
    )
    assert results.json()["items"][0]["score"] == 1


def test_a_new_attempt_after_time_is_up_first_hands_in_the_old_one(timed):
    exam, student = timed.exam(time_limit_s=600, attempts_allowed=2), timed.student()
    first = start(student, exam)["attempt_id"]
    timed.api.clock.advance(600 + GRACE_S + 1)
    second = start(student, exam)
    assert second["ordinal"] == 2
    assert kinds(timed, first)[-1] == "AttemptScored"


def test_an_exam_opens_by_the_clock(timed):
    opens_at = timed.api.clock() + timedelta(seconds=300)
    exam, student = timed.exam(opens_at=opens_at.isoformat()), timed.student()
    assert refusal(student.http.post(f"/exams/{exam.exam_id}/attempts")) == (409, "exam-not-open-yet")
    timed.api.clock.advance(301)
    start(student, exam)


def test_an_attempt_token_lives_as_long_as_its_attempt(timed):
    exam, student = timed.exam(time_limit_s=3600), timed.student()
    attempt = start(student, exam)
    holder = timed.api.client(attempt["attempt_token"])
    url = f"/attempts/{attempt['attempt_id']}"
    timed.api.clock.advance(3600 + GRACE_S - 1)
    assert holder.post(f"{url}/submit").json()["submitted_by"] == "examinee"
    timed.api.clock.advance(3600)
    assert refusal(holder.get(url)) == (401, "invalid-token")
