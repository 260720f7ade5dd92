"""An event as a message: what its key, its value and its headers are.

The value is `{"meta": …, "data": …}` of the bytes as they are stored; nothing is decoded on the way, so an
event that this release cannot read travels like any other, and what is personal stays sealed. Headers are
text, numbers in decimal:

    event_id, correlation_id   of the event's metadata (left out where that cannot be read)
    traceparent                W3C trace context, where the request that led to the event was traced
    position                   in the whole log, dense from 1
    previous_position          of the event before it in the same topic and partition, 0 where there is none
    type, schema_version       the stored type, `attempt.started.v1`, and the number at its end
    version                    in its stream, from 1

Who keeps the position that was last applied of each partition passes over what is at or below it, and sees
by `previous_position` whether something was missed.
"""

from datetime import datetime
from typing import Any, Final

import msgspec

from infra.event_store.stored_log import StoredRow
from infra.kafka.port import Headers, Message

EVENT_ID: Final = "event_id"
CORRELATION_ID: Final = "correlation_id"
TRACEPARENT: Final = "traceparent"
POSITION: Final = "position"
PREVIOUS_POSITION: Final = "previous_position"
TYPE: Final = "type"
SCHEMA_VERSION: Final = "schema_version"
VERSION: Final = "version"


class _Traced(msgspec.Struct):
    event_id: str
    correlation_id: str
    trace: str | None = None


class _Timed(msgspec.Struct):
    recorded_at: datetime


_traced = msgspec.json.Decoder(_Traced)
_timed = msgspec.json.Decoder(_Timed)


def value_of(row: StoredRow) -> bytes:
    return b'{"meta":%b,"data":%b}' % (row.meta, row.payload)


def value_is(meta: Any, data: Any) -> dict[str, Any]:
    """The JSON Schema of a value, from those of its two parts."""
    return {"type": "object", "properties": {"meta": meta, "data": data}, "required": ["meta", "data"]}


def headers_of(row: StoredRow, previous_position: int) -> Headers:
    headers = [
        (POSITION, b"%d" % row.position),
        (PREVIOUS_POSITION, b"%d" % previous_position),
        (TYPE, row.type.encode()),
        (SCHEMA_VERSION, row.type.rpartition(".v")[2].encode()),
        (VERSION, b"%d" % row.version),
    ]
    try:
        traced = _traced.decode(row.meta)
    except msgspec.DecodeError:
        return headers
    headers.append((EVENT_ID, traced.event_id.encode()))
    headers.append((CORRELATION_ID, traced.correlation_id.encode()))
    if traced.trace is not None:
        headers.append((TRACEPARENT, traced.trace.encode()))
    return headers


def position_in(message: Message) -> int | None:
    """The position that a message carries; None where it is none of ours."""
    try:
        return int(message.headers[POSITION])
    except (KeyError, ValueError):
        return None


def recorded_at(meta: bytes) -> datetime | None:
    """When the event was recorded; None where its metadata cannot be read."""
    try:
        return _timed.decode(meta).recorded_at
    except msgspec.DecodeError:
        return None
