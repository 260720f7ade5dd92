"""Keeps one projection up to date: a thread that follows the feed.

Each batch is one transaction that holds the checkpoint row: the rows and the position move together
or not at all, so every event takes effect exactly once, whatever is killed and however many runners
there are. An event that cannot be applied is set aside with its stream (see `infra.projections.poison`);
while the database is away, or refuses, everything is tried again, ever more slowly.
"""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Final

import psycopg
import structlog

from domain.events import FutureSchemaVersion
from infra.event_store.feed import EventFeed, FeedPage, UnreadableEvent
from infra.observability.metrics import ProjectionMetrics
from infra.persistent_thread import PersistentThread
from infra.projections.batches import Batches, PausedByOperator
from infra.projections.checkpoints import (
    Checkpoint,
    CheckpointMoved,
    Connection,
    ensure_checkpoint,
    mark_failed,
    read_checkpoint,
)
from infra.projections.poison import sentence
from infra.projections.read_ahead import ReadAhead
from infra.projections.rebuild import rebuild
from infra.projections.runs import Run, took_the_connection_along
from projections.projection import Projection

# Somebody else was in the way, or is the next time: nothing to tell anybody about.
_PASSING: Final = (psycopg.errors.TransactionRollback, psycopg.errors.LockNotAvailable)

Around = Callable[[str, FeedPage], AbstractContextManager[object]]
"""What surrounds the work on a page: a span, where traces are on."""

PASSED_BY: Final = 2
"""Most events are not most projections': what they cost is a transaction of the checkpoint, each time."""

log = structlog.get_logger("projections")


def no_span(_projection: str, _page: FeedPage) -> AbstractContextManager[object]:
    return nullcontext()


class ProjectionRunner:
    """Follows the feed from `start()` until `stop()`.

    Args:
        projection: what is kept up to date.
        feed: the log.
        connect: opens a connection of the projector role, with rows as dictionaries.
        batch_size: events in one transaction, at most.
        poll_interval_s: looks for events at least this often, even if nobody calls.
        gather_s: lets events gather for so long at the end of the log, which makes batches of them; after
            events that are not the projection's, which only move its checkpoint, `PASSED_BY` times as long.
        metrics: where to count what was applied and what failed.
        around: is entered with the projection's name and each page that is taken.
    """

    def __init__(  # noqa: PLR0913 - all but three by name
        self,
        projection: Projection,
        feed: EventFeed,
        connect: Callable[[], Connection],
        *,
        batch_size: int = 500,
        poll_interval_s: float = 0.2,
        gather_s: float = 0.0,
        metrics: ProjectionMetrics | None = None,
        around: Around = no_span,
    ) -> None:
        self.projection = projection
        self._feed = feed
        self._connect = connect
        self._batch_size = batch_size
        self._poll_interval_s = poll_interval_s
        self._gather_s = gather_s
        self._metrics = metrics
        self._around = around
        self._batches = Batches(projection, metrics)
        self._run_before: Run | None = None
        self._careful = False
        self._crashed = False
        self._stopping = threading.Event()
        self._thread = PersistentThread(
            f"projection-{self.name}",
            self._run,
            self._stopping,
            self._halted,
            interrupt=self._cancel,
            grace_s=poll_interval_s + 1.0,
        )
        self._connection: Connection | None = None
        self._position = 0

    @property
    def name(self) -> str:
        return self.projection.name

    @property
    def position(self) -> int:
        """The last position that this runner has seen the projection at."""
        return self._position

    def start(self) -> None:
        """Raises `RuntimeError` where it is running already."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Ends after the batch at hand; False where it did not end in time.

        What waits for somebody else's lock is cancelled: its transaction rolls back, nothing is lost.
        """
        return self._thread.stop(timeout_s)

    def _run(self) -> None:
        with self._connect() as connection:
            self._connection = connection
            try:
                self._follow(connection)
            finally:
                self._connection = None

    def _cancel(self) -> None:
        if (connection := self._connection) is not None:
            with suppress(psycopg.Error):
                connection.cancel_safe(timeout=1.0)

    def _halted(self, error: Exception, pause_s: float) -> None:
        if self._metrics is not None:
            self._metrics.failures.labels(self.name).inc()
        log.warning("projection halted", projection=self.name, error=sentence(error), retry_in_s=pause_s)

    def _follow(self, connection: Connection) -> None:
        run = self._begin_run(connection)
        self._settle(connection)
        position = self._look(connection)
        with ReadAhead(self._feed, self._batch_size, self.projection.event_types) as pages:
            while not self._stopping.is_set():
                page = pages.page(position)
                if page.up_to == position:
                    self._feed.wait(position, self._poll_interval_s)
                    position = self._look(connection)
                    continue
                with self._around(self.name, page):
                    position = self._take(connection, position, page, run)
                self._thread.progressed()
                if not pages.is_full(page):
                    # The end of the log is near: a few events at once cost what one costs.
                    concerned = page.events or page.unreadable
                    self._stopping.wait(self._gather_s if concerned else self._gather_s * PASSED_BY)
        run.end(connection)
        self._run_before = None

    def _begin_run(self, connection: Connection) -> Run:
        """Takes note of deaths, also of a server process that this runner's event may have crashed."""
        crashed = self._crashed
        if self._run_before is not None:
            self._run_before.end(connection, died=crashed)
        run = Run.begin(connection, self.name)
        self._run_before = run
        self._crashed = False
        self._careful = self._careful or crashed or run.after_death
        return run

    def _settle(self, connection: Connection) -> None:
        """Sees to it that the rows are of this version of the projection."""
        with connection.transaction():
            ensure_checkpoint(connection, self.projection)
        if self._checkpoint(connection).version < self.projection.version:
            self._wait_until_resumed(connection)
            if not self._stopping.is_set():
                log.info("projection is rebuilt", projection=self.name, version=self.projection.version)
                rebuild(self.projection, self._feed, connection)

    def _look(self, connection: Connection) -> int:
        """Where the projection stands, once it is not paused."""
        position = self._wait_until_resumed(connection).position
        self._position = position
        return position

    def _wait_until_resumed(self, connection: Connection) -> Checkpoint:
        checkpoint = self._checkpoint(connection)
        while checkpoint.paused and not self._stopping.is_set():
            self._stopping.wait(self._poll_interval_s)
            checkpoint = self._checkpoint(connection)
        return checkpoint

    def _checkpoint(self, connection: Connection) -> Checkpoint:
        checkpoint = read_checkpoint(connection, self.name)
        if checkpoint is None:
            raise LookupError(f"{self.name} has lost its checkpoint")
        if checkpoint.version > self.projection.version:
            raise NewerVersionRuns(self.name, checkpoint.version)
        return checkpoint

    def _take(self, connection: Connection, position: int, page: FeedPage, run: Run) -> int:
        """The position after the page, or where somebody else has left the projection meanwhile."""
        page, newer = _before_what_is_newer(page)
        try:
            if self._careful:
                return self._take_with_care(connection, position, page, run)
            if page.up_to > position:
                self._batches.apply(connection, position, page)
                self._position = page.up_to
        except (CheckpointMoved, PausedByOperator):
            return self._look(connection)
        except Exception as error:
            self._crashed = took_the_connection_along(error)
            self._mark_failed(connection, self._position, None, error)
            raise
        if newer is not None:
            self._mark_failed(connection, self._position, newer.position, newer.error)
            raise newer.error
        return self._position

    def _take_with_care(self, connection: Connection, position: int, page: FeedPage, run: Run) -> int:
        for reached in self._batches.apply_with_care(connection, position, page, run):
            self._position = reached
            if self._stopping.is_set():
                return reached
        self._careful = False
        return self._position

    def _mark_failed(
        self, connection: Connection, position: int, failed_position: int | None, error: Exception
    ) -> None:
        """Says so where everybody looks, as far as the database can be told."""
        if connection.broken or self._stopping.is_set() or isinstance(error, _PASSING):
            return
        with connection.transaction():
            mark_failed(
                connection,
                self.name,
                at_position=position,
                failed_position=failed_position,
                error=sentence(error),
            )


def _before_what_is_newer(page: FeedPage) -> tuple[FeedPage, UnreadableEvent | None]:
    """The page up to the first event that only a newer release can read, and that event.

    That release runs already, or will: setting such events aside would leave its work undone.
    """
    newer = next((each for each in page.unreadable if isinstance(each.error, FutureSchemaVersion)), None)
    if newer is None:
        return page, None
    up_to = newer.position - 1
    return (
        FeedPage(
            [each for each in page.events if each.position <= up_to],
            up_to,
            [each for each in page.unreadable if each.position <= up_to],
        ),
        newer,
    )


class NewerVersionRuns(Exception):
    """A newer release keeps these rows: this one stands by."""

    def __init__(self, name: str, version: int) -> None:
        super().__init__(f"the rows of {name} are kept by a newer release, in version {version}")
