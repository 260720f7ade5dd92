"""Commands on their way into the log: encoded, waiting, put together for one call."""

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import groupby, pairwise
from operator import attrgetter

from commands.ports import StreamAppend, VersionConflict
from domain.events import RecordedEvent
from domain.identifiers import StreamId
from infra.event_store.arrays import (
    ByteaArray,
    Int8Array,
    TextArray,
    bytea_array,
    int8_array,
    text_array,
)
from infra.event_store.codec import EventCodec, StoredEvent
from infra.event_store.line import (
    BYTEA,
    BYTEA_ARRAY,
    INT8,
    INT8_ARRAY,
    TEXT,
    TEXT_ARRAY,
    Statement,
    int8,
)

MAX_BATCH = 128
"""Commands in one call; larger ones keep the others waiting longer than they save."""

_MAX_VERSION = 2**62
_BY_PLACE = attrgetter("stream_id", "version")
_STREAM_ID = attrgetter("stream_id")

_CURSOR_TYPES = (TextArray, Int8Array, TextArray, ByteaArray, ByteaArray, ByteaArray) * 2
_CALL_TYPES = (TEXT_ARRAY, INT8_ARRAY, TEXT_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY) * 2
APPEND = Statement(
    "append", "SELECT * FROM log.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)", _CALL_TYPES
)
APPEND_TOGETHER = Statement(
    "append_together",
    "SELECT * FROM log.append_together($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    _CALL_TYPES,
)
APPEND_ONE = Statement(
    "append_one",
    "INSERT INTO log.events (stream_id, version, type, meta, payload, leaf) SELECT $1, $2, $3, $4, $5, $6"
    " WHERE $2 = 1 OR (SELECT true FROM log.events WHERE stream_id = $1 AND version = $2 - 1)"
    " ON CONFLICT DO NOTHING RETURNING version",
    (TEXT, INT8, TEXT, BYTEA, BYTEA, BYTEA),
)
"""Half the cost of a call of `log.append`, for one event that is alone. Without an answer, ask that why."""

MAX_BATCH_BYTES = 4 * 1024 * 1024


def encoded(appends: Sequence[StreamAppend], codec: EventCodec) -> list[StoredEvent]:
    """The events of a command, sorted by stream and version.

    Raises what `codec.encode` raises, and `VersionConflict` where the command disagrees with itself.
    """
    events: list[StoredEvent] = []
    encode = codec.encode
    for append in appends:
        stream_id, version = append.stream_id, append.expected_version
        if not 0 <= version <= _MAX_VERSION:
            raise VersionConflict(stream_id=stream_id)
        for new in append.events:
            version += 1
            events.append(encode(RecordedEvent(stream_id, version, new.metadata, new.event)))
    if len(appends) > 1:
        events.sort(key=_BY_PLACE)
        for before, after in pairwise(events):
            # Two appends to one stream are one, where the second goes on from the first.
            if before.stream_id == after.stream_id and before.version + 1 != after.version:
                raise VersionConflict(stream_id=after.stream_id)
    return events


class Command:
    """One command's events, encoded, and the promise to say what became of them."""

    __slots__ = ("events", "outcome", "saved", "since", "size_bytes", "streams")

    def __init__(self, events: list[StoredEvent], saved: "asyncio.Future[None]", since: float) -> None:
        """`events` as `encoded` makes them; `since` by the monotonic clock."""
        self.events = events
        self.saved = saved
        self.since = since
        self.outcome: Exception | None = None
        first = events[0]
        self.size_bytes = len(first.payload) + len(first.meta)
        self.streams: Sequence[StreamId] = (first.stream_id,)
        if len(events) > 1:
            self.size_bytes = sum([len(event.payload) + len(event.meta) for event in events])
            if events[-1].stream_id != first.stream_id:
                self.streams = sorted({event.stream_id for event in events})

    def succeed(self) -> None:
        if not self.saved.done():
            self.saved.set_result(None)

    def fail(self, error: Exception) -> None:
        self.outcome = error
        if not self.saved.done():
            self.saved.set_exception(error)


class AppendQueue:
    """Commands for one stream each, first come first served, no stream in two calls at a time.

    Two commands for one stream in one call would both look as if they had won; in two calls at once the
    second would hold up everybody in its call.
    """

    def __init__(self) -> None:
        self._waiting: deque[Command] = deque()
        self._busy: set[StreamId] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, command: Command) -> None:
        self._waiting.append(command)

    def take(self) -> list[Command]:
        """The next batch; its streams are busy until `done`."""
        batch: list[Command] = []
        later: list[Command] = []
        size_bytes = 0
        while self._waiting and len(batch) < MAX_BATCH and size_bytes < MAX_BATCH_BYTES:
            command = self._waiting.popleft()
            if command.saved.done():
                continue  # its caller went away
            stream_id = command.streams[0]
            if stream_id in self._busy:
                later.append(command)
                continue
            self._busy.add(stream_id)
            batch.append(command)
            size_bytes += command.size_bytes
        self._waiting.extendleft(reversed(later))
        return batch

    def done(self, batch: Sequence[Command]) -> None:
        self._busy.difference_update([command.streams[0] for command in batch])


def append_parameters(batch: Sequence[Command]) -> tuple[bytes, ...]:
    """The parameters of `log.append` for these commands."""
    events = [event for command in batch for event in command.events]
    # Everybody appends in the order of the stream ids: calls in different orders deadlock.
    if len(events) == len(batch):
        events.sort(key=_STREAM_ID)
        return (*_arrays(events, 1), *_NO_MORE)
    events.sort(key=_BY_PLACE)
    return _parameters(events)


def single_parameters(event: StoredEvent) -> tuple[bytes, ...]:
    """The parameters of `APPEND_ONE`."""
    return (
        event.stream_id.encode(),
        int8(event.version),
        event.type.encode(),
        event.meta,
        event.payload,
        event.leaf,
    )


def call_parameters(events: Sequence[StoredEvent]) -> tuple[bytes, ...]:
    """The parameters of `log.append` for a cursor of psycopg; events sorted by stream and version."""
    return tuple(cls(array) for cls, array in zip(_CURSOR_TYPES, _parameters(events), strict=True))


def _parameters(events: Sequence[StoredEvent]) -> tuple[bytes, ...]:
    """Each stream's first event stands apart from those that follow it."""
    heads: list[StoredEvent] = []
    more: list[StoredEvent] = []
    for _, of_stream in groupby(events, key=_STREAM_ID):
        first, *rest = of_stream
        heads.append(first)
        more += rest
    return (*_arrays(heads, 1), *_arrays(more, 0))


def _arrays(events: Sequence[StoredEvent], before: int) -> tuple[bytes, ...]:
    return (
        text_array([event.stream_id for event in events]),
        int8_array([event.version - before for event in events]),
        text_array([event.type for event in events]),
        bytea_array([event.meta for event in events]),
        bytea_array([event.payload for event in events]),
        bytea_array([event.leaf for event in events]),
    )


_NO_MORE = _arrays([], 0)
