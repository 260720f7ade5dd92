"""Positions for what a test has appended, and what must hold of every sequenced log.

    with writer(database) as connection, connection.transaction():
        put(connection, stream, 1)              # as early or late as the test wants it
    sequenced(database)
    assert broken_promises(database) == []

`broken_promises` looks at the tables alone, so it judges whatever has filled them: our sequencer, one with
a planted bug, one that was killed fifty times.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg

from infra.composition import new_id
from infra.event_store.leaves import leaf_hash
from infra.postgres.roles import PROJECTOR, WRITER, role_conninfo
from infra.sequencer.sequencer import Batch, sequence_all, session_conninfo, step
from infra.sequencer.statements import SEQUENCE, UNSEQUENCED
from tests.support.postgres import ROLE_SECRET

Appended = tuple[str, int]
"""Stream id and version."""
Connection = psycopg.Connection[tuple[Any, ...]]


def sequenced(conninfo: str) -> int:
    """Everything that is committed has a position when this returns; the last one."""
    return sequence_all(role_conninfo(conninfo, WRITER, ROLE_SECRET))


@contextmanager
def writer(conninfo: str) -> Iterator[Connection]:
    """Signed in as the write side, each statement a transaction of its own unless the test says else."""
    with psycopg.connect(role_conninfo(conninfo, WRITER, ROLE_SECRET), autocommit=True) as connection:
        yield connection


@contextmanager
def one_sequencer(conninfo: str) -> Iterator[Connection]:
    """A session for `stepped`, as the sequencer's own."""
    conninfo = session_conninfo(role_conninfo(conninfo, WRITER, ROLE_SECRET))
    with psycopg.connect(conninfo, autocommit=True) as connection:
        yield connection


def stepped(connection: Connection, limit: int = 1_000, statement: LiteralString = SEQUENCE) -> Batch | None:
    return step(connection, limit, statement)


def put(connection: Connection, stream_id: str, *versions: int) -> None:
    """The events of one stream, as one command of the transaction that is open, or a transaction of it."""
    for version in versions or (1,):
        event_id = new_id()
        meta, payload = f'{{"event_id":"{event_id}"}}'.encode(), b"{}"
        leaf = leaf_hash(stream_id, version, "test.happened.v1", meta, event_id, payload)
        connection.execute(
            "INSERT INTO log.events (stream_id, version, type, meta, payload, leaf)"
            " VALUES (%s, %s, 'test.happened.v1', %s, %s, %s)",
            [stream_id, version, meta, payload, leaf],
            prepare=True,
        )


def transaction_id(connection: Connection) -> int:
    """The id of the open transaction, which this gives it if it has none."""
    row = connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
    assert row is not None
    return int(row[0])


def order(conninfo: str) -> list[Appended]:
    """The log as its readers see it."""
    with psycopg.connect(conninfo) as admin:
        return admin.execute(
            "SELECT e.stream_id, e.version FROM log.positions p JOIN log.events e USING (append_id)"
            " ORDER BY p.position"
        ).fetchall()  # type: ignore[return-value]


def unsequenced(conninfo: str) -> int:
    """How many committed events the sequencer would find without a position."""
    with psycopg.connect(conninfo) as admin:
        return len(admin.execute(UNSEQUENCED).fetchall())


_PROMISES: dict[str, LiteralString] = {
    "positions are dense from 1": """
        SELECT 'the last of ' || count(*) || ' is ' || max(position) FROM log.positions
        HAVING count(*) <> coalesce(max(position), 0)""",
    "every committed event has a position": """
        SELECT e.stream_id || ' version ' || e.version || ', append id ' || e.append_id
        FROM log.events e LEFT JOIN log.positions p USING (append_id) WHERE p.position IS NULL""",
    "every position has its event": """
        SELECT 'position ' || p.position FROM log.positions p LEFT JOIN log.events e USING (append_id)
        WHERE e.append_id IS NULL""",
    "positions follow the versions of each stream": """
        SELECT stream_id || ' version ' || version || ' at ' || position || ', the one before at ' || before
        FROM (SELECT e.stream_id, e.version, p.position,
                  lag(p.position) OVER (PARTITION BY e.stream_id ORDER BY e.version) AS before
              FROM log.events e JOIN log.positions p USING (append_id)) placed
        WHERE before > position""",
    "streams have no gaps": """
        SELECT stream_id || ': ' || count(*) || ' events up to version ' || max(version)
        FROM log.events GROUP BY stream_id HAVING count(*) <> max(version)""",
    "a position has its event's leaf": """
        SELECT 'position ' || p.position FROM log.positions p JOIN log.events e USING (append_id)
        WHERE p.leaf <> e.leaf""",
    "the newest batch ends where the positions end": """
        SELECT 'the batch says ' || b.last_position
        FROM (SELECT last_position FROM log.batches ORDER BY batch DESC LIMIT 1) b
        WHERE b.last_position <> (SELECT coalesce(max(position), 0) FROM log.positions)""",
}


def broken_promises(conninfo: str, acknowledged: Iterable[Appended] = ()) -> list[str]:
    """What does not hold, in sentences; empty where all is well.

    To be asked when nothing is being appended and the sequencer has done its work. `acknowledged` is what
    clients were told that it is saved.
    """
    found = []
    with psycopg.connect(conninfo) as admin:
        for promise, query in _PROMISES.items():
            violations = [row[0] for row in admin.execute(query).fetchall()]
            if violations:
                found.append(f"not so: {promise} ({len(violations)}: {'; '.join(violations[:3])})")
        there = set(admin.execute("SELECT stream_id, version FROM log.events").fetchall())
    lost = [each for each in acknowledged if each not in there]
    if lost:
        found.append(f"not so: what was acknowledged is there ({len(lost)}: {lost[:3]})")
    return found


class Tail:
    """A subscriber with a checkpoint of its own, who writes down what it is given, in order."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = role_conninfo(conninfo, PROJECTOR, ROLE_SECRET)
        self.seen: list[tuple[int, str, int]] = []

    @property
    def checkpoint(self) -> int:
        return self.seen[-1][0] if self.seen else 0

    def look(self) -> int:
        """Reads on from the checkpoint; where it is then."""
        with psycopg.connect(self._conninfo) as connection:
            self._read(connection)
        return self.checkpoint

    @contextmanager
    def following(self) -> Iterator["Tail"]:
        """Looks again and again, beside the test, and once more at the end."""
        over = threading.Event()

        def follow() -> None:
            with psycopg.connect(self._conninfo, autocommit=True) as connection:
                while not over.wait(0.001):
                    self._read(connection)

        thread = threading.Thread(target=follow, name="tail", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            over.set()
            thread.join()
        self.look()

    def missed(self, conninfo: str) -> list[str]:
        """What this subscriber was not given, or was given otherwise than it stands in the log now."""
        now = [(number, *event) for number, event in enumerate(order(conninfo), start=1)]
        if self.seen == now:
            return []
        not_given = sorted(set(now) - set(self.seen))
        return [f"given {len(self.seen)}, there are {len(now)}; not given: {not_given[:3]}"]

    def _read(self, connection: Connection) -> None:
        self.seen += connection.execute(
            "SELECT p.position, e.stream_id, e.version"
            " FROM log.positions p JOIN log.events e USING (append_id)"
            " WHERE p.position > %s ORDER BY p.position",
            [self.checkpoint],
        ).fetchall()  # type: ignore[arg-type]
