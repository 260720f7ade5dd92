"""What an event is, how its type is named in storage, and the envelope it travels in."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Literal, TypeVar

import msgspec

from domain.errors import Unavailable, Unreadable
from domain.identifiers import StreamId, category_of
from domain.personal import Path, personal_paths
from domain.zones import ZoneId


# Facts are made of other facts and never of themselves: there is no cycle for the garbage collector to find,
# and going through hundreds of thousands of them again and again is half of what reading the log costs.
class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A fact, named in the past tense. Subclasses declare themselves with `@event_type`."""

    type_: ClassVar["EventType"]


class Retention(StrEnum):
    """How long a fact is kept.

    `STATE` facts stay for good (what is personal in them goes with its key); the others are
    observations, whose payload is dropped when their time is over.
    """

    STATE = "state"
    OBSERVATION_90_DAYS = "observation-90-days"
    OBSERVATION_1_YEAR = "observation-1-year"
    OBSERVATION_5_YEARS = "observation-5-years"


Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns the JSON of one schema version into that of the next."""


class EventType(msgspec.Struct, frozen=True):
    """What storage knows of an event class.

    Attributes:
        name: `<category>.<event in snake case>`, without the version.
        version: the schema version that is written today.
        retention: the retention class.
        subject: the field that names the person whom the personal fields describe, or `stream`
            where the stream is that person; None where there are no personal fields.
        upcasters: for each older version, the step to the next.
        personal: where the personal values stand.
    """

    name: str
    version: int
    retention: Retention
    subject: str | None
    upcasters: Mapping[int, Upcaster]
    personal: tuple[Path, ...]

    @property
    def stored_name(self) -> str:
        return f"{self.name}.v{self.version}"

    @property
    def category(self) -> str:
        return self.name.split(".", 1)[0]


E = TypeVar("E", bound=Event)


def event_type(
    name: str,
    *,
    version: int = 1,
    retention: Retention,
    subject: str | None = None,
    upcasters: Mapping[int, Upcaster] | None = None,
) -> Callable[[type[E]], type[E]]:
    """Declares how an event class is stored. Raises `TypeError` where the declaration is incomplete."""

    def declare(cls: type[E]) -> type[E]:
        steps = dict(upcasters or {})
        if sorted(steps) != list(range(1, version)):
            raise TypeError(f"{name}: version {version} needs an upcaster for each version before it")
        personal = personal_paths(cls)
        if bool(personal) != (subject is not None):
            raise TypeError(f"{name}: personal fields and the subject they describe go together")
        cls.type_ = EventType(
            name=name,
            version=version,
            retention=retention,
            subject=subject,
            upcasters=steps,
            personal=personal,
        )
        return cls

    return declare


class UnknownEventType(Unreadable):
    """No fault of the asker: the log holds something that no release should have written."""

    code = "unknown-event-type"
    title = "No event type of this name is known"


class FutureSchemaVersion(Unavailable):
    """A newer release runs beside this one; it can answer what this one cannot."""

    code = "future-schema-version"
    title = "The event was written by a newer version of this system"


class UndecodableEvent(Unreadable):
    """No fault of the asker: what is stored does not fit its type."""

    code = "undecodable-event"
    title = "The stored event does not fit its type"


class EventRegistry:
    """The event types of a system: stored name to class, with upcasting on the way in."""

    def __init__(self, classes: Iterable[type[Event]]) -> None:
        self._classes: dict[str, type[Event]] = {}
        for cls in classes:
            if cls.type_.name in self._classes:
                raise TypeError(f"two event classes are stored as {cls.type_.name}")
            self._classes[cls.type_.name] = cls

    def __iter__(self) -> Iterator[type[Event]]:
        return iter(self._classes.values())

    def resolve(self, stored_name: str) -> tuple[type[Event], int]:
        """The class and the stored schema version behind `category.name.vN`.

        Raises `UnknownEventType` or `FutureSchemaVersion`.
        """
        name, _, version_text = stored_name.rpartition(".v")
        cls = self._classes.get(name)
        if cls is None or not version_text.isdecimal() or int(version_text) < 1:
            raise UnknownEventType(stored_name=stored_name)
        version = int(version_text)
        if version > cls.type_.version:
            raise FutureSchemaVersion(
                stored_name=stored_name, newest_known=cls.type_.version, retry_after_s=5
            )
        return cls, version

    def decode(self, stored_name: str, data: dict[str, Any]) -> Event:
        """An event from its stored JSON object, brought up to today's schema version.

        Raises `UnknownEventType`, `FutureSchemaVersion` or `UndecodableEvent`.
        """
        cls, version = self.resolve(stored_name)
        try:
            for step in range(version, cls.type_.version):
                data = cls.type_.upcasters[step](data)
            return msgspec.convert(data, cls)
        # What an upcaster stumbles over is data that does not fit the version it was stored as.
        except (msgspec.ValidationError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise UndecodableEvent(stored_name=stored_name, reason=repr(error)) from error


class Actor(msgspec.Struct, frozen=True, gc=False):
    """Who did it: a person, a service, an operator at the command line, or the clock."""

    kind: Literal["user", "service", "operator", "clock", "engine"]
    id: str


class EventMetadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What every event carries beside its own fields.

    `causation_id` is the id of the command that made it; all events of one request, and what
    follows from them, share a `correlation_id`. `trace` is the W3C `traceparent` of the request, where
    requests are traced; without it nothing is stored under that name.
    """

    event_id: str
    actor: Actor
    zone_id: ZoneId | None
    org_id: StreamId | None
    correlation_id: str
    causation_id: str
    recorded_at: datetime
    trace: str | None = None


class RecordedEvent(msgspec.Struct, frozen=True, gc=False):
    """An event in its place: the stream, the version within it, and its metadata."""

    stream_id: StreamId
    version: int
    metadata: EventMetadata
    event: Event

    @property
    def category(self) -> str:
        category = category_of(self.stream_id)
        assert category is not None
        return category

    @property
    def schema_version(self) -> int:
        return self.event.type_.version


class PositionedEvent(msgspec.Struct, frozen=True, gc=False):
    """A recorded event with its position in the whole log."""

    position: int
    recorded: RecordedEvent
