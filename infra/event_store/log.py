"""The event log as the handlers see it, over the library's recorder."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import ParamSpec, TypeVar

from eventsourcing.persistence import IntegrityError, PersistenceError

from commands.ports import StreamAppend, VersionConflict
from domain.errors import Unavailable
from domain.events import RecordedEvent
from domain.identifiers import StreamId
from infra.event_store.library import EventLogApplication, RecordedFact
from infra.observability.metrics import EventStoreMetrics

P = ParamSpec("P")
R = TypeVar("R")


class EventLogBusy(Unavailable):
    code = "event-log-busy"
    title = "More is waiting to be saved than can be held; try again in a moment"


class EventLogUnreachable(Unavailable):
    code = "event-log-unreachable"
    title = "The event log cannot be reached at the moment; send the request again"


class LibraryEventLog:
    """`commands.ports.EventLog` over the library, which is synchronous: it runs in threads.

    At most `queue_limit` calls wait; more are refused, so memory stays bounded.
    """

    def __init__(
        self, application: EventLogApplication, metrics: EventStoreMetrics, *, threads: int, queue_limit: int
    ) -> None:
        self._application = application
        self._metrics = metrics
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="event-log")
        self._queue_limit = queue_limit
        self._in_flight = 0

    async def load(self, stream_id: StreamId, after_version: int = 0) -> Sequence[RecordedEvent]:
        return await self._in_thread(self._load, stream_id, after_version)

    async def append(self, appends: Sequence[StreamAppend]) -> None:
        recorded = [
            RecordedEvent(append.stream_id, append.expected_version + number, new.metadata, new.event)
            for append in appends
            for number, new in enumerate(append.events, 1)
        ]
        started = perf_counter()
        try:
            await self._in_thread(self._append, recorded)
        except VersionConflict:
            self._metrics.conflicts.labels(recorded[0].category).inc()
            raise
        self._metrics.append_duration_s.observe(perf_counter() - started)
        for event in recorded:
            self._metrics.appended.labels(event.category).inc()

    def close(self) -> None:
        self._executor.shutdown(wait=True)

    async def _in_thread(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        if self._in_flight >= self._queue_limit:
            self._metrics.rejected.inc()
            raise EventLogBusy(retry_after_s=1)
        self._in_flight += 1
        self._metrics.waiting.set(self._in_flight)
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._executor, lambda: call(*args, **kwargs)
            )
        except PersistenceError as error:
            raise EventLogUnreachable(retry_after_s=2) from error
        finally:
            self._in_flight -= 1
            self._metrics.waiting.set(self._in_flight)

    def _load(self, stream_id: StreamId, after_version: int) -> list[RecordedEvent]:
        facts = self._application.events.get(stream_id, gt=after_version)
        return [fact.recorded for fact in facts if isinstance(fact, RecordedFact)]

    def _append(self, recorded: Sequence[RecordedEvent]) -> None:
        try:
            self._application.events.put([RecordedFact(event) for event in recorded])
        except IntegrityError as error:
            # The recorder repeats a save when the connection breaks before the answer: the conflict
            # may be with ourselves, and then the save has happened.
            if not self._is_ours(recorded):
                raise VersionConflict(stream_id=recorded[0].stream_id) from error

    def _is_ours(self, recorded: Sequence[RecordedEvent]) -> bool:
        for event in recorded:
            there = self._application.events.get(event.stream_id, gt=event.version - 1, lte=event.version)
            if [fact.recorded.metadata.event_id for fact in there if isinstance(fact, RecordedFact)] != [
                event.metadata.event_id
            ]:
                return False
        return True
