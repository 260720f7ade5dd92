"""A state that comes from a snapshot is the state that the events give, whatever they are."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.kinds import ATTEMPT, SYSTEM
from commands.streams import Loaded, Owner, Streams
from domain.attempts.events import (
    AttemptScored,
    AttemptStarted,
    AttemptSubmitted,
    ResponseChanged,
    ResponseGiven,
)
from domain.system.events import (
    PoisonEventRetried,
    PoisonEventSetAside,
    PoisonEventSkipped,
    ProjectionPaused,
    ProjectionResumed,
)
from infra.event_store.codec import PlainPersonalCodec
from infra.event_store.snapshots import PostgresSnapshots
from tests.support.exam_parts import uuid7
from tests.support.memory import World
from tests.support.strategies import EVENTS_BY_CLASS, ids, maybe, texts, zones


class ReversingCodec:
    """A seal that shows: what is not opened again, and for the same person, is no state."""

    def seal(self, subject_id: str, value: Any) -> Any:
        return [subject_id, msgspec.json.encode(value).decode()[::-1]]

    def open(self, subject_id: str, sealed: Any) -> Any:
        assert sealed[0] == subject_id
        return msgspec.json.decode(sealed[1][::-1])


class MemorySnapshots:
    """The real form of a snapshot, kept in memory; `used` counts those that a load began with."""

    def __init__(self, codec):
        self._form = PostgresSnapshots("", codec)
        self.rows = {}
        self.used = 0

    def keep(self, kind, stream_id, loaded):
        self.rows[stream_id] = (loaded.version, self._form._sealed(kind, loaded))

    async def load(self, kind, stream_id):
        if stream_id not in self.rows:
            return None
        self.used += 1
        return self._form._opened(kind, *self.rows[stream_id])


def some_of(*classes):
    return st.lists(st.one_of(*(EVENTS_BY_CLASS[cls] for cls in classes)), max_size=30)


attempts = st.tuples(
    EVENTS_BY_CLASS[AttemptStarted],
    some_of(ResponseGiven, ResponseChanged),
    st.lists(EVENTS_BY_CLASS[AttemptSubmitted], max_size=1),
    st.lists(EVENTS_BY_CLASS[AttemptScored], max_size=1),
).map(lambda parts: [parts[0], *parts[1], *parts[2], *parts[3]])
controls = some_of(
    ProjectionPaused, ProjectionResumed, PoisonEventSetAside, PoisonEventRetried, PoisonEventSkipped
)
owners = st.builds(Owner, maybe(zones), maybe(ids("organization")), maybe(texts))
codecs = st.sampled_from([PlainPersonalCodec(), ReversingCodec()])


def folded(kind, events):
    state = kind.initial
    for event in events:
        state = kind.evolve(state, event)
    return state


@given(st.sampled_from([ATTEMPT, SYSTEM]), st.data(), owners, codecs)
@settings(max_examples=150, deadline=None)
def test_every_state_is_read_from_its_snapshot_as_it_was(kind, data, owner, codec):
    events = data.draw(attempts if kind is ATTEMPT else controls)
    loaded = Loaded(folded(kind, events), len(events), owner)
    form = PostgresSnapshots("", codec)
    assert form._opened(kind, loaded.version, form._sealed(kind, loaded)) == loaded


@given(attempts, st.integers(1, 7), codecs)
@settings(max_examples=60, deadline=None)
async def test_loading_over_a_snapshot_gives_what_loading_everything_gives(events, every, codec):
    world = World()
    someone = f"attempt-{uuid7(1)}"
    snapshots = MemorySnapshots(codec)

    def a_process(**options):
        return Streams(world.log, world.clock, world.new_id, snapshot_every=every, **options)

    for number, event in enumerate(events, 1):
        world.record(someone, event)
        over = await a_process(snapshots=snapshots).read(ATTEMPT, someone)
        whole = await a_process().read(ATTEMPT, someone)
        assert over == whole
        assert over.version == number
    assert set(snapshots.rows) == ({someone} if len(events) >= every else set())
    # From the second look past the first snapshot on, there was one to begin with.
    assert snapshots.used >= len(events) - every
