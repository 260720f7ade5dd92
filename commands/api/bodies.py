"""What requests and answers are made of, shared by the routes of the write API."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Response
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from domain.errors import DomainError
from domain.identifiers import StreamId as DomainStreamId
from domain.languages import Language
from infra.http.consistency import CONSISTENCY_TOKEN_HEADER, ConsistencyToken
from infra.http.etags import ETAG_HEADER, etag
from infra.http.text import SafeText, StreamId

_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def _text(value: Any) -> Any:
    # The validator behind this one also takes a number of seconds, and several other spellings.
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise PydanticCustomError("datetime_type", "Input should be a date and time as RFC 3339 writes it")
    return value


def _in_range(value: datetime) -> datetime:
    # The year as it was written, as the pattern in the OpenAPI document says.
    if not 2000 <= value.year < 2200:
        raise PydanticCustomError("datetime_range", "Input should lie between the years 2000 and 2200")
    return value.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class WholeNumber:
    """Marker for `Annotated[int, WholeNumber(1, 100)]`: a JSON number without a fraction.

    As a marker, so that the bounds stand in the OpenAPI document, which loses those of validators.
    """

    minimum: int
    maximum: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        bounded = core_schema.int_schema(ge=self.minimum, le=self.maximum)
        return core_schema.no_info_before_validator_function(_number, bounded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """Marker for `Annotated[float, Number(gt=0, le=100)]`: a finite JSON number."""

    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        bounded = core_schema.float_schema(
            gt=self.gt, ge=self.ge, lt=self.lt, le=self.le, allow_inf_nan=False
        )
        return core_schema.no_info_before_validator_function(_number, bounded)


def _number(value: Any) -> Any:
    """JSON has numbers: a text or a boolean in a number's place is a mistake, not a spelling."""
    if isinstance(value, str | bool):
        raise PydanticCustomError("number_type", "Input should be a JSON number")
    return value


JsonBool = Annotated[bool, Field(strict=True)]
Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_text),
    AfterValidator(_in_range),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": "^2[01][0-9]{2}-"}),
]
"""A point in time, RFC 3339 with an offset."""

DisplayName = Annotated[str, SafeText(1, 100)]
Title = Annotated[str, SafeText(1, 300)]
LocalizedTitle = Annotated[dict[Language, Title], Field(min_length=1)]
LocalizedLongText = Annotated[dict[Language, Annotated[str, SafeText(1, 10_000, multi_line=True)]], Field()]

OrganizationId = Annotated[str, StreamId("organization")]
UserId = Annotated[str, StreamId("user")]
ItemId = Annotated[str, StreamId("item")]


def written(response: Response, stream_id: DomainStreamId, version: int) -> None:
    """The headers of every write's answer: what was written, and which version it is now."""
    response.headers[CONSISTENCY_TOKEN_HEADER] = ConsistencyToken(stream_id, version).encode()
    response.headers[ETAG_HEADER] = etag(version)


def written_together(response: Response, streams: Sequence[tuple[DomainStreamId, int, bool]]) -> None:
    """The token of a write to many streams: id, version, and whether it was changed.

    They went into the log in this order, so the last one that was changed stands for all of them.
    """
    changed = [each for each in streams if each[2]] or streams
    if changed:
        stream_id, version, _ = changed[-1]
        response.headers[CONSISTENCY_TOKEN_HEADER] = ConsistencyToken(stream_id, version).encode()


@contextmanager
def pointers_under(prefix: str) -> Iterator[None]:
    """Domain errors point into what they were given; this says where in the body that stands."""
    try:
        yield
    except DomainError as error:
        found = error.data().get("errors")
        if not found:
            raise
        data = {**error.data(), "errors": [_placed(each, prefix) for each in found]}
        raise type(error)(**data) from error


def _placed(error: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {"in": "body", **error, "pointer": f"#{prefix}{error['pointer']}"}
