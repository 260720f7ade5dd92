"""The event log as the handlers see it, over the library's recorder."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import perf_counter
from typing import ParamSpec, TypeVar

from eventsourcing.persistence import IntegrityError, PersistenceError

from commands.ports import StreamAppend, VersionConflict
from domain.errors import DomainError, Unavailable
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


MAX_BATCH = 128


@dataclass(frozen=True, slots=True)
class _Waiting:
    """One command's events on their way into the log."""

    recorded: list[RecordedEvent]
    saved: asyncio.Future[None]


class LibraryEventLog:
    """`commands.ports.EventLog` over the library, which is synchronous: it runs in threads.

    The recorder lets one transaction at a time write, so commands that wait are saved together in one:
    whoever comes while a commit is under way shares the next. A command that comes alone goes at once.
    Each command still succeeds or conflicts on its own, and is acknowledged after its commit. At most
    `queue_limit` calls wait; more are refused, so memory stays bounded.
    """

    def __init__(
        self, application: EventLogApplication, metrics: EventStoreMetrics, *, threads: int, queue_limit: int
    ) -> None:
        self._application = application
        self._metrics = metrics
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="event-log")
        self._queue_limit = queue_limit
        self._in_flight = 0
        self._waiting: deque[_Waiting] = deque()
        self._flushing: asyncio.Task[None] | None = None

    async def load(self, stream_id: StreamId, after_version: int = 0) -> Sequence[RecordedEvent]:
        with self._place():
            try:
                return await self._in_thread(self._load, stream_id, after_version)
            except PersistenceError as error:
                raise EventLogUnreachable(retry_after_s=2) from error

    async def append(self, appends: Sequence[StreamAppend]) -> None:
        recorded = [
            RecordedEvent(append.stream_id, append.expected_version + number, new.metadata, new.event)
            for append in appends
            for number, new in enumerate(append.events, 1)
        ]
        if not recorded:
            return
        started = perf_counter()
        with self._place():
            waiting = _Waiting(recorded, asyncio.get_running_loop().create_future())
            self._waiting.append(waiting)
            if self._flushing is None or self._flushing.done():
                self._flushing = asyncio.create_task(self._flush())
            try:
                await waiting.saved
            except VersionConflict:
                self._metrics.conflicts.labels(recorded[0].category).inc()
                raise
            except PersistenceError as error:
                raise EventLogUnreachable(retry_after_s=2) from error
        self._metrics.append_duration_s.observe(perf_counter() - started)
        for event in recorded:
            self._metrics.appended.labels(event.category).inc()

    def close(self) -> None:
        self._executor.shutdown(wait=True)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._in_flight >= self._queue_limit:
            self._metrics.rejected.inc()
            raise EventLogBusy(retry_after_s=1)
        self._in_flight += 1
        self._metrics.under_way.set(self._in_flight)
        try:
            yield
        finally:
            self._in_flight -= 1
            self._metrics.under_way.set(self._in_flight)

    async def _in_thread(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: call(*args, **kwargs))

    async def _flush(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]
            try:
                outcomes = await self._in_thread(self._save, [each.recorded for each in batch])
            except BaseException as error:
                outcomes = [error] * len(batch)
                if not isinstance(error, Exception):
                    raise
            finally:
                # Whoever went away meanwhile (a cancelled request) wants no answer.
                for each, outcome in zip(batch, outcomes, strict=True):
                    if each.saved.done():
                        continue
                    if outcome is None:
                        each.saved.set_result(None)
                    else:
                        each.saved.set_exception(outcome)

    def _save(self, batch: list[list[RecordedEvent]]) -> list[BaseException | None]:
        """What became of each command: saved (None), or why not."""
        if len(batch) > 1:
            with suppress(IntegrityError, DomainError):
                self._put([event for recorded in batch for event in recorded])
                return [None] * len(batch)
        # One of them conflicts or cannot be stored; each is on its own now.
        return [self._outcome(recorded) for recorded in batch]

    def _outcome(self, recorded: list[RecordedEvent]) -> BaseException | None:
        try:
            self._put(recorded)
        except IntegrityError:
            return self._conflict(recorded)
        except (PersistenceError, DomainError) as error:
            return error
        return None

    def _conflict(self, recorded: list[RecordedEvent]) -> BaseException | None:
        """What a conflict means.

        The recorder repeats a save when the connection breaks before the answer: the conflict may be with
        ourselves, and then the save has happened.
        """
        try:
            ours = self._is_ours(recorded)
        except (PersistenceError, DomainError) as error:
            # Whether it has happened cannot be told now; what others of the batch were told stays true.
            return error
        return None if ours else VersionConflict(stream_id=recorded[0].stream_id)

    def _put(self, recorded: Sequence[RecordedEvent]) -> None:
        self._application.events.put([RecordedFact(event) for event in recorded])

    def _load(self, stream_id: StreamId, after_version: int) -> list[RecordedEvent]:
        facts = self._application.events.get(stream_id, gt=after_version)
        return [fact.recorded for fact in facts if isinstance(fact, RecordedFact)]

    def _is_ours(self, recorded: Sequence[RecordedEvent]) -> bool:
        for event in recorded:
            there = self._application.events.get(event.stream_id, gt=event.version - 1, lte=event.version)
            if [fact.recorded.metadata.event_id for fact in there if isinstance(fact, RecordedFact)] != [
                event.metadata.event_id
            ]:
                return False
        return True
