"""New rows beside the live ones, and how they take their place.

The new rows ("blue") lie in tables of a scratch schema with a checkpoint of their own, which moves in the
transaction that writes them: a rebuild that dies goes on where it was. They follow the log while the live
rows ("green") go on. The take-over:

1. The checkpoint of the live rows is locked, so they stand still; blue applies what is missing, and commits.
2. Readers whose snapshot is older than that are waited for, briefly. Changing places goes by the catalogue,
   which knows no snapshots: an older snapshot would find new tables in which it sees too little.
3. The tables change places and the checkpoint moves, in one transaction. Its locks are waited for so briefly
   that no reader queues for long behind it; who cannot get them lets go of everything and tries again.

So a reader sees the old rows or the new ones, each at a position that was reached, and never waits longer
than `LOCK_WAIT_S` and the change itself.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic, perf_counter
from typing import Any, Final
from uuid import UUID, uuid4

import structlog
from psycopg import errors

from infra.event_store.feed import EventFeed, Partition
from infra.projections.certificate import code_sha256
from infra.projections.checkpoints import Checkpoint, Connection, advance, read_checkpoint
from infra.projections.filling import BATCH_SIZE, LeftOut, fill
from infra.projections.poison import SetAside, count_waiting
from infra.projections.scratch import create_scratch, shape_of, try_to_drop, writing_to
from projections.projection import Projection

Progress = Callable[[int, int], None]
"""Told the position that is reached, and the one to be reached."""

LOCK_WAIT_S: Final = 0.1
"""How long the change of places waits for each table; readers queue behind it so long."""
SNAPSHOT_WAIT_S: Final = 1.0
"""How long the live rows are held for the sake of readers with an older snapshot."""
MOST_WHILE_HELD: Final = 5_000
"""Events that are still to be applied when the live rows are held; with more, blue catches up first."""

log = structlog.get_logger("projections")


@dataclass(frozen=True, slots=True)
class Rebuild:
    """One rebuild, which may outlive the process that began it."""

    projection: str
    rebuild_id: UUID
    target: int
    partitions: int
    resumed: bool
    started_at: datetime

    @property
    def schema(self) -> str:
        return f"rebuild_{self.projection}"

    @property
    def retired_schema(self) -> str:
        return f"retired_{self.projection}"


def begin_or_resume(connection: Connection, projection: Projection, target: int, partitions: int) -> Rebuild:
    """Goes on with what a dead process left, where it still fits; else begins anew with empty tables."""
    if (found := _resumable(connection, projection)) is not None:
        return found
    discard(connection, projection)
    name, rebuild_id = projection.name, uuid4()
    with connection.transaction():
        shape = shape_of(connection, projection.tables)
        create_scratch(connection, f"rebuild_{name}", projection.tables, lasting=True)
        connection.execute(
            "INSERT INTO ops.rebuilds (projection, rebuild_id, version, code_sha256, shape, target)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            [name, rebuild_id, projection.version, code_sha256(projection), _sha256(shape), target],
        )
        if partitions > 1:
            connection.execute(
                "INSERT INTO ops.rebuild_partitions (rebuild_id, index, count)"
                " SELECT %s, index, %s FROM generate_series(0, %s - 1) AS parts(index)",
                [rebuild_id, partitions, partitions],
            )
            take_over_left_out(connection, name, rebuild_id, after=0, up_to=target)
    started = _resumable(connection, projection)
    assert started is not None
    return Rebuild(name, rebuild_id, target, partitions, resumed=False, started_at=started.started_at)


def discard(connection: Connection, projection: Projection) -> None:
    """Throws away what a rebuild made; the live rows are not touched. Raises `ScratchInUse`."""
    schemas = f"rebuild_{projection.name}", f"retired_{projection.name}"
    with connection.transaction():
        if not try_to_drop(connection, *schemas, lock_wait_s=2.0):
            raise ScratchInUse(projection.name)
        connection.execute("DELETE FROM ops.rebuilds WHERE projection = %s", [projection.name])


def take_over_left_out(
    connection: Connection, name: str, rebuild_id: UUID, *, after: int, up_to: int
) -> None:
    """What the live rows go on without between two positions, the new ones go on without as well."""
    connection.execute(
        """
        INSERT INTO ops.rebuild_set_aside
            (rebuild_id, position, stream_id, version, type, error, error_kind, status, own)
        SELECT %s, position, stream_id, version, type, error, error_kind, status, false
        FROM ops.set_aside_events
        WHERE projection = %s AND status <> 'applied' AND position > %s AND position <= %s
        ON CONFLICT DO NOTHING
        """,
        [rebuild_id, name, after, up_to],
    )


def left_out_so_far(connection: Connection, rebuild_id: UUID, position: int) -> LeftOut:
    """What a rebuild (or a partition of it) that has come to a position goes on without."""
    rows = connection.execute(
        "SELECT position, stream_id, status FROM ops.rebuild_set_aside WHERE rebuild_id = %s", [rebuild_id]
    ).fetchall()
    return LeftOut(
        {row["position"]: row["status"] for row in rows},
        {row["stream_id"] for row in rows if row["status"] == "waiting" and row["position"] <= position},
    )


class Blue:
    """The new rows, or one partition of them, and how far they have come.

    Every page is one transaction: rows, what is set aside, and the checkpoint, which is compared before it
    is moved. So two processes that both believe to be the one cannot both write.
    """

    def __init__(  # noqa: PLR0913 - what is made from what, and two options
        self,
        projection: Projection,
        feed: EventFeed,
        connection: Connection,
        rebuild: Rebuild,
        partition: Partition | None = None,
        *,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        self.rebuild = rebuild
        self._held_live_up_to = _held_live_up_to(connection, projection)
        self._projection = projection
        self._feed = feed
        self._connection = connection
        self._partition = partition
        self._batch_size = batch_size
        self.position = self._stored_position()
        self._left_out = left_out_so_far(connection, rebuild.rebuild_id, self.position)

    def advance(self, up_to: int, progress: Progress | None = None) -> None:
        """Applies what lies before and at a position. What cannot be applied is set aside.

        Raises `LogTooShort` where the log ends before it, `RebuildReplaced` where another process has
        gone on with this rebuild or begun another, `WouldLoseEvents` where the live rows of the same
        version hold what cannot be applied.
        """
        if self._partition is None and up_to > self.position:
            name, rebuild_id = self._projection.name, self.rebuild.rebuild_id
            take_over_left_out(self._connection, name, rebuild_id, after=self.position, up_to=up_to)
            self._left_out = left_out_so_far(self._connection, rebuild_id, self.position)
        while self.position < up_to:
            page = self._feed.read(
                self.position,
                self._batch_size,
                self._projection.event_types,
                partition=self._partition,
                up_to=up_to,
            )
            if page.up_to <= self.position:
                raise LogTooShort(self._projection.name, self.position, up_to)
            reached = min(page.up_to, up_to)
            with self._connection.transaction(), writing_to(self._connection, self.rebuild.schema):
                # The rows are compared with nothing until they take over, and that commit is durable.
                self._connection.execute("SET LOCAL synchronous_commit = off")
                self._move_checkpoint(reached, len(page.events))
                aside = fill(self._connection, self._projection, page, self._left_out)
                if aside:
                    if aside[0].position <= self._held_live_up_to:
                        raise WouldLoseEvents(self._projection.name, aside[0])
                    self._keep_aside(aside)
            self._left_out.statuses.update((each.position, "waiting") for each in aside)
            self.position = reached
            if progress is not None:
                progress(self.position, up_to)

    def _stored_position(self) -> int:
        if self._partition is None:
            found = self._connection.execute(
                "SELECT position FROM ops.rebuilds WHERE rebuild_id = %s AND NOT taken_over",
                [self.rebuild.rebuild_id],
            ).fetchone()
        else:
            found = self._connection.execute(
                "SELECT position FROM ops.rebuild_partitions"
                " WHERE rebuild_id = %s AND index = %s AND count = %s",
                [self.rebuild.rebuild_id, self._partition.index, self._partition.count],
            ).fetchone()
        if found is None:
            raise RebuildReplaced(self._projection.name)
        return int(found["position"])

    def _move_checkpoint(self, position: int, events: int) -> None:
        if self._partition is None:
            moved = self._connection.execute(
                "UPDATE ops.rebuilds SET position = %s, events = events + %s"
                " WHERE rebuild_id = %s AND position = %s AND NOT taken_over",
                [position, events, self.rebuild.rebuild_id, self.position],
            )
        else:
            moved = self._connection.execute(
                "UPDATE ops.rebuild_partitions SET position = %s, events = events + %s"
                " WHERE rebuild_id = %s AND index = %s AND position = %s",
                [position, events, self.rebuild.rebuild_id, self._partition.index, self.position],
            )
        if moved.rowcount != 1:
            raise RebuildReplaced(self._projection.name)

    def _keep_aside(self, aside: list[SetAside]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO ops.rebuild_set_aside"
                " (rebuild_id, position, stream_id, version, type, error, error_kind, status, own)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, 'waiting', true)",
                [
                    (
                        self.rebuild.rebuild_id,
                        each.position,
                        each.stream_id,
                        each.version,
                        each.type,
                        each.error,
                        each.error_kind,
                    )
                    for each in aside
                ],
            )


@dataclass(frozen=True, slots=True)
class Taken:
    """How the take-over went.

    `connection` is in a transaction whose snapshot shows the new rows and the old ones as they were at
    that moment, whatever has been written since.
    """

    position: int
    before: Checkpoint
    live_held_s: float
    readers_held_s: float


@dataclass
class TakeOver:
    """Lets the new rows take the place of the live ones.

    Args:
        connection: the rebuild's own; keeps a snapshot of the moment, see `Taken`.
        holder: another connection, which holds the live rows.
    """

    projection: Projection
    blue: Blue
    connection: Connection
    holder: Connection
    lock_wait_s: float = LOCK_WAIT_S
    snapshot_wait_s: float = SNAPSHOT_WAIT_S
    tries: int = field(default=0, init=False)

    def attempt(self) -> Taken | None:
        """None where readers were in the way, or too much was to be done: try again.

        Raises `LeftOutChanged` where the live rows leave out other events than the new ones,
        `WouldLoseEvents`, `NewerRowsThere`, and the errors of `Blue.advance`.
        """
        self.tries += 1
        taken = None
        try:
            with self.holder.transaction():
                taken = self._take_over()
        except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
            log.info("readers are in the way of a rebuild", projection=self.projection.name, error=str(error))
        if taken is None and self.connection.info.transaction_status.name == "INTRANS":
            self.connection.execute("ROLLBACK")
        return taken

    def _take_over(self) -> Taken | None:
        name = self.projection.name
        _limit_lock_waits(self.holder, 2.0)
        checkpoint = read_checkpoint(self.holder, name, lock=True)
        held_since = perf_counter()
        assert checkpoint is not None
        if checkpoint.version > self.projection.version:
            raise NewerRowsThere(name, checkpoint.version)
        # Never backwards: somebody may have been told that a write is visible.
        position = max(checkpoint.position, self.blue.position)
        if position - self.blue.position > MOST_WHILE_HELD:
            return None
        self.blue.advance(position)
        self._compare_left_out(position)
        if checkpoint.version == self.projection.version:
            self._refuse_loss(checkpoint.position)
        if not wait_for_older_snapshots(self.holder, self.snapshot_wait_s):
            return None
        self.connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        self.connection.execute("SELECT 1")  # takes the snapshot
        locked_since = perf_counter()
        _limit_lock_waits(self.holder, self.lock_wait_s)
        self.holder.execute("SET LOCAL synchronous_commit = on")
        self.holder.execute("SELECT ops.take_over(%s, %s)", [name, list(self.projection.tables)])
        self._settle(checkpoint, position)
        return Taken(position, checkpoint, perf_counter() - held_since, perf_counter() - locked_since)

    def _compare_left_out(self, position: int) -> None:
        row = self.holder.execute(
            """
            SELECT EXISTS (
                SELECT FROM (
                    SELECT position, status FROM ops.set_aside_events
                    WHERE projection = %(name)s AND status <> 'applied' AND position <= %(position)s
                ) live
                FULL JOIN (
                    SELECT position, status, own FROM ops.rebuild_set_aside WHERE rebuild_id = %(rebuild)s
                ) new USING (position)
                WHERE new.position IS NULL OR live.status <> new.status
                    OR (live.position IS NULL AND NOT new.own)
            ) AS changed
            """,
            {
                "name": self.projection.name,
                "position": position,
                "rebuild": self.blue.rebuild.rebuild_id,
            },
        ).fetchone()
        if row is not None and row["changed"]:
            raise LeftOutChanged(self.projection.name)

    def _refuse_loss(self, live_position: int) -> None:
        row = self.holder.execute(
            """
            SELECT position, stream_id, version, type, error, error_kind FROM ops.rebuild_set_aside new
            WHERE rebuild_id = %s AND own AND position <= %s AND NOT EXISTS (
                SELECT FROM ops.set_aside_events live
                WHERE live.projection = %s AND live.position = new.position AND live.status = 'waiting')
            ORDER BY position LIMIT 1
            """,
            [self.blue.rebuild.rebuild_id, live_position, self.projection.name],
        ).fetchone()
        if row is not None:
            raise WouldLoseEvents(self.projection.name, SetAside(**row))

    def _settle(self, checkpoint: Checkpoint, position: int) -> None:
        """Checkpoint, the list of what is set aside, and the end of the rebuild, with the rows."""
        name, rebuild_id = self.projection.name, self.blue.rebuild.rebuild_id
        advance(self.holder, self.projection, from_position=checkpoint.position, to_position=position)
        self.holder.execute(
            """
            INSERT INTO ops.set_aside_events
                (projection, position, stream_id, version, type, error, error_kind, attempts, told)
            SELECT %s, position, stream_id, version, type, error, error_kind, (error IS NOT NULL)::integer,
                error IS NULL
            FROM ops.rebuild_set_aside WHERE rebuild_id = %s AND own
            ON CONFLICT (projection, position) DO UPDATE SET
                status = 'waiting', settled_at = NULL, error = excluded.error,
                error_kind = excluded.error_kind, told = excluded.told
            WHERE set_aside_events.status = 'applied'
            """,
            [name, rebuild_id],
        )
        count_waiting(self.holder, name)
        self.holder.execute("UPDATE ops.rebuilds SET taken_over = true WHERE rebuild_id = %s", [rebuild_id])


def wait_for_older_snapshots(connection: Connection, timeout_s: float) -> bool:
    """Whether all readers that hold a snapshot now have let go of it within the time."""
    # A transaction is known by its virtual id, which goes with it; at READ COMMITTED each statement has a
    # snapshot of its own, and `backend_xmin` is null between them.
    held = """
        SELECT l.virtualxid FROM pg_catalog.pg_stat_activity a
        JOIN pg_catalog.pg_locks l ON l.pid = a.pid AND l.locktype = 'virtualxid' AND l.granted
        WHERE a.datname = current_database() AND a.backend_xmin IS NOT NULL
            AND a.usename = ANY ('{megacity_reader,megacity_analyst}')
    """
    waited_for = {row["virtualxid"] for row in connection.execute(held).fetchall()}
    gives_up_at = monotonic() + timeout_s
    while waited_for:
        if monotonic() > gives_up_at:
            return False
        # What the view shows stays the same within a transaction until this is called.
        connection.execute("SELECT pg_catalog.pg_sleep(0.005), pg_catalog.pg_stat_clear_snapshot()")
        waited_for &= {row["virtualxid"] for row in connection.execute(held).fetchall()}
    return True


def _resumable(connection: Connection, projection: Projection) -> Rebuild | None:
    row: dict[str, Any] | None = connection.execute(
        """
        SELECT r.*, (
            SELECT count(*) FROM ops.rebuild_partitions p WHERE p.rebuild_id = r.rebuild_id
        ) AS partitions
        FROM ops.rebuilds r WHERE projection = %s AND NOT taken_over
        """,
        [projection.name],
    ).fetchone()
    if row is None:
        return None
    live = _sha256(shape_of(connection, projection.tables))
    made = _sha256(shape_of(connection, projection.tables, f"rebuild_{projection.name}"))
    expected = (projection.version, code_sha256(projection), live, live)
    if (row["version"], row["code_sha256"], row["shape"], made) != expected:
        return None
    return Rebuild(
        projection.name,
        row["rebuild_id"],
        row["target"],
        max(1, row["partitions"]),
        resumed=True,
        started_at=row["started_at"],
    )


def _held_live_up_to(connection: Connection, projection: Projection) -> int:
    """The live rows hold the effects of all events up to here, but for those known to be left out."""
    checkpoint = read_checkpoint(connection, projection.name)
    if checkpoint is None or checkpoint.version != projection.version:
        return 0
    return checkpoint.position


def _limit_lock_waits(connection: Connection, seconds: float) -> None:
    connection.execute("SELECT set_config('lock_timeout', %s, true)", [f"{int(seconds * 1000)}ms"])


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class LogTooShort(Exception):
    """The rows are ahead of the log: the log was lost or belongs to another database."""

    def __init__(self, name: str, reached: int, expected: int) -> None:
        super().__init__(f"{name} stands at {expected}, but the log ends at {reached}")


class RebuildReplaced(Exception):
    """Another process has gone on with this rebuild, or begun another."""

    def __init__(self, name: str) -> None:
        super().__init__(f"another process rebuilds {name}")


class WouldLoseEvents(Exception):
    """The live rows hold an event that cannot be applied anew: they stay."""

    def __init__(self, name: str, event: SetAside) -> None:
        super().__init__(
            f"{name} cannot apply {event.type} at {event.position} ({event.stream_id}) anew, so the rows stay"
            f" as they are: {event.error}"
        )


class LeftOutChanged(Exception):
    """An operator skipped or retried events, or the live rows set some aside: begin again."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} leaves out other events than when its rebuild began")


class NewerRowsThere(Exception):
    """A newer release keeps the live rows: those of this one must not take their place."""

    def __init__(self, name: str, version: int) -> None:
        super().__init__(f"the rows of {name} are kept by a newer release, in version {version}")


class ScratchInUse(Exception):
    """Somebody still reads what an earlier rebuild left."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the tables that an earlier rebuild of {name} left are still being read")
