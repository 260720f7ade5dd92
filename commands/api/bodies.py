"""What requests and answers are made of, shared by the routes of the write API."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Response
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from domain.errors import DomainError
from domain.identifiers import StreamId as DomainStreamId
from domain.languages import Language
from infra.http.consistency import CONSISTENCY_TOKEN_HEADER, ConsistencyToken
from infra.http.etags import ETAG_HEADER, etag
from infra.http.text import SafeText, StreamId

_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)


def _number(value: Any) -> Any:
    """JSON has numbers: a text or a boolean in a number's place is a mistake, not a spelling."""
    if isinstance(value, str | bool):
        raise PydanticCustomError("number_type", "Input should be a JSON number")
    return value


def _text(value: Any) -> Any:
    if not isinstance(value, str):
        raise PydanticCustomError("datetime_type", "Input should be a date and time as RFC 3339 writes it")
    return value


def _in_range(value: datetime) -> datetime:
    if not _EARLIEST <= value < _LATEST:
        raise PydanticCustomError("datetime_range", "Input should lie between the years 2000 and 2200")
    return value.astimezone(UTC)


JsonInt = Annotated[int, BeforeValidator(_number, json_schema_input_type=int)]
JsonFloat = Annotated[float, BeforeValidator(_number, json_schema_input_type=float)]
JsonBool = Annotated[bool, Field(strict=True)]
Moment = Annotated[
    AwareDatetime, BeforeValidator(_text, json_schema_input_type=AwareDatetime), AfterValidator(_in_range)
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
