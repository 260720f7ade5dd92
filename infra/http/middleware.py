"""What surrounds every request: its id, its line in the log, its metrics, its last resort.

Plain ASGI: `BaseHTTPMiddleware` would run each request in a task of its own.
"""

import re
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import structlog
import uuid_utils
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.http.body_limit import BodyLimit, BodyLimits
from infra.http.header_limit import HeaderLimit
from infra.http.json_safe import printable
from infra.http.metrics import HttpMetrics
from infra.http.problems import unexpected_error_response
from infra.http.rate_limits import RateLimiting

REQUEST_ID_HEADER: Final = "X-Request-Id"
QUIET_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics"})
CLIENT_CLOSED: Final = 499
"""Status in log and metrics when nobody was left to be answered (nginx's convention)."""

_ACCEPTED_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UNMATCHED = "(unmatched)"

log = structlog.get_logger("http")


def new_request_id() -> str:
    return uuid_utils.uuid7().hex


def install_middleware(
    app: FastAPI,
    *,
    metrics: HttpMetrics,
    body_limits: BodyLimits | None = None,
    request_id: Callable[[], str] = new_request_id,
) -> None:
    """Adds the middleware to `app`, in the right order (the last one added is the outermost)."""
    app.add_middleware(BodyLimit, limits=body_limits or BodyLimits())
    app.add_middleware(RateLimiting, free_paths=QUIET_PATHS)
    app.add_middleware(HeaderLimit)
    app.add_middleware(RequestContext, metrics=metrics, request_id=request_id)


class RequestContext:
    """The outermost middleware.

    It also answers faults that nothing inside has caught, so that such an answer has its request id,
    headers, log line and metrics like any other.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: HttpMetrics,
        request_id: Callable[[], str] = new_request_id,
        quiet_paths: Iterable[str] = QUIET_PATHS,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._new_request_id = request_id
        self._quiet_paths = frozenset(quiet_paths)
        self._templates = RouteTemplates()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        # A request starts a chain of causes; what it leads to carries the same correlation id.
        structlog.contextvars.bind_contextvars(request_id=request_id, correlation_id=request_id)
        started_at = time.perf_counter()
        status = CLIENT_CLOSED
        is_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, is_started
            if message["type"] == "http.response.start":
                status = message["status"]
                is_started = True
                message = {**message, "headers": _with_standard_headers(message, scope, request_id)}
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            status = CLIENT_CLOSED
        except Exception as error:
            if is_started:
                # Half an answer is out. Only breaking the connection tells the client.
                log.exception("answer broken off")
                raise
            response = unexpected_error_response(scope, error)
            await response(scope, receive, send_with_headers)
        finally:
            self._record(scope, status, time.perf_counter() - started_at)
            structlog.contextvars.clear_contextvars()

    def _request_id(self, scope: Scope) -> str:
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _ACCEPTED_REQUEST_ID.fullmatch(value):
                return str(value.decode("ascii"))
        return self._new_request_id()

    def _record(self, scope: Scope, status: int, duration_s: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "(other)"
        route = self._templates.template_of(scope)
        self._metrics.observe(method, route, status, duration_s)
        write = log.debug if scope["path"] in self._quiet_paths else log.info
        write(
            "request",
            method=method,
            route=route,
            path=printable(scope["path"], max_length=300),
            status=status,
            duration_ms=round(duration_s * 1000, 2),
        )


class RouteTemplates:
    """Path templates of the routes (`/api/v1/exams/{exam_id}`): a metric must not have a label per id."""

    def __init__(self) -> None:
        self._by_endpoint: dict[Any, list[tuple[re.Pattern[str], str]]] | None = None

    def template_of(self, scope: Scope) -> str:
        endpoint = scope.get("endpoint")
        if endpoint is None:
            return _UNMATCHED
        if self._by_endpoint is None:
            self._by_endpoint = _templates_by_endpoint(scope["app"])
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        for pattern, template in self._by_endpoint.get(endpoint, ()):
            if pattern.match(path):
                return template
        return _UNMATCHED


def _templates_by_endpoint(app: FastAPI) -> dict[Any, list[tuple[re.Pattern[str], str]]]:
    found: dict[Any, list[tuple[re.Pattern[str], str]]] = {}
    for route in iter_route_contexts(app.routes):
        pattern, template = getattr(route, "path_regex", None), route.path_format
        if pattern is not None and template is not None and route.endpoint is not None:
            found.setdefault(route.endpoint, []).append((pattern, template))
    return found


def _with_standard_headers(message: Message, scope: Scope, request_id: str) -> list[tuple[bytes, bytes]]:
    headers = [*message.get("headers", ())]
    headers.append((b"x-request-id", request_id.encode("ascii")))
    headers.append((b"x-content-type-options", b"nosniff"))
    if scope["path"].startswith("/api/") and not any(name.lower() == b"cache-control" for name, _ in headers):
        # Answers are about one person; no cache on the way may keep them.
        headers.append((b"cache-control", b"no-store"))
    return headers
