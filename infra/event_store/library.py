"""The `eventsourcing` library's application with our events in it, over our own recorder."""

from typing import Any

from eventsourcing.application import Application
from eventsourcing.persistence import Mapper, StoredEvent, Transcoder

from domain.events import RecordedEvent
from infra.event_store import persistence
from infra.event_store.codec import EventCodec
from infra.event_store.persistence import CONNINFO, POOL_SIZE
from infra.event_store.recorder import FactNotification, StoredFact


class RecordedFact:
    """A recorded event under the names that the library's interfaces ask for."""

    __slots__ = ("originator_id", "originator_version", "recorded")

    def __init__(self, recorded: RecordedEvent) -> None:
        self.recorded = recorded
        self.originator_id = recorded.stream_id
        self.originator_version = recorded.version


class FactMapper(Mapper[str]):
    """Maps facts to stored events by our codec; topics are the explicit stored type names."""

    def __init__(self, transcoder: Transcoder, codec: EventCodec) -> None:
        super().__init__(transcoder)
        self._codec = codec

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        stored = self._codec.encode(domain_event.recorded)
        return StoredFact(
            stored.stream_id, stored.version, stored.type, stored.payload, stored.meta, stored.leaf
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """Raises the errors of `EventCodec.decode`, also for an event that is none of ours."""
        meta = stored_event.meta if isinstance(stored_event, StoredFact | FactNotification) else b"{}"
        return RecordedFact(
            self._codec.decode(
                str(stored_event.originator_id),
                stored_event.originator_version,
                stored_event.topic,
                meta,
                stored_event.state,
            )
        )


class EventLogApplication(Application[str]):
    """The library's application over the log, synchronous: `events.put` and `events.get` take facts."""

    name = "megacity"

    def __init__(self, conninfo: str, codec: EventCodec, *, pool_size: int = 4) -> None:
        self._codec = codec
        super().__init__(library_environment(conninfo, pool_size))

    def construct_mapper(self) -> Mapper[str]:
        return FactMapper(self.construct_transcoder(), self._codec)


def library_environment(conninfo: str, pool_size: int) -> dict[str, str]:
    """The settings under which an application of the library stores its events in our log."""
    return {
        "PERSISTENCE_MODULE": persistence.__name__,
        CONNINFO: conninfo,
        POOL_SIZE: str(pool_size),
    }
