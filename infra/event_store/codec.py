"""Events to bytes and back, with the hook through which personal values pass on their way."""

from typing import Any, Protocol

import msgspec

from domain.errors import Malformed
from domain.events import Event, EventMetadata, EventRegistry, EventType, RecordedEvent, UndecodableEvent
from domain.identifiers import StreamId
from domain.personal import replace_at

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


class _Stored(msgspec.Struct, frozen=True):
    """The stored form. Event id and the rest of the metadata first, then the event's own fields."""

    meta: EventMetadata
    data: msgspec.Raw


class EventCodec:
    """Stored form: a JSON object `{"meta": {...}, "data": {...}}`, under the type's stored name."""

    def __init__(self, registry: EventRegistry, personal: PersonalCodec) -> None:
        self._registry = registry
        self._personal = personal
        self._encoder = msgspec.json.Encoder(decimal_format="string")
        self._decoder = msgspec.json.Decoder(_Stored)
        # One decoder a type: most events need no upcasting and carry nothing personal, and those
        # are decoded straight into their class.
        self._direct = {
            cls.type_.stored_name: msgspec.json.Decoder(cls) for cls in registry if not cls.type_.personal
        }

    def encode(self, recorded: RecordedEvent) -> tuple[str, bytes]:
        """The stored type name and the stored bytes; raises `OversizedEvent`."""
        type_ = recorded.event.type_
        data: Any = recorded.event
        if type_.personal:
            data = msgspec.to_builtins(recorded.event)
            subject_id = _subject(type_, recorded.stream_id, data)
            for path in type_.personal:
                replace_at(data, path, lambda value: self._personal.seal(subject_id, value))
        state = self._encoder.encode({"meta": recorded.metadata, "data": data})
        if len(state) > MAX_EVENT_BYTES:
            raise OversizedEvent(event_type=type_.name, size_bytes=len(state))
        return type_.stored_name, state

    def decode(self, stream_id: StreamId, version: int, stored_name: str, state: bytes) -> RecordedEvent:
        """Raises `UnknownEventType`, `FutureSchemaVersion` or `UndecodableEvent`."""
        try:
            stored = self._decoder.decode(state)
            direct = self._direct.get(stored_name)
            event = (
                self._opened(stream_id, stored_name, msgspec.json.decode(stored.data))
                if direct is None
                else direct.decode(stored.data)
            )
        except (msgspec.DecodeError, UnicodeDecodeError, UndecodableEvent) as error:
            reason = error.reason if isinstance(error, UndecodableEvent) else str(error)
            raise UndecodableEvent(
                stored_name=stored_name, stream_id=stream_id, version=version, reason=reason
            ) from error
        return RecordedEvent(stream_id, version, stored.meta, event)

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
