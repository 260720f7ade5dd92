"""Load, decide, append: under contention, with old caches, after crashes, and with wrong ids.

The streams here hold names: each event adds one.
"""

import asyncio
from collections import Counter

import pytest

from commands.ports import VersionConflict
from commands.streams import MAX_TRIES, NOBODY, Loaded, Owner, StreamKind, Streams
from domain.errors import IllegalState, NotFound, StaleVersion, Unavailable
from domain.events import Actor
from domain.users.events import ProfileChanged
from tests.support.exam_parts import NOON, OTHER_SCHOOL, OTHER_STUDENT, SCHOOL, STUDENT
from tests.support.memory import MemoryLog, World

NAMES: StreamKind[tuple[str, ...]] = StreamKind("user", (), lambda names, event: (*names, event.display_name))
OF_ANOTHER_KIND = STUDENT.replace("user-", "attempt-")


class TooFew(IllegalState):
    pass


def named(name):
    return ProfileChanged(display_name=name, language="ko")


def add(name):
    return lambda _names: [named(name)]


def add_the_next(names):
    return [named(str(len(names) + 1))]


def streams_on(world, log=None, **options):
    return Streams(log or world.log, world.clock, world.new_id, **options)


@pytest.fixture
def world():
    return World()


@pytest.fixture
def streams(world):
    return world.write.streams


def names_in(world, stream_id=STUDENT):
    return [event.display_name for event in world.log.events(stream_id)]


async def test_what_is_decided_is_recorded_with_everything_that_an_event_carries(world, streams):
    context = world.asked_by(STUDENT).within("univprep", SCHOOL)

    outcome = await streams.execute(context, NAMES, STUDENT, lambda _: [named("하나"), named("둘")])

    assert (outcome.stream_id, outcome.state, outcome.version) == (STUDENT, ("하나", "둘"), 2)
    assert outcome.owner == Owner("univprep", SCHOOL, context.correlation_id)
    assert outcome.events == (named("하나"), named("둘"))
    recorded = world.log.stream(STUDENT)
    assert [(event.version, event.event) for event in recorded] == [(1, named("하나")), (2, named("둘"))]
    assert len({event.metadata.event_id for event in recorded}) == 2
    for event in recorded:
        assert event.metadata.actor == Actor("user", STUDENT)
        assert (event.metadata.zone_id, event.metadata.org_id) == ("univprep", SCHOOL)
        assert event.metadata.correlation_id == context.correlation_id
        assert event.metadata.causation_id == context.command_id
        assert event.metadata.recorded_at == NOON


async def test_a_stream_belongs_to_whom_its_first_event_was_recorded_for(world, streams):
    first = world.asked_by("a").within("univprep", SCHOOL)
    await streams.execute(first, NAMES, STUDENT, add("1"))
    later = await streams.execute(world.asked_by("b").within("kzone", OTHER_SCHOOL), NAMES, STUDENT, add("2"))

    assert later.owner == Owner("univprep", SCHOOL, first.correlation_id)
    assert (await streams_on(world).read(NAMES, STUDENT)).owner == later.owner
    assert world.log.stream(STUDENT)[1].metadata.org_id == OTHER_SCHOOL


async def test_a_stream_that_does_not_exist_is_empty(streams):
    nothing = Loaded((), 0, NOBODY)

    assert await streams.read(NAMES, STUDENT) == nothing
    assert await streams.peek(NAMES, STUDENT) == nothing


async def test_a_known_stream_is_not_read_again_before_the_next_decision(world, streams):
    first = world.student()
    await streams.execute(first, NAMES, STUDENT, add("1"))
    loads = world.log.loads

    await streams.execute(world.student(), NAMES, STUDENT, add("2"))

    assert world.log.loads == loads
    assert await streams.peek(NAMES, STUDENT) == Loaded(
        ("1", "2"), 2, Owner("univprep", None, first.correlation_id)
    )
    assert world.log.loads == loads


async def test_after_a_conflict_it_is_decided_anew_on_what_is_there_now(world, streams):
    await streams.execute(world.student(), NAMES, STUDENT, add_the_next)
    world.record(STUDENT, named("from elsewhere"))

    outcome = await streams.execute(world.student(), NAMES, STUDENT, add_the_next)

    assert names_in(world) == ["1", "from elsewhere", "3"]
    assert (outcome.state, outcome.version) == (("1", "from elsewhere", "3"), 3)
    assert outcome.events == (named("3"),)
    assert world.log.conflicts == 1


async def test_a_refusal_on_an_old_state_is_checked_before_it_is_believed(world, streams):
    await streams.execute(world.student(), NAMES, STUDENT, add("1"))
    world.record(STUDENT, named("2"))
    seen = []

    def only_as_the_third(names):
        seen.append(names)
        if len(names) < 2:
            raise TooFew
        return [named("3")]

    await streams.execute(world.student(), NAMES, STUDENT, only_as_the_third)

    assert seen == [("1",), ("1", "2")]
    assert names_in(world) == ["1", "2", "3"]


async def test_nothing_to_do_on_an_old_state_is_checked_before_it_is_believed(world, streams):
    await streams.execute(world.student(), NAMES, STUDENT, add("1"))
    world.record(STUDENT, named("2"))

    outcome = await streams.execute(
        world.student(), NAMES, STUDENT, lambda names: [named("3")] if len(names) == 2 else []
    )

    assert outcome.events == (named("3"),)
    assert names_in(world) == ["1", "2", "3"]


async def test_a_refusal_on_the_newest_state_is_believed_and_nothing_is_recorded(world, streams):
    world.record(STUDENT, named("1"))

    def refuse(names):
        raise TooFew(names=list(names))

    with pytest.raises(TooFew) as refusal:
        await streams.execute(world.student(), NAMES, STUDENT, refuse)

    assert refusal.value.data() == {"names": ["1"]}
    assert names_in(world) == ["1"]


async def test_a_refusal_that_was_checked_tells_of_the_newest_state(world, streams):
    await streams.execute(world.student(), NAMES, STUDENT, add("1"))
    world.record(STUDENT, named("2"))

    def refuse(names):
        raise TooFew(names=list(names))

    with pytest.raises(TooFew) as refusal:
        await streams.execute(world.student(), NAMES, STUDENT, refuse)

    assert refusal.value.data() == {"names": ["1", "2"]}


async def test_a_command_that_decides_nothing_tells_how_the_stream_stands(world, streams):
    world.record(STUDENT, named("1"))

    outcome = await streams.execute(world.student(), NAMES, STUDENT, lambda _: [])

    assert (outcome.state, outcome.version, outcome.events) == (("1",), 1, ())
    assert names_in(world) == ["1"]


# -- repeated commands ---------------------------------------------------------------------------------------


async def test_a_repeatable_command_is_done_once_and_answers_the_same_again(world, streams):
    again = world.asked_by(STUDENT, repeatable=True, command_id=world.new_id())
    first = await streams.execute(again, NAMES, STUDENT, add("1"))
    await streams.execute(world.student(), NAMES, STUDENT, add("2"))

    for process in (streams, streams_on(world)):
        repeated = await process.execute(again, NAMES, STUDENT, add("1"))
        assert repeated.events == first.events == (named("1"),)
        assert (repeated.stream_id, repeated.state, repeated.version) == (STUDENT, ("1", "2"), 2)
        assert repeated.owner == first.owner
    assert names_in(world) == ["1", "2"]


async def test_a_repeatable_command_whose_answer_was_lost_is_recognised(world, streams):
    again = world.asked_by(STUDENT, repeatable=True, command_id=world.new_id())
    world.log.fail_after_the_next_append(ConnectionError("the answer was lost"))
    with pytest.raises(ConnectionError):
        await streams.execute(again, NAMES, STUDENT, add("1"))

    repeated = await streams.execute(again, NAMES, STUDENT, add("1"))

    assert repeated.events == (named("1"),)
    assert names_in(world) == ["1"]


async def test_a_repeated_command_is_done_even_where_it_would_be_refused_by_now(world, streams):
    again = world.asked_by(STUDENT, repeatable=True, command_id=world.new_id())

    def only_as_the_first(names):
        if names:
            raise TooFew
        return [named("1")]

    await streams.execute(again, NAMES, STUDENT, only_as_the_first)
    repeated = await streams.execute(again, NAMES, STUDENT, only_as_the_first)

    assert repeated.events == (named("1"),)


async def test_a_repeatable_command_that_did_not_run_yet_runs(world, streams):
    world.record(STUDENT, named("1"))

    await streams.execute(world.asked_by(STUDENT, repeatable=True), NAMES, STUDENT, add("2"))
    await streams.execute(world.asked_by(STUDENT, repeatable=True), NAMES, STUDENT, add("2"))

    assert names_in(world) == ["1", "2", "2"]


# -- expected versions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("expected", [0, 1, 3])
async def test_whoever_insists_on_another_version_is_told_the_one_that_there_is(world, streams, expected):
    await streams.execute(world.student(), NAMES, STUDENT, add("1"))
    world.record(STUDENT, named("2"))

    with pytest.raises(StaleVersion) as refusal:
        await streams.execute(world.student(), NAMES, STUDENT, add("3"), expected_version=expected)

    assert refusal.value.data() == {"version": 2}
    assert names_in(world) == ["1", "2"]


async def test_the_expected_version_is_compared_with_the_log_and_not_with_what_is_remembered(world, streams):
    await streams.execute(world.student(), NAMES, STUDENT, add("1"))
    world.record(STUDENT, named("2"))

    outcome = await streams.execute(world.student(), NAMES, STUDENT, add("3"), expected_version=2)

    assert outcome.version == 3


async def test_of_two_who_expect_the_same_version_one_is_refused(world):
    world.record(STUDENT, named("1"))

    outcomes = await asyncio.gather(
        *(
            streams_on(world).execute(world.student(), NAMES, STUDENT, add(name), expected_version=1)
            for name in "ab"
        ),
        return_exceptions=True,
    )

    refused = [each for each in outcomes if isinstance(each, StaleVersion)]
    assert [each.data() for each in refused] == [{"version": 2}]
    assert len(names_in(world)) == 2


# -- ids of something else -----------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [OF_ANOTHER_KIND, "user", "", "user-1", STUDENT.upper(), f"{STUDENT} "])
async def test_an_id_of_another_category_names_nothing(world, streams, wrong):
    world.record(wrong, named("somebody else's"))
    seen = []

    def refuse_what_is_not_there(names):
        seen.append(names)
        raise NotFound

    assert await streams.read(NAMES, wrong) == Loaded((), 0, NOBODY)
    assert await streams.peek(NAMES, wrong) == Loaded((), 0, NOBODY)
    for repeatable in (False, True):
        context = world.asked_by(STUDENT, repeatable=repeatable, command_id="given")
        with pytest.raises(NotFound):
            await streams.execute(context, NAMES, wrong, refuse_what_is_not_there)
    assert set(seen) == {()}


async def test_a_stream_known_as_one_kind_is_not_shown_as_another(world, streams):
    attempts: StreamKind[int] = StreamKind("attempt", 0, lambda number, _: number + 1)
    world.record(OF_ANOTHER_KIND, named("x"))

    assert (await streams.read(attempts, OF_ANOTHER_KIND)).state == 1
    assert (await streams.peek(NAMES, OF_ANOTHER_KIND)).version == 0
    assert (await streams.read(NAMES, OF_ANOTHER_KIND)).version == 0
    assert (await streams.peek(attempts, OF_ANOTHER_KIND)).state == 1


# -- what is remembered --------------------------------------------------------------------------------------


class SlowLog(MemoryLog):
    """Lets a test hold back the answer of one load."""

    def __init__(self):
        super().__init__()
        self.held = None
        self.reading = asyncio.Event()

    async def load(self, stream_id, after_version=0):
        found = await super().load(stream_id, after_version)
        held, self.held = self.held, None
        if held is not None:
            self.reading.set()
            await held.wait()
        return found


async def test_what_is_remembered_never_goes_back(world):
    world.log = SlowLog()
    streams = streams_on(world)
    world.record(STUDENT, named("1"))
    world.log.held = go_on = asyncio.Event()
    slow = asyncio.create_task(streams.read(NAMES, STUDENT))
    await world.log.reading.wait()
    await streams.execute(world.student(), NAMES, STUDENT, add("2"))

    go_on.set()

    assert (await slow).version == 1
    assert (await streams.peek(NAMES, STUDENT)).state == ("1", "2")
    outcome = await streams.execute(world.student(), NAMES, STUDENT, add("3"))
    assert outcome.state == ("1", "2", "3")
    assert world.log.conflicts == 0


async def test_only_so_many_streams_are_remembered_and_none_is_lost(world):
    streams = streams_on(world, cache_size=2)
    ids = [world.fresh_id("user") for _ in range(5)]
    for number, each in enumerate(ids):
        await streams.execute(world.student(), NAMES, each, add(str(number)))

    assert len(streams._cache) == 2
    assert [(await streams.peek(NAMES, each)).state for each in ids] == [(str(n),) for n in range(5)]
    assert len(streams._cache) == 2


async def test_the_streams_that_are_used_are_the_ones_that_are_remembered(world):
    streams = streams_on(world, cache_size=2)
    used, *others = [world.fresh_id("user") for _ in range(4)]
    await streams.execute(world.student(), NAMES, used, add("x"))
    for each in others:
        await streams.execute(world.student(), NAMES, each, add("x"))
        await streams.peek(NAMES, used)

    loads = world.log.loads
    await streams.peek(NAMES, used)
    assert world.log.loads == loads


async def test_streams_that_do_not_exist_take_no_place_in_memory(world, streams):
    for _ in range(10):
        await streams.read(NAMES, world.fresh_id("user"))

    assert len(streams._cache) == 0


async def test_what_could_not_be_saved_is_not_remembered_as_saved(world, streams):
    await streams.execute(world.student(), NAMES, STUDENT, add("1"))
    world.log.fail_before_the_next_append(Unavailable(retry_after_s=1))
    with pytest.raises(Unavailable):
        await streams.execute(world.student(), NAMES, STUDENT, add("2"))

    assert (await streams.peek(NAMES, STUDENT)).state == ("1",)
    outcome = await streams.execute(world.student(), NAMES, STUDENT, add("3"))
    assert outcome.state == ("1", "3")


async def test_what_was_saved_although_the_answer_was_lost_is_seen_by_the_next_command(world, streams):
    world.log.fail_after_the_next_append(ConnectionError("the answer was lost"))
    with pytest.raises(ConnectionError):
        await streams.execute(world.student(), NAMES, STUDENT, add_the_next)

    outcome = await streams.execute(world.student(), NAMES, STUDENT, add_the_next)

    assert outcome.state == ("1", "2")


# -- many at once --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [False, True])
async def test_32_commands_on_one_stream_at_once_all_end_well_and_each_is_there_once(world, streams, known):
    if known:
        await streams.execute(world.student(), NAMES, STUDENT, add("first"))

    outcomes = await asyncio.gather(
        *(streams.execute(world.student(), NAMES, STUDENT, add(str(n))) for n in range(32))
    )

    assert Counter(names_in(world)) == Counter([*(["first"] if known else []), *map(str, range(32))])
    assert sorted(outcome.version for outcome in outcomes) == list(range(1 + known, 33 + known))
    for number, outcome in enumerate(outcomes):
        assert outcome.events == (named(str(number)),)
        assert outcome.state == tuple(names_in(world)[: outcome.version])


async def test_commands_of_two_processes_on_one_stream_all_end_well(world):
    processes = [streams_on(world), streams_on(world)]

    outcomes = await asyncio.gather(
        *(processes[n % 2].execute(world.student(), NAMES, STUDENT, add_the_next) for n in range(32))
    )

    assert names_in(world) == [str(n) for n in range(1, 33)]
    assert sorted(outcome.version for outcome in outcomes) == list(range(1, 33))


@pytest.mark.parametrize("processes", [1, 2, 4])
async def test_the_same_repeatable_command_32_times_at_once_is_done_once(world, processes):
    writing = [streams_on(world) for _ in range(processes)]
    again = world.asked_by(STUDENT, repeatable=True, command_id=world.new_id())

    outcomes = await asyncio.gather(
        *(writing[n % processes].execute(again, NAMES, STUDENT, add_the_next) for n in range(32))
    )

    assert names_in(world) == ["1"]
    assert {(outcome.state, outcome.version) for outcome in outcomes} == {(("1",), 1)}
    assert {outcome.events for outcome in outcomes} == {(named("1"),)}


async def test_commands_on_different_streams_do_not_wait_for_each_other(world):
    world.log = SlowLog()
    streams = streams_on(world)
    world.log.held = go_on = asyncio.Event()
    slow = asyncio.create_task(streams.execute(world.student(), NAMES, STUDENT, add("slow")))
    await world.log.reading.wait()

    await asyncio.wait_for(streams.execute(world.student(), NAMES, OTHER_STUDENT, add("quick")), timeout=10)

    assert not slow.done()
    go_on.set()
    await slow


async def test_a_command_that_is_given_up_keeps_nobody_waiting(world):
    world.log = SlowLog()
    streams = streams_on(world)
    world.log.held = asyncio.Event()
    stuck = asyncio.create_task(streams.execute(world.student(), NAMES, STUDENT, add("never")))
    await world.log.reading.wait()
    waiting = [
        asyncio.create_task(streams.execute(world.student(), NAMES, STUDENT, add(name))) for name in "ab"
    ]
    await asyncio.sleep(0)

    waiting[0].cancel()
    stuck.cancel()
    await asyncio.wait_for(waiting[1], timeout=10)

    assert names_in(world) == ["b"]


async def test_nothing_is_kept_of_streams_that_nobody_works_on(world, streams):
    await asyncio.gather(*(streams.execute(world.student(), NAMES, STUDENT, add(str(n))) for n in range(8)))

    assert len(streams._turns) == 0


class LosingLog(MemoryLog):
    async def append(self, appends):
        self.conflicts += 1
        raise VersionConflict(stream_id=appends[0].stream_id)


async def test_whoever_always_loses_is_told_so_in_the_end(world):
    log = LosingLog()

    with pytest.raises(VersionConflict):
        await streams_on(world, log).execute(world.student(), NAMES, STUDENT, add("1"))

    assert log.conflicts == MAX_TRIES


# -- several streams -----------------------------------------------------------------------------------------


async def test_appends_to_many_streams_go_in_together(world, streams):
    world.record(STUDENT, named("1"))

    await streams.execute_many(
        world.student(), [(STUDENT, 1, [named("2")]), (OTHER_STUDENT, 0, [named("a"), named("b")])]
    )

    assert (names_in(world), names_in(world, OTHER_STUDENT)) == (["1", "2"], ["a", "b"])
    assert (await streams.read(NAMES, OTHER_STUDENT)).version == 2


async def test_when_one_of_many_streams_moved_on_nothing_goes_in(world, streams):
    world.record(STUDENT, named("1"))

    with pytest.raises(VersionConflict):
        await streams.execute_many(
            world.student(), [(OTHER_STUDENT, 0, [named("a")]), (STUDENT, 0, [named("2")])]
        )

    assert (names_in(world), names_in(world, OTHER_STUDENT)) == (["1"], [])


async def test_streams_to_which_nothing_is_added_do_not_matter(world, streams):
    world.record(STUDENT, named("1"))

    await streams.execute_many(world.student(), [(STUDENT, 0, []), (OTHER_STUDENT, 0, [named("a")])])
    await streams.execute_many(world.student(), [(STUDENT, 0, [])])

    assert (names_in(world), names_in(world, OTHER_STUDENT)) == (["1"], ["a"])
