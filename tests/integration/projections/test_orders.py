"""What operators order of projections: recorded as events, and carried out once."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from commands.kinds import SYSTEM
from commands.projections.orders import (
    PauseProjection,
    ResumeProjection,
    RetryPoison,
    SkipPoison,
    UnknownProjection,
    orders_of,
    pause_projection,
    resume_projection,
    retry_poison,
    skip_poison,
)
from commands.reactions.projections import look_after_projections, tell_poison, tell_rebuilds
from commands.streams import Streams
from domain.events import Actor
from domain.system.projection_control import NothingSetAside
from domain.users.events import ProfileChanged
from infra.claims import PostgresClaims
from infra.composition import event_codec
from infra.event_store.append_log import PostgresEventLog
from infra.event_store.log_feed import LogFeed
from infra.observability.metrics import EventStoreMetrics, new_registry
from infra.postgres.roles import PROJECTOR, WRITER, role_conninfo
from infra.projections.checkpoints import read_checkpoint
from infra.projections.orders import OrderMustWait, ProjectionOrders
from infra.projections.rebuild import fingerprint, rebuild
from infra.projections.runner import ProjectionRunner
from projections.catalogue.projection import CatalogueProjection
from projections.people.projection import PeopleProjection
from tests.support.memory import World
from tests.support.postgres import ROLE_SECRET
from tests.support.projecting import broken_promises, eventually, set_aside
from tests.support.stored_story import store
from tests.support.story import Story

PEOPLE = PeopleProjection()


@pytest.fixture
def feed(database):
    with LogFeed(role_conninfo(database, PROJECTOR, ROLE_SECRET), event_codec()) as feed:
        yield feed


@pytest.fixture
def control(connect, feed):
    return ProjectionOrders(connect, feed, event_codec(), [PEOPLE])


@pytest.fixture
def world():
    return World()


@pytest.fixture
def operate(database, world, control):
    """Runs something with a write side over the real log and claims, as a process of its own."""
    conninfo = role_conninfo(database, WRITER, ROLE_SECRET)

    def run(what, *orders, **options):
        async def process():
            async with AsyncExitStack() as stack:
                pool = await stack.enter_async_context(AsyncConnectionPool(conninfo, min_size=1, open=False))
                log = await stack.enter_async_context(
                    PostgresEventLog(
                        conninfo, event_codec(), EventStoreMetrics.create(new_registry()), queue_limit=100
                    )
                )
                streams = Streams(log, world.clock, world.new_id)
                write = replace(world.write, streams=streams, claims=PostgresClaims(pool))
                if not orders:
                    return await what(write, options.get("control", control))
                context = world.asked_by("root", kind="operator")
                return await what(write, options.get("control", control), context, *orders)

        return asyncio.run(process())

    return run


@pytest.fixture
def recorded(database):
    """The facts about the projection `people`: type, and the event's own fields."""

    def read():
        with psycopg.connect(database) as connection:
            rows = connection.execute(
                "SELECT split_part(type, '.', 2), convert_from(payload, 'UTF8')::json FROM log.events"
                " WHERE stream_id LIKE 'system-%' ORDER BY stream_id, version"
            ).fetchall()
        assert all(fields["projection"] == "people" for _, fields in rows)
        return rows

    return read


@pytest.fixture
def follow(connect, feed):
    def run(until):
        # One by one: a constraint sees each state, and not only what a batch ends with.
        runner = ProjectionRunner(PEOPLE, feed, connect, batch_size=1, poll_interval_s=0.05)
        runner.start()
        try:
            eventually(lambda: until(runner))
        finally:
            assert runner.stop()

    return run


@pytest.fixture
def blocked(database):
    """While it is there, no person of the name `blocked` can be written."""
    admin = psycopg.connect(database, autocommit=True)
    admin.execute("ALTER TABLE read.people ADD CONSTRAINT no_entry CHECK (display_name <> 'blocked')")
    with admin:
        yield lambda: admin.execute("ALTER TABLE read.people DROP CONSTRAINT no_entry")


@pytest.fixture
def poisoned(database, follow, blocked):  # noqa: ARG001 - the constraint is there first
    """A story whose person `blocked` was set aside, with a later change of name behind it."""
    story = Story()
    story.person(name="first")
    student = story.person(name="blocked")
    story.person(name="last")
    story.add(student, ProfileChanged(display_name="renamed", language="en"))
    store(database, story)
    follow(lambda runner: runner.position == len(story.events))
    return story, student


def names(connection):
    rows = connection.execute("SELECT display_name FROM read.people ORDER BY user_id").fetchall()
    return [row["display_name"] for row in rows]


def test_a_paused_projection_stands_still_until_it_is_resumed(database, projector, operate, follow, recorded):
    story = Story()
    story.person(name="before")
    store(database, story)
    operate(pause_projection, PauseProjection(projection="people", reason="to look at it"))
    assert read_checkpoint(projector, "people").status == "paused"
    looked = []

    def looks_often(runner):
        looked.append(runner.position)
        return len(looked) > 30

    follow(looks_often)
    assert set(looked) == {0}
    assert names(projector) == []
    operate(resume_projection, ResumeProjection(projection="people"))
    follow(lambda runner: runner.position >= len(story.events))
    assert names(projector) == ["before"]
    assert [(kind, fields.get("reason")) for kind, fields in recorded()] == [
        ("projection_paused", "to look at it"),
        ("projection_resumed", None),
    ]


def test_a_projection_is_paused_in_the_middle_of_its_work(database, projector, operate, connect, feed):
    story = Story()
    for number in range(50):
        story.person(name=f"n{number}")
    store(database, story)
    runner = ProjectionRunner(PEOPLE, feed, connect, batch_size=1, poll_interval_s=0.05)
    runner.start()
    try:
        eventually(lambda: runner.position > 0)
        operate(pause_projection, PauseProjection(projection="people", reason="now"))
        stands_at = read_checkpoint(projector, "people").position
        operate(resume_projection, ResumeProjection(projection="people"))
        assert stands_at <= 50
        eventually(lambda: runner.position >= 50)
    finally:
        assert runner.stop()
    assert broken_promises(projector, PEOPLE, story) == []


def test_pausing_what_is_paused_and_resuming_what_runs_records_nothing(operate, recorded):
    operate(resume_projection, ResumeProjection(projection="people"))
    operate(pause_projection, PauseProjection(projection="people", reason="once"))
    operate(pause_projection, PauseProjection(projection="people", reason="twice"))
    assert [fields.get("reason") for _, fields in recorded()] == ["once"]


def test_what_was_set_aside_is_told_to_the_log_once_and_without_a_word_about_the_person(
    poisoned, operate, recorded
):
    _, student = poisoned
    for _ in range(3):
        operate(look_after_projections)
    [(kind, fields)] = recorded()
    assert kind == "poison_event_set_aside"
    assert fields == {
        "projection": "people",
        "event_position": 2,
        "event_stream_id": student,
        "event_version": 1,
        "event_type": "user.registered.v1",
        "error": "CheckViolation (23514)",
        "attempts": 1,
    }


@pytest.mark.usefixtures("poisoned")
def test_it_is_told_once_also_when_the_teller_dies_before_it_has_noted_so(operate, control, recorded):
    class Dies(ProjectionOrders):
        async def mark_told(self, _fact):
            raise InterruptedError

    dies = Dies(control._connect, control._feed, event_codec(), [PEOPLE])
    for _ in range(2):
        with pytest.raises(InterruptedError):
            operate(tell_poison, control=dies)
    assert operate(tell_poison) == 1
    assert len(recorded()) == 1
    assert operate(tell_poison) == 0


def test_a_retry_after_the_cause_is_gone_applies_everything_in_order(
    poisoned, operate, projector, blocked, recorded
):
    story, student = poisoned
    operate(tell_poison)
    blocked()
    operate(retry_poison, RetryPoison(projection="people", stream_id=student))
    assert names(projector) == ["first", "renamed", "last"]
    assert [each["status"] for each in set_aside(projector, "people")] == ["applied", "applied"]
    assert read_checkpoint(projector, "people").set_aside == 0
    assert broken_promises(projector, PEOPLE, story) == []
    assert [kind for kind, _ in recorded()] == ["poison_event_set_aside", "poison_event_retried"]


def test_after_a_retry_the_stream_goes_on(  # noqa: PLR0917 - fixtures
    poisoned, operate, projector, blocked, follow, database
):
    story, student = poisoned
    operate(tell_poison)
    blocked()
    operate(retry_poison, RetryPoison(projection="people", stream_id=student))
    told = len(story.events)
    # What was ordered stands in the log too, without a position so far: the story goes on behind it.
    story.add(student, ProfileChanged(display_name="again", language="en"))
    store(database, story, after=told)
    follow(lambda runner: runner.position >= len(story.events))
    assert names(projector) == ["first", "again", "last"]


def test_a_retry_in_vain_keeps_everything_in_its_place_and_is_told_again(
    poisoned, operate, projector, recorded
):
    story, student = poisoned
    operate(tell_poison)
    operate(retry_poison, RetryPoison(projection="people", stream_id=student))
    assert [(each["status"], each["attempts"]) for each in set_aside(projector, "people")] == [
        ("waiting", 2),
        ("waiting", 0),
    ]
    assert names(projector) == ["first", "last"]
    assert operate(tell_poison) == 1
    assert [(kind, fields.get("attempts")) for kind, fields in recorded()] == [
        ("poison_event_set_aside", 1),
        ("poison_event_retried", None),
        ("poison_event_set_aside", 2),
    ]
    assert broken_promises(projector, PEOPLE, story) == []


def test_a_retry_goes_as_far_as_it_can(database, projector, operate, follow, blocked):
    """The first is repaired, the third is not: it is the one to blame now."""
    story = Story()
    student = story.person(name="blocked")
    story.add(student, ProfileChanged(display_name="fine", language="en"))
    third = story.add(student, ProfileChanged(display_name="forbidden", language="en"))
    story.add(student, ProfileChanged(display_name="behind", language="en"))
    store(database, story)
    follow(lambda runner: runner.position == len(story.events))
    operate(tell_poison)
    blocked()
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("ALTER TABLE read.people ADD CONSTRAINT other CHECK (display_name <> 'forbidden')")
    operate(retry_poison, RetryPoison(projection="people", stream_id=student))
    found = set_aside(projector, "people")
    assert [each["status"] for each in found] == ["applied", "applied", "waiting", "waiting"]
    assert [each["error"] is None for each in found] == [False, True, False, True]
    assert (found[2]["position"], found[2]["attempts"]) == (third.position, 1)
    assert names(projector) == ["fine"]


def test_an_event_that_is_skipped_is_left_out_for_good_and_its_stream_goes_on(
    database, projector, operate, follow, recorded
):
    story = Story()
    student = story.person(name="student")
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("ALTER TABLE read.people ADD CONSTRAINT no_entry CHECK (display_name <> 'blocked')")
    bad = story.add(student, ProfileChanged(display_name="blocked", language="en"))
    story.add(student, ProfileChanged(display_name="renamed", language="en"))
    store(database, story)
    follow(lambda runner: runner.position == len(story.events))
    operate(tell_poison)
    operate(skip_poison, SkipPoison(projection="people", position=bad.position, reason="made by a test"))
    assert [each["status"] for each in set_aside(projector, "people")] == ["skipped", "applied"]
    assert names(projector) == ["renamed"]
    assert broken_promises(projector, PEOPLE, story) == []
    kind, fields = recorded()[-1]
    assert (kind, fields["event_position"]) == ("poison_event_skipped", bad.position)
    assert fields["reason"] == "made by a test"


@pytest.mark.usefixtures("poisoned")
def test_only_what_was_set_aside_can_be_retried_or_skipped(operate, recorded):
    operate(tell_poison)
    before = recorded()
    with pytest.raises(NothingSetAside):
        operate(skip_poison, SkipPoison(projection="people", position=1, reason="it was applied"))
    with pytest.raises(NothingSetAside):
        operate(skip_poison, SkipPoison(projection="people", position=4, reason="it only waits"))
    with pytest.raises(NothingSetAside):
        operate(retry_poison, RetryPoison(projection="people", stream_id=Story().new_id("user")))
    with pytest.raises(UnknownProjection):
        operate(pause_projection, PauseProjection(projection="peeple", reason="misspelt"))
    assert recorded() == before


def test_an_order_whose_giver_dies_before_it_is_carried_out_is_carried_out_by_whoever_looks_next(
    poisoned, operate, projector, control, blocked
):
    _, student = poisoned
    operate(tell_poison)
    blocked()

    class Dies(ProjectionOrders):
        async def carry_out(self, *_order):
            raise InterruptedError

    dies = Dies(control._connect, control._feed, event_codec(), [PEOPLE])
    with pytest.raises(InterruptedError):
        operate(retry_poison, RetryPoison(projection="people", stream_id=student), control=dies)
    assert names(projector) == ["first", "last"]
    assert operate(look_after_projections) == 1
    assert names(projector) == ["first", "renamed", "last"]
    assert operate(look_after_projections) == 0


def test_an_order_is_carried_out_once_however_many_carry_it_out(poisoned, operate, connect, feed, blocked):
    _, student = poisoned
    operate(tell_poison)
    blocked()
    applied = Counter()

    class Counts(PeopleProjection):
        def apply(self, cursor, events):
            applied.update(each.position for each in events)
            super().apply(cursor, events)

    counting = ProjectionOrders(connect, feed, event_codec(), [Counts()])
    operate(retry_poison, RetryPoison(projection="people", stream_id=student), control=counting)

    async def twice_at_once(write, control):
        orders = await orders_of(write, "people")
        await asyncio.gather(control.carry_out("people", orders), control.carry_out("people", orders))

    operate(twice_at_once, control=counting)
    assert applied == {2: 1, 4: 1}


def test_an_order_about_rows_of_another_release_waits_for_that_release(  # noqa: PLR0917 - fixtures
    poisoned, operate, connect, feed, blocked, projector
):
    class Newer(PeopleProjection):
        version = PeopleProjection.version + 1

    _, student = poisoned
    operate(tell_poison)
    blocked()
    newer = ProjectionOrders(connect, feed, event_codec(), [Newer()])
    with pytest.raises(OrderMustWait):
        operate(retry_poison, RetryPoison(projection="people", stream_id=student), control=newer)
    assert names(projector) == ["first", "last"]
    operate(look_after_projections)
    assert names(projector) == ["first", "renamed", "last"]


class NewerPeople(PeopleProjection):
    version = PeopleProjection.version + 1


@pytest.fixture
def rebuilt_by_itself(database, follow, connect, feed, projector):
    """The rows of an older release, made anew by the runner of a newer one."""
    story = Story()
    for name in ("one", "two"):
        story.person(name=name)
    store(database, story)
    follow(lambda runner: runner.position == 2)
    projector.execute("UPDATE read.people SET display_name = 'as an older release wrote it'")
    runner = ProjectionRunner(NewerPeople(), feed, connect, poll_interval_s=0.05)
    runner.start()
    try:
        eventually(lambda: read_checkpoint(projector, "people").version == NewerPeople.version)
    finally:
        assert runner.stop()
    assert names(projector) == ["one", "two"]


@pytest.mark.usefixtures("rebuilt_by_itself")
def test_a_rebuild_that_a_runner_made_by_itself_is_told_to_the_log_once(
    operate, recorded, projector, database
):
    for _ in range(2):
        operate(look_after_projections)
    [(kind, fact)] = recorded()
    [certificate] = projector.execute("SELECT certificate AS it FROM ops.rebuild_certificates").fetchall()
    assert kind == "projection_rebuilt"
    assert fact == {
        "projection": "people",
        "projection_version": NewerPeople.version,
        "up_to_position": 2,
        "events": 2,
        "rows": {"people": 2},
        "sha256": fingerprint(projector, NewerPeople()),
        "code_sha256": certificate["it"]["code_sha256"],
    }
    assert fact["sha256"] == certificate["it"]["rows"]["sha256"]
    with psycopg.connect(database) as connection:
        [(actor,)] = connection.execute(
            "SELECT convert_from(meta, 'UTF8')::json -> 'actor' FROM log.events"
            " WHERE stream_id LIKE 'system-%'"
        ).fetchall()
    assert actor == {"kind": "engine", "id": "projector"}


@pytest.mark.usefixtures("rebuilt_by_itself")
def test_what_waits_for_another_release_holds_up_nothing_of_this_one(operate, connect, feed, projector):
    both = ProjectionOrders(connect, feed, event_codec(), [PEOPLE, CatalogueProjection()])
    newer = ProjectionOrders(connect, feed, event_codec(), [NewerPeople(), CatalogueProjection()])
    with pytest.raises(OrderMustWait):
        operate(pause_projection, PauseProjection(projection="people", reason="of theirs"), control=both)

    class Dies(ProjectionOrders):
        async def carry_out(self, *_order):
            raise InterruptedError

    dies = Dies(connect, feed, event_codec(), [CatalogueProjection()])
    with pytest.raises(InterruptedError):
        operate(pause_projection, PauseProjection(projection="catalogue", reason="of both"), control=dies)
    assert operate(look_after_projections, control=both) == 2
    assert read_checkpoint(projector, "catalogue").status == "paused"
    assert read_checkpoint(projector, "people").status == "running"
    operate(look_after_projections, control=newer)
    assert read_checkpoint(projector, "people").status == "paused"


@pytest.mark.usefixtures("rebuilt_by_itself")
def test_a_rebuild_is_told_once_also_when_the_teller_dies_before_it_has_noted_so(operate, control, recorded):
    class Dies(ProjectionOrders):
        async def mark_rebuild_told(self, _rebuild):
            raise InterruptedError

    dies = Dies(control._connect, control._feed, event_codec(), [PEOPLE])
    for _ in range(2):
        with pytest.raises(InterruptedError):
            operate(tell_rebuilds, control=dies)
    assert operate(tell_rebuilds) == 1
    assert operate(tell_rebuilds) == 0
    assert [kind for kind, _ in recorded()] == ["projection_rebuilt"]


def test_each_rebuild_is_told_with_who_had_it_made(database, operate, feed, projector):
    story = Story()
    story.person()
    store(database, story)
    for who in (Actor("operator", "jiwoo"), Actor("operator", "minji")):
        rebuild(PEOPLE, feed, projector, ordered_by=who)
    assert operate(tell_rebuilds) == 2
    with psycopg.connect(database) as connection:
        actors = connection.execute(
            "SELECT convert_from(meta, 'UTF8')::json #>> '{actor,id}' FROM log.events"
            " WHERE stream_id LIKE 'system-%' ORDER BY version"
        ).fetchall()
    assert actors == [("jiwoo",), ("minji",)]


@pytest.mark.usefixtures("poisoned")
def test_the_stream_of_a_projection_tells_how_it_stands(operate):
    operate(tell_poison)
    operate(pause_projection, PauseProjection(projection="people", reason="meanwhile"))

    async def read(write, _control):
        return (await write.streams.read(SYSTEM, await orders_of(write, "people"))).state

    state = operate(read)
    assert state.paused
    assert set(state.set_aside) == {2}
