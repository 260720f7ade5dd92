"""The log as it lies there: rows in the order of their positions, nothing decoded."""

import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from time import monotonic
from typing import Any, Final, LiteralString, NamedTuple

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import tuple_row

from infra.postgres.roles import with_options
from infra.sequencer.statements import CHANNEL

SEGMENT: Final = 50_000
"""Positions that one statement reads, at most: it bounds how long a statement holds back vacuum."""

_FETCHED_AT_ONCE: Final = 500
_LISTENED_AT_ONCE_S: Final = 0.2

# Positions in order, each with its event by an index, whatever the statistics say.
_OPTIONS: Final = (
    "-c enable_seqscan=off -c enable_bitmapscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
    " -c max_parallel_workers_per_gather=0 -c default_transaction_read_only=on"
)

_HEAD: Final[LiteralString] = "SELECT position FROM log.positions ORDER BY position DESC LIMIT 1"
_ROWS: Final[LiteralString] = """
    SELECT p.position, e.stream_id, e.version, e.type, e.meta, e.payload
    FROM log.positions p JOIN log.events e ON e.append_id = p.append_id
    WHERE p.position > %s AND p.position <= %s ORDER BY p.position
"""
_STREAMS_DOWN: Final[LiteralString] = """
    SELECT p.position, e.stream_id
    FROM log.positions p JOIN log.events e ON e.append_id = p.append_id
    WHERE p.position > %s AND p.position <= %s ORDER BY p.position DESC
"""
_META: Final[LiteralString] = """
    SELECT e.meta FROM log.positions p JOIN log.events e ON e.append_id = p.append_id WHERE p.position = %s
"""
_STREAMS_WITH: Final[LiteralString] = """
    SELECT DISTINCT e.stream_id
    FROM log.positions p JOIN log.events e ON e.append_id = p.append_id
    WHERE p.position > %s AND p.position <= %s AND rtrim(e.type, '0123456789') = ANY (%s)
"""


class StoredRow(NamedTuple):
    position: int
    stream_id: str
    version: int
    type: str
    meta: bytes
    payload: bytes


class PositionMissing(Exception):
    """A position below the head of the log is not there. There are no gaps: nobody may go on past this."""

    def __init__(self, position: int) -> None:
        super().__init__(f"the log has no position {position}, and goes on after it")
        self.position = position


class StoredLog:
    """One connection to the log. For one thread; a lost connection is the caller's to replace.

    All of its methods raise `psycopg.Error`.
    """

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def head(self) -> int:
        """The last position; 0 where the log is empty."""
        row = self._connection.execute(_HEAD, prepare=True).fetchone()
        return 0 if row is None else int(row[0])

    def rows(self, after: int, up_to: int) -> Iterator[StoredRow]:
        """The events after a position, in memory that does not grow with their number.

        Stops early, after `SEGMENT` positions, and wherever the caller stops. Raises `PositionMissing`.
        """
        up_to = min(up_to, after + SEGMENT)
        with (
            self._connection.cursor() as cursor,
            _streamed(cursor, _ROWS, [after, up_to]) as found,
        ):
            for row in map(StoredRow._make, found):
                after += 1
                if row.position != after:
                    raise PositionMissing(after)
                yield row
        if after != up_to:
            raise PositionMissing(after + 1)

    def streams_down_from(self, position: int) -> Iterator[tuple[int, str]]:
        """Positions with the streams they belong to, from this one down to the first."""
        while position > 0:
            below = max(0, position - SEGMENT)
            with (
                self._connection.cursor() as cursor,
                _streamed(cursor, _STREAMS_DOWN, [below, position]) as found,
            ):
                yield from found
            position = below

    def streams_with(self, type_names: Sequence[str], after: int, up_to: int) -> list[str]:
        """The streams that have events of these types, in any version, between two positions."""
        types = [f"{name}.v" for name in type_names]
        rows = self._connection.execute(_STREAMS_WITH, [after, up_to, types], prepare=True, binary=True)
        return [stream_id for (stream_id,) in rows]

    def meta_at(self, position: int) -> bytes | None:
        row = self._connection.execute(_META, [position], prepare=True, binary=True).fetchone()
        return None if row is None else bytes(row[0])

    def wait(self, after: int, timeout_s: float, stopping: threading.Event) -> None:
        """Returns when there is something after the position, when the time is over, or when stopping."""
        gives_up_at = monotonic() + timeout_s
        while self.head() <= after and not stopping.is_set() and (left := gives_up_at - monotonic()) > 0:
            for _ in self._connection.notifies(timeout=min(left, _LISTENED_AT_ONCE_S), stop_after=1):
                pass


@contextmanager
def open_stored_log(conninfo: str) -> Iterator[StoredLog]:
    """Connects as `megacity_projector`, who reads the log and cannot write it."""
    full = make_conninfo(
        with_options(conninfo, _OPTIONS), application_name="megacity stored log", connect_timeout=5
    )
    with psycopg.connect(full, autocommit=True, row_factory=tuple_row) as connection:
        connection.execute(f"LISTEN {CHANNEL}")
        yield StoredLog(connection)


@contextmanager
def _streamed(
    cursor: psycopg.Cursor[tuple[Any, ...]], statement: LiteralString, bounds: list[int]
) -> Iterator[Iterator[tuple[Any, ...]]]:
    """Ended at once where the caller stops early, so that the connection can be used for more."""
    rows = cursor.stream(statement, bounds, binary=True, size=_FETCHED_AT_ONCE)
    assert isinstance(rows, Generator)
    with closing(rows):
        yield rows
