"""Points in time, as clients send them."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

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


Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_text),
    AfterValidator(_in_range),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": "^2[01][0-9]{2}-"}),
]
"""A point in time, RFC 3339 with an offset."""
