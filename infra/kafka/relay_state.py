"""What a relay remembers, in the database: how far it has come, and the last event in each partition."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import tuple_row

from infra.kafka.port import TopicPartition

_LOCK_CLASS: Final = 0x72656C61  # "rela"; the second number is of the relay's name

_TAKE_OVER: Final[LiteralString] = """
    INSERT INTO ops.relays AS r (name, epoch) VALUES (%s, 1)
    ON CONFLICT (name) DO UPDATE SET epoch = r.epoch + 1, changed_at = clock_timestamp()
    RETURNING epoch, position
"""
_MOVE: Final[LiteralString] = """
    UPDATE ops.relays SET position = %s, rewinds = rewinds + %s, changed_at = clock_timestamp()
    WHERE name = %s AND epoch = %s
"""
_REMEMBER: Final[LiteralString] = """
    INSERT INTO ops.relay_partitions (relay, topic, partition, position)
    SELECT %s, * FROM unnest(%s::text[], %s::int[], %s::bigint[])
    ON CONFLICT (relay, topic, partition) DO UPDATE SET position = excluded.position
"""
_FORGET: Final[LiteralString] = "DELETE FROM ops.relay_partitions WHERE relay = %s"
_LATEST: Final[LiteralString] = "SELECT topic, partition, position FROM ops.relay_partitions WHERE relay = %s"
_COUNTS: Final[LiteralString] = "SELECT topic, partitions FROM ops.relay_topics WHERE relay = %s"
_NEW_TOPICS: Final[LiteralString] = """
    INSERT INTO ops.relay_topics (relay, topic, partitions)
    SELECT %s, * FROM unnest(%s::text[], %s::int[]) ON CONFLICT DO NOTHING
"""
_LOCK: Final[LiteralString] = "SELECT pg_try_advisory_lock(%s, hashtext(%s))"


class LeadershipLost(Exception):
    """Another relay has taken over."""


@dataclass(slots=True)
class Progress:
    """How far a relay has come.

    Attributes:
        position: everything up to here is acknowledged.
        latest: the position of the last event up to there in each partition; none where there was none.
        counts: how many partitions each topic has, of those that are known.
    """

    position: int
    latest: dict[TopicPartition, int]
    counts: dict[str, int]


class RelayState:
    """The state of the relay of this name, for the one who leads. Raises `psycopg.Error` where it cannot."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], name: str) -> None:
        self._connection = connection
        self._name = name
        self._epoch = 0

    def try_lead(self) -> bool:
        """True where this session has the lead now; it keeps it for as long as the session lives."""
        row = self._connection.execute(_LOCK, [_LOCK_CLASS, self._name]).fetchone()
        return row is not None and bool(row[0])

    def take_over(self) -> Progress:
        """What was reached. From now on a leader before this one can change nothing."""
        with self._connection.transaction():
            row = self._connection.execute(_TAKE_OVER, [self._name]).fetchone()
            assert row is not None
            latest = self._connection.execute(_LATEST, [self._name]).fetchall()
            counts = self._connection.execute(_COUNTS, [self._name]).fetchall()
        self._epoch, position = row
        return Progress(
            position,
            {TopicPartition(topic, partition): last for topic, partition, last in latest},
            dict(counts),
        )

    def add_topics(self, counts: Mapping[str, int]) -> None:
        """From now on these topics have so many partitions."""
        self._connection.execute(_NEW_TOPICS, [self._name, list(counts), list(counts.values())])

    def advance(self, position: int, latest: Mapping[TopicPartition, int]) -> None:
        """All up to `position` is acknowledged; these partitions have grown. Raises `LeadershipLost`."""
        with self._connection.transaction():
            self._move(position, rewinds=0)
            self._remember(latest)

    def rewind(self, progress: Progress) -> None:
        """Back to an earlier place, where that was the state of all partitions. Raises `LeadershipLost`."""
        with self._connection.transaction():
            self._move(progress.position, rewinds=1)
            self._connection.execute(_FORGET, [self._name])
            self._remember(progress.latest)

    def _move(self, position: int, *, rewinds: int) -> None:
        moved = self._connection.execute(_MOVE, [position, rewinds, self._name, self._epoch], prepare=True)
        if moved.rowcount != 1:
            raise LeadershipLost

    def _remember(self, latest: Mapping[TopicPartition, int]) -> None:
        ordered = sorted(latest)
        self._connection.execute(
            _REMEMBER,
            [
                self._name,
                [each.topic for each in ordered],
                [each.partition for each in ordered],
                [latest[each] for each in ordered],
            ],
            prepare=True,
        )


@contextmanager
def open_relay_state(conninfo: str, name: str) -> Iterator[RelayState]:
    """Connects as `megacity_projector`."""
    full = make_conninfo(conninfo, application_name=f"megacity relay {name}", connect_timeout=5)
    with psycopg.connect(full, autocommit=True, row_factory=tuple_row) as connection:
        yield RelayState(connection, name)
