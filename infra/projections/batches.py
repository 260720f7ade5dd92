"""Applies pages of the log to a projection: rows, what is set aside and checkpoint in one transaction."""

from collections.abc import Iterator
from time import perf_counter

import structlog

from infra.event_store.feed import FeedPage, UnreadableEvent
from infra.observability.metrics import ProjectionMetrics
from infra.projections.checkpoints import CheckpointMoved, Connection, advance, read_checkpoint
from infra.projections.poison import (
    Met,
    SetAside,
    apply_page,
    in_order,
    is_poison,
    keep_aside,
    paused_streams,
    poisoned,
    sentence,
)
from infra.projections.runs import DEADLY_TRIES, Run
from projections.projection import Projection

log = structlog.get_logger("projections")


class Batches:
    """Moves a projection's rows and checkpoint on, together or not at all.

    Everything here raises `CheckpointMoved` where somebody else has moved the projection meanwhile,
    `PausedByOperator`, and the errors of outages; nothing is written then.
    """

    def __init__(self, projection: Projection, metrics: ProjectionMetrics | None) -> None:
        self._projection = projection
        self._metrics = metrics

    def apply(self, connection: Connection, position: int, page: FeedPage) -> None:
        """Applies a page that begins after `position`, without the events that cannot be applied."""
        try:
            self._apply(connection, position, page, bisect=False)
        except Exception as error:
            if connection.broken or not is_poison(error):
                raise
            log.info(
                "batch failed, looking for the event", projection=self._projection.name, error=sentence(error)
            )
            self._apply(connection, position, page, bisect=True)

    def apply_with_care(
        self, connection: Connection, position: int, page: FeedPage, run: Run
    ) -> Iterator[int]:
        """Event by event, each noted before it is tried, since one of them may end this process.

        Gives each position that is reached.
        """
        for event in in_order(page):
            deaths = run.deaths_at(connection, event.position)
            if deaths >= DEADLY_TRIES:
                self._set_aside(connection, position, poisoned(event, ProcessDied(deaths)))
            else:
                run.note(connection, event.position)
                self.apply(connection, position, _alone(event))
            position = event.position
            yield position
        run.note(connection, None)
        if page.up_to > position:
            self._apply(connection, position, FeedPage([], page.up_to), bisect=False)
            yield page.up_to

    def _apply(self, connection: Connection, position: int, page: FeedPage, *, bisect: bool) -> None:
        with connection.transaction():
            paused = self._hold(connection, position)
            started = perf_counter()
            aside = apply_page(connection, self._projection, page, paused, bisect=bisect)
            self._move(connection, position, page.up_to, aside, paused)
        self._count(len(page.events), perf_counter() - started, aside)

    def _set_aside(self, connection: Connection, position: int, event: SetAside) -> None:
        """Without a try."""
        with connection.transaction():
            paused = self._hold(connection, position)
            paused.add(event.stream_id)
            self._move(connection, position, event.position, [event], paused)
        self._count(0, 0.0, [event])

    def _hold(self, connection: Connection, position: int) -> set[str]:
        """Locks the checkpoint until the transaction ends; answers the streams that are paused."""
        name = self._projection.name
        checkpoint = read_checkpoint(connection, name, lock=True)
        expected = (position, self._projection.version)
        if checkpoint is None or (checkpoint.position, checkpoint.version) != expected:
            raise CheckpointMoved(name, position)
        if checkpoint.paused:
            raise PausedByOperator(name)
        return paused_streams(connection, name) if checkpoint.set_aside else set()

    def _move(
        self, connection: Connection, position: int, to: int, aside: list[SetAside], paused: set[str]
    ) -> None:
        if aside:
            keep_aside(connection, self._projection.name, aside, paused)
        advance(connection, self._projection, from_position=position, to_position=to)

    def _count(self, events: int, took_s: float, aside: list[SetAside]) -> None:
        name = self._projection.name
        poison = [each for each in aside if each.error is not None]
        for each in poison:
            log.error(
                "event set aside, its stream is paused",
                projection=name,
                position=each.position,
                stream_id=each.stream_id,
                error=each.error,
            )
        if self._metrics is not None:
            self._metrics.poison.labels(name).inc(len(poison))
            if events:
                self._metrics.applied.labels(name).inc(events - len(aside))
                self._metrics.batch_size.labels(name).observe(events)
                self._metrics.batch_duration_s.labels(name).observe(took_s)


def _alone(event: Met) -> FeedPage:
    if isinstance(event, UnreadableEvent):
        return FeedPage([], event.position, [event])
    return FeedPage([event], event.position)


class PausedByOperator(Exception):
    """The projection stands still until somebody resumes it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is paused")


class ProcessDied(Exception):
    """Not raised: what is said of an event that ended the process whenever it was tried."""

    def __init__(self, deaths: int) -> None:
        super().__init__(f"the process died {deaths} times while it applied this event")
