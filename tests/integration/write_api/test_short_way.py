"""Saving an answer has a short way past FastAPI's dependencies: nobody can tell it from the declared one."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from commands.api import attempts
from infra.http.routing import _SHORT_WAY
from tests.support.adaptive_api import Sitting, adaptive_exam, engine_running
from tests.support.api import Api, Person, choice_item, running_api

NUMBER = {
    "kind": "numeric",
    "content_area": "mathematics",
    "stem": {"ko": "얼마입니까?"},
    "key": {"value": "12.5", "tolerance": "0.1"},
}
JSON = {"Content-Type": "application/json"}

BODIES: list[tuple[bytes, dict[str, str]]] = [
    (b'{"response": {"options": ["2"]}}', JSON),
    (b'{"response": {"options": ["2"]}, "sequence": 9}', JSON),
    (b'{"response": {"options": ["2"]}, "sequence": 1}', JSON),
    (b'{"response": null}', JSON),
    (b'{"response": {"value": "12.5"}}', JSON),
    (b'{"response": {"value": 12.5}}', JSON),
    (b'{"response": {"text": "a word"}}', JSON),
    (b'{"response": {"options": ["none of them"]}}', JSON),
    (b'{"response": {"options": []}}', JSON),
    (b'{"response": {"options": "2"}}', JSON),
    (b'{"response": {"options": ["2"], "more": 1}}', JSON),
    (b'{"response": {"options": ["2"]}, "sequence": "9"}', JSON),
    (b'{"response": {"options": ["2"]}, "sequence": true}', JSON),
    (b'{"response": {"options": ["2"]}, "sequence": 0}', JSON),
    (b'{"response": {"options": ["2"]}, "sequence": 1e3}', JSON),
    (b"{}", JSON),
    (b"[]", JSON),
    (b"null", JSON),
    (b"", JSON),
    (b"", {}),
    (b'{"response": ', JSON),
    (b'{"response": NaN}', JSON),
    (b'{"response": {"text": "\\ud800"}}', JSON),
    (b"\xff", JSON),
    (b'{"response": null}', {"Content-Type": "text/plain"}),
    (b'{"response": null}', {"Content-Type": "application/merge-patch+json"}),
    (b'{"response": null}', {"Content-Type": "application/json; charset=utf-8"}),
    (b'{"response": null}', {**JSON, "Idempotency-Key": "not a key, but words"}),
    (b'{"response": null}', {**JSON, "Idempotency-Key": "k" * 256}),
]
# What differs from one request to the next whichever way it goes.
PASSING = {"server_now", "request_id", "instance", "version", "attempt_id"}
PASSING_HEADERS = {"date", "x-request-id", "consistency-token", "etag", "content-length"}


@pytest.fixture(scope="module")
def api(postgres_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    from tests.support.postgres import fresh_database

    with (
        fresh_database(postgres_server) as conninfo,
        # Without an engine of its own: it decides when a test lets it.
        running_api(
            conninfo, tmp_path_factory.mktemp("short-way"), role="api", exam={"next_item_wait_s": 5.0}
        ) as running,
    ):
        yield running


def test_the_short_way_answers_every_request_as_the_declared_way_does(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    school = api.school()
    exam = school.exam([choice_item(), NUMBER])
    quick, declared, other = school.students(3)
    started = {each.user_id: _start(each, exam.exam_id) for each in (quick, declared, other)}

    def answers(person: Person) -> list[Any]:
        attempt_id, own_token = started[person.user_id]
        found = []
        for item_id in [*exam.item_ids, "item-of-nobody", exam.exam_id]:
            for body, headers in BODIES:
                found.append(_put(api, attempt_id, item_id, body, {**_as(person.token), **headers}))
        wanted = b'{"response": {"options": ["3"]}}'
        for headers in (
            _as(own_token),
            _as(started[other.user_id][1]),  # the token of another attempt
            _as(other.token),
            _as(school.teacher.token),
            _as("no token"),
            {"Authorization": "Basic abc"},
            {},
        ):
            found += [_put(api, attempt_id, exam.item_ids[0], wanted, {**JSON, **headers})]
        for nowhere in ("attempt-of-nobody", exam.exam_id, "%00", "%ed%a0%80"):
            found += [_put(api, nowhere, exam.item_ids[0], wanted, {**JSON, **_as(person.token)})]
        person.http.post(f"/attempts/{attempt_id}/submit")
        found.append(_put(api, attempt_id, exam.item_ids[0], wanted, {**JSON, **_as(person.token)}))
        return found

    taken = []

    async def watched(request: Any) -> Any:
        response = await attempts._respond_quickly(request)
        taken.append(response is not None)
        return response

    async def nobody_goes_that_way(request: Any) -> None:
        del request

    monkeypatch.setattr(attempts.respond, _SHORT_WAY, watched)
    by_short_way = answers(quick)
    assert any(taken)
    assert not all(taken)
    monkeypatch.setattr(attempts.respond, _SHORT_WAY, nobody_goes_that_way)
    by_declared_way = answers(declared)

    assert by_short_way == by_declared_way
    assert {status for status, _, _ in by_short_way} >= {200, 400, 401, 403, 404, 409, 415, 422}
    assert _facts(api, started[quick.user_id][0]) == _facts(api, started[declared.user_id][0])


def test_in_an_adaptive_attempt_the_short_way_answers_as_the_declared_way_does(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    school = api.school()
    exam = adaptive_exam(school)
    quick, declared = school.students(2)

    def answers(person: Person) -> list[Any]:
        sitting = Sitting.start(person, exam)
        pending = sitting.next["item"]["item_id"]
        wanted, headers = b'{"response": {"options": ["2"]}}', {**JSON, **_as(person.token)}
        found: list[Any] = []

        def put(item_id: str, body: bytes = wanted, query: str = "", more: dict[str, str] = JSON) -> None:
            found.append(_put(api, sitting.attempt_id, item_id, body, {**headers, **more}, query=query))

        with engine_running(api):
            for query in ("lang=fr", "lang=", "lang=KO"):
                put(pending, query=query)
            for item_id in ("item-of-nobody", exam.exam_id):
                put(item_id)
            for body, more in BODIES:
                # What fits answers the first item, and whatever comes then comes too late.
                put(pending, body, more=more)
            for query in ("lang=en", "lang=ko&lang=ja", "lang=zh", "other=1", ""):
                put(pending, query=query)
        object.__setattr__(api.services, "next_item_wait_s", 0.0)
        pending = sitting.ask().json()["item"]["item_id"]
        for query in ("", "lang=en"):
            put(pending, query=query)
        object.__setattr__(api.services, "next_item_wait_s", 5.0)
        person.http.post(f"{sitting.url}/submit")
        put(pending)
        return [_without_attempt(each, sitting.attempt_id) for each in found]

    by_short_way = answers(quick)

    async def nobody_goes_that_way(request: Any) -> None:
        del request

    monkeypatch.setattr(attempts.respond, _SHORT_WAY, nobody_goes_that_way)
    assert by_short_way == answers(declared)
    assert {status for status, _, _ in by_short_way} >= {200, 202, 400, 409, 415, 422}


def test_an_answer_by_the_short_way_is_repeated_with_its_idempotency_key(api: Api) -> None:
    school = api.school()
    exam = school.exam([choice_item()])
    student = school.student()
    attempt_id, _ = _start(student, exam.exam_id)

    def answer() -> httpx.Response:
        return student.http.put(
            f"/attempts/{attempt_id}/responses/{exam.item_ids[0]}",
            json={"response": {"options": ["2"]}},
            headers={"Idempotency-Key": "one-answer"},
        )

    first, second = answer(), answer()
    assert (first.status_code, second.status_code) == (200, 200)
    assert second.headers["Idempotency-Replayed"] == "true"
    assert first.json() == second.json()


def _start(person: Person, exam_id: str) -> tuple[str, str]:
    started = person.http.post(f"/exams/{exam_id}/attempts").json()
    return started["attempt_id"], started["attempt_token"]


def _as(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _put(
    api: Api, attempt_id: str, item_id: str, body: bytes, headers: dict[str, str], *, query: str = ""
) -> tuple[Any, ...]:
    url = f"/attempts/{attempt_id}/responses/{item_id}" + (f"?{query}" if query else "")
    answer = api.client().put(url, content=body, headers=headers)
    shown = {name: value for name, value in answer.headers.items() if name not in PASSING_HEADERS}
    assert int(answer.headers["content-length"]) == len(answer.content)
    return answer.status_code, sorted(shown.items()), _without_passing(json.loads(answer.content))


def _without_passing(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in PASSING}


def _without_attempt(found: tuple[Any, ...], attempt_id: str) -> tuple[Any, ...]:
    status, headers, body = found
    return status, [(name, value.replace(attempt_id, "it")) for name, value in headers], body


def _facts(api: Api, attempt_id: str) -> list[str]:
    return [type(event).__name__ for event in api.events(attempt_id)]
