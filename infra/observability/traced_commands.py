"""Spans of commands and of what they do with the log, and the mark that their events carry."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from commands.context import CommandContext
from commands.ports import EventLog, StreamAppend
from commands.streams import Outcome, StreamKind, Streams
from domain.events import Event, RecordedEvent
from domain.identifiers import StreamId
from infra.observability.tracing import Tracing

S = TypeVar("S")


class TracedStreams(Streams):
    """Streams whose commands are spans, and whose events say which."""

    def __init__(self, tracing: Tracing, log: EventLog, *more: Any, **options: Any) -> None:
        super().__init__(TracedEventLog(tracing, log), *more, **options)
        self._tracing = tracing

    async def execute(
        self,
        context: CommandContext,
        kind: StreamKind[S],
        stream_id: StreamId,
        decide: Callable[[S], Sequence[Event]],
        *,
        expected_version: int | None = None,
    ) -> Outcome[S]:
        with self._tracing.step(
            f"command on {kind.name}", stream_id=stream_id, command_id=context.command_id
        ):
            return await super().execute(context, kind, stream_id, decide, expected_version=expected_version)

    async def execute_many(
        self, context: CommandContext, appends: Sequence[tuple[StreamId, int, Sequence[Event]]]
    ) -> None:
        with self._tracing.step("command on many", streams=len(appends), command_id=context.command_id):
            await super().execute_many(context, appends)

    def prepare(
        self, context: CommandContext, stream_id: StreamId, version: int, events: Sequence[Event]
    ) -> StreamAppend:
        prepared = super().prepare(context, stream_id, version, events)
        trace = self._tracing.traceparent()
        if trace is None:
            return prepared
        replace = msgspec.structs.replace
        return replace(
            prepared,
            events=tuple(
                replace(each, metadata=replace(each.metadata, trace=trace)) for each in prepared.events
            ),
        )


class TracedEventLog:
    """`commands.ports.EventLog` with a span around each call."""

    def __init__(self, tracing: Tracing, log: EventLog) -> None:
        self._tracing = tracing
        self._log = log

    async def load(
        self, stream_id: StreamId, after_version: int = 0, limit: int | None = None
    ) -> Sequence[RecordedEvent]:
        with self._tracing.step("load", stream_id=stream_id):
            return await self._log.load(stream_id, after_version, limit)

    async def append(self, appends: Sequence[StreamAppend]) -> None:
        events = sum(len(each.events) for each in appends)
        with self._tracing.step("append", streams=len(appends), events=events):
            await self._log.append(appends)
