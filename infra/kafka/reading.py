"""Relayed messages back into events. Whatever a topic may hold, the answer is an event or a reason."""

from dataclasses import dataclass
from typing import Final

import msgspec

from domain.errors import DomainError
from domain.events import PositionedEvent
from domain.identifiers import category_of
from infra.event_store.codec import MAX_EVENT_BYTES, EventCodec
from infra.kafka.port import Message
from infra.kafka.relayed import POSITION, PREVIOUS_POSITION, TYPE, VERSION

_ENVELOPE_BYTES: Final = 64
"""What the value has beside metadata and data."""
_LARGEST_NUMBER: Final = 2**63 - 1


class MalformedMessage(Exception):
    """The message cannot be what the relay wrote; the text says why, without what it holds."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the log a message belongs.

    Attributes:
        position: of the event.
        previous_position: of the event before it in the same partition; 0 for the first.
        type: the stored type name; empty where the message says none.
    """

    position: int
    previous_position: int
    type: str

    @property
    def type_name(self) -> str:
        """Without the schema version."""
        return self.type.rpartition(".v")[0]


class _Value(msgspec.Struct, frozen=True):
    meta: msgspec.Raw
    data: msgspec.Raw


def place_of(message: Message) -> Place:
    """Raises `MalformedMessage` where the headers do not say it."""
    position = _number(message, POSITION)
    previous = _number(message, PREVIOUS_POSITION)
    if not 0 <= previous < position:
        raise MalformedMessage(f"position {position} does not come after position {previous}")
    return Place(position, previous, _text(message.headers.get(TYPE, b"")))


def event_in(message: Message, place: Place, codec: EventCodec) -> PositionedEvent:
    """Raises `MalformedMessage`: bad JSON, missing headers, an unknown or future type, too large."""
    if message.value is None or message.key is None:
        raise MalformedMessage("the message has no key or no value")
    if len(message.value) > MAX_EVENT_BYTES + _ENVELOPE_BYTES:
        raise MalformedMessage(f"{len(message.value)} bytes are more than one event can hold")
    if not place.type:
        raise MalformedMessage("the header 'type' is missing")
    stream_id = _text(message.key)
    if category_of(stream_id) is None:
        raise MalformedMessage("the key is no stream id")
    version = _number(message, VERSION)
    try:
        value = _DECODE(message.value)
        recorded = codec.decode(stream_id, version, place.type, bytes(value.meta), bytes(value.data))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedMessage(f"the value is not what an event is stored as: {error}") from error
    except DomainError as error:
        raise MalformedMessage(f"{error}") from error
    return PositionedEvent(place.position, recorded)


_DECODE = msgspec.json.Decoder(_Value).decode


def _number(message: Message, header: str) -> int:
    text = message.headers.get(header)
    if text is None:
        raise MalformedMessage(f"the header {header!r} is missing")
    if not (text.isdigit() and len(text) <= 19 and int(text) <= _LARGEST_NUMBER):
        raise MalformedMessage(f"the header {header!r} is no number")
    return int(text)


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise MalformedMessage("key and headers must be UTF-8") from error
