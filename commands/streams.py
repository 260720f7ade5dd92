"""Load, decide, append: how every command reaches its stream, and what happens under contention.

States are cached by stream with the version they were folded to. A decision made on a cached state
is still exact: an append goes in only at that version, and a refusal is believed only after the
stream was read again from there.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

import msgspec

from commands.context import CommandContext
from commands.news import News
from commands.ports import Clock, EventLog, NewEvent, NewId, StreamAppend, VersionConflict
from domain.errors import DomainError, StaleVersion
from domain.events import Event, EventMetadata, RecordedEvent
from domain.identifiers import StreamId, category_of
from domain.zones import ZoneId

S = TypeVar("S")

MAX_TRIES = 20

SNAPSHOT_EVERY = 100
"""Events of a stream between two snapshots: more than most streams ever have."""


class StreamKind(msgspec.Struct, Generic[S], frozen=True):
    """How a kind of stream is folded: the state before the first event, and one more event.

    Kinds whose streams grow long name the classes that their state can be of, so that snapshots can be
    kept, and the person whom a state describes, for whom its snapshot is sealed.
    """

    name: str
    initial: S
    evolve: Callable[[S, Event], S]
    states: tuple[type, ...] = ()
    person: Callable[[S], StreamId] | None = None


class Owner(msgspec.Struct, frozen=True):
    """The zone and the organisation that a stream's first event was recorded for, and its correlation."""

    zone_id: ZoneId | None
    org_id: StreamId | None
    correlation_id: str | None = None


NOBODY = Owner(None, None)


class Loaded(msgspec.Struct, Generic[S], frozen=True):
    """A stream as it stands; version 0 is a stream that does not exist."""

    state: S
    version: int
    owner: Owner


class Outcome(msgspec.Struct, Generic[S], frozen=True):
    """The state after a command, and what the command added (nothing, where it was done already)."""

    stream_id: StreamId
    state: S
    version: int
    owner: Owner
    events: tuple[Event, ...]


class Snapshots(Protocol):
    """States of long streams, kept so that loading need not fold them from the beginning.

    Any may be missing at any time. One that was made by other code than this is not shown.
    """

    async def load(self, kind: StreamKind[S], stream_id: StreamId) -> Loaded[S] | None:
        """The newest one; None where there is none that can be used or had now."""
        ...

    def keep(self, kind: StreamKind[S], stream_id: StreamId, loaded: Loaded[S]) -> None:
        """Keeps it, soon or never: nobody waits for that."""
        ...


class Streams:
    """The write side's way to the event log. `news` tells of what it has appended itself."""

    def __init__(  # noqa: PLR0913 - the ports and two limits
        self,
        log: EventLog,
        clock: Clock,
        new_id: NewId,
        cache_size: int = 10_000,
        *,
        snapshots: Snapshots | None = None,
        snapshot_every: int = SNAPSHOT_EVERY,
    ) -> None:
        self._log = log
        self._snapshots = snapshots
        self._snapshot_every = snapshot_every
        self._clock = clock
        self._new_id = new_id
        self._cache: OrderedDict[StreamId, Loaded[object]] = OrderedDict()
        self._cache_size = cache_size
        self.news = News()
        self._turns: WeakValueDictionary[StreamId, asyncio.Lock] = WeakValueDictionary()

    async def read(self, kind: StreamKind[S], stream_id: StreamId) -> Loaded[S]:
        """The state as it is now in the log."""
        return await self._refresh(kind, stream_id, self._cached(kind, stream_id))

    async def peek(self, kind: StreamKind[S], stream_id: StreamId) -> Loaded[S]:
        """The state as it was known last; it may lack the newest events, never show wrong ones."""
        return self._cached(kind, stream_id) or await self._refresh(kind, stream_id, None)

    async def history(self, kind: StreamKind[S], stream_id: StreamId) -> Sequence[RecordedEvent]:
        """The events themselves: for what no state keeps, such as who ordered them."""
        return await self._log.load(stream_id) if category_of(stream_id) == kind.name else ()

    async def execute(
        self,
        context: CommandContext,
        kind: StreamKind[S],
        stream_id: StreamId,
        decide: Callable[[S], Sequence[Event]],
        *,
        expected_version: int | None = None,
    ) -> Outcome[S]:
        """Decides on the stream's state and appends what was decided.

        `decide` is pure: it runs again on the newer state when somebody else was faster. Raises what
        `decide` raises; `VersionConflict` when others were faster too many times in a row;
        `StaleVersion` when the caller insists on `expected_version` and the stream is past it.
        """
        async with self._turn(stream_id):
            done = await self.done_before(context, kind, stream_id)
            if done is not None:
                return done
            loaded = self._cached(kind, stream_id) if expected_version is None else None
            for _ in range(MAX_TRIES):
                fresh = loaded is None
                loaded = loaded or await self._refresh(kind, stream_id, self._cached(kind, stream_id))
                if expected_version is not None and loaded.version != expected_version:
                    raise StaleVersion(version=loaded.version)
                decided = self._decided(decide, loaded, fresh=fresh)
                if decided is None:
                    # A refusal, or nothing to do, on a state that may be old: look again, then believe it.
                    loaded = None
                elif not decided:
                    return Outcome(stream_id, loaded.state, loaded.version, loaded.owner, ())
                else:
                    try:
                        await self._log.append([self.prepare(context, stream_id, loaded.version, decided)])
                    except VersionConflict:
                        loaded = None
                        # The same command may run in another process too, and have been the faster one.
                        done = await self.done_before(context, kind, stream_id)
                        if done is not None:
                            return done
                    else:
                        return self._remember(context, kind, stream_id, loaded, decided)
            raise VersionConflict(stream_id=stream_id)

    def _turn(self, stream_id: StreamId) -> asyncio.Lock:
        """Commands of this process on one stream take turns: else all but one of many would conflict.

        A lock lives as long as somebody holds it or waits for it.
        """
        turn = self._turns.get(stream_id)
        if turn is None:
            turn = self._turns[stream_id] = asyncio.Lock()
        return turn

    def _decided(
        self, decide: Callable[[S], Sequence[Event]], loaded: Loaded[S], *, fresh: bool
    ) -> tuple[Event, ...] | None:
        """What was decided; None where the state is too old to believe a refusal."""
        try:
            decided = tuple(decide(loaded.state))
        except DomainError:
            if fresh:
                raise
            return None
        return decided if decided or fresh else None

    async def execute_many(
        self, context: CommandContext, appends: Sequence[tuple[StreamId, int, Sequence[Event]]]
    ) -> None:
        """Appends to many streams at once, all or nothing. Raises `VersionConflict`."""
        prepared = [
            self.prepare(context, stream_id, version, events)
            for stream_id, version, events in appends
            if events
        ]
        if prepared:
            await self._log.append(prepared)

    def prepare(
        self, context: CommandContext, stream_id: StreamId, version: int, events: Sequence[Event]
    ) -> StreamAppend:
        recorded_at = self._clock()
        return StreamAppend(
            stream_id,
            version,
            tuple(
                NewEvent(
                    EventMetadata(
                        event_id=self._new_id(),
                        actor=context.actor,
                        zone_id=context.zone_id,
                        org_id=context.org_id,
                        correlation_id=context.correlation_id,
                        causation_id=context.command_id,
                        recorded_at=recorded_at,
                    ),
                    event,
                )
                for event in events
            ),
        )

    async def done_before(
        self, context: CommandContext, kind: StreamKind[S], stream_id: StreamId
    ) -> Outcome[S] | None:
        """The outcome of a repeatable command whose events are there already."""
        if not context.repeatable or category_of(stream_id) != kind.name:
            return None
        recorded = await self._log.load(stream_id)
        made = tuple(event.event for event in recorded if event.metadata.causation_id == context.command_id)
        if not made:
            return None
        loaded = self._fold(kind, Loaded(kind.initial, 0, NOBODY), recorded)
        return Outcome(stream_id, loaded.state, loaded.version, loaded.owner, made)

    async def _refresh(self, kind: StreamKind[S], stream_id: StreamId, known: Loaded[S] | None) -> Loaded[S]:
        before = known or Loaded(kind.initial, 0, NOBODY)
        if category_of(stream_id) != kind.name:
            return before  # an id of something else names nothing of this kind
        if known is None and self._snapshots is not None and kind.states:
            before, loaded = await self._from_snapshot(kind, stream_id, self._snapshots)
        else:
            loaded = self._fold(kind, before, await self._log.load(stream_id, before.version))
        self._keep(stream_id, loaded)
        self._snapshot(kind, stream_id, before, loaded)
        return loaded

    async def _from_snapshot(
        self, kind: StreamKind[S], stream_id: StreamId, snapshots: Snapshots
    ) -> tuple[Loaded[S], Loaded[S]]:
        """What was not folded here, and the state now.

        Most streams are short, and cost no more than without snapshots: one is looked for only where the
        first events turn out not to be all.
        """
        nothing = Loaded(kind.initial, 0, NOBODY)
        begun = self._fold(kind, nothing, await self._log.load(stream_id, 0, self._snapshot_every))
        if begun.version < self._snapshot_every:
            return nothing, begun
        found = await snapshots.load(kind, stream_id)
        if found is None or found.version < begun.version:
            found = None
        start = found or begun
        loaded = self._fold(kind, start, await self._log.load(stream_id, start.version))
        return found or nothing, loaded

    def _snapshot(
        self, kind: StreamKind[S], stream_id: StreamId, before: Loaded[S], after: Loaded[S]
    ) -> None:
        """Keeps a state now and then: where the stream has grown past a multiple of `snapshot_every`."""
        every = self._snapshot_every
        if self._snapshots is not None and kind.states and before.version // every < after.version // every:
            self._snapshots.keep(kind, stream_id, after)

    def _fold(self, kind: StreamKind[S], known: Loaded[S], recorded: Sequence[RecordedEvent]) -> Loaded[S]:
        state, version, owner = known.state, known.version, known.owner
        for event in recorded:
            if version == 0:
                metadata = event.metadata
                owner = Owner(metadata.zone_id, metadata.org_id, metadata.correlation_id)
            state, version = kind.evolve(state, event.event), event.version
        return Loaded(state, version, owner)

    def _remember(
        self,
        context: CommandContext,
        kind: StreamKind[S],
        stream_id: StreamId,
        before: Loaded[S],
        events: tuple[Event, ...],
    ) -> Outcome[S]:
        state = before.state
        for event in events:
            state = kind.evolve(state, event)
        owner = (
            before.owner if before.version else Owner(context.zone_id, context.org_id, context.correlation_id)
        )
        after = Loaded(state, before.version + len(events), owner)
        self._keep(stream_id, after)
        self._snapshot(kind, stream_id, before, after)
        self.news.tell(stream_id)
        return Outcome(stream_id, after.state, after.version, owner, events)

    def _cached(self, kind: StreamKind[S], stream_id: StreamId) -> Loaded[S] | None:
        found = self._cache.get(stream_id)
        if found is None or category_of(stream_id) != kind.name:
            return None
        self._cache.move_to_end(stream_id)
        return found  # type: ignore[return-value] # a stream id names its kind; one kind folds it

    def _keep(self, stream_id: StreamId, loaded: Loaded[S]) -> None:
        if loaded.version == 0:
            return
        held = self._cache.get(stream_id)
        # Two commands on one stream may finish in either order: the newer state stays.
        if held is None or held.version < loaded.version:
            self._cache[stream_id] = loaded  # type: ignore[assignment] # see _cached
        self._cache.move_to_end(stream_id)
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)
