"""Sees to it that the rows are of this release before somebody follows the events for them.

A projection's own runner makes rows of an older version anew by itself. Whoever feeds a projection another
way applies events and nothing else, and would stand still for ever before rows of another version.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

import psycopg
import structlog

from infra.event_store.feed import EventFeed
from infra.observability.database_errors import told
from infra.persistent_thread import PersistentThread
from infra.projections.checkpoints import Connection, ensure_checkpoint, read_checkpoint
from infra.projections.rebuild import rebuild
from projections.projection import Projection

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
        self._thread = PersistentThread(
            f"rows-of-{projection.name}",
            self._run,
            self._stopping,
            self._not_looked_at,
            interrupt=self._cancel,
            grace_s=0.2,
            longest_pause_s=LONGEST_PAUSE_S,
        )

    def start(self) -> None:
        """Raises `RuntimeError` where it is running already."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Ends the rebuild, which goes on another time, or the follower; False if not in time."""
        if not self._thread.stop(timeout_s):
            return False
        if self._follows:
            self._follows = False
            return self._follower.stop()
        return True

    def _run(self) -> None:
        self._settle()
        if not self._stopping.is_set():
            self._follows = True
            self._follower.start()

    def _cancel(self) -> None:
        if (connection := self._connection) is not None:
            with suppress(psycopg.Error):
                connection.cancel_safe(timeout=1.0)

    def _not_looked_at(self, error: Exception, pause_s: float) -> None:
        log.warning(
            "rows not looked at", projection=self._projection.name, error=told(error), retry_in_s=pause_s
        )

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
