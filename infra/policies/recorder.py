"""Records decisions about access without holding up anybody.

What is to be recorded waits in memory, in a queue with a bound, until it is appended together with what else
has come in the meantime. Where there is no room a permit is dropped at once and a refusal after a moment, and
both are counted: an exam never waits for its record. A process that is killed loses what waits.

Nobody crowds out the refusals of others: one person has a share of the queue, and whoever asks about many
things that do not exist has one record of that a minute.

Each process writes streams of its own, a new one every hour. So it never contends with anybody for a version,
reads nothing before it writes, and an hour's records go together when their time is over. What somebody was
refused in all processes is put together by the projection.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import structlog

from commands.context import CommandContext
from commands.ports import EventLog, NewEvent, StreamAppend, VersionConflict
from domain.errors import Malformed
from domain.events import Actor, Event, EventMetadata
from domain.identifiers import stream_id
from domain.policies.access import AccessDecision, AccessRequest
from domain.policies.decisions import (
    ANYBODY,
    AccessCounted,
    AccessDecided,
    CountedAccess,
    access_decided,
    anonymous,
    is_told_apart,
    written_request,
)
from infra.policies.metrics import DecisionMetrics

CAPACITY: Final = 2_000
SHARE_OF_ONE: Final = 10
"""One principal has at most this part, a tenth, of what may wait."""

APPENDED_TOGETHER: Final = 200
GATHERED_S: Final = 0.1
DENIAL_WAITS_S: Final = 0.05
COUNTED_EVERY: Final = timedelta(minutes=1)
KINDS_COUNTED: Final = 500
STREAM_LASTS: Final = timedelta(hours=1)
REMEMBERED: Final = 10_000
_TRIES_AGAIN_AFTER_S: Final = 1.0
_ENDS_WITHIN_S: Final = 2.0

log = structlog.get_logger("policies")


class DecisionRecorder:
    """`commands.access.DecisionRecords`. `follow` does the writing, for as long as the process answers."""

    def __init__(
        self,
        event_log: EventLog,
        metrics: DecisionMetrics,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        capacity: int = CAPACITY,
    ) -> None:
        self._log = event_log
        self._metrics = metrics
        self._clock = clock
        self._new_id = new_id
        self._capacity = capacity
        self._share = max(1, capacity // SHARE_OF_ONE)
        self._waiting: deque[NewEvent] = deque()
        self._waiting_of: Counter[str] = Counter()
        self._came = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._recent: OrderedDict[tuple[Any, ...], str] = OrderedDict()
        self._counted: Counter[str] = Counter()
        self._others = 0
        self._counts_from = clock()
        self._stream: tuple[str, int, datetime] | None = None
        self._unfinished: StreamAppend | None = None
        self.counted_elsewhere: list[Callable[[], Iterable[tuple[AccessRequest, int]]]] = []

    async def note(
        self, request: AccessRequest, decision: AccessDecision, context: CommandContext
    ) -> str | None:
        """The id of the record; None where the decision is only counted, or where there is no room."""
        self._metrics.made.labels(request.action, "allow" if decision.allowed else "deny").inc()
        now = self._clock()
        if not is_told_apart(request, decision):
            self._count(request)
            return None
        likeness = (
            written_request(_told_together(request)),
            decision.allowed,
            decision.reason,
            decision.decided_by,
            decision.position,
            decision.since,
            now.replace(second=0, microsecond=0),
        )
        earlier = self._recent.get(likeness)
        if earlier is not None:
            self._metrics.records.labels("repeated").inc()
            return earlier
        if self._waiting_of[request.principal.id] >= self._share:
            self._metrics.records.labels("dropped").inc()
            return None
        if not decision.allowed and not self._room.is_set():
            # Whether there is room after all is looked at below.
            with suppress(TimeoutError):
                async with asyncio.timeout(DENIAL_WAITS_S):
                    await self._room.wait()
        if len(self._waiting) >= self._capacity:
            self._metrics.records.labels("dropped").inc()
            return None
        decision_id = self._new_id()
        self._put(access_decided(decision_id, now, request, decision), context, request.principal.zone)
        self._recent[likeness] = decision_id
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)
        return decision_id

    async def follow(self) -> None:
        """Writes what waits, whatever happens, until it is cancelled; then what is left."""
        try:
            while True:
                await self._something_to_do()
                try:
                    await self.write()
                except Exception as error:
                    # The store may be away, or full: what waits goes on waiting, and the bound holds.
                    log.exception("decisions not recorded", error=type(error).__name__)
                    await asyncio.sleep(_TRIES_AGAIN_AFTER_S)
                    self._came.set()
        finally:
            self._put_counts(self._clock())
            await self._write_what_is_left()

    async def write(self) -> None:
        """Appends everything that waits. Raises what the event log raises; nothing is lost by that."""
        if self._clock() >= self._counts_from + COUNTED_EVERY:
            self._put_counts(self._clock())
        while self._unfinished is not None or self._waiting:
            append = self._unfinished or self._next()
            # The same append again, should its answer be lost: the log knows its events by their ids.
            self._unfinished = append
            try:
                await self._log.append([append])
            except VersionConflict:
                # Nobody else writes this stream, so part of the log was restored from a backup.
                self._stream = None
                self._unfinished = None
                self._waiting.extendleft(reversed(append.events))
                self._waiting_of.update(_principals(append.events))
                continue
            except Malformed as error:
                # A fault of ours. Tried again it would keep back all that comes after it.
                self._stream = None
                self._unfinished = None
                self._metrics.records.labels("dropped").inc(len(append.events))
                log.exception("decisions cannot be recorded", count=len(append.events), error=error.code)
                continue
            self._unfinished = None
            self._metrics.records.labels("written").inc(len(append.events))
            self._make_room()

    async def _something_to_do(self) -> None:
        try:
            async with asyncio.timeout(COUNTED_EVERY.total_seconds()):
                await self._came.wait()
        except TimeoutError:
            return
        self._came.clear()
        await asyncio.sleep(GATHERED_S)

    async def _write_what_is_left(self) -> None:
        try:
            async with asyncio.timeout(_ENDS_WITHIN_S):
                await self.write()
        except Exception as error:
            self._metrics.records.labels("dropped").inc(len(self._waiting))
            log.exception("decisions lost", count=len(self._waiting), error=type(error).__name__)

    def _count(self, request: AccessRequest, times: int = 1) -> None:
        kind = written_request(anonymous(request))
        if kind in self._counted or len(self._counted) < KINDS_COUNTED:
            self._counted[kind] += times
        else:
            self._others += times

    def _put_counts(self, now: datetime) -> None:
        for passed in self.counted_elsewhere:
            for request, times in passed():
                self._metrics.made.labels(request.action, "allow").inc(times)
                self._count(request, times)
        since, self._counts_from = self._counts_from, now
        if not self._counted and not self._others:
            return
        counted = AccessCounted(
            since=since,
            until=now,
            permitted=tuple(
                CountedAccess(request=kind, count=count) for kind, count in sorted(self._counted.items())
            ),
            others=self._others,
        )
        self._counted.clear()
        self._others = 0
        id_ = self._new_id()
        nobody = CommandContext(
            actor=Actor("engine", "policies"), zone_id=None, org_id=None, correlation_id=id_, command_id=id_
        )
        self._put(counted, nobody, None)

    def _put(self, event: Event, context: CommandContext, zone: str | None) -> None:
        metadata = EventMetadata(
            event_id=self._new_id(),
            actor=context.actor,
            zone_id=zone,
            org_id=None,
            correlation_id=context.correlation_id,
            causation_id=context.command_id,
            recorded_at=self._clock(),
        )
        new = NewEvent(metadata, event)
        self._waiting.append(new)
        self._waiting_of.update(_principals([new]))
        if len(self._waiting) >= self._capacity:
            self._room.clear()
        self._came.set()

    def _make_room(self) -> None:
        if len(self._waiting) < self._capacity:
            self._room.set()

    def _next(self) -> StreamAppend:
        now = self._clock()
        if self._stream is None or now >= self._stream[2] + STREAM_LASTS:
            self._stream = (stream_id("observation", self._new_id()), 0, now)
        name, version, begun = self._stream
        events = tuple(self._waiting.popleft() for _ in range(min(APPENDED_TOGETHER, len(self._waiting))))
        self._stream = (name, version + len(events), begun)
        # Counts of nought go, else there would be one for everybody who was ever refused something.
        self._waiting_of = +(self._waiting_of - Counter(_principals(events)))
        return StreamAppend(name, version, events)


def _told_together(request: AccessRequest) -> AccessRequest:
    """What is the same in requests of which one record is enough: ids of what does not exist are invented."""
    resource = request.resource
    looked_up = resource.kind not in {"zone", "feature"}
    exists = resource.id in request.versions if looked_up else resource.zone is not None
    if not exists:
        resource = msgspec.structs.replace(resource, id=ANYBODY)
    return msgspec.structs.replace(request, resource=resource, versions={})


def _principals(events: Iterable[NewEvent]) -> Iterator[str]:
    return (each.event.principal_id for each in events if isinstance(each.event, AccessDecided))
