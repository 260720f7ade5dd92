"""The route class of both APIs: strict JSON in, and one effect per idempotency key.

    router = APIRouter(route_class=ApiRoute)

A route becomes idempotent by depending on `CommandId`; nothing else is to be done. Its guard (or
`public`) must be named on the route itself, so that the key's owner is known before it runs.

A route that is called all the time may have a short way beside its declared one:

    @router.put(...)
    @short_way(quickly)
    async def respond(...)

`quickly(request)` answers a request in which nothing is out of the ordinary, and None for every other one,
which then goes the declared way, so that refusals are the same word for word. A test sends requests of all
kinds both ways and compares.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine
from email.message import Message
from typing import Any, Final, TypeVar

import msgspec
import structlog
from fastapi import Request, Response, params
from fastapi.routing import APIRoute

from infra.http.errors import InvalidToken
from infra.http.etags import IF_MATCH_HEADER
from infra.http.guards import depends_on, principal_of, public
from infra.http.idempotency import (
    IDEMPOTENCY_KEY_HEADER,
    KEY_PATTERN,
    REPLAYED_HEADER,
    Claim,
    Replay,
    command_id,
)
from infra.http.problem_types import MALFORMED_JSON, UNSUPPORTED_MEDIA_TYPE
from infra.http.problems import ProblemHttpException
from infra.http.services import HttpServices, services_of

Answer = Callable[[Request], Awaitable[Response]]
ShortWay = Callable[[Request], Awaitable[Response | None]]
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

_KEY: Final = re.compile(KEY_PATTERN)
_ANYBODY: Final = "anybody"

log = structlog.get_logger("http")


_SHORT_WAY: Final = "__short_way__"


def short_way(quickly: ShortWay) -> Callable[[Endpoint], Endpoint]:
    """Gives an endpoint a way past FastAPI's solving of dependencies, which costs more than the command."""

    def declare(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _SHORT_WAY, quickly)
        return endpoint

    return declare


class ApiRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = _by_short_way(self.endpoint, super().get_route_handler())
        name = f"{'|'.join(sorted(self.methods or ()))} {self.path_format}"
        is_idempotent = depends_on(self.dependant, lambda call: call is command_id)
        is_public = depends_on(self.dependant, lambda call: call is public)
        takes_json = self.body_field is not None and not isinstance(self.body_field.field_info, params.Form)

        async def handle(request: Request) -> Response:
            strict_request = StrictJsonRequest(request.scope, request.receive)
            if takes_json:
                _require_json(strict_request)
            key = request.headers.get(IDEMPOTENCY_KEY_HEADER, "")
            # A key that breaks its rules is refused by the declared header, a token by the guard.
            if not is_idempotent or not _KEY.fullmatch(key):
                return await answer(strict_request)
            owner = _owner(strict_request) or (_ANYBODY if is_public else None)
            if owner is None:
                return await answer(strict_request)
            return await _answer_once(strict_request, answer, owner=owner, route=name, key=key)

        return handle


def _by_short_way(
    endpoint: Callable[..., Any], declared_way: Callable[[Request], Coroutine[Any, Any, Response]]
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    if not hasattr(endpoint, _SHORT_WAY):
        return declared_way

    async def answer(request: Request) -> Response:
        quickly: ShortWay = getattr(endpoint, _SHORT_WAY)
        return await quickly(request) or await declared_way(request)

    return answer


class StrictJsonRequest(Request):
    """Reads JSON as RFC 8259 has it: no NaN, no numbers beyond range, no lone surrogates, UTF-8 only."""

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            body = await self.body()
            try:
                self._json = msgspec.json.decode(body)
            except (ValueError, RecursionError) as error:
                reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
                raise ProblemHttpException(MALFORMED_JSON, reason) from error
        return self._json


async def _answer_once(request: Request, answer: Answer, *, owner: str, route: str, key: str) -> Response:
    services = services_of(request)
    store = services.idempotency
    request_hash = store.request_hash(
        request.method.encode(),
        request.scope["path"].encode("utf-8", "surrogatepass"),
        request.scope["query_string"],
        repr(request.headers.get(IF_MATCH_HEADER)).encode(),  # left out is another thing than empty
        await request.body(),
    )
    begun = await store.begin(owner, route, key, request_hash, services.clock())
    if isinstance(begun, Replay):
        return _replayed(begun)
    request.state.command_id = begun.command_id
    succeeded = False
    try:
        response = await answer(request)
        succeeded = 200 <= response.status_code < 300
    finally:
        if not succeeded:
            # Also when this request was cancelled: the client shall not wait for the lease to run out.
            await asyncio.shield(_give_back(services, begun))
    await _keep(services, begun, response)
    return response


async def _keep(services: HttpServices, claim: Claim, response: Response) -> None:
    headers = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in response.raw_headers
        if name != b"content-length"
    ]
    try:
        await services.idempotency.complete(claim, response.status_code, headers, bytes(response.body))
    except Exception:
        # The command has taken effect and the client must hear of it. Who asks again after the lease
        # gets the same command id, by which the handler knows what it has done.
        log.exception("idempotent answer not kept", command_id=claim.command_id)


async def _give_back(services: HttpServices, claim: Claim) -> None:
    try:
        await services.idempotency.abandon(claim, services.clock())
    except Exception:
        # The lease runs out by itself; the refusal that led here is what the client has to see.
        log.exception("idempotent claim not given back", command_id=claim.command_id)


def _replayed(replay: Replay) -> Response:
    response = Response(content=replay.body or None, status_code=replay.status)
    length = [pair for pair in response.raw_headers if pair[0] == b"content-length"]
    kept = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in replay.headers]
    response.raw_headers = [*kept, *length, (REPLAYED_HEADER.lower().encode(), b"true")]
    return response


def _owner(request: Request) -> str | None:
    try:
        principal = principal_of(request, services_of(request))
    except InvalidToken:
        return None
    if principal is None:
        return None
    # An attempt-scoped token may do less than its subject, so it has keys of its own.
    return (
        principal.subject_id
        if principal.attempt_id is None
        else f"{principal.subject_id}/{principal.attempt_id}"
    )


def _require_json(request: Request) -> None:
    if request.headers.get("content-type") == "application/json":
        return
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    if not has_body:
        return
    sent = Message()
    sent["content-type"] = request.headers.get("content-type", "application/octet-stream")
    if sent.get_content_maintype() == "application":
        subtype = sent.get_content_subtype()
        if subtype == "json" or subtype.endswith("+json"):
            return
    raise ProblemHttpException(
        UNSUPPORTED_MEDIA_TYPE,
        "Send JSON, with 'Content-Type: application/json'.",
        accepted=["application/json"],
    )
