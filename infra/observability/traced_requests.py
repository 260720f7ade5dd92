"""A span around each HTTP request. Plain ASGI, outermost, and there only where traces are on."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.http.middleware import QUIET_PATHS, RouteTemplates
from infra.observability.tracing import Tracing

_CARRIED: Final = frozenset({b"traceparent", b"tracestate"})


class TracedRequests:
    """Names the span by the route's template: the path itself holds ids."""

    def __init__(self, app: ASGIApp, *, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing
        self._templates = RouteTemplates()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in QUIET_PATHS:
            await self._app(scope, receive, send)
            return
        carried = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in _CARRIED
        }
        with self._tracing.request(carried) as span:
            span.set_attribute("http.request.method", scope["method"])

            async def send_and_note(message: Message) -> None:
                if message["type"] == "http.response.start":
                    status: int = message["status"]
                    span.set_attribute("http.response.status_code", status)
                    if status >= 500:
                        self._tracing.fail(span, str(status))
                await send(message)

            try:
                await self._app(scope, receive, send_and_note)
            finally:
                # Known only once the request has been routed.
                route = self._templates.template_of(scope)
                span.update_name(f"{scope['method']} {route}")
                span.set_attribute("http.route", route)
                span.set_attribute("megacity.request_id", scope.get("state", {}).get("request_id", ""))
