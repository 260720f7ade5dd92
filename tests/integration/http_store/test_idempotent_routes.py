# ruff: noqa: ARG001 - routes name what they depend on, stories what they are told

import asyncio
import itertools
from collections import Counter
from typing import Annotated

import msgspec
import pytest
import structlog
from fastapi import APIRouter, Depends, Response

from domain.errors import IllegalState
from infra.http.guards import CurrentPrincipal, public
from infra.http.idempotency import CommandId
from infra.http.idempotency_store import IdempotencyStore
from infra.http.routing import ApiRoute
from infra.http.text import RequestModel, SafeText
from tests.support.http import STUDENT, FakeServices, client_of, make_app

OTHER = msgspec.structs.replace(STUDENT, subject_id="user-01901646-a2b4-7c3d-8e5f-ffffffffffff")
KEYED = {"Idempotency-Key": "key-1"}


class Draft(RequestModel):
    title: Annotated[str, SafeText(1, 200)]


class World:
    """What the routes below do to it, and what befalls them."""

    def __init__(self):
        self.commands = []
        self.befalls = None
        self.at_the_gate = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()


@pytest.fixture
def told(with_pool):
    """Tells `story(world, client, services)` with a real store behind the routes."""

    def tell(story):
        async def with_everything(pool):
            world, services = World(), FakeServices()
            services.idempotency = IdempotencyStore(pool, secret=b"s" * 32, new_id=services.new_id)
            app = make_app(routes(world), services=services)
            async with client_of(app) as client:
                await story(world, client, services)

        with_pool(with_everything)

    return tell


def routes(world):
    router = APIRouter(route_class=ApiRoute)
    numbers = itertools.count(1)

    @router.post("/exams", status_code=201)
    async def draft_exam(
        draft: Draft, principal: CurrentPrincipal, command_id: CommandId, response: Response
    ) -> dict[str, str | int]:
        world.at_the_gate.set()
        await world.gate.wait()
        if world.befalls is not None:
            raise world.befalls
        world.commands.append(command_id)
        response.headers["Consistency-Token"] = f"token-{len(world.commands)}"
        return {"title": draft.title, "number": next(numbers), "command_id": command_id}

    @router.delete("/exams/{exam_id}", status_code=204)
    async def withdraw(exam_id: str, principal: CurrentPrincipal, command_id: CommandId) -> None:
        world.commands.append(command_id)

    @router.post("/register", dependencies=[Depends(public)])
    async def register(draft: Draft, command_id: CommandId) -> str:
        world.commands.append(command_id)
        return command_id

    return router


def post(client, services, *, title="Mock exam", who=STUDENT, headers=KEYED):
    bearer = {} if who is None else services.bearer(who)
    return client.post("/api/v1/exams", json={"title": title}, headers={**bearer, **headers})


def slug(response):
    return response.status_code, response.json()["type"].removeprefix("urn:megacity:problem:")


def test_a_request_sent_twice_takes_effect_once_and_gets_the_same_answer(told):
    async def story(world, client, services):
        first, second = await post(client, services), await post(client, services)
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.content == second.content
        assert second.headers["consistency-token"] == first.headers["consistency-token"] == "token-1"
        assert second.headers["content-type"] == "application/json"
        assert second.headers["content-length"] == first.headers["content-length"]
        assert "idempotency-replayed" not in first.headers
        assert second.headers["idempotency-replayed"] == "true"
        assert first.headers["x-request-id"] != second.headers["x-request-id"]
        assert world.commands == [first.json()["command_id"]]

    told(story)


def test_thirty_two_clients_at_once_cause_one_effect(told):
    async def story(world, client, services):
        answers = await asyncio.gather(*(post(client, services) for _ in range(32)))
        outcomes = Counter(answer.status_code for answer in answers)
        assert set(outcomes) <= {201, 409}
        assert outcomes[201] >= 1
        assert {answer.content for answer in answers if answer.status_code == 201} == {
            (await post(client, services)).content
        }
        assert len(world.commands) == 1

    told(story)


def test_without_a_key_each_request_is_a_command_of_its_own(told):
    async def story(world, client, services):
        for _ in range(2):
            assert (await post(client, services, headers={})).status_code == 201
        assert len(set(world.commands)) == 2

    told(story)


def test_an_answer_without_a_body_is_given_again_as_well(told):
    async def story(world, client, services):
        headers = {**services.bearer(), **KEYED}
        for _ in range(2):
            answer = await client.delete("/api/v1/exams/exam-1", headers=headers)
            assert (answer.status_code, answer.content) == (204, b"")
            assert "content-length" not in answer.headers
        assert len(world.commands) == 1

    told(story)


def test_the_same_key_for_other_contents_or_another_path_is_refused(told):
    async def story(world, client, services):
        await post(client, services)
        assert slug(await post(client, services, title="Another")) == (422, "idempotency-key-reused")
        headers = {**services.bearer(), **KEYED}
        assert (await client.delete("/api/v1/exams/exam-1", headers=headers)).status_code == 204
        refused = await client.delete("/api/v1/exams/exam-2", headers=headers)
        assert slug(refused) == (422, "idempotency-key-reused")

    told(story)


def test_somebody_elses_key_is_another_key(told):
    async def story(world, client, services):
        mine, theirs = await post(client, services), await post(client, services, who=OTHER)
        assert mine.json()["number"] != theirs.json()["number"]
        on_attempt = msgspec.structs.replace(STUDENT, attempt_id="attempt-1")
        assert slug(await post(client, services, who=on_attempt)) == (403, "attempt-token-only")

    told(story)


def test_while_the_first_is_in_flight_the_second_is_told_to_wait(told):
    async def story(world, client, services):
        world.gate.clear()
        first = asyncio.create_task(post(client, services))
        await world.at_the_gate.wait()
        second = await post(client, services)
        assert slug(second) == (409, "request-in-flight")
        assert second.headers["retry-after"] == "1"
        world.gate.set()
        assert (await first).status_code == 201

    told(story)


@pytest.mark.parametrize(("befalls", "status"), [(IllegalState(), 409), (RuntimeError("bug"), 500)])
def test_a_refusal_is_not_kept_and_the_next_try_has_the_same_command_id(told, befalls, status):
    async def story(world, client, services):
        world.befalls = befalls
        assert (await post(client, services)).status_code == status
        world.befalls = None
        answer = await post(client, services)
        assert answer.status_code == 201
        assert "idempotency-replayed" not in answer.headers
        # The first id that was handed out, although two requests came.
        assert world.commands == ["01901646-a2b4-7c3d-8e5f-000000000001"]

    told(story)


def test_a_cancelled_request_gives_its_claim_back_at_once(told):
    async def story(world, client, services):
        world.gate.clear()
        first = asyncio.create_task(post(client, services))
        await world.at_the_gate.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        world.gate.set()
        assert (await post(client, services)).status_code == 201

    told(story)


def test_the_client_hears_of_its_success_even_when_the_answer_cannot_be_kept(told):
    async def story(world, client, services):
        async def fail(*_):
            raise ConnectionError

        complete, services.idempotency.complete = services.idempotency.complete, fail
        with structlog.testing.capture_logs() as lines:
            assert (await post(client, services)).status_code == 201
        assert any(line["event"] == "idempotent answer not kept" for line in lines)
        services.idempotency.complete = complete
        assert slug(await post(client, services)) == (409, "request-in-flight")
        services.clock.now = services.clock.now.replace(minute=1)
        assert (await post(client, services)).status_code == 201
        assert len(set(world.commands)) == 1  # by which the handler knows what it has done

    told(story)


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "é".encode("latin-1"), "a\tb"])
def test_a_key_of_another_shape_is_refused(told, key):
    async def story(world, client, services):
        answer = await post(client, services, headers={"Idempotency-Key": key})
        assert slug(answer) == (422, "invalid-request")
        assert answer.json()["errors"][0]["in"] == "header"
        assert not world.commands

    told(story)


def test_without_a_valid_token_nothing_is_claimed(told):
    async def story(world, client, services):
        for headers in ({}, {"Authorization": "Bearer x.y.z"}):
            answer = await post(client, services, who=None, headers={**KEYED, **headers})
            assert answer.status_code == 401
        async with services.idempotency._pool.connection() as connection:
            counted = await connection.execute("SELECT count(*) FROM ops.idempotency")
            assert await counted.fetchone() == (0,)

    told(story)


def test_a_public_route_honours_keys_without_a_token(told):
    async def story(world, client, services):
        answers = [
            await client.post("/api/v1/register", json={"title": title}, headers=KEYED)
            for title in ("a", "a", "b")
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 422]
        assert answers[0].content == answers[1].content
        assert len(world.commands) == 1

    told(story)


def test_an_invalid_body_is_pointed_out_as_ever_each_time_it_is_sent(told):
    async def story(world, client, services):
        assert slug(await post(client, services, title="")) == (422, "invalid-request")
        assert slug(await post(client, services, title="")) == (422, "invalid-request")

    told(story)


def test_the_document_names_the_header_on_these_routes():
    document = make_app(routes(World())).openapi()
    parameters = document["paths"]["/api/v1/exams"]["post"]["parameters"]
    assert [(each["name"], each["in"], each["required"]) for each in parameters] == [
        ("Idempotency-Key", "header", False)
    ]
