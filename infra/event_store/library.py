"""The `eventsourcing` library's application over PostgreSQL, with our events in it.

The library's default recorder is used as it is: it takes a table lock through each commit, so that
no reader of the log can pass over an event that commits late. (Its mode of database functions drops
that lock and was measured to lose events for tailing readers: it stays off.)
"""

from typing import Any

from eventsourcing.application import Application
from eventsourcing.persistence import InfrastructureFactory, Mapper, StoredEvent, Transcoder
from eventsourcing.postgres import PostgresFactory
from eventsourcing.utils import Environment
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from domain.events import RecordedEvent
from infra.database import RECONNECT_TIMEOUT_S
from infra.event_store.codec import EventCodec

CONNINFO = "MEGACITY_EVENT_LOG_CONNINFO"
"""The one setting of ours among the library's."""


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
        recorded: RecordedEvent = domain_event.recorded
        topic, state = self._codec.encode(recorded)
        return StoredEvent(recorded.stream_id, recorded.version, topic, state)

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        return RecordedFact(
            self._codec.decode(
                str(stored_event.originator_id),
                stored_event.originator_version,
                stored_event.topic,
                stored_event.state,
            )
        )


class EventLogApplication(Application[str]):
    """The library application `megacity`: its tables are made by our migrations."""

    name = "megacity"

    def __init__(self, env: dict[str, str], codec: EventCodec) -> None:
        self._codec = codec
        super().__init__(env)

    def construct_factory(self, env: Environment) -> InfrastructureFactory:
        factory = super().construct_factory(env)
        if isinstance(factory, PostgresFactory):
            # The library has settings for five parameters of a connection and for neither of these; its
            # pool has opened no connection yet.
            pool = factory.datastore.pool
            pool.kwargs = connection_parameters(env[CONNINFO])
            pool.reconnect_timeout = RECONNECT_TIMEOUT_S
        return factory

    def construct_mapper(self) -> Mapper[str]:
        return FactMapper(self.construct_transcoder(), self._codec)


def connection_parameters(conninfo: str) -> dict[str, Any]:
    """All that the conninfo says (TLS, `options`, a local socket ...), with rows as the recorder wants."""
    return {**conninfo_to_dict(conninfo), "row_factory": dict_row}


def library_environment(conninfo: str, pool_size: int) -> dict[str, str]:
    """The settings under which the library reaches our tables and creates none of its own."""
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        CONNINFO: conninfo,
        # The library wants to be told these; the conninfo, which may name no host, says what holds.
        "POSTGRES_DBNAME": "",
        "POSTGRES_HOST": "",
        "POSTGRES_PORT": "",
        "POSTGRES_USER": "",
        "POSTGRES_PASSWORD": "",
        "POSTGRES_SCHEMA": "log",
        "POSTGRES_POOL_SIZE": str(pool_size),
        "POSTGRES_MAX_OVERFLOW": "0",
        # The recorder tries ten times before it gives up.
        "POSTGRES_CONNECT_TIMEOUT": "1",
        "POSTGRES_LOCK_TIMEOUT": "10",
        "POSTGRES_IDLE_IN_TRANSACTION_SESSION_TIMEOUT": "10",
        "POSTGRES_ENABLE_DB_FUNCTIONS": "no",
        "ORIGINATOR_ID_TYPE": "text",
        "CREATE_TABLE": "no",
    }
