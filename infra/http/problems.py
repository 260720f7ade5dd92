"""RFC 9457 problem documents: the only shape in which this service says no."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import psycopg
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from domain.errors import DomainError
from infra.http.error_map import headers_of, status_of
from infra.http.errors import DatabaseUnreachable
from infra.http.json_safe import json_safe, printable
from infra.http.problem_types import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    MALFORMED_JSON,
    METHOD_NOT_ALLOWED,
    TYPE_PREFIX,
    ProblemType,
    type_for_status,
)
from infra.http.validation import field_errors
from infra.observability.database_errors import told

__all__ = [
    "PROBLEM_MEDIA_TYPE",
    "FieldProblem",
    "Problem",
    "ProblemHttpException",
    "install_problem_handlers",
    "problem_response",
    "problem_responses",
    "unexpected_error_response",
]

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
_STANDARD_MEMBERS: Final = frozenset({"type", "title", "status", "detail", "instance", "request_id"})

log = structlog.get_logger("http")


class FieldProblem(BaseModel):
    """One thing that is wrong with the input."""

    in_: str = Field(alias="in", examples=["body"])
    pointer: str = Field(examples=["#/items/0/stem"])
    detail: str = Field(examples=["Field required"])
    code: str = Field(examples=["missing"])


class Problem(BaseModel):
    """A problem document. Further members are facts about the refusal."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=[INVALID_REQUEST.uri])
    title: str = Field(examples=[INVALID_REQUEST.title])
    status: int = Field(ge=400, le=599, examples=[422])
    detail: str
    instance: str = Field(description="Path of the request that was refused.")
    request_id: str = Field(description="Quote this when you ask for help.")
    errors: list[FieldProblem] | None = None


class ProblemHttpException(HTTPException):
    """An HTTP-level refusal that knows its problem type and may carry further members."""

    def __init__(
        self,
        problem_type: ProblemType,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **extensions: Any,
    ) -> None:
        super().__init__(problem_type.status, detail, headers)
        self.problem_type = problem_type
        self.extensions = extensions


def problem_response(  # noqa: PLR0913 - each is one member of the document
    scope: Scope,
    *,
    type_uri: str,
    title: str,
    status: int,
    detail: str,
    errors: Sequence[Mapping[str, Any]] | None = None,
    extensions: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer for one problem.

    An extension that would hide a standard member is sent as `data_<name>`.
    """
    document: dict[str, Any] = {
        "type": type_uri,
        "title": title,
        "status": status,
        "detail": printable(detail),
        "instance": _path_of(scope),
        "request_id": scope.get("state", {}).get("request_id", ""),
    }
    for name, value in (extensions or {}).items():
        document[f"data_{name}" if name in _STANDARD_MEMBERS else name] = json_safe(value)
    if errors is not None:
        document["errors"] = json_safe(list(errors))
    return Response(
        msgspec.json.encode(document),
        status_code=status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=dict(headers) if headers else None,
    )


def install_problem_handlers(app: FastAPI) -> None:
    """Makes every refusal and every fault of `app` answer with a problem document."""
    app.add_exception_handler(DomainError, _domain_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(psycopg.OperationalError, _database_unreachable)
    app.add_exception_handler(Exception, _unexpected_error)


def unexpected_error_response(scope: Scope, error: BaseException) -> Response:
    """Logs a fault of ours with its traceback; the answer tells nothing but the request id."""
    log.error("unexpected error", exc_info=error)
    return _typed_response(scope, INTERNAL_ERROR, "The fault was recorded under this request id.")


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: each status with its media type, schema and an example.

    The schema is referred to by name; `infra.http.openapi.install_openapi` adds it to the document.
    """
    return {status: _documented(status) for status in sorted(set(statuses))}


async def _domain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DomainError)
    status = status_of(error)
    if status == 500:
        return unexpected_error_response(request.scope, error)
    extensions = error.data()
    errors = extensions.pop("errors", None)
    return problem_response(
        request.scope,
        type_uri=TYPE_PREFIX + error.code,
        title=error.title,
        status=status,
        detail=error.detail(),
        errors=errors,
        extensions=extensions,
        headers=headers_of(error),
    )


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    for each in error.errors():
        if each.get("type") == "json_invalid":
            reason = each.get("ctx", {}).get("error", "not JSON")
            return _typed_response(request.scope, MALFORMED_JSON, f"{reason} at character {each['loc'][-1]}.")
    errors, left_out = field_errors(error.errors(), error.body)
    extensions = {"errors_left_out": left_out} if left_out else {}
    count = len(errors) + left_out
    detail = f"{count} {'value is' if count == 1 else 'values are'} not valid; see 'errors'."
    return _typed_response(request.scope, INVALID_REQUEST, detail, errors=errors, extensions=extensions)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    problem_type = type_for_status(error.status_code)
    extensions: Mapping[str, Any] = {}
    if isinstance(error, ProblemHttpException):
        problem_type, extensions = error.problem_type, error.extensions
    if error.status_code == METHOD_NOT_ALLOWED.status:
        # The router names the methods of the first route with this path only.
        headers["Allow"] = ", ".join(_methods_at(request)) or headers.get("Allow", "")
    if error.status_code in {204, 205, 304}:
        return Response(status_code=error.status_code, headers=headers)
    detail = _sentence(error.detail)
    if problem_type is None:
        # RFC 9457 section 4.2.1: no more is meant than the status itself says.
        return problem_response(
            request.scope,
            type_uri="about:blank",
            title=detail.rstrip("."),
            status=error.status_code,
            detail=detail,
            headers=headers,
        )
    return _typed_response(request.scope, problem_type, detail, extensions=extensions, headers=headers)


async def _database_unreachable(request: Request, error: Exception) -> Response:
    # A lost or refused connection, a full pool, a statement that took too long: it passes by itself.
    log.warning("database unreachable", error=told(error))
    return await _domain_error(request, DatabaseUnreachable(retry_after_s=1))


async def _unexpected_error(request: Request, error: Exception) -> Response:
    return unexpected_error_response(request.scope, error)


def _typed_response(  # noqa: PLR0913 - see problem_response
    scope: Scope,
    problem_type: ProblemType,
    detail: str,
    *,
    errors: Sequence[Mapping[str, Any]] | None = None,
    extensions: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    return problem_response(
        scope,
        type_uri=problem_type.uri,
        title=problem_type.title,
        status=problem_type.status,
        detail=detail,
        errors=errors,
        extensions=extensions,
        headers=headers,
    )


def _methods_at(request: Request) -> list[str]:
    methods: set[str] = set()
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    for route in iter_route_contexts(request.app.routes):
        regex = getattr(route, "path_regex", None)
        if isinstance(regex, re.Pattern) and regex.match(path):
            methods |= route.methods or set()
    return sorted(methods)


def _sentence(text: Any) -> str:
    plain = str(text).strip() or "The request was refused"
    return plain if plain.endswith((".", "!", "?")) else f"{plain}."


def _path_of(scope: Scope) -> str:
    raw = scope.get("raw_path") or scope.get("path", "").encode("utf-8", "replace")
    return str(printable(raw.decode("ascii", "replace"), max_length=500))


def _documented(status: int) -> dict[str, Any]:
    example_of = _EXAMPLES.get(status) or type_for_status(status)
    if example_of is None:
        raise ValueError(f"no problem type has status {status}")
    example: dict[str, Any] = {
        "type": example_of.uri,
        "title": example_of.title,
        "status": status,
        "detail": example_of.when,
        "instance": "/api/v1/exams",
        "request_id": "0190163d8694739b9a8d1e5a1b2c3d4e",
    }
    if status == INVALID_REQUEST.status:
        example["errors"] = [
            {"in": "body", "pointer": "#/title/en", "detail": "Field required", "code": "missing"}
        ]
    return {
        "description": example_of.title,
        "content": {
            PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example},
        },
    }


_EXAMPLES: Final = {
    400: MALFORMED_JSON,
    401: ProblemType("unauthenticated", 401, "Sign in first", "The request carries no valid access token."),
    403: ProblemType("denied", 403, "Not allowed", "The asker is known and may not do this."),
    404: ProblemType("not-found", 404, "Not found", "What was named does not exist, or not for the asker."),
    409: ProblemType("illegal-state", 409, "Not possible in this state", "Right in itself, but not now."),
    412: ProblemType(
        "stale-version", 412, "Changed by somebody else in the meantime", "`If-Match` did not match."
    ),
    429: ProblemType(
        "rate-limited", 429, "Too many requests", "The asker sends more requests than a limit allows."
    ),
    503: ProblemType(
        "unavailable", 503, "Not available at the moment", "Try again after `Retry-After` seconds."
    ),
}
