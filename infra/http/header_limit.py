"""How large the headers of a request may be together: the server's parser takes any number of bytes."""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from infra.http.problem_types import REQUEST_HEADERS_TOO_LARGE
from infra.http.problems import problem_response

MAX_HEADER_BYTES: Final = 32 * 1024
"""Names and values; a token of a person with many roles is a few KiB."""


class HeaderLimit:
    """ASGI middleware: 431 for headers over the limit, before anything inside reads or keeps them."""

    def __init__(self, app: ASGIApp, *, limit_bytes: int = MAX_HEADER_BYTES) -> None:
        self._app = app
        self._limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _size_bytes(scope) <= self._limit_bytes:
            await self._app(scope, receive, send)
            return
        response = problem_response(
            scope,
            type_uri=REQUEST_HEADERS_TOO_LARGE.uri,
            title=REQUEST_HEADERS_TOO_LARGE.title,
            status=REQUEST_HEADERS_TOO_LARGE.status,
            detail=f"Headers may have {self._limit_bytes} bytes together.",
            extensions={"limit_bytes": self._limit_bytes},
        )
        await response(scope, receive, send)


def _size_bytes(scope: Scope) -> int:
    return sum(len(name) + len(value) for name, value in scope["headers"])
