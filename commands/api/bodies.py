"""What requests and answers are made of, shared by the routes of the write API."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Response
from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from domain.errors import DomainError
from domain.identifiers import StreamId as DomainStreamId
from domain.languages import Language
from infra.http.consistency import CONSISTENCY_TOKEN_HEADER, ConsistencyToken
from infra.http.etags import ETAG_HEADER, etag
from infra.http.text import SafeText, StreamId


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
