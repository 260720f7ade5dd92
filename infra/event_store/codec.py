"""Events to bytes and back, with the hook through which personal values pass on their way."""

from typing import Any, Protocol

import msgspec

from domain.errors import Malformed
from domain.events import (
    Event,
    EventMetadata,
    EventRegistry,
    EventType,
    RecordedEvent,
    UndecodableEvent,
    UnknownEventType,
)
from domain.identifiers import StreamId
from domain.personal import replace_at
from infra.event_store.leaves import leaf_hash

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""Above the largest event that the limits on items, forms and answers allow."""


class PersonalCodec(Protocol):
    """What is done to personal values before they are stored, and undone when they are read.

    `subject_id` is the person described. Encryption per person replaces this without a change
    anywhere else.
    """

    def seal(self, subject_id: StreamId, value: Any) -> Any: ...

    def open(self, subject_id: StreamId, sealed: Any) -> Any: ...


class PlainPersonalCodec:
    """Stores personal values as they are."""

    def seal(self, subject_id: StreamId, value: Any) -> Any:  # noqa: ARG002 - the port's signature
        return value

    def open(self, subject_id: StreamId, sealed: Any) -> Any:  # noqa: ARG002 - the port's signature
        return sealed


class OversizedEvent(Malformed):
    """An event is larger than `MAX_EVENT_BYTES`; carries `size_bytes`."""

    code = "oversized-event"
    title = "This is more than one event can hold"


class MalformedEvent(Malformed):
    """An event whose values are not of the types that it declares: once stored, nobody could read it."""

    code = "malformed-event"
    title = "The values of this event are not of its types"


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """An event as the log's table holds it.

    Attributes:
        stream_id: the stream.
        version: its place in the stream, from 1.
        type: the stored type name, `category.name.vN`.
        meta: JSON of `EventMetadata`.
        payload: JSON of the event's own fields, personal values sealed.
        leaf: see `infra.event_store.leaves`.
    """

    stream_id: StreamId
    version: int
    type: str
    meta: bytes
    payload: bytes
    leaf: bytes

    @property
    def category(self) -> str:
        return self.type.partition(".")[0]


class EventCodec:
    """Recorded events to what the log stores, and back."""

    def __init__(self, registry: EventRegistry, personal: PersonalCodec) -> None:
        self._registry = registry
        self._personal = personal
        self._encode = msgspec.json.Encoder(decimal_format="string").encode
        self._metadata = msgspec.json.Decoder(EventMetadata).decode
        self._names: dict[type[Event], str] = {cls: cls.type_.stored_name for cls in registry}
        # One decoder a type: most events need no upcasting and have nothing that is sealed, and those
        # are decoded straight into their class.
        plain = isinstance(personal, PlainPersonalCodec)
        self._direct = {
            cls.type_.stored_name: msgspec.json.Decoder(cls).decode
            for cls in registry
            if plain or not cls.type_.personal
        }

    def encode(self, recorded: RecordedEvent) -> StoredEvent:
        """Raises `OversizedEvent`, `MalformedEvent` or `UnknownEventType`: nothing is stored of these."""
        event, metadata, stream_id = recorded.event, recorded.metadata, recorded.stream_id
        cls = type(event)
        stored_name = self._names.get(cls)
        if stored_name is None:
            raise UnknownEventType(stored_name=cls.type_.stored_name)
        try:
            meta = self._encode(metadata)
            if self._metadata(meta).recorded_at.tzinfo is None:
                raise MalformedEvent(event_type=cls.type_.name, reason="recorded_at has no time zone")
            payload = self._payload(stream_id, event, stored_name)
        except (msgspec.ValidationError, TypeError, ValueError, OverflowError) as error:
            raise MalformedEvent(event_type=cls.type_.name, reason=str(error)) from error
        size_bytes = len(meta) + len(payload)
        if size_bytes > MAX_EVENT_BYTES:
            raise OversizedEvent(event_type=cls.type_.name, size_bytes=size_bytes)
        leaf = leaf_hash(stream_id, recorded.version, stored_name, meta, metadata.event_id, payload)
        return StoredEvent(stream_id, recorded.version, stored_name, meta, payload, leaf)

    def decode(
        self, stream_id: StreamId, version: int, type_: str, meta: bytes, payload: bytes
    ) -> RecordedEvent:
        """Raises `UnknownEventType`, `FutureSchemaVersion` or `UndecodableEvent`."""
        try:
            metadata = self._metadata(meta)
            direct = self._direct.get(type_)
            event = (
                self._opened(stream_id, type_, msgspec.json.decode(payload))
                if direct is None
                else direct(payload)
            )
        except (msgspec.DecodeError, UnicodeDecodeError, UndecodableEvent) as error:
            reason = error.reason if isinstance(error, UndecodableEvent) else str(error)
            raise UndecodableEvent(
                stored_name=type_, stream_id=stream_id, version=version, reason=reason
            ) from error
        return RecordedEvent(stream_id, version, metadata, event)

    def _payload(self, stream_id: StreamId, event: Event, stored_name: str) -> bytes:
        """The stored bytes, after making sure that they can be read again."""
        direct = self._direct.get(stored_name)
        if direct is not None:
            payload = self._encode(event)
            direct(payload)
            return payload
        type_ = event.type_
        data = msgspec.to_builtins(event)
        msgspec.convert(data, type(event))
        subject_id = _subject(type_, stream_id, data)
        for path in type_.personal:
            replace_at(data, path, lambda value: self._personal.seal(subject_id, value))
        return self._encode(data)

    def _opened(self, stream_id: StreamId, stored_name: str, data: Any) -> Event:
        cls, _ = self._registry.resolve(stored_name)
        if not isinstance(data, dict):
            raise UndecodableEvent(stored_name=stored_name, reason="the data is not an object")
        if cls.type_.personal:
            if cls.type_.subject not in {"stream", *data}:
                raise UndecodableEvent(stored_name=stored_name, reason=f"there is no {cls.type_.subject}")
            subject_id = _subject(cls.type_, stream_id, data)
            for path in cls.type_.personal:
                replace_at(data, path, lambda value: self._personal.open(subject_id, value))
        return self._registry.decode(stored_name, data)


def _subject(type_: EventType, stream_id: StreamId, data: dict[str, Any]) -> StreamId:
    assert type_.subject is not None
    return stream_id if type_.subject == "stream" else str(data[type_.subject])
