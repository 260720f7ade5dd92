"""How often somebody may ask: the wall behind authentication and before everything else.

Who has signed in is counted by name, a service by its client id, and everybody else by address; where people
sign in the address counts in every case. Answers tell how much is left
(draft-ietf-httpapi-ratelimit-headers-11); whoever asks too fast gets 429 and `Retry-After`.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.http.error_map import headers_of, status_of
from infra.http.errors import InvalidToken, RateLimited
from infra.http.principal import SERVICE_PREFIX, Principal
from infra.http.problem_types import TYPE_PREFIX
from infra.http.problems import problem_response, problem_responses
from infra.http.verified_once import verified_once
from infra.rate_limits.addresses import Origin
from infra.rate_limits.limiter import MICROSECONDS, Decision, Limit, RateLimiter, Take
from infra.rate_limits.metrics import RateLimitMetrics

_BEARER: Final = "bearer"
_WAYS_IN: Final = tuple(
    f"/api/v1/auth/{each}"
    for each in (
        "login",
        "register",
        "token",
        "refresh",
        "password-reset",
        "email-verification",
        "passkey",
        "oidc/",
    )
)
"""Paths that begin so are for those who have no token yet: any token would be a way past the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """The limits of this system, what counts them, and whence requests come."""

    limiter: RateLimiter
    metrics: RateLimitMetrics
    user: Limit
    service: Limit
    address: Limit
    network: Limit
    account: Limit
    origin: Origin


class RateLimiting:
    """ASGI middleware. An application that has put no `RateLimits` into `state.rate_limits` has none."""

    def __init__(self, app: ASGIApp, *, free_paths: Iterable[str]) -> None:
        self._app = app
        self._free_paths = frozenset(free_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limits: RateLimits | None = getattr(scope["app"].state, "rate_limits", None)
        if scope["type"] != "http" or limits is None or scope["path"] in self._free_paths:
            await self._app(scope, receive, send)
            return
        takes = _takes(scope, limits)
        decisions = await limits.limiter.take_all(takes)
        told = [
            header
            for take, decision in zip(takes, decisions, strict=True)
            for header in rate_limit_headers(take.limit, decision)
        ]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *told]}
            await send(message)

        if all(decision.allowed for decision in decisions):
            await self._app(scope, receive, send_with_headers)
            return
        error = refusal_of(limits, takes, decisions)
        response = problem_response(
            scope,
            type_uri=TYPE_PREFIX + error.code,
            title=error.title,
            status=status_of(error),
            detail=error.detail(),
            extensions=error.data(),
            headers=headers_of(error),
        )
        await response(scope, receive, send_with_headers)


def refusal_of(limits: RateLimits, takes: Sequence[Take], decisions: Sequence[Decision]) -> RateLimited:
    """What to answer where not all of it is allowed; counted in the metrics."""
    refused = [
        (take.limit.name, decision.retry_after_s)
        for take, decision in zip(takes, decisions, strict=True)
        if not decision.allowed
    ]
    for name, _ in refused:
        limits.metrics.refused.labels(name).inc()
    return RateLimited(
        violated_policies=[name for name, _ in refused], retry_after_s=max(wait_s for _, wait_s in refused)
    )


def rate_limit_headers(limit: Limit, decision: Decision) -> list[tuple[bytes, bytes]]:
    """`RateLimit-Policy`: `q` requests in `w` seconds. `RateLimit`: `r` are left, more in `t` seconds.

    GCRA has no windows: the quota is the burst, and `w` is what it takes to have it back. `t` is when all of
    it is there again, or, with a refusal, when one request is let through.
    """
    t = math.ceil(decision.reset_after_s if decision.allowed else decision.retry_after_s)
    left = f'"{limit.name}";r={decision.remaining};t={t}'
    return [(b"ratelimit-policy", _policy(limit)), (b"ratelimit", left.encode("ascii"))]


@lru_cache(maxsize=64)
def _policy(limit: Limit) -> bytes:
    window_s = max(1, math.ceil(limit.capacity_us / MICROSECONDS))
    return f'"{limit.name}";q={limit.burst};w={window_s}'.encode("ascii")


def document_rate_limits(document: dict[str, Any], free_paths: Iterable[str]) -> None:
    """Adds the 429 to each route of an OpenAPI document that can answer with it, in place."""
    free = frozenset(free_paths)
    for path, operations in document.get("paths", {}).items():
        if path in free:
            continue
        for operation in operations.values():
            refusal = {**problem_responses(429)[429], "headers": _HEADERS}
            operation["responses"] = dict(sorted({**operation["responses"], "429": refusal}.items()))


_HEADERS: Final[dict[str, Any]] = {
    "RateLimit-Policy": {
        "description": "The limit that applies: `q` requests, all of which are back after `w` seconds. "
        "Separated by a comma where two apply.",
        "schema": {"type": "string"},
        "example": '"user";q=20;w=2',
    },
    "RateLimit": {
        "description": "What is left of it: `r` requests now; one is let through after `t` seconds.",
        "schema": {"type": "string"},
        "example": '"user";r=0;t=1',
    },
    "Retry-After": {
        "description": "Seconds after which one request is let through again.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 1,
    },
}


def _takes(scope: Scope, limits: RateLimits) -> list[Take]:
    token, forwarded = _of_interest(scope)
    principal = _principal(scope, token)
    takes = []
    if principal is not None:
        # A service that acts for examinees sends their requests itself.
        sender = principal.delegate or principal.subject_id
        limit = limits.service if sender.startswith(SERVICE_PREFIX) else limits.user
        takes.append(Take(key=sender, limit=limit))
    if principal is None or _is_way_in(scope):
        client = scope.get("client")
        key, is_known = limits.origin.of(client[0] if client else "", forwarded)
        takes.append(Take(key=key, limit=limits.network if is_known else limits.address))
    return takes


def _is_way_in(scope: Scope) -> bool:
    path: str = scope["path"]
    return bool(scope["method"] == "POST" and path.startswith(_WAYS_IN))


def _principal(scope: Scope, token: str) -> Principal | None:
    if not token:
        return None
    try:
        return verified_once(scope, scope["app"].state.services, token)
    except InvalidToken:
        return None


def _of_interest(scope: Scope) -> tuple[str, str]:
    """The bearer token, or nothing, and what proxies have written about the client."""
    token, forwarded = "", []
    for name, value in scope["headers"]:
        if name == b"authorization" and not token:
            scheme, _, rest = value.decode("latin-1").partition(" ")
            token = rest.strip() if scheme.lower() == _BEARER else ""
        elif name == b"x-forwarded-for":
            forwarded.append(value.decode("latin-1"))
    return token, ",".join(forwarded)
