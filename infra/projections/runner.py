"""Keeps one projection up to date: a thread that follows the feed.

Each batch is one transaction that holds the checkpoint row: the rows and the position move together
or not at all, so every event takes effect exactly once, whatever is killed and however many runners
there are. An event that cannot be applied is tried again, ever more slowly, until it can (after a
repair, a new release): it is never skipped, and the checkpoint says which one it is and why.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic, perf_counter
from typing import Final

import psycopg
import structlog

from domain.errors import DomainError
from domain.events import PositionedEvent
from infra.event_store.feed import EventFeed, FeedPage
from infra.observability.database_errors import told
from infra.observability.metrics import ProjectionMetrics
from infra.projections.checkpoints import (
    CheckpointMoved,
    Connection,
    advance,
    ensure_checkpoint,
    mark_failed,
    read_checkpoint,
)
from infra.projections.rebuild import rebuild
from projections.projection import Projection

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0
_ERROR_LENGTH: Final = 2_000

log = structlog.get_logger("projections")


class ProjectionRunner:
    """Follows the feed from `start()` until `stop()`.

    Args:
        projection: what is kept up to date.
        feed: the log.
        connect: opens a connection of the projector role, with rows as dictionaries.
        batch_size: events in one transaction, at most.
        poll_interval_s: looks for events at least this often, even if nobody calls.
        gather_s: lets events gather for so long at the end of the log, which makes batches of them.
        metrics: where to count what was applied and what failed.
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
    ) -> None:
        self.projection = projection
        self._feed = feed
        self._connect = connect
        self._batch_size = batch_size
        self._poll_interval_s = poll_interval_s
        self._gather_s = gather_s
        self._metrics = metrics
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
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
        if self._thread is not None:
            raise RuntimeError(f"the runner of {self.name} is running already")
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name=f"projection-{self.name}", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Ends after the batch at hand; False where it did not end in time.

        What waits for somebody else's lock is cancelled: its transaction rolls back, nothing is lost.
        """
        self._stopping.set()
        thread = self._thread
        if thread is None:
            return True
        gives_up_at = monotonic() + timeout_s
        thread.join(min(timeout_s, self._poll_interval_s + 1.0))
        while thread.is_alive():
            if monotonic() > gives_up_at:
                return False
            if (connection := self._connection) is not None:
                with suppress(psycopg.Error):
                    connection.cancel_safe(timeout=1.0)
            thread.join(0.2)
        self._thread = None
        return True

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            before = self._position
            try:
                with self._connect() as connection:
                    self._connection = connection
                    self._follow(connection)
            except Exception as error:  # noqa: BLE001 - whatever it is, the thread must live to try again
                if self._stopping.is_set():
                    break
                if self._metrics is not None:
                    self._metrics.failures.labels(self.name).inc()
                log.warning(
                    "projection halted", projection=self.name, error=_sentence(error), retry_in_s=pause_s
                )
            finally:
                self._connection = None
            # Progress since the last fault means that this one is new: begin with short pauses again.
            pause_s = FIRST_PAUSE_S if self._position > before else pause_s
            self._stopping.wait(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _follow(self, connection: Connection) -> None:
        self._settle(connection)
        position = self._look(connection)
        while not self._stopping.is_set():
            try:
                page = self._feed.read(position, self._batch_size, self.projection.event_types)
            except DomainError as error:
                # An event that cannot be understood holds up everybody who asked for it.
                self._mark_failed(connection, position, None, error)
                raise
            if page.up_to > position:
                position = self._apply_page(connection, position, page)
                if len(page.events) < self._batch_size:
                    # The end of the log is near: a few events at once cost what one costs.
                    self._stopping.wait(self._gather_s)
            else:
                self._feed.wait(position, self._poll_interval_s)
                position = self._look(connection)

    def _settle(self, connection: Connection) -> None:
        """Sees to it that the rows are of this version of the projection."""
        with connection.transaction():
            ensure_checkpoint(connection, self.projection)
            checkpoint = read_checkpoint(connection, self.name)
        assert checkpoint is not None
        if checkpoint.version > self.projection.version:
            raise NewerVersionRuns(self.name, checkpoint.version)
        if checkpoint.version < self.projection.version:
            log.info("projection is rebuilt", projection=self.name, version=self.projection.version)
            rebuild(self.projection, self._feed, connection)

    def _look(self, connection: Connection) -> int:
        checkpoint = read_checkpoint(connection, self.name)
        if checkpoint is None:
            raise LookupError(f"{self.name} has lost its checkpoint")
        if checkpoint.version > self.projection.version:
            raise NewerVersionRuns(self.name, checkpoint.version)
        self._position = checkpoint.position
        return checkpoint.position

    def _apply_page(self, connection: Connection, position: int, page: FeedPage) -> int:
        """The position after the page, or where somebody else has taken the projection meanwhile."""
        try:
            self._apply(connection, position, page.events, page.up_to)
        except CheckpointMoved:
            return self._look(connection)
        except Exception as error:
            if connection.broken or self._stopping.is_set():
                raise
            log.info("batch failed, trying event by event", projection=self.name, error=_sentence(error))
            return self._apply_singly(connection, position, page)
        return page.up_to

    def _apply_singly(self, connection: Connection, position: int, page: FeedPage) -> int:
        """Everything before the event that cannot be applied, then says which one that is."""
        for event in page.events:
            try:
                self._apply(connection, position, [event], event.position)
            except CheckpointMoved:
                return self._look(connection)
            except Exception as error:
                if not connection.broken and not self._stopping.is_set():
                    self._mark_failed(connection, position, event.position, error)
                raise
            position = event.position
        return position

    def _apply(
        self, connection: Connection, position: int, events: Sequence[PositionedEvent], up_to: int
    ) -> None:
        with connection.transaction():
            checkpoint = read_checkpoint(connection, self.name, lock=True)
            started = perf_counter()
            expected = (position, self.projection.version)
            if checkpoint is None or (checkpoint.position, checkpoint.version) != expected:
                raise CheckpointMoved(self.name, position)
            if events:
                with connection.cursor() as cursor:
                    self.projection.apply(cursor, events)
            advance(connection, self.projection, from_position=position, to_position=up_to)
        self._position = up_to
        if self._metrics is not None and events:
            self._metrics.applied.labels(self.name).inc(len(events))
            self._metrics.batch_duration_s.labels(self.name).observe(perf_counter() - started)

    def _mark_failed(
        self, connection: Connection, position: int, failed_position: int | None, error: Exception
    ) -> None:
        log.error(
            "event cannot be applied", projection=self.name, failed_position=failed_position, exc_info=error
        )
        with connection.transaction():
            mark_failed(
                connection,
                self.name,
                at_position=position,
                failed_position=failed_position,
                error=_sentence(error),
            )


class NewerVersionRuns(Exception):
    """A newer release keeps these rows: this one stands by."""

    def __init__(self, name: str, version: int) -> None:
        super().__init__(f"the rows of {name} are kept by a newer release, in version {version}")


def _sentence(error: Exception) -> str:
    return told(error)[:_ERROR_LENGTH]
