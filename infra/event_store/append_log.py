"""The event log as the handlers see it: appends without a global lock, many commands in one commit.

Commands that wait are put into one call and one transaction, so one wait for the disk serves them all.
There is no timer: a command that comes alone goes at once, and whoever comes while a commit is under way
shares the next. Each command still succeeds or conflicts on its own.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from time import monotonic
from typing import Any, NoReturn, Self

import psycopg
from psycopg.abc import Buffer
from psycopg.rows import TupleRow

from commands.ports import StreamAppend, VersionConflict
from domain.errors import DomainError, Unavailable
from domain.events import RecordedEvent
from domain.identifiers import StreamId
from infra.event_store.append_queue import (
    APPEND,
    APPEND_ONE,
    APPEND_TOGETHER,
    AppendQueue,
    Command,
    append_parameters,
    encoded,
    single_parameters,
)
from infra.event_store.codec import EventCodec
from infra.event_store.connections import LogConnection, LogConnections
from infra.event_store.line import INT8, TEXT, Statement, int8
from infra.observability.metrics import EventStoreMetrics
from infra.postgres.roles import with_options


class EventLogBusy(Unavailable):
    code = "event-log-busy"
    title = "More is waiting to be saved than can be held; try again in a moment"


class EventLogUnreachable(Unavailable):
    code = "event-log-unreachable"
    title = "The event log cannot be reached at the moment; send the request again"


PATIENCE_S = 2.0
"""How long a command waits for a database that is away, or for a stream that somebody else holds."""

ONE_FLUSHER_BELOW = 17
"""With fewer commands about, a second flusher would only halve the batches."""

QUEUE_LIMIT_BYTES = 64 * 1024 * 1024

_LOAD = Statement(
    "load",
    "SELECT version, type, meta, payload FROM log.events"
    " WHERE stream_id = $1 AND version > $2 ORDER BY version LIMIT $3",
    (TEXT, INT8, INT8),
)
_LOCK_TIMEOUT_MS = 100
# Made once and right for ever: by the index, whatever the size of the log was when they were made.
_PLANS = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off"
_RECONNECT_EVERY_S = 0.05


class PostgresEventLog:
    """`commands.ports.EventLog` over PostgreSQL; open it with `async with`, in the loop that uses it.

    Two flushers take what is queued, one where little is. What another process holds up, and commands
    that span streams, go over a connection of their own, so that nobody waits for them.
    """

    def __init__(  # noqa: PLR0913 - the parts and the limits, by name
        self,
        conninfo: str,
        codec: EventCodec,
        metrics: EventStoreMetrics,
        *,
        queue_limit: int,
        queue_limit_bytes: int = QUEUE_LIMIT_BYTES,
        readers: int = 4,
    ) -> None:
        """`queue_limit` is of appends and loads together; past either limit `EventLogBusy` is raised."""
        self._codec = codec
        self._metrics = metrics
        self._queue_limit = queue_limit
        self._queue_limit_bytes = queue_limit_bytes
        self._in_flight = 0
        self._bytes_in_flight = 0
        self._queue = AppendQueue()
        self._unanswered: set[Command] = set()
        # Whatever the server's or the database's default is, an acknowledgement means that it is on disk.
        # A stream on which somebody else's append is open must not hold up a whole batch.
        durable = with_options(
            conninfo, f"-c synchronous_commit=on -c lock_timeout={_LOCK_TIMEOUT_MS}ms {_PLANS}"
        )
        self._flushers = [_Flusher(LogConnection(durable)) for _ in range(2)]
        self._apart = LogConnections(durable, 1)
        self._readers = LogConnections(with_options(conninfo, _PLANS), readers)
        self._tasks: set[asyncio.Task[None]] = set()
        metrics.under_way.set_function(lambda: self._in_flight)
        metrics.waiting.set_function(lambda: len(self._queue))

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for flusher in self._flushers:
            self._start(self._flush(flusher))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Commands that are under way may have been saved or not: their callers are told to ask again."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for command in self._unanswered:
            command.fail(EventLogUnreachable(retry_after_s=2))
        for flusher in self._flushers:
            await flusher.connection.close()
        await self._apart.close()
        await self._readers.close()

    async def load(
        self, stream_id: StreamId, after_version: int = 0, limit: int | None = None
    ) -> Sequence[RecordedEvent]:
        """Raises what `EventCodec.decode` raises, `EventLogBusy` and `EventLogUnreachable`."""
        if self._in_flight >= self._queue_limit:
            self._refuse()
        self._in_flight += 1
        wanted = (stream_id.encode(), int8(after_version), None if limit is None else int8(limit))
        try:
            async with self._readers.one() as connection:
                rows = await _persistently(connection, _LOAD, wanted, monotonic())
        except (psycopg.Error, OSError) as error:
            raise _refusal(error) from error
        finally:
            self._in_flight -= 1
        decode = self._codec.decode
        return [decode(stream_id, version, type_, meta, payload) for version, type_, meta, payload in rows]

    async def append(self, appends: Sequence[StreamAppend]) -> None:
        """Raises what `EventCodec.encode` raises, `VersionConflict`, `EventLogBusy`, `EventLogUnreachable`.

        Appends that hold no events ask for nothing and get it: the database is not even asked.
        """
        if self._in_flight >= self._queue_limit:
            self._refuse()
        events = encoded(appends, self._codec)
        if not events:
            return
        command = Command(events, self._loop.create_future(), monotonic())
        size_bytes = command.size_bytes
        if self._bytes_in_flight and self._bytes_in_flight + size_bytes > self._queue_limit_bytes:
            self._refuse()
        self._in_flight += 1
        self._bytes_in_flight += size_bytes
        self._unanswered.add(command)
        try:
            if len(command.streams) == 1:
                self._queue.put(command)
                self._wake()
            else:
                self._start(self._save_together(command))
            await command.saved
        finally:
            self._in_flight -= 1
            self._bytes_in_flight -= size_bytes
            self._unanswered.discard(command)

    def _refuse(self) -> NoReturn:
        self._metrics.rejected.inc()
        raise EventLogBusy(retry_after_s=1)

    def _wake(self) -> None:
        first, second = self._flushers
        if first.idle:
            first.wake.set()
        elif second.idle and self._in_flight >= ONE_FLUSHER_BELOW:
            second.wake.set()

    async def _flush(self, flusher: "_Flusher") -> None:
        while True:
            batch = self._queue.take()
            if not batch:
                flusher.idle = True
                await flusher.wake.wait()
                flusher.idle = False
                flusher.wake.clear()
                continue
            await self._save(flusher.connection, batch)
            if len(batch) > 1:
                # Whoever was just told may have more to save: their next commands join the next batch.
                await asyncio.sleep(0)

    async def _save(self, connection: LogConnection, batch: list[Command]) -> None:
        try:
            rows = await self._lost(connection, batch)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            self._start(self._save_one_by_one(batch))
            return
        except Exception as error:  # noqa: BLE001 - told to those whom it concerns; the flusher lives on
            if len(batch) > 1 and not isinstance(_refusal(error), Unavailable):
                # One of them is to blame, and it is not the server's health.
                self._start(self._save_one_by_one(batch))
                return
            self._settle(batch, error)
        else:
            self._settle(batch, None, {stream_id for (stream_id,) in rows})
        self._free(batch)

    async def _lost(self, connection: LogConnection, batch: list[Command]) -> list[TupleRow]:
        """Appends, and answers the streams whose commands have lost."""
        since = batch[0].since
        if len(batch) == len(batch[0].events) == 1 and await _persistently(
            connection, APPEND_ONE, single_parameters(batch[0].events[0]), since
        ):
            return []
        return await _persistently(connection, APPEND, append_parameters(batch), since)

    async def _save_one_by_one(self, batch: list[Command]) -> None:
        """What another open transaction holds up waits for it, and nothing else does."""
        async with self._apart.one() as connection:
            while batch:
                held = [command for command in batch if await self._is_held(connection, command, APPEND)]
                self._free([command for command in batch if command not in held])
                batch = held

    async def _save_together(self, command: Command) -> None:
        async with self._apart.one() as connection:
            while await self._is_held(connection, command, APPEND_TOGETHER):
                pass

    async def _is_held(self, connection: LogConnection, command: Command, statement: Statement) -> bool:
        """Saves one command; True where somebody's open transaction is in the way and it may try again."""
        try:
            rows = await _persistently(connection, statement, append_parameters([command]), command.since)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            if monotonic() - command.since < PATIENCE_S:
                return True
            self._settle([command], error)
        except psycopg.errors.UniqueViolation as error:
            lost = error.diag.message_detail or command.streams[0]
            self._settle([command], VersionConflict(stream_id=lost))
        except Exception as error:  # noqa: BLE001 - as in _save
            self._settle([command], error)
        else:
            self._settle([command], None, {stream_id for (stream_id,) in rows})
        return False

    def _settle(
        self, batch: Sequence[Command], error: Exception | None = None, lost: "set[StreamId] | tuple[()]" = ()
    ) -> None:
        """Tells everybody what became of their command. Who went away meanwhile wants no answer."""
        for command in batch:
            if error is not None:
                command.fail(_refusal(error))
            elif lost and not lost.isdisjoint(command.streams):
                command.fail(VersionConflict(stream_id=next(iter(lost.intersection(command.streams)))))
            else:
                command.succeed()
        self._record(batch)

    def _free(self, batch: Sequence[Command]) -> None:
        """Lets the next commands of these streams go."""
        self._queue.done(batch)
        if self._queue:
            self._wake()

    def _record(self, batch: Sequence[Command]) -> None:
        now, metrics = monotonic(), self._metrics
        saved: list[float] = []
        events: dict[str, int] = {}
        for command in batch:
            if command.outcome is None:
                saved.append(now - command.since)
                for event in command.events:
                    events[event.type] = events.get(event.type, 0) + 1
            elif isinstance(command.outcome, VersionConflict):
                metrics.conflicts.labels(command.events[0].category).inc()
        metrics.batch_commands.observe(len(batch))
        metrics.append_duration_s.observe_many(saved)
        for type_, count in events.items():
            metrics.appended.labels(type_.partition(".")[0]).inc(count)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Flusher:
    def __init__(self, connection: LogConnection) -> None:
        self.connection = connection
        self.wake = asyncio.Event()
        self.idle = False


async def _persistently(
    connection: LogConnection, statement: Statement, parameters: Sequence[Buffer | None], since: float
) -> list[TupleRow]:
    """Executes until the server has answered, over a new connection where the old one was lost.

    Loading is repeatable, and so is appending: a command whose answer was lost with the connection is
    found in the log by its event id.
    """
    while True:
        try:
            return await connection.execute(statement, parameters)
        except (psycopg.OperationalError, OSError):
            if not connection.lost or monotonic() - since >= PATIENCE_S:
                raise
        await asyncio.sleep(_RECONNECT_EVERY_S)


def _refusal(error: Exception) -> Exception:
    match error:
        case DomainError():
            return error
        case psycopg.errors.LockNotAvailable() | psycopg.errors.DeadlockDetected():
            refusal: Exception = EventLogBusy(retry_after_s=1)
        case psycopg.OperationalError() | psycopg.errors.ReadOnlySqlTransaction() | OSError():
            refusal = EventLogUnreachable(retry_after_s=2)
        case _:
            return error
    refusal.__cause__ = error
    return refusal
