# ruff: noqa: ARG001 - routes name what they depend on, stories what they are told

import asyncio
import re
from typing import Annotated

import pytest
import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from prometheus_client import CollectorRegistry

from infra.http.body_limit import MIB, BodyLimits
from infra.http.routing import ApiRoute
from infra.http.text import RequestModel, SafeText
from tests.support.http import call, client_of, make_app

router = APIRouter(route_class=ApiRoute)


class Note(RequestModel):
    text: Annotated[str, SafeText(0, 10_000)]


@router.get("/things/{thing_id}")
async def get_thing(thing_id: str) -> str:
    structlog.get_logger("test").info("inside")
    return thing_id


@router.get("/kept")
async def kept(response: Response) -> None:
    response.headers["Cache-Control"] = "max-age=60"


@router.get("/broken")
async def broken() -> None:
    raise RuntimeError("secret detail")


@router.get("/breaks-off")
async def breaks_off() -> StreamingResponse:
    async def half():
        yield b"half"
        raise RuntimeError("no more")

    return StreamingResponse(half())


@router.post("/notes")
async def post_note(note: Note) -> int:
    return len(note.text)


@router.post("/banks/{bank_id}/import")
async def post_raw(bank_id: str, request: Request) -> int:
    return len(await request.body())


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def app(registry):
    limits = BodyLimits(1_000, {"/api/v1/banks/*/import": 5_000})
    return make_app(router, registry=registry, body_limits=limits)


@pytest.mark.parametrize("sent", ["abc", "A.b_c-9", "x" * 64])
def test_a_sound_request_id_is_kept(app, sent):
    assert call(app, "GET", "/api/v1/kept", headers={"X-Request-Id": sent}).headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", "a/b", "a\tb", "é".encode("latin-1")])
def test_any_other_request_id_is_replaced_by_a_uuid7(app, sent):
    request_id = call(app, "GET", "/api/v1/kept", headers=[("X-Request-Id", sent)]).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{12}7[0-9a-f]{19}", request_id)


def test_every_log_line_of_a_request_names_it_and_none_after_it(app):
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        call(app, "GET", "/api/v1/things/7?name=kim", headers={"X-Request-Id": "request-1"})
        structlog.get_logger("test").info("outside")
    inside, access, outside = lines
    assert {inside["request_id"], inside["correlation_id"], access["request_id"]} == {"request-1"}
    assert "request_id" not in outside
    assert access["event"] == "request"
    assert (access["method"], access["status"]) == ("GET", 200)
    assert (access["route"], access["path"]) == ("/api/v1/things/{thing_id}", "/api/v1/things/7")
    assert access["duration_ms"] >= 0
    assert "kim" not in repr(access)


def test_metrics_are_kept_per_route_not_per_path(app, registry):
    for thing_id in range(3):
        call(app, "GET", f"/api/v1/things/{thing_id}")
    call(app, "GET", "/api/v1/nowhere/1")
    call(app, "GET", "/api/v1/nowhere/2")
    call(app, "BREW", "/api/v1/things/1")

    def counted(**labels):
        return registry.get_sample_value("http_requests_total", labels)

    template = "/api/v1/things/{thing_id}"
    assert counted(method="GET", route=template, status="200") == 3
    assert counted(method="GET", route="(unmatched)", status="404") == 2
    assert counted(method="(other)", route=template, status="405") == 1
    labels = {"method": "GET", "route": template}
    assert registry.get_sample_value("http_request_duration_seconds_count", labels) == 3


def test_a_fault_is_logged_with_its_traceback_counted_and_answered_like_any_other(app, registry):
    with structlog.testing.capture_logs() as lines:
        response = call(app, "GET", "/api/v1/broken", headers={"X-Request-Id": "request-1"})
    assert response.status_code == 500
    assert response.json()["request_id"] == response.headers["x-request-id"] == "request-1"
    assert response.headers["x-content-type-options"] == "nosniff"
    fault = next(line for line in lines if line["event"] == "unexpected error")
    assert isinstance(fault["exc_info"], RuntimeError)
    assert fault["exc_info"].__traceback__ is not None
    labels = {"method": "GET", "route": "/api/v1/broken", "status": "500"}
    assert registry.get_sample_value("http_requests_total", labels) == 1


def test_an_answer_that_breaks_off_is_not_passed_off_as_whole(app):
    sent = []

    async def run():
        messages = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive():
            if messages:
                return messages.pop()
            return await asyncio.Event().wait()  # the client stays

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/v1/breaks-off",
            "raw_path": b"/api/v1/breaks-off",
            "query_string": b"",
            "headers": [],
            "server": ("test", 80),
            "scheme": "http",
            "http_version": "1.1",
        }
        with pytest.raises(RuntimeError):
            await app(scope, receive, send)

    asyncio.run(run())
    assert sent[0]["status"] == 200
    assert all(message.get("more_body", True) for message in sent)


def test_answers_of_the_api_are_not_cached_unless_they_say_so(app):
    assert call(app, "GET", "/api/v1/things/1").headers["cache-control"] == "no-store"
    assert call(app, "GET", "/api/v1/kept").headers["cache-control"] == "max-age=60"
    assert "cache-control" not in call(app, "GET", "/openapi.json").headers


def test_a_body_that_says_it_is_too_large_is_not_read(app):
    response = call(app, "POST", "/api/v1/notes", json={"text": "x" * 1_000})
    assert response.status_code == 413
    assert response.json()["type"] == "urn:megacity:problem:content-too-large"
    assert response.json()["limit_bytes"] == 1_000


def test_headers_that_are_too_large_together_are_refused_by_a_problem(app):
    many = [(f"X-Filler-{number}", "x" * 1_000) for number in range(33)]
    response = call(app, "GET", "/api/v1/kept", headers=many)
    assert response.status_code == 431
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["type"] == "urn:megacity:problem:request-headers-too-large"
    assert document["limit_bytes"] == 32 * 1024
    assert document["request_id"] == response.headers["x-request-id"]


def test_headers_of_a_usual_size_pass(app):
    assert call(app, "GET", "/api/v1/kept", headers={"X-Filler": "x" * 30_000}).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/notes", "/api/v1/banks/7/import"])
def test_a_body_that_does_not_say_how_large_it_is_is_counted(app, path):
    taken = 0

    async def endless():
        nonlocal taken
        while taken < 100 * MIB:
            taken += 1_000
            yield b"x" * 1_000

    async def send():
        async with client_of(app) as client:
            headers = {"Content-Type": "application/json"}
            return await client.post(path, content=endless(), headers=headers)

    response = asyncio.run(send())
    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"
    assert taken <= 10_000


def test_a_path_may_have_a_limit_of_its_own(app):
    assert call(app, "POST", "/api/v1/banks/7/import", content=b"x" * 5_000).json() == 5_000
    assert call(app, "POST", "/api/v1/banks/7/import", content=b"x" * 5_001).status_code == 413


def test_the_longest_prefix_decides_and_a_star_is_one_segment():
    limits = BodyLimits(1, {"/a": 2, "/a/*/c": 3})
    paths = ("/", "/ab", "/a", "/a/b", "/a/b/c", "/a/b/c/d", "/a/b/x/c", "/a/b/cd")
    assert [limits.limit_for(path) for path in paths] == [1, 1, 2, 2, 3, 3, 2, 2]
