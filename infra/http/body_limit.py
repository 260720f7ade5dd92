"""How large a request body may be, by path; counted as it arrives, whatever its headers claim."""

import re
from collections.abc import Mapping
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.http.problem_types import CONTENT_TOO_LARGE
from infra.http.problems import ProblemHttpException, problem_response

MIB: Final = 1024 * 1024


class BodyLimits:
    """`by_path` maps path prefixes to limits; `*` stands for one segment (`/api/v1/item-banks/*/import`).

    The longest prefix that fits decides.
    """

    def __init__(self, default_bytes: int = MIB, by_path: Mapping[str, int] | None = None) -> None:
        self.default_bytes = default_bytes
        ordered = sorted((by_path or {}).items(), key=lambda each: len(each[0]), reverse=True)
        self._rules = [(_compiled(prefix), limit) for prefix, limit in ordered]

    def limit_for(self, path: str) -> int:
        for pattern, limit in self._rules:
            if pattern.match(path):
                return limit
        return self.default_bytes


class BodyLimit:
    """ASGI middleware: 413 for a body over its limit.

    A declared length is refused before anything is read; an undeclared one when the limit is passed.
    Then an HTTPException goes to the reader of the body, which the problem handlers turn into the answer.
    """

    def __init__(self, app: ASGIApp, *, limits: BodyLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limits.limit_for(scope["path"])
        if _declared_length(scope) > limit:
            response = problem_response(
                scope,
                type_uri=CONTENT_TOO_LARGE.uri,
                title=CONTENT_TOO_LARGE.title,
                status=413,
                detail=_detail(limit),
                extensions={"limit_bytes": limit},
            )
            await response(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > limit:
                    raise ProblemHttpException(CONTENT_TOO_LARGE, _detail(limit), limit_bytes=limit)
            return message

        await self._app(scope, counted, send)


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0


def _detail(limit: int) -> str:
    return f"At most {limit} bytes are taken here."


def _compiled(prefix: str) -> re.Pattern[str]:
    segments = prefix.rstrip("/").split("/")
    return re.compile(
        "/".join("[^/]+" if each == "*" else re.escape(each) for each in segments) + r"(?:/|\Z)"
    )
