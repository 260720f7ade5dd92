"""Lists in pages: opaque cursors that say where the next page starts (keyset paging, no offsets)."""

from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from fastapi import Depends, Query
from pydantic import BaseModel, Field

from infra.http.base64url import decode_base64url, encode_base64url
from infra.http.errors import BadCursor
from infra.http.text import fits_postgres

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200
_VERSION: Final = 1
_MAX_CURSOR: Final = 1_000

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    next_cursor: str | None = Field(
        default=None, description="Send as `cursor` for the next page; null on the last one."
    )


@dataclass(frozen=True, slots=True)
class PageRequest:
    limit: int
    cursor: str | None

    def start_after(self, list_name: str, position_type: type[T]) -> T | None:
        """Where the page starts: the position of the last item already seen, or None for the first page.

        Raises BadCursor.
        """
        return None if self.cursor is None else decode_cursor(self.cursor, list_name, position_type)


async def page_request(
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="At most this many items.")] = DEFAULT_LIMIT,
    cursor: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=_MAX_CURSOR,
            pattern="^[A-Za-z0-9_-]+$",
            description="`next_cursor` of the page before.",
            json_schema_extra={"format": "cursor"},
        ),
    ] = None,
) -> PageRequest:
    return PageRequest(limit, cursor)


Paging = Annotated[PageRequest, Depends(page_request)]


def encode_cursor(list_name: str, position: Any) -> str:
    """An opaque cursor for `position`: whatever the list is ordered by, e.g. `(created_at, exam_id)`."""
    return encode_base64url(msgspec.json.encode((_VERSION, list_name, position)))


def decode_cursor(cursor: str, list_name: str, position_type: type[T]) -> T:
    """The position that `encode_cursor` was given, checked against its type.

    A cursor is not signed: it holds no secret and grants nothing. So it is checked like any other input.
    Raises BadCursor: another list's, another version's or made up.
    """
    try:
        version, name, position = msgspec.json.decode(decode_base64url(cursor), type=tuple[int, str, Any])
        if version != _VERSION or name != list_name or not fits_postgres(position):
            raise BadCursor
        return msgspec.convert(position, position_type)
    except (ValueError, RecursionError) as error:
        raise BadCursor from error
