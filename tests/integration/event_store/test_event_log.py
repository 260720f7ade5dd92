"""The event log over a real PostgreSQL: what the port promises, under contention and broken connections."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg
import pytest
from eventsourcing.persistence import OperationalError

from commands.ports import NewEvent, StreamAppend, VersionConflict
from domain.events import Actor, Event, EventMetadata, UnknownEventType
from domain.identifiers import stream_id
from domain.users.events import ProfileChanged, RoleGranted
from infra.composition import event_codec, new_id
from infra.event_store.codec import MAX_EVENT_BYTES, OversizedEvent
from infra.event_store.library import EventLogApplication, library_environment
from infra.event_store.library_feed import LibraryEventFeed
from infra.event_store.log import EventLogBusy, EventLogUnreachable, LibraryEventLog
from infra.observability.metrics import EventStoreMetrics, new_registry
from infra.postgres.roles import PROJECTOR, WRITER, role_conninfo
from tests.support.postgres import ROLE_SECRET

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@contextmanager
def event_log(database: str, *, threads: int = 4, queue_limit: int = 100) -> Iterator[LibraryEventLog]:
    conninfo = role_conninfo(database, WRITER, ROLE_SECRET)
    with EventLogApplication(library_environment(conninfo, pool_size=threads), event_codec()) as application:
        log = LibraryEventLog(
            application, EventStoreMetrics.create(new_registry()), threads=threads, queue_limit=queue_limit
        )
        try:
            yield log
        finally:
            log.close()


@contextmanager
def event_feed(database: str) -> Iterator[LibraryEventFeed]:
    conninfo = role_conninfo(database, PROJECTOR, ROLE_SECRET)
    codec = event_codec()
    with EventLogApplication(library_environment(conninfo, pool_size=2), codec) as application:
        yield LibraryEventFeed(application, codec, conninfo)


def new(event: Event) -> NewEvent:
    metadata = EventMetadata(
        event_id=new_id(),
        actor=Actor("operator", "test"),
        zone_id="univprep",
        org_id=None,
        correlation_id="c",
        causation_id="k",
        recorded_at=NOON,
    )
    return NewEvent(metadata, event)


def named(name: str) -> NewEvent:
    return new(ProfileChanged(display_name=name, language="ko"))


def user() -> str:
    return stream_id("user", new_id())


def names(recorded: object) -> list[str]:
    return [event.event.display_name for event in recorded]  # type: ignore[attr-defined]


async def test_what_was_appended_is_loaded_in_order_with_its_metadata(database):
    someone = user()
    first, second = named("하나"), named("둘")
    with event_log(database) as log:
        await log.append([StreamAppend(someone, 0, (first, second))])
        loaded = await log.load(someone)
        assert [(event.version, event.metadata, event.event) for event in loaded] == [
            (1, first.metadata, first.event),
            (2, second.metadata, second.event),
        ]
        assert names(await log.load(someone, after_version=1)) == ["둘"]
        assert await log.load(user()) == []


async def test_an_append_at_an_old_version_conflicts_and_stores_nothing(database):
    someone = user()
    with event_log(database) as log:
        await log.append([StreamAppend(someone, 0, (named("first"),))])
        with pytest.raises(VersionConflict):
            await log.append([StreamAppend(someone, 0, (named("late"), named("later")))])
        assert names(await log.load(someone)) == ["first"]


async def test_appends_to_many_streams_are_durable_together_or_not_at_all(database):
    taken, free = user(), user()
    with event_log(database) as log:
        await log.append([StreamAppend(taken, 0, (named("taken"),))])
        with pytest.raises(VersionConflict):
            await log.append([StreamAppend(free, 0, (named("half"),)), StreamAppend(taken, 0, (named("x"),))])
        assert await log.load(free) == []


async def test_of_32_writers_at_one_version_exactly_one_wins(database):
    someone = user()
    with event_log(database, threads=8) as log:
        outcomes = await asyncio.gather(
            *(log.append([StreamAppend(someone, 0, (named(str(n)),))]) for n in range(32)),
            return_exceptions=True,
        )
        assert sum(outcome is None for outcome in outcomes) == 1
        assert sum(isinstance(outcome, VersionConflict) for outcome in outcomes) == 31
        assert len(await log.load(someone)) == 1


async def test_a_save_that_is_repeated_after_a_lost_answer_is_no_conflict_with_itself(database):
    someone, event = user(), named("once")
    with event_log(database) as log:
        await log.append([StreamAppend(someone, 0, (event,))])
        await log.append([StreamAppend(someone, 0, (event,))])
        assert names(await log.load(someone)) == ["once"]


async def test_appends_go_on_after_all_connections_were_killed(database):
    someone = user()
    with event_log(database) as log:
        await log.append([StreamAppend(someone, 0, (named("before"),))])
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'megacity_writer'"
            )
        await log.append([StreamAppend(someone, 1, (named("after"),))])
        assert names(await log.load(someone)) == ["before", "after"]


async def test_more_calls_than_may_wait_are_refused_at_once_and_store_nothing(database):
    with event_log(database, threads=1, queue_limit=2) as log:
        streams = [user() for _ in range(6)]
        outcomes = await asyncio.gather(
            *(log.append([StreamAppend(someone, 0, (named("x"),))]) for someone in streams),
            return_exceptions=True,
        )
        refused = [s for s, outcome in zip(streams, outcomes, strict=True) if outcome is not None]
        assert len(refused) == 4
        assert all(isinstance(outcome, EventLogBusy) for outcome in outcomes if outcome is not None)
        assert [len(await log.load(someone)) for someone in refused] == [0] * 4


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log.megacity_events SET topic = 'x'",
        "DELETE FROM log.megacity_events",
        "TRUNCATE log.megacity_events",
    ],
)
@pytest.mark.parametrize("role", ["megacity_writer", "superuser"])
async def test_nobody_changes_or_removes_an_event(database, statement, role):
    with event_log(database) as log:
        await log.append([StreamAppend(user(), 0, (named("kept"),))])
    conninfo = database if role == "superuser" else role_conninfo(database, WRITER, ROLE_SECRET)
    with psycopg.connect(conninfo) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


async def test_the_feed_gives_everything_in_order_and_says_how_far_it_looked(database):
    a, b = user(), user()
    with event_log(database) as log, event_feed(database) as feed:
        assert feed.head() == 0
        await log.append([StreamAppend(a, 0, (named("1"), named("2")))])
        await log.append([StreamAppend(b, 0, (new(RoleGranted(role="student")),))])
        page = feed.read(0, 2)
        assert [event.recorded.stream_id for event in page.events] == [a, a]
        assert page.up_to == page.events[-1].position
        rest = feed.read(page.up_to, 10)
        assert [event.recorded.stream_id for event in rest.events] == [b]
        assert rest.up_to == feed.head()
        only_roles = feed.read(0, 10, [RoleGranted])
        assert [type(event.recorded.event) for event in only_roles.events] == [RoleGranted]
        nothing = feed.read(feed.head(), 10, [RoleGranted])
        assert nothing.events == []
        assert nothing.up_to == feed.head()


async def test_a_waiting_reader_is_woken_by_an_append(database):
    with event_log(database) as log, event_feed(database) as feed:
        waiting = asyncio.create_task(asyncio.to_thread(feed.wait, 0, 60.0))
        await asyncio.sleep(0)
        await log.append([StreamAppend(user(), 0, (named("x"),))])
        # Far below the reader's own time limit: only the notification can have ended the wait.
        await asyncio.wait_for(waiting, timeout=30)
        assert feed.read(0, 10).events


async def test_an_event_of_an_unknown_type_stops_the_reader_and_names_itself(database):
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            "INSERT INTO log.megacity_events (originator_id, originator_version, topic, state) "
            "VALUES (%s, 1, 'user.unheard_of.v1', %s)",
            (
                user(),
                event_codec().encode(_recorded(named("x")))[1],
            ),
        )
    with event_feed(database) as feed, pytest.raises(UnknownEventType, match="unknown-event-type"):
        feed.read(0, 10)


def _recorded(event: NewEvent):
    from domain.events import RecordedEvent

    return RecordedEvent(user(), 1, event.metadata, event.event)


async def test_commands_that_wait_share_a_transaction(database):
    with event_log(database) as log:
        await asyncio.gather(*(log.append([StreamAppend(user(), 0, (named("x"),))]) for _ in range(64)))
    with psycopg.connect(database) as admin:
        [(events, transactions)] = admin.execute(
            "SELECT count(*), count(DISTINCT xmin::text) FROM log.megacity_events"
        ).fetchall()
    assert events == 64
    assert transactions < 16


async def test_a_conflict_in_a_shared_transaction_is_its_own_commands_alone(database):
    taken = user()
    others = [user() for _ in range(20)]
    with event_log(database) as log:
        await log.append([StreamAppend(taken, 0, (named("first"),))])
        late = [log.append([StreamAppend(taken, 0, (named("late"),))])]
        huge = [log.append([StreamAppend(user(), 0, (named("가" * MAX_EVENT_BYTES),))])]
        fine = [log.append([StreamAppend(other, 0, (named("fine"),))]) for other in others]
        outcomes = await asyncio.gather(*fine[:10], *late, *huge, *fine[10:], return_exceptions=True)
        assert [type(outcome) for outcome in outcomes if outcome is not None] == [
            VersionConflict,
            OversizedEvent,
        ]
        assert [names(await log.load(other)) for other in others] == [["fine"]] * 20
        assert names(await log.load(taken)) == ["first"]


async def test_a_request_that_is_cancelled_holds_nobody_up(database):
    with event_log(database, threads=1) as log:
        tasks = [asyncio.create_task(log.append([StreamAppend(user(), 0, (named("x"),))])) for _ in range(8)]
        await asyncio.sleep(0)
        tasks[3].cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [outcome for outcome in outcomes if outcome is not None] == [outcomes[3]]
        assert isinstance(outcomes[3], asyncio.CancelledError)
        someone = user()
        await log.append([StreamAppend(someone, 0, (named("after"),))])
        assert names(await log.load(someone)) == ["after"]


async def test_the_connections_have_every_parameter_of_the_conninfo(database):
    extra = "application_name='log of a test' options='-c statement_timeout=54321'"
    someone = user()
    with event_log(f"{database} {extra}") as log:
        await log.append([StreamAppend(someone, 0, (named("x"),))])
        with log._application.factory.datastore.get_connection() as connection:
            settings = connection.execute(
                "SELECT name, setting FROM pg_settings"
                " WHERE name IN ('application_name', 'statement_timeout')"
            ).fetchall()
        assert {row["name"]: row["setting"] for row in settings} == {
            "application_name": "log of a test",
            "statement_timeout": "54321",
        }


async def test_a_conflict_that_cannot_be_looked_into_is_its_own_commands_alone(database, monkeypatch):
    taken = user()
    others = [user() for _ in range(6)]
    with event_log(database) as log:
        await log.append([StreamAppend(taken, 0, (named("first"),))])

        def lost(*_):
            raise OperationalError("the connection is lost")

        monkeypatch.setattr(log, "_is_ours", lost)
        late = log.append([StreamAppend(taken, 0, (named("late"),))])
        fine = [log.append([StreamAppend(other, 0, (named("fine"),))]) for other in others]
        outcomes = await asyncio.gather(*fine[:3], late, *fine[3:], return_exceptions=True)
        assert [type(outcome) for outcome in outcomes if outcome is not None] == [EventLogUnreachable]
        assert [names(await log.load(other)) for other in others] == [["fine"]] * 6
