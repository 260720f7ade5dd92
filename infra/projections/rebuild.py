"""Rebuild: derive a projection's rows anew from the whole log, while readers go on reading the old ones.

All of it happens in one transaction that holds the checkpoint row. Readers see the old rows until it
commits; a live runner waits for it and then goes on from where it ended.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from infra.event_store.feed import EventFeed
from infra.projections.checkpoints import Connection, advance, ensure_checkpoint, read_checkpoint
from projections.projection import Projection

BATCH_SIZE: Final = 1_000

Progress = Callable[[int, int], None]
"""Told the position that is reached, and the one to be reached."""


@dataclass(frozen=True, slots=True)
class Verification:
    """`live` is the fingerprint of the rows as they are, `replayed` of those that the log gives."""

    position: int
    live: str
    replayed: str

    @property
    def agrees(self) -> bool:
        return self.live == self.replayed


def rebuild(
    projection: Projection, feed: EventFeed, connection: Connection, progress: Progress | None = None
) -> int:
    """Fills the projection's tables anew up to the end of the log; returns the position reached."""
    with connection.transaction():
        position = _hold(connection, projection)
        # Never backwards: somebody may have been told that a write is visible.
        target = max(feed.head(), position)
        _empty(connection, projection)
        _replay(projection, feed, connection, target, progress)
        advance(connection, projection, from_position=position, to_position=target)
    return target


def verify(
    projection: Projection, feed: EventFeed, connection: Connection, progress: Progress | None = None
) -> Verification:
    """Compares the rows with what the log gives for the same position, and changes nothing.

    The replay is rolled back. It leaves dead rows behind, which autovacuum removes.
    """
    found: Verification | None = None
    with connection.transaction(force_rollback=True):
        position = _hold(connection, projection)
        live = fingerprint(connection, projection)
        _empty(connection, projection)
        _replay(projection, feed, connection, position, progress)
        found = Verification(position, live, fingerprint(connection, projection))
    assert found is not None
    return found


def fingerprint(connection: Connection, projection: Projection) -> str:
    """SHA-256 over all rows of the projection's tables, in the order of their keys."""
    digest = hashlib.sha256()
    with connection.transaction():
        # The text of times and numbers depends on these.
        connection.execute("SET LOCAL timezone = 'UTC'")
        connection.execute("SET LOCAL datestyle = 'ISO'")
        connection.execute("SET LOCAL extra_float_digits = 1")
        for table in sorted(projection.tables):
            digest.update(f"{table}\n".encode())
            copy_rows = sql.SQL("COPY (SELECT * FROM {} ORDER BY {}) TO STDOUT").format(
                sql.Identifier("read", table),
                sql.SQL(", ").join(map(sql.Identifier, _key_of(connection, table))),
            )
            with connection.cursor() as cursor, cursor.copy(copy_rows) as rows:
                for piece in rows:
                    digest.update(piece)
    return digest.hexdigest()


def _hold(connection: Connection, projection: Projection) -> int:
    ensure_checkpoint(connection, projection)
    checkpoint = read_checkpoint(connection, projection.name, lock=True)
    assert checkpoint is not None
    return checkpoint.position


def _empty(connection: Connection, projection: Projection) -> None:
    # DELETE, since TRUNCATE would make every reader wait until the end.
    for table in projection.tables:
        connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier("read", table)))


def _replay(
    projection: Projection, feed: EventFeed, connection: Connection, target: int, progress: Progress | None
) -> None:
    position = 0
    while position < target:
        page = feed.read(position, BATCH_SIZE, projection.event_types)
        if page.up_to <= position:
            raise LogTooShort(projection.name, position, target)
        events = [event for event in page.events if event.position <= target]
        if events:
            with connection.cursor() as cursor:
                projection.apply(cursor, events)
        position = min(page.up_to, target)
        if progress is not None:
            progress(position, target)


def _key_of(connection: Connection, table: str) -> list[str]:
    rows = connection.execute(
        """
        SELECT a.attname
        FROM pg_index i
        CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS key(attnum, place)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = key.attnum
        WHERE i.indrelid = format('read.%%I', %s::text)::regclass AND i.indisprimary
        ORDER BY key.place
        """,
        [table],
    ).fetchall()
    return [row["attname"] for row in rows]


class LogTooShort(Exception):
    """The rows are ahead of the log: the log was lost or belongs to another database."""

    def __init__(self, name: str, reached: int, expected: int) -> None:
        super().__init__(f"{name} stands at {expected}, but the log ends at {reached}")
