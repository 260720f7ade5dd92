"""Sees to it that the rows are of this release before somebody follows the events for them.

A projection's own runner makes rows of an older version anew by itself. Whoever feeds a projection another
way applies events and nothing else, and would stand still for ever before rows of another version.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final, Protocol

import psycopg
import structlog

from infra.event_store.feed import EventFeed
from infra.observability.database_errors import told
from infra.projections.checkpoints import Connection, ensure_checkpoint, read_checkpoint
from infra.projections.rebuild import rebuild
from projections.projection import Projection

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
PAUSED_LOOK_S: Final = 0.5

log = structlog.get_logger("projections")


class Follower(Protocol):
    """What follows the events once the rows are right."""

    def start(self) -> None: ...

    def stop(self) -> bool: ...


class RebuiltFirst:
    """Starts the follower once the rows are of the projection's version, and makes them so.

    Args:
        projection: whose rows.
        feed: the log, to rebuild from.
        connect: opens a connection of the projector role in autocommit mode, with rows as dictionaries.
        follower: started once, and stopped with this.
    """

    def __init__(
        self,
        projection: Projection,
        feed: EventFeed,
        connect: Callable[[], Connection],
        follower: Follower,
    ) -> None:
        self._projection = projection
        self._feed = feed
        self._connect = connect
        self._follower = follower
        self._follows = False
        self._stopping = threading.Event()
        self._connection: Connection | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Raises `RuntimeError` where it is running already."""
        if self._thread is not None:
            raise RuntimeError(f"{self._projection.name} is followed already")
        self._stopping.clear()
        self._thread = threading.Thread(
            target=self._run, name=f"rows-of-{self._projection.name}", daemon=True
        )
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Ends the rebuild, which goes on another time, or the follower; False if not in time."""
        self._stopping.set()
        if self._thread is None:
            return True
        gives_up_at = monotonic() + timeout_s
        self._thread.join(0.2)
        while self._thread.is_alive():
            if monotonic() > gives_up_at:
                return False
            if (connection := self._connection) is not None:
                with suppress(psycopg.Error):
                    connection.cancel_safe(timeout=1.0)
            self._thread.join(0.2)
        self._thread = None
        if self._follows:
            self._follows = False
            return self._follower.stop()
        return True

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            try:
                self._settle()
            except Exception as error:  # noqa: BLE001 - whatever it is, the thread must live to try again
                if self._stopping.is_set():
                    return
                log.warning(
                    "rows not looked at",
                    projection=self._projection.name,
                    error=told(error),
                    retry_in_s=pause_s,
                )
                self._stopping.wait(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                break
        if not self._stopping.is_set():
            self._follows = True
            self._follower.start()

    def _settle(self) -> None:
        """Returns when the rows are of this version, or of a newer one: there the follower waits."""
        with self._connect() as connection:
            self._connection = connection
            try:
                with connection.transaction():
                    ensure_checkpoint(connection, self._projection)
                while not self._stopping.is_set():
                    checkpoint = read_checkpoint(connection, self._projection.name)
                    if checkpoint is None or checkpoint.version >= self._projection.version:
                        return
                    if not checkpoint.paused:
                        version = self._projection.version
                        log.info("projection is rebuilt", projection=self._projection.name, version=version)
                        rebuild(self._projection, self._feed, connection)
                        return
                    self._stopping.wait(PAUSED_LOOK_S)
            finally:
                self._connection = None
