"""Taking an adaptive exam over HTTP: an item at a time, whoever decides and whenever they get to it."""

import dataclasses
import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from domain.attempts.events import AbilityUpdated, AttemptScored, ItemPresented, ResponseGiven
from tests.support.adaptive_api import Sitting, adaptive_exam, decide, decide_elsewhere, engine_running
from tests.support.api import Clock, choice_item, eventually, refusal, running_api
from tests.support.event_streams import following
from tests.support.postgres import run_folder


@pytest.fixture
def student(manual_school):
    return manual_school.student()


@pytest.fixture
def engine(manual_api):
    with engine_running(manual_api):
        yield


@contextmanager
def waits(api, seconds):
    """How long answers wait for the engine."""
    services = api.services
    usual = services.next_item_wait_s
    object.__setattr__(services, "next_item_wait_s", seconds)
    try:
        yield
    finally:
        object.__setattr__(services, "next_item_wait_s", usual)


def count(api, attempt_id, kind):
    return sum(isinstance(event, kind) for event in api.events(attempt_id))


def test_starting_presents_the_first_item_in_the_same_answer(student, five_items):
    answer = student.http.post(f"/exams/{five_items.exam_id}/attempts")
    assert answer.status_code == 201
    coming = answer.json()["next"]
    assert (coming["status"], coming["step"]) == ("item", 1)
    assert coming["item"]["item_id"] in five_items.item_ids
    assert [option["id"] for option in coming["item"]["options"]] == ["1", "2", "3", "4"]
    assert (coming["item"]["kind"], coming["item"]["points"]) == ("multiple_choice", 1)


@pytest.mark.usefixtures("engine")
def test_each_answer_brings_the_next_item_and_the_last_one_the_end(manual_api, student, five_items):
    sitting = Sitting.start(student, five_items)
    given = []
    while sitting.next["status"] == "item":
        assert sitting.next["step"] == len(given) + 1
        given.append(sitting.next["item"]["item_id"])
        answer = sitting.answer("2")
        assert answer.status_code == 200
        assert answer.json()["applied"] is True
    assert sitting.next == {"status": "finished", "step": 5, "item": None}
    assert len(set(given)) == 5
    events = manual_api.events(sitting.attempt_id)
    assert [event.item_id for event in events if isinstance(event, ItemPresented)] == given
    assert isinstance(events[-1], AttemptScored)
    assert events[-1].ability.stop_reason == "max_items"


@pytest.mark.usefixtures("engine")
def test_the_answer_to_a_response_names_the_version_that_has_the_next_item(manual_api, student, five_items):
    sitting = Sitting.start(student, five_items)
    answer = sitting.answer("2")
    assert answer.json()["version"] == len(manual_api.events(sitting.attempt_id))
    assert answer.headers["ETag"] == f'"{answer.json()["version"]}"'


@pytest.mark.parametrize(
    ("lang", "language", "stem"),
    [(None, "ko", "어느"), ("en", "en", "Which"), ("ja", "ja", "どれ"), ("zh", "ko", "어느")],
)
@pytest.mark.usefixtures("engine")
def test_items_come_in_the_language_that_is_asked_for(student, five_items, lang, language, stem):
    params = {} if lang is None else {"lang": lang}
    sitting = Sitting.start(student, five_items, **params)
    shown = [sitting.next["item"], sitting.ask(**params).json()["item"]]
    sitting.answer("2", params=params)
    shown.append(sitting.next["item"])
    for item in shown:
        assert item["language"] == language
        assert item["stem"].startswith(stem)
        assert all(option["text"].startswith(stem) for option in item["options"])


def test_items_come_in_the_examinees_own_language(student, five_items):
    student.http.put("/users/me", json={"language": "ja"})
    assert Sitting.start(student, five_items).next["item"]["language"] == "ja"


@pytest.mark.parametrize("lang", ["fr", "", "KO"])
def test_a_language_that_is_none_of_ours_is_refused(student, five_items, lang):
    sitting = Sitting.start(student, five_items)
    item_id = sitting.next["item"]["item_id"]
    for answer in (
        student.http.post(f"/exams/{five_items.exam_id}/attempts", params={"lang": lang}),
        sitting.put(item_id, params={"lang": lang}),
        sitting.ask(lang=lang),
        student.http.get(f"{sitting.url}/events", params={"lang": lang}),
    ):
        assert refusal(answer) == (422, "invalid-request")
        assert answer.json()["errors"][0]["pointer"] == "#/lang"


def test_without_the_engine_an_answer_is_saved_and_the_client_told_where_to_ask(
    manual_api, student, five_items
):
    sitting = Sitting.start(student, five_items)
    with waits(manual_api, 0.05):
        answer = sitting.answer("2", params={"lang": "en"})
    assert answer.status_code == 202
    assert answer.json()["applied"] is True
    assert sitting.next == {"status": "deciding", "step": 2, "item": None}
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["Location"] == f"/api/v1{sitting.url}/next?lang=en"
    asked = sitting.ask()
    assert asked.status_code == 202
    assert asked.headers["Location"] == f"/api/v1{sitting.url}/next"
    assert (asked.json()["status"], asked.json()["step"]) == ("deciding", 2)
    with engine_running(manual_api, sitting.attempt_id):
        asked = sitting.ask(wait_s=20)
    assert asked.status_code == 200
    assert (asked.json()["status"], asked.json()["step"]) == ("item", 2)
    assert count(manual_api, sitting.attempt_id, ItemPresented) == 2


def test_a_long_poll_is_answered_as_soon_as_the_engine_has_decided(manual_api, student, five_items):
    sitting = Sitting.start(student, five_items)
    with waits(manual_api, 0):
        sitting.answer("2")
    news = manual_api.write.streams.news
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(sitting.ask, wait_s=20)
        eventually(lambda: sitting.attempt_id in news._listeners)
        assert not asking.done()
        decide(manual_api, sitting.attempt_id)
        answer = asking.result(10)
    assert (answer.status_code, answer.json()["status"]) == (200, "item")
    assert sitting.attempt_id not in news._listeners


def test_what_another_process_decided_is_found_when_the_time_is_over(
    manual_api, student, five_items, monkeypatch
):
    sitting = Sitting.start(student, five_items)
    news = manual_api.write.streams.news
    monkeypatch.setattr(news, "tell", lambda _: None)
    with waits(manual_api, 1.0), ThreadPoolExecutor(1) as pool:
        answering = pool.submit(sitting.answer, "2")
        eventually(lambda: count(manual_api, sitting.attempt_id, ResponseGiven) == 1, every_s=0.01)
        decide_elsewhere(manual_api, sitting.attempt_id)
        assert answering.result(10).status_code == 200
    assert sitting.next["step"] == 2


def test_more_long_polls_than_a_client_needs_are_answered_at_once(manual_api, student, five_items):
    sitting = Sitting.start(student, five_items)
    with waits(manual_api, 0):
        sitting.answer("2")
    open_answers = manual_api.services.open_answers
    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(sitting.ask, wait_s=20) for _ in range(3)]
        eventually(lambda: not open_answers.has_room("long poll", sitting.attempt_id))
        assert sitting.ask(wait_s=20).status_code == 202
        assert not any(each.done() for each in asking)
        decide(manual_api, sitting.attempt_id)
        assert {each.result(10).status_code for each in asking} == {200}


@pytest.mark.usefixtures("engine")
def test_a_repeated_answer_is_told_what_is_next_now(manual_api, student, five_items):
    sitting = Sitting.start(student, five_items)
    first = sitting.next["item"]["item_id"]
    sitting.answer("2")
    sitting.answer("2")
    again = sitting.put(first)
    assert again.status_code == 200
    assert again.json()["applied"] is False
    assert again.json()["next"] == sitting.next
    assert count(manual_api, sitting.attempt_id, ResponseGiven) == 2


@pytest.mark.usefixtures("engine")
def test_an_answer_with_an_idempotency_key_is_repeated_word_for_word(student, five_items):
    sitting = Sitting.start(student, five_items)
    first = sitting.next["item"]["item_id"]
    key = {"Idempotency-Key": f"answer-{sitting.attempt_id}"}
    given, again = sitting.put(first, headers=key), sitting.put(first, headers=key)
    assert given.status_code == 200
    assert given.json()["next"]["step"] == 2
    assert again.content == given.content
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.usefixtures("engine")
def test_a_start_with_an_idempotency_key_gives_the_same_attempt_and_item(student, five_items):
    key = {"Idempotency-Key": "start-once"}
    url = f"/exams/{five_items.exam_id}/attempts"
    first, again = student.http.post(url, headers=key), student.http.post(url, headers=key)
    assert first.status_code == 201
    assert again.content == first.content


@pytest.mark.usefixtures("engine")
def test_going_on_shows_the_very_item_that_waits_for_an_answer(student, five_items):
    sitting = Sitting.start(student, five_items)
    sitting.answer("2")
    again = student.http.post(f"/exams/{five_items.exam_id}/attempts")
    assert again.status_code == 200
    assert again.json()["attempt_id"] == sitting.attempt_id
    assert again.json()["next"] == sitting.next
    assert sitting.ask().json()["item"] == sitting.next["item"]


def test_going_on_waits_for_the_engine_where_it_has_an_answer_to_decide_upon(manual_api, student, five_items):
    sitting = Sitting.start(student, five_items)
    with waits(manual_api, 0):
        sitting.answer("2")
        again = student.http.post(f"/exams/{five_items.exam_id}/attempts")
    assert (again.status_code, again.json()["next"]["status"]) == (200, "deciding")
    with engine_running(manual_api, sitting.attempt_id):
        again = student.http.post(f"/exams/{five_items.exam_id}/attempts")
    assert (again.json()["next"]["status"], again.json()["next"]["step"]) == ("item", 2)


@pytest.mark.usefixtures("engine")
def test_another_item_than_the_pending_one_is_refused_whether_the_pool_has_it_or_not(student, five_items):
    sitting = Sitting.start(student, five_items)
    pending = sitting.next["item"]["item_id"]
    other = next(each for each in five_items.item_ids if each != pending)
    for item_id in (other, "item-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f", "nothing"):
        answer = sitting.put(item_id)
        assert refusal(answer) == (409, "item-not-pending")
        assert answer.json()["pending_item_id"] == pending


def test_while_the_engine_decides_no_item_is_pending(manual_api, student, five_items):
    sitting = Sitting.start(student, five_items)
    first = sitting.next["item"]["item_id"]
    with waits(manual_api, 0):
        sitting.answer("2")
        other = next(each for each in five_items.item_ids if each != first)
        answer = sitting.put(other)
    assert refusal(answer) == (409, "item-not-pending")
    assert answer.json()["pending_item_id"] is None


@pytest.mark.usefixtures("engine")
def test_an_answer_that_was_given_cannot_be_changed(student, five_items):
    sitting = Sitting.start(student, five_items)
    first = sitting.next["item"]["item_id"]
    sitting.answer("2")
    assert refusal(sitting.put(first, "3")) == (409, "response-is-final")
    assert refusal(sitting.put(first, None)) == (409, "response-is-final")


@pytest.mark.usefixtures("engine")
def test_an_answer_that_does_not_fit_leaves_the_item_pending(student, five_items):
    sitting = Sitting.start(student, five_items)
    answer = sitting.put(sitting.next["item"]["item_id"], "9")
    assert refusal(answer) == (422, "response-does-not-fit")
    assert sitting.ask().json()["item"] == sitting.next["item"]


@pytest.mark.usefixtures("engine")
def test_of_two_devices_that_answer_differently_at_once_one_is_told_that_it_came_late(
    manual_api, student, five_items
):
    sitting = Sitting.start(student, five_items)
    url = f"{sitting.url}/responses/{sitting.next['item']['item_id']}"
    requests = [
        {"method": "PUT", "url": url, "json": {"response": {"options": [option]}}} for option in "1234"
    ]
    answers = manual_api.at_once(requests, student.token)
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    late = [refusal(answer)[1] for answer in answers if answer.status_code == 409]
    assert set(late) == {"response-is-final"}
    assert count(manual_api, sitting.attempt_id, ResponseGiven) == 1
    assert count(manual_api, sitting.attempt_id, ItemPresented) == 2


@pytest.mark.usefixtures("engine")
def test_the_same_answer_from_two_devices_at_once_is_one_and_both_get_the_next_item(
    manual_api, student, five_items
):
    sitting = Sitting.start(student, five_items)
    url = f"{sitting.url}/responses/{sitting.next['item']['item_id']}"
    request = {"method": "PUT", "url": url, "json": {"response": {"options": ["2"]}}}
    answers = manual_api.at_once([request] * 8, student.token)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["next"]["item"]["item_id"] for answer in answers}) == 1
    assert sum(answer.json()["applied"] for answer in answers) == 1
    assert count(manual_api, sitting.attempt_id, ItemPresented) == 2


def test_what_comes_next_is_nobody_elses_business(manual_school, student, five_items):
    sitting = Sitting.start(student, five_items)
    other = manual_school.student()
    others = Sitting.start(other, five_items)
    for person in (other, manual_school.teacher):
        assert refusal(person.http.get(f"{sitting.url}/next")) == (404, "attempt-not-found")
        assert refusal(person.http.get(f"{sitting.url}/events")) == (404, "attempt-not-found")
    with_others_token = manual_school.api.client(others.token)
    assert refusal(with_others_token.get(f"{sitting.url}/next")) == (403, "attempt-token-only")
    assert refusal(with_others_token.get(f"{sitting.url}/events")) == (403, "attempt-token-only")
    assert refusal(manual_school.api.client().get(f"{sitting.url}/next")) == (401, "unauthenticated")
    for nothing in ("attempt-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f", "nothing", five_items.exam_id):
        assert refusal(student.http.get(f"/attempts/{nothing}/next")) == (404, "attempt-not-found")
        assert refusal(student.http.get(f"/attempts/{nothing}/events")) == (404, "attempt-not-found")


@pytest.mark.usefixtures("engine")
def test_the_attempts_own_token_is_enough(manual_api, student, five_items):
    sitting = Sitting.start(student, five_items)
    with_token = manual_api.client(sitting.token)
    assert with_token.get(f"{sitting.url}/next").json()["item"] == sitting.next["item"]
    url = f"{sitting.url}/responses/{sitting.next['item']['item_id']}"
    assert with_token.put(url, json={"response": {"options": ["2"]}}).json()["next"]["step"] == 2


@pytest.mark.usefixtures("engine")
def test_a_program_starts_for_an_examinee_and_gets_the_item_in_their_language(
    manual_school, student, five_items
):
    student.http.put("/users/me", json={"language": "en"})
    _, service = manual_school.service()
    answer = service.http.post(f"/exams/{five_items.exam_id}/attempts", json={"examinee_id": student.user_id})
    assert answer.json()["next"]["item"]["language"] == "en"
    own = manual_school.api.client(answer.json()["attempt_token"])
    attempt_id = answer.json()["attempt_id"]
    assert own.get(f"/attempts/{attempt_id}/next").json()["item"] == answer.json()["next"]["item"]


def test_a_fixed_attempt_has_no_next_item(manual_school, student):
    exam = manual_school.exam([choice_item()])
    started = student.http.post(f"/exams/{exam.exam_id}/attempts").json()
    assert started["next"] is None
    url = f"/attempts/{started['attempt_id']}"
    given = student.http.put(f"{url}/responses/{exam.item_ids[0]}", json={"response": {"options": ["2"]}})
    assert given.json()["next"] is None
    assert refusal(student.http.get(f"{url}/next")) == (409, "attempt-not-adaptive")
    assert refusal(student.http.get(f"{url}/events")) == (409, "attempt-not-adaptive")


@pytest.mark.usefixtures("engine")
def test_handing_in_early_ends_the_test_with_what_was_answered(manual_api, student, five_items):
    sitting = Sitting.start(student, five_items)
    sitting.answer("2")
    handed_in = student.http.post(f"{sitting.url}/submit")
    assert handed_in.json()["status"] == "scored"
    assert sitting.ask().json()["status"] == "finished"
    assert refusal(sitting.put(sitting.next["item"]["item_id"])) == (409, "attempt-finished")
    scored = manual_api.events(sitting.attempt_id)[-1]
    assert (scored.ability.items, scored.ability.stop_reason) == (1, "examinee")


def test_handing_in_before_the_engine_came_counts_the_last_answer(manual_api, student, five_items):
    sitting = Sitting.start(student, five_items)
    with waits(manual_api, 0):
        sitting.answer("2")
    student.http.post(f"{sitting.url}/submit")
    with engine_running(manual_api, sitting.attempt_id):
        assert sitting.ask(wait_s=1).json()["status"] == "finished"
    assert manual_api.events(sitting.attempt_id)[-1].ability.items == 1
    assert count(manual_api, sitting.attempt_id, AbilityUpdated) == 2


@pytest.mark.usefixtures("engine")
def test_the_second_attempt_begins_anew(student, five_items):
    first = Sitting.start(student, five_items)
    first.answer("2")
    student.http.post(f"{first.url}/submit")
    second = Sitting.start(student, five_items)
    assert second.attempt_id != first.attempt_id
    assert second.next["step"] == 1


def test_after_the_deadline_no_answer_is_taken_and_what_there_is_is_handed_in(database):
    clock = Clock()
    with (
        run_folder("api") as folder,
        running_api(database, folder, clock=clock, role="api") as api,
        engine_running(api),
    ):
        school = api.school()
        exam = adaptive_exam(school, time_limit_s=600)
        sitting = Sitting.start(school.student(), exam)
        sitting.answer("2")
        assert sitting.ask().json()["deadline"] is not None
        clock.advance(620)
        assert refusal(sitting.put(sitting.next["item"]["item_id"])) == (409, "attempt-time-is-up")
        handed_in = sitting.person.http.post(f"{sitting.url}/submit").json()
        assert (handed_in["status"], handed_in["submitted_by"]) == ("scored", "clock")
        assert sitting.ask().json()["status"] == "finished"


def test_after_a_restart_of_the_server_everybody_goes_on_where_they_were(database):
    with run_folder("api") as folder:
        with running_api(database, folder, role="api") as api, engine_running(api):
            school = api.school()
            exam = adaptive_exam(school)
            answering, answered = (Sitting.start(student, exam) for student in school.students(2))
            answering.answer("2")
        with running_api(database, folder, role="api") as api, waits(api, 0):
            answering.person, answered.person = again(api, answering.person), again(api, answered.person)
            assert answering.ask().json()["item"] == answering.next["item"]
            assert Sitting.start(answering.person, exam).next == answering.next
            assert answered.answer("2").status_code == 202
        with running_api(database, folder, role="api") as api:
            answered.person = again(api, answered.person)
            with engine_running(api, answered.attempt_id):
                assert answered.ask(wait_s=20).json()["step"] == 2
            assert count(api, answered.attempt_id, ResponseGiven) == 1


def again(api, person):
    """The same person with the same token, at an API that was started since."""
    return dataclasses.replace(person, http=api.client(person.token))


KEPT_FROM_EXAMINEES = {
    "a", "b", "c", "d", "irt", "key", "explanation", "theta", "se", "ability", "draw", "pretest", "right",
    "passed_over", "seed", "prior", "parameters", "content_area", "area", "category", "stop_reason", "score",
}  # fmt: skip


def names_in(document):
    if isinstance(document, dict):
        for name, value in document.items():
            yield name
            yield from names_in(value)
    elif isinstance(document, list):
        for each in document:
            yield from names_in(each)


def test_no_answer_tells_an_examinee_what_the_key_or_the_ability_follow_from(manual_api, manual_school):
    rules = {
        "max_items": 4,
        "stop_se": None,
        "pretest": {"items": 1, "first_position": 2, "last_position": 3},
    }
    exam = adaptive_exam(manual_school, pretest=3, rules=rules)
    student = manual_school.student()
    answers, events = [], []

    def look(sitting):
        answers.extend([sitting.ask(), sitting.put("nothing"), sitting.ask(lang="en")])
        with following(sitting) as stream:
            events.append(stream.event())

    with engine_running(manual_api):
        answers.append(student.http.post(f"/exams/{exam.exam_id}/attempts"))
        sitting = Sitting.start(student, exam)
        while sitting.next["status"] == "item":
            look(sitting)
            item_id = sitting.next["item"]["item_id"]
            answers += [sitting.put(item_id, "9"), sitting.answer("1"), sitting.put(item_id, "2")]
            answers.append(student.http.post(f"/exams/{exam.exam_id}/attempts"))
        look(sitting)
        answers.append(student.http.post(f"{sitting.url}/submit"))
    with waits(manual_api, 0):
        other = Sitting.start(manual_school.student(), exam)
        answers += [other.answer("2"), other.ask(), other.put("nothing")]
    happened = manual_api.events(sitting.attempt_id) + manual_api.events(other.attempt_id)
    given = {event.item_id for event in happened if isinstance(event, ItemPresented)}
    assert len(answers) > 20
    assert [kind for kind, _, _ in events] == ["item"] * 5 + ["finished"]
    for told in [answer.json() for answer in answers] + [shown for _, _, shown in events]:
        text = json.dumps(told, ensure_ascii=False)
        assert not KEPT_FROM_EXAMINEES & set(names_in(told)), text
        assert "secret reason" not in text
        assert set(re.findall(r"item-[0-9a-f-]{36}", text)) <= given, "an item that was not given"
