"""A rebuild in several processes, each with the streams of its partition.

Only for projections whose rows each come from one stream (`partitioned`). Each process writes its rows and
the checkpoint of its partition in one transaction, so one that dies is started again where it was: nothing
is skipped, nothing is applied twice.
"""

import multiprocessing
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from typing import Final

import psycopg
from psycopg.rows import dict_row

from infra.event_store.feed import EventFeed, Partition
from infra.projections.blue_green import Blue, Progress, Rebuild
from infra.projections.checkpoints import Connection
from infra.projections.filling import BATCH_SIZE
from projections.projection import Projection

MOST_DEATHS: Final = 3
"""So often a partition may die without having come further."""

_LOOK_EVERY_S: Final = 0.1
_CANCELLED_AFTER_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Workers:
    """Processes that help to rebuild.

    Attributes:
        count: how many, and so how many partitions.
        conninfo: of the projector's role.
        open_feed: opens the log in a process of its own; travels there by pickle.
        batch_size: events in one transaction, at most.
    """

    count: int
    conninfo: str
    open_feed: Callable[[], AbstractContextManager[EventFeed]]
    batch_size: int = BATCH_SIZE


def is_partitioned(projection: Projection) -> bool:
    """Whether it declares that each of its rows comes from the events of one stream, or even of one event."""
    return any(getattr(projection, declared, False) for declared in ("partitioned", "order_free"))


def fill_in_parallel(
    projection: Projection,
    rebuild: Rebuild,
    connection: Connection,
    workers: Workers,
    progress: Progress | None = None,
) -> None:
    """Brings all partitions to the rebuild's target.

    Raises `PartitionFailed` where one cannot get there; what the others did is kept for the next try.
    """
    processes = {
        index: _start(projection, rebuild, workers, index)
        for index, position in _positions(connection, rebuild).items()
        if position < rebuild.target
    }
    deaths = dict.fromkeys(processes, 0)
    reached = _positions(connection, rebuild)
    try:
        while processes:
            for index, process in list(processes.items()):
                process.join(_LOOK_EVERY_S / len(processes))
                if process.exitcode is None:
                    continue
                now = _positions(connection, rebuild)
                if process.exitcode == 0:
                    del processes[index]
                    continue
                deaths[index] = 0 if now[index] > reached[index] else deaths[index] + 1
                if process.exitcode > 0 or deaths[index] >= MOST_DEATHS:
                    raise PartitionFailed(projection.name, index, process.exitcode)
                reached = now
                processes[index] = _start(projection, rebuild, workers, index)
            if progress is not None:
                positions = _positions(connection, rebuild).values()
                progress(sum(positions) // len(positions), rebuild.target)
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.join(_CANCELLED_AFTER_S)


def fill_one_by_one(
    projection: Projection,
    rebuild: Rebuild,
    feed: EventFeed,
    connection: Connection,
    progress: Progress | None = None,
) -> None:
    """As `fill_in_parallel`, in this process alone: for a rebuild that was begun with more."""
    for index in range(rebuild.partitions):
        part = Partition(index, rebuild.partitions)
        Blue(projection, feed, connection, rebuild, part).advance(rebuild.target, progress)


def _start(projection: Projection, rebuild: Rebuild, workers: Workers, index: int) -> SpawnProcess:
    part = Partition(index, rebuild.partitions)
    process = multiprocessing.get_context("spawn").Process(
        target=_work,
        args=(projection, rebuild, workers, part),
        name=f"rebuild-{projection.name}-{index}",
        daemon=True,
    )
    process.start()
    return process


def _work(projection: Projection, rebuild: Rebuild, workers: Workers, part: Partition) -> None:
    """What a process does: its partition, up to the target, unless its parent is gone."""
    parent = multiprocessing.parent_process()

    def look_after_the_parent(_reached: int, _target: int) -> None:
        if parent is not None and not parent.is_alive():
            raise SystemExit(1)

    with (
        workers.open_feed() as feed,
        psycopg.connect(workers.conninfo, autocommit=True, row_factory=dict_row) as connection,
    ):
        blue = Blue(projection, feed, connection, rebuild, part, batch_size=workers.batch_size)
        blue.advance(rebuild.target, look_after_the_parent)


def _positions(connection: Connection, rebuild: Rebuild) -> dict[int, int]:
    rows = connection.execute(
        "SELECT index, position FROM ops.rebuild_partitions WHERE rebuild_id = %s ORDER BY index",
        [rebuild.rebuild_id],
    ).fetchall()
    return {row["index"]: row["position"] for row in rows}


class PartitionFailed(Exception):
    """A part of a rebuild could not be finished; its process has written why to standard error."""

    def __init__(self, name: str, index: int, exit_code: int) -> None:
        ended = f"was killed by signal {-exit_code}" if exit_code < 0 else f"ended with {exit_code}"
        super().__init__(f"partition {index} of the rebuild of {name} {ended}")
