"""A client of our own HTTP API that outlives restarts of the server behind it."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, TypeVar

import httpx
import msgspec

from infra.sample import retry

T = TypeVar("T")

OnTrouble: TypeAlias = Callable[[str], None]
"""Hears in a few words what went wrong and is tried again."""

API = "/api/v1"
PROBLEM_PREFIX = "urn:megacity:problem:"
TOKEN_MARGIN_S = 30.0
"""An access token that runs out sooner than this is renewed before it is used."""

_TIMEOUT = httpx.Timeout(30.0, connect=5.0)


class PlayStopped(Exception):
    """The work cannot go on; the text says why. The same call later goes on from there."""


class ApiRefused(PlayStopped):
    """The API refused a request for good; `slug` is the end of its problem type."""

    def __init__(self, method: str, path: str, status: int, slug: str, detail: str) -> None:
        super().__init__(f"{method} {path} was refused ({status} {slug}): {detail}")
        self.status = status
        self.slug = slug


class ApiUnreachable(PlayStopped):
    """A request failed again and again until patience ran out."""

    def __init__(self, method: str, path: str, trouble: str, patience_s: float) -> None:
        super().__init__(f"{method} {path} did not succeed within {patience_s:g} s: {trouble}")


class Answer(msgspec.Struct, frozen=True):
    body: bytes
    consistency_token: str | None

    def read(self, type_: type[T]) -> T:
        return msgspec.json.decode(self.body, type=type_)


class Connections:
    """So many connections to one server, each kept open and used by one request at a time.

    httpx's own pool looks at every connection before every request, which with many connections costs more
    than the request. Each connection here is a pool of one.
    """

    def __init__(self, base_url: str, count: int) -> None:
        self._base_url = base_url.rstrip("/")
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=30.0)
        tls = httpx.create_ssl_context()  # slow to make, so made once
        self._all = [httpx.AsyncHTTPTransport(verify=tls, limits=limits) for _ in range(count)]
        self._free: asyncio.LifoQueue[httpx.AsyncHTTPTransport] = asyncio.LifoQueue()
        for each in self._all:
            self._free.put_nowait(each)

    async def request(
        self, method: str, path: str, content: bytes, headers: Mapping[str, str]
    ) -> httpx.Response:
        """The answer with its whole body. Raises `httpx.TransportError`."""
        request = httpx.Request(
            method,
            self._base_url + path,
            content=content,
            headers=headers,
            extensions={"timeout": _TIMEOUT.as_dict()},
        )
        connection = await self._free.get()
        try:
            response = await connection.handle_async_request(request)
            try:
                await response.aread()
            finally:
                await response.aclose()
        finally:
            self._free.put_nowait(connection)
        return response

    async def close(self) -> None:
        for each in self._all:
            await each.aclose()


class ApiClient:
    """Sends requests; those that fail for a passing reason are repeated for up to `patience_s` each.

    Only requests that have one effect however often they arrive may be sent this way.
    """

    def __init__(self, connections: Connections, *, patience_s: float, on_trouble: OnTrouble) -> None:
        self._connections = connections
        self._patience_s = patience_s
        self._on_trouble = on_trouble

    async def send(  # noqa: PLR0913 - what a request is made of, each named
        self,
        method: str,
        path: str,
        *,
        bearer: str | None = None,
        body: Any = None,
        idempotency_key: str | None = None,
        consistency_token: str | None = None,
    ) -> Answer:
        """The answer, if it is a success. Raises `ApiRefused` and `ApiUnreachable`.

        `body` is JSON already where it is `bytes`.
        """
        headers = _headers(bearer, idempotency_key, consistency_token)
        content = b""
        if body is not None:
            content = body if isinstance(body, bytes) else msgspec.json.encode(body)
            headers["content-type"] = "application/json"
        give_up_at: float | None = None
        failures = 0
        while True:
            wanted_delay_s: float | None = None
            try:
                response = await self._connections.request(method, API + path, content, headers)
            except httpx.TransportError as error:
                trouble = _in_words(error)
            else:
                if response.is_success:
                    return Answer(response.content, response.headers.get("consistency-token"))
                slug, detail = _problem(response)
                if not retry.is_temporary(response.status_code, slug):
                    raise ApiRefused(method, path, response.status_code, slug, detail)
                trouble = f"status {response.status_code}: {detail}"
                wanted_delay_s = retry.retry_after_s(response.headers)
            failures += 1
            now = time.monotonic()
            give_up_at = now + self._patience_s if give_up_at is None else give_up_at
            if now >= give_up_at:
                raise ApiUnreachable(method, path, trouble, self._patience_s)
            self._on_trouble(trouble)
            jitter = random.random()  # noqa: S311 - spreads repeats in time, keeps no secret
            await asyncio.sleep(min(retry.delay_s(failures, wanted_delay_s, jitter), give_up_at - now))


class SignIn:
    """Somebody's access token, renewed when it runs out."""

    def __init__(self, api: ApiClient, path: str, body: dict[str, str]) -> None:
        self._api = api
        self._path = path
        self._body = body
        self._renewing = asyncio.Lock()
        self._token: str | None = None
        self._good_until = 0.0

    async def send(self, method: str, path: str, **parts: Any) -> Answer:
        """As `ApiClient.send`, signed in. A refused token (a new signing key, say) is renewed once."""
        token = await self._current()
        try:
            return await self._api.send(method, path, bearer=token, **parts)
        except ApiRefused as refused:
            if refused.status != 401:
                raise
        if self._token == token:
            self._token = None
        return await self._api.send(method, path, bearer=await self._current(), **parts)

    async def _current(self) -> str:
        async with self._renewing:
            if self._token is None or time.monotonic() >= self._good_until:
                asked_at = time.monotonic()
                answer = await self._api.send("POST", self._path, body=self._body)
                tokens = answer.read(_Tokens)
                # A token that lives shorter than the margin is used for half of its life.
                margin_s = min(TOKEN_MARGIN_S, tokens.expires_in / 2)
                self._token = tokens.access_token
                self._good_until = asked_at + tokens.expires_in - margin_s
            return self._token


def as_service(api: ApiClient, client_id: str, client_secret: str) -> SignIn:
    credentials = {"client_id": client_id, "client_secret": client_secret}
    return SignIn(api, "/auth/token", {"grant_type": "client_credentials", **credentials})


def as_person(api: ApiClient, email: str, password: str) -> SignIn:
    return SignIn(api, "/auth/login", {"email": email, "password": password})


@asynccontextmanager
async def open_api(
    base_url: str, *, connections: int, patience_s: float, on_trouble: OnTrouble
) -> AsyncIterator[ApiClient]:
    opened = Connections(base_url, connections)
    try:
        yield ApiClient(opened, patience_s=patience_s, on_trouble=on_trouble)
    finally:
        await opened.close()


class _Tokens(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: float


class _Fault(msgspec.Struct, frozen=True):
    pointer: str = ""
    detail: str = ""


class _FaultyRow(msgspec.Struct, frozen=True):
    row: int
    errors: list[_Fault] | None = None


class _Problem(msgspec.Struct, frozen=True):
    type: str = ""
    detail: str = ""
    errors: list[_Fault] | None = None
    rows: list[_FaultyRow] | None = None


def _headers(
    bearer: str | None, idempotency_key: str | None, consistency_token: str | None
) -> dict[str, str]:
    headers = {}
    if bearer is not None:
        headers["authorization"] = f"Bearer {bearer}"
    if idempotency_key is not None:
        headers["idempotency-key"] = idempotency_key
    if consistency_token is not None:
        headers["consistency-token"] = consistency_token
    return headers


def _problem(response: httpx.Response) -> tuple[str, str]:
    """The end of the problem's type, and what it says; an answer that is no problem document has neither."""
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except msgspec.DecodeError:
        return "", response.reason_phrase or "no reason given"
    faults = [f"{fault.pointer}: {fault.detail}" for fault in problem.errors or ()]
    for row in problem.rows or ():
        faults += [f"row {row.row} {fault.pointer}: {fault.detail}" for fault in row.errors or ()]
    detail = problem.detail or response.reason_phrase
    return problem.type.removeprefix(PROBLEM_PREFIX), " ".join([detail, *faults[:3]])


def _in_words(error: httpx.TransportError) -> str:
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return "no API answers there"
        case httpx.TimeoutException():
            return "the API took too long to answer"
        case _:
            return "the connection to the API broke off"
