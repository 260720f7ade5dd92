"""Going through the log in the order of its positions, with as little memory as one page needs."""

from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Final

import psycopg
from psycopg import sql

from infra.log_reading.filters import LogFilter
from infra.log_reading.stored import StoredAt

STRETCH: Final = 20_000
"""Positions a statement covers: between two of them no snapshot is held, so that vacuum can do its work."""

FETCHED_AT_ONCE: Final = 200
"""Rows in memory at a time; an event may be megabytes long."""

# Positions in order, each with its event by an index, whatever the statistics say: the other plans read the
# whole log for each stretch.
_IN_ORDER: Final = """
    SET enable_seqscan = off; SET enable_bitmapscan = off;
    SET enable_hashjoin = off; SET enable_mergejoin = off
"""

Connection = psycopg.Connection[Any]
Tell = Callable[[int], None]


def head_of(connection: Connection) -> int:
    """The last position; 0 where there is none."""
    row = connection.execute("SELECT coalesce(max(position), 0) FROM log.positions").fetchone()
    assert row is not None
    found: int = row[0]
    return found


def scan(
    connection: Connection, chosen: LogFilter, *, up_to: int, tell: Tell | None = None
) -> Generator[StoredAt]:
    """The chosen events as far as `up_to`, in order.

    Whoever may stop before the end closes it (`contextlib.closing`): as long as it waits to be asked for more
    it holds the connection, which could not even be closed.

    Args:
        connection: in autocommit, of a role that may read the log, for nothing else; rows as tuples.
        chosen: which.
        up_to: no position beyond it; at most the head.
        tell: is told how far the scan has come.
    """
    connection.execute(_IN_ORDER)
    last = up_to if chosen.up_to is None else min(up_to, chosen.up_to)
    after = chosen.after
    while after < last:
        end = min(after + STRETCH, last)
        for event in _stretch(connection, chosen, after, end):
            yield event
            if tell is not None and event.position is not None and event.position % 1000 == 0:
                tell(event.position)
        after = end
        if tell is not None:
            tell(after)


def newest(connection: Connection, chosen: LogFilter, count: int, *, head: int) -> list[StoredAt]:
    """The last `count` of the chosen events, oldest first; looks back as far as it has to."""
    connection.execute(_IN_ORDER)
    found: deque[StoredAt] = deque(maxlen=count)
    end = head if chosen.up_to is None else min(head, chosen.up_to)
    stretch = STRETCH if chosen.chooses else count
    while end > chosen.after and len(found) < count:
        begin = max(chosen.after, end - stretch)
        before = deque(_stretch(connection, chosen, begin, end), maxlen=count - len(found))
        found.extendleft(reversed(before))
        end = begin
    return list(found)


def stream_of(connection: Connection, stream_id: str) -> list[StoredAt]:
    """All events of a stream, also those without a position yet."""
    rows = connection.execute(
        """SELECT p.position, e.stream_id, e.version, e.type, e.meta, e.payload, e.leaf
           FROM log.events e LEFT JOIN log.positions p USING (append_id)
           WHERE e.stream_id = %s ORDER BY e.version""",
        [stream_id],
        binary=True,
    )
    return [StoredAt(*row) for row in rows]


def _stretch(connection: Connection, chosen: LogFilter, after: int, up_to: int) -> Generator[StoredAt]:
    conditions, parameters = chosen.conditions()
    statement = sql.SQL(
        """SELECT p.position, e.stream_id, e.version, e.type, e.meta, e.payload, e.leaf
           FROM log.positions p JOIN log.events e USING (append_id)
           WHERE p.position > %s AND p.position <= %s{} ORDER BY p.position"""
    ).format(conditions)
    with connection.cursor(binary=True) as cursor:
        for row in cursor.stream(statement, [after, up_to, *parameters], size=FETCHED_AT_ONCE):
            event = StoredAt(*row)
            if chosen.admits(event):
                yield event
