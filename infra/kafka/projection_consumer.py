"""A read model fed by a consumer: its rows and the consumer's position in one transaction.

Only a projection whose rows do not depend on the order of events of different streams, nor on an event
coming twice, may be fed so (`order_free`): partitions run apart, and who goes back to reading the log
begins where the slowest of them stood.

The projection's checkpoint, which readers wait for and which lag is measured by, follows: everything up to
it has taken effect in every partition.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from time import monotonic
from typing import Any, Final, LiteralString, Protocol

import psycopg

from domain.errors import Unavailable
from domain.events import Event, PositionedEvent
from infra.kafka.delivery import LOG, KeptPositionLost
from infra.kafka.kept_positions import read_or_begin, relayed_with, sent_to
from infra.kafka.port import TopicPartition
from infra.kafka.reconnecting import Connection, Reconnecting
from infra.projections.checkpoints import ADVANCED_CHANNEL, ensure_checkpoint
from projections.projection import Projection

SETTLE_EVERY_S: Final = 0.1
"""How often the checkpoint follows, at most; a reader that waits for it waits so much longer."""

_LIVE: Final[LiteralString] = "SELECT version, position, status FROM ops.projections WHERE name = %s"
_TABLE: Final[LiteralString] = "SELECT format('read.%%I', %s::text)::regclass::oid AS row_table"
_KEPT: Final[LiteralString] = """
    SELECT position, row_table FROM ops.consumer_partitions
    WHERE consumer = %s AND topic = %s AND partition = %s FOR UPDATE
"""
_KEPT_IN_TABLE: Final[LiteralString] = """
    SELECT topic, partition, position FROM ops.consumer_partitions WHERE consumer = %s AND row_table = %s
"""
_KEEP: Final[LiteralString] = """
    UPDATE ops.consumer_partitions SET position = %s, row_table = %s, updated_at = now()
    WHERE consumer = %s AND topic = %s AND partition = %s
"""
_ADVANCE: Final[LiteralString] = """
    UPDATE ops.projections SET position = %s, error = NULL, failed_position = NULL, updated_at = now(),
        status = CASE status WHEN 'failed' THEN 'running' ELSE status END
    WHERE name = %s AND position < %s
"""
# A partition that has everything the relay has sent to it is complete up to where the relay is.
_RELAYED: Final[LiteralString] = """
    SELECT coalesce(
        (SELECT min(CASE WHEN c.position >= p.position THEN r.position ELSE coalesce(c.position, 0) END)
         FROM ops.relay_partitions p
         LEFT JOIN ops.consumer_partitions c
            ON c.topic = p.topic AND c.partition = p.partition AND c.consumer = %s AND c.row_table = %s
         WHERE p.relay = r.name AND p.topic = ANY (%s)),
        r.position
    ) AS position
    FROM ops.relays r WHERE r.name = %s
"""
_READ: Final[LiteralString] = """
    SELECT position FROM ops.consumer_partitions
    WHERE consumer = %s AND row_table = %s AND topic = %s AND partition = %s
"""


class CompleteTo(Protocol):
    """Up to which position of the log everything has taken effect, in every partition."""

    def __call__(self, connection: Connection, consumer: str, row_table: int) -> int:
        """0 where that is not known yet."""
        ...


def relayed(relay: str, topics: Collection[str]) -> CompleteTo:
    """For a consumer of these topics, which the relay of this name fills."""

    def complete_to(connection: Connection, consumer: str, row_table: int) -> int:
        row = connection.execute(_RELAYED, [consumer, row_table, list(topics), relay]).fetchone()
        return 0 if row is None else int(row["position"])

    return complete_to


def read_from_log(connection: Connection, consumer: str, row_table: int) -> int:
    """For a consumer of the log itself."""
    row = connection.execute(_READ, [consumer, row_table, LOG.topic, LOG.partition]).fetchone()
    return 0 if row is None else int(row["position"])


class ProjectionNotReady(Unavailable):
    """Its rows are of another version, or an operator has paused it: what comes waits."""

    code = "projection-not-ready"
    title = "The projection takes no events at the moment"


class ProjectionHandler:
    """Applies events to a projection. For one thread.

    Args:
        projection: must be `order_free`, else `TypeError` is raised.
        connect: opens a connection of the projector role in autocommit mode, with rows as dictionaries.
        complete_to: how far everything has taken effect; the checkpoint follows it.
    """

    def __init__(
        self,
        projection: Projection,
        connect: Callable[[], psycopg.Connection[dict[str, Any]]],
        complete_to: CompleteTo,
    ) -> None:
        if not getattr(projection, "order_free", False):
            raise TypeError(f"{projection.name} depends on the order of events: only the log can feed it")
        self._projection = projection
        self._complete_to = complete_to
        self._database = Reconnecting(connect)
        self._settled_at = 0.0

    @property
    def name(self) -> str:
        return self._projection.name

    @property
    def event_types(self) -> tuple[type[Event], ...]:
        return self._projection.event_types

    def kept(self, partition: TopicPartition) -> int:
        with self._database.connection() as connection, connection.transaction():
            ensure_checkpoint(connection, self._projection)
            position, row_table = self._live(connection, "FOR SHARE")
            read_or_begin(connection, self.name, partition, position)
            kept = self._kept_in(connection, partition, position, row_table)
            connection.execute(_KEEP, [kept, row_table, self.name, partition.topic, partition.partition])
            return kept

    def kept_everywhere(self) -> Mapping[TopicPartition, int]:
        with self._database.connection() as connection:
            table = connection.execute(_TABLE, [self._projection.tables[0]]).fetchone()
            assert table is not None
            rows = connection.execute(_KEPT_IN_TABLE, [self.name, table["row_table"]]).fetchall()
        return {TopicPartition(row["topic"], row["partition"]): int(row["position"]) for row in rows}

    def sent_to(self, relay: str) -> Mapping[TopicPartition, int]:
        with self._database.connection() as connection:
            return sent_to(connection, relay)

    def relayed_with(self, relay: str) -> Mapping[str, int]:
        with self._database.connection() as connection:
            return relayed_with(connection, relay)

    def handle(
        self, partition: TopicPartition, after: int, events: Sequence[PositionedEvent], up_to: int
    ) -> None:
        with self._database.connection() as connection, connection.transaction():
            # Shared, so that partitions need not wait for each other; a rebuild takes it for itself.
            position, row_table = self._live(connection, "FOR SHARE")
            kept = self._kept_in(connection, partition, position, row_table)
            if kept < after:
                raise KeptPositionLost
            fresh = [event for event in events if event.position > kept]
            if fresh:
                with connection.cursor() as cursor:
                    self._projection.apply(cursor, fresh)
            connection.execute(
                _KEEP, [max(kept, up_to), row_table, self.name, partition.topic, partition.partition]
            )

    def settle(self) -> None:
        """Lets the checkpoint follow."""
        if monotonic() - self._settled_at < SETTLE_EVERY_S:
            return
        self._settled_at = monotonic()
        with self._database.connection() as connection, connection.transaction():
            ensure_checkpoint(connection, self._projection)
            position, row_table = self._live(connection, "FOR UPDATE")
            complete_to = self._complete_to(connection, self.name, row_table)
            if complete_to > position:
                connection.execute(_ADVANCE, [complete_to, self.name, complete_to])
                connection.execute("SELECT pg_notify(%s, %s)", [ADVANCED_CHANNEL, self.name])

    def close(self) -> None:
        self._database.close()

    def _live(self, connection: Connection, lock: LiteralString) -> tuple[int, int]:
        """The checkpoint, held, and the table that holds the rows. Raises `ProjectionNotReady`."""
        row = connection.execute(f"{_LIVE} {lock}", [self.name]).fetchone()
        assert row is not None
        if row["version"] != self._projection.version or row["status"] == "paused":
            raise ProjectionNotReady(
                projection=self.name, version=row["version"], status=row["status"], retry_after_s=1
            )
        table = connection.execute(_TABLE, [self._projection.tables[0]]).fetchone()
        assert table is not None
        return int(row["position"]), int(table["row_table"])

    def _kept_in(
        self, connection: Connection, partition: TopicPartition, position: int, row_table: int
    ) -> int:
        """What is kept of the partition in these rows, held.

        Rows that were rebuilt hold everything up to the checkpoint and nothing after it.
        """
        row = connection.execute(_KEPT, [self.name, partition.topic, partition.partition]).fetchone()
        if row is None:
            raise KeptPositionLost
        return int(row["position"]) if row["row_table"] == row_table else position
