"""Rebuild: derive a projection's rows anew from the whole log, beside the rows that readers go on reading.

See `infra.projections.blue_green` for how the new rows take the place of the old ones.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Final

import structlog

from domain.events import Actor
from infra.event_store.feed import EventFeed
from infra.projections.ahead import are_ahead, begin_at_rest
from infra.projections.as_of import fill_scratch, left_out_of
from infra.projections.blue_green import (
    Blue,
    LeftOutChanged,
    LogTooShort,
    Progress,
    Rebuild,
    Taken,
    TakeOver,
    begin_or_resume,
    discard,
)
from infra.projections.certificate import Certificate, Digest, code_sha256, digest, fingerprint, keep
from infra.projections.checkpoints import Connection, ensure_checkpoint, read_checkpoint
from infra.projections.partitions import Workers, fill_in_parallel, fill_one_by_one, is_partitioned
from infra.projections.scratch import connected_beside, create_scratch, drop_scratch, try_to_drop
from projections.projection import Projection

__all__ = ["LogTooShort", "Progress", "RebuildUnderWay", "Workers", "fingerprint", "rebuild", "verify"]

LIVE_CATCHES_UP_S: Final = 0.5
"""So long the live rows may take to come as far as the new ones, so that the two can be compared."""
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 2.0

BY_ITSELF: Final = Actor("engine", "projector")
"""A runner that rebuilds because its code is of a newer version."""

log = structlog.get_logger("projections")


@dataclass(frozen=True, slots=True)
class Verification:
    """The rows as they are, and those that the log gives for the same position."""

    position: int
    rows: Digest
    replayed: Digest

    @property
    def live(self) -> str:
        return self.rows.sha256

    @property
    def agrees(self) -> bool:
        return self.rows == self.replayed


def rebuild(  # noqa: PLR0913 - all but three by name
    projection: Projection,
    feed: EventFeed,
    connection: Connection,
    progress: Progress | None = None,
    *,
    workers: Workers | None = None,
    ordered_by: Actor = BY_ITSELF,
) -> Certificate:
    """Makes the projection's rows anew up to the end of the log, and lets them take over.

    Readers and a live runner go on meanwhile. A rebuild that a dead process began is gone on with. Where
    it fails, the live rows are as they were. `connection` is in use until the end; another one is opened
    beside it. `ordered_by` is who the log is told that it was, see `commands.reactions.projections`.

    Raises `RebuildUnderWay`, `LogTooShort`, `infra.projections.poison.TooMuchPoison`,
    `infra.projections.partitions.PartitionFailed`, and of `infra.projections.blue_green` `WouldLoseEvents`
    and `NewerRowsThere`.
    """
    ensure_checkpoint(connection, projection)
    with _alone(connection, projection.name):
        while True:
            try:
                return _rebuild(projection, feed, connection, progress, workers, ordered_by)
            except LeftOutChanged as changed:
                log.info("rebuild begins again", projection=projection.name, reason=str(changed))
                discard(connection, projection)


def verify(
    projection: Projection, feed: EventFeed, connection: Connection, progress: Progress | None = None
) -> Verification:
    """Compares all rows with what the log gives for the same position, in a scratch schema.

    The live rows go on meanwhile: they are read in one snapshot. Raises `RebuildUnderWay` and
    `infra.projections.ahead.RowsAhead`.
    """
    schema = f"check_{projection.name}_whole"
    ensure_checkpoint(connection, projection)
    with _alone(connection, projection.name):
        with connected_beside(connection) as snapshot:
            checkpoint = begin_at_rest(snapshot, projection)
            left_out = left_out_of(snapshot, projection.name, checkpoint.position)
            rows = digest(snapshot, projection)
        try:
            create_scratch(connection, schema, projection.tables)
            fill_scratch(projection, feed, connection, schema, checkpoint.position, left_out, progress)
            return Verification(checkpoint.position, rows, digest(connection, projection, schema))
        finally:
            if not connection.broken:
                drop_scratch(connection, schema)


def _rebuild(  # noqa: PLR0913, PLR0917 - those of `rebuild`
    projection: Projection,
    feed: EventFeed,
    connection: Connection,
    progress: Progress | None,
    workers: Workers | None,
    ordered_by: Actor,
) -> Certificate:
    partitions = workers.count if workers is not None and is_partitioned(projection) else 1
    begun = begin_or_resume(connection, projection, feed.head(), partitions)
    if begun.partitions > 1:
        if workers is not None:
            fill_in_parallel(projection, begun, connection, workers, progress)
        else:
            fill_one_by_one(projection, begun, feed, connection, progress)
        _join_partitions(connection, begun)
    with connected_beside(connection) as holder:
        blue = Blue(projection, feed, connection, begun)
        take_over = TakeOver(projection, blue, connection, holder)
        taken = _follow_and_take_over(take_over, feed, progress)
    certificate = _certify(projection, connection, begun, taken)
    keep(connection, certificate, ordered_by)
    if not try_to_drop(connection, begun.schema, begun.retired_schema, lock_wait_s=2.0):
        log.info("old rows are still being read; the next rebuild removes them", projection=projection.name)
    else:
        connection.execute("DELETE FROM ops.rebuilds WHERE projection = %s", [projection.name])
    return certificate


def _follow_and_take_over(take_over: TakeOver, feed: EventFeed, progress: Progress | None) -> Taken:
    projection, blue = take_over.projection, take_over.blue
    pause_s = FIRST_PAUSE_S
    analyzed = False
    while True:
        checkpoint = read_checkpoint(take_over.connection, projection.name)
        assert checkpoint is not None
        # Never behind the live rows; and where those are paused, not past them either.
        goal = checkpoint.position if checkpoint.paused else max(feed.head(), checkpoint.position)
        blue.advance(goal, progress)
        if not analyzed:
            take_over.connection.execute(
                "SELECT ops.analyze_scratch(%s, %s)", [blue.rebuild.schema, list(projection.tables)]
            )
            analyzed = True
        if checkpoint.version == projection.version and not checkpoint.paused:
            _wait_for_the_live_rows(take_over.connection, projection.name, blue.position)
        if (taken := take_over.attempt()) is not None:
            return taken
        # A connection that sleeps in the database can be cancelled, when the process is to end.
        take_over.connection.execute("SELECT pg_catalog.pg_sleep(%s)", [pause_s])
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def _wait_for_the_live_rows(connection: Connection, name: str, position: int) -> None:
    gives_up_at = monotonic() + LIVE_CATCHES_UP_S
    while monotonic() < gives_up_at:
        checkpoint = read_checkpoint(connection, name)
        if checkpoint is None or checkpoint.position >= position:
            return
        connection.execute("SELECT pg_catalog.pg_sleep(0.01)")


def _certify(projection: Projection, connection: Connection, begun: Rebuild, taken: Taken) -> Certificate:
    """Ends the snapshot that the take-over left."""
    took_s = (datetime.now(UTC) - begun.started_at).total_seconds()
    comparable = (taken.before.version, taken.before.position) == (
        projection.version,
        taken.position,
    ) and not are_ahead(connection, projection, taken.position, begun.retired_schema)
    rows = digest(connection, projection)
    before = digest(connection, projection, begun.retired_schema) if comparable else None
    counts = connection.execute(
        """
        SELECT events + coalesce((
            SELECT sum(p.events) FROM ops.rebuild_partitions p WHERE p.rebuild_id = r.rebuild_id
        ), 0)::bigint AS events, (
            SELECT count(*) FROM ops.rebuild_set_aside s WHERE s.rebuild_id = r.rebuild_id
        ) AS set_aside
        FROM ops.rebuilds r WHERE rebuild_id = %s
        """,
        [begun.rebuild_id],
    ).fetchone()
    connection.execute("COMMIT")
    assert counts is not None
    return Certificate(
        projection=projection.name,
        version=projection.version,
        code_sha256=code_sha256(projection),
        position=taken.position,
        events=counts["events"],
        set_aside=counts["set_aside"],
        rows=rows,
        before=before,
        agrees=None if before is None else before == rows,
        partitions=begun.partitions,
        resumed=begun.resumed,
        started_at=begun.started_at,
        took_s=took_s,
        live_held_s=taken.live_held_s,
        readers_held_s=taken.readers_held_s,
    )


def _join_partitions(connection: Connection, begun: Rebuild) -> None:
    connection.execute(
        "UPDATE ops.rebuilds SET position = target WHERE rebuild_id = %s AND position < target",
        [begun.rebuild_id],
    )


@contextmanager
def _alone(connection: Connection, name: str) -> Iterator[None]:
    """Raises `RebuildUnderWay` where another process rebuilds or verifies this projection."""
    lock = f"megacity rebuild {name}"
    row = connection.execute(
        "SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended(%s, 0)) AS alone", [lock]
    ).fetchone()
    if row is None or not row["alone"]:
        raise RebuildUnderWay(name)
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute(
                "SELECT pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended(%s, 0))", [lock]
            )


class RebuildUnderWay(Exception):
    """Another process rebuilds or verifies this projection."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is being rebuilt or verified by another process")
