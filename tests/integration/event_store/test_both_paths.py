"""The same promises by both ways into the log: the library's Application, and the asynchronous path.

Each test runs over either. What is particular to one of them has a module of its own.
"""

import asyncio
from contextlib import asynccontextmanager

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError, PersistenceError

from commands.ports import StreamAppend, VersionConflict
from domain.events import RecordedEvent, Retention, UnknownEventType, event_type
from domain.users.events import ProfileChanged
from infra.event_store.append_log import EventLogUnreachable
from infra.event_store.codec import MAX_EVENT_BYTES, MalformedEvent, OversizedEvent
from infra.event_store.library import EventLogApplication, RecordedFact
from infra.postgres.roles import WRITER, role_conninfo
from tests.support.event_logs import CODEC, after, event_log, first, named, names, new, user
from tests.support.faults.proxy import Proxy
from tests.support.postgres import ROLE_SECRET
from tests.support.sequencing import broken_promises, order, sequenced


class LibraryPath:
    """The library's Application under the names of `commands.ports.EventLog`."""

    def __init__(self, application):
        self._application = application

    async def append(self, appends):
        facts = [
            RecordedFact(
                RecordedEvent(each.stream_id, each.expected_version + number, new.metadata, new.event)
            )
            for each in appends
            for number, new in enumerate(each.events, 1)
        ]
        try:
            await asyncio.to_thread(self._application.events.put, facts)
        except IntegrityError as error:
            raise VersionConflict(stream_id=appends[0].stream_id) from error
        except PersistenceError as error:
            raise EventLogUnreachable(retry_after_s=2) from error

    async def load(self, stream_id, after_version=0):
        facts = await asyncio.to_thread(
            lambda: list(self._application.events.get(stream_id, gt=after_version))
        )
        return [fact.recorded for fact in facts]


@asynccontextmanager
async def library_path(database):
    conninfo = role_conninfo(database, WRITER, ROLE_SECRET)
    with EventLogApplication(conninfo, CODEC, pool_size=4) as application:
        yield LibraryPath(application)


@pytest.fixture(params=[library_path, event_log], ids=["library", "async"])
def path(request):
    return request.param


async def test_what_was_appended_is_loaded_as_it_was(path, database):
    someone = user()
    one, two = named("하나"), named("둘")
    async with path(database) as log:
        await log.append([StreamAppend(someone, 0, (one,))])
        await log.append([StreamAppend(someone, 1, (two,))])
        assert await log.load(someone) == [
            RecordedEvent(someone, 1, one.metadata, one.event),
            RecordedEvent(someone, 2, two.metadata, two.event),
        ]
        assert names(await log.load(someone, 1)) == ["둘"]
        assert await log.load(user()) == []


async def test_one_path_reads_and_goes_on_from_what_the_other_wrote(database):
    someone = user()
    async with library_path(database) as library, event_log(database) as log:
        await library.append(first(someone, "1"))
        await log.append(after(1, someone, "2"))
        await library.append(after(2, someone, "3"))
        assert await library.load(someone) == await log.load(someone)
        assert names(await log.load(someone)) == ["1", "2", "3"]


async def test_what_both_store_of_an_event_is_the_same_to_the_byte(database):
    someone, event = user(), named("x")
    for path in (library_path, event_log):
        async with path(database) as log:
            await log.append([StreamAppend(someone, 0, (event,))])
        with psycopg.connect(database) as admin:
            rows = admin.execute("SELECT type, meta, payload, leaf FROM log.events").fetchall()
            admin.execute("ALTER TABLE log.events DISABLE TRIGGER append_only")
            admin.execute("DELETE FROM log.events")
            admin.execute("ALTER TABLE log.events ENABLE TRIGGER append_only")
        stored = CODEC.encode(RecordedEvent(someone, 1, event.metadata, event.event))
        assert rows == [(stored.type, stored.meta, stored.payload, stored.leaf)]


async def test_an_append_at_another_version_than_the_streams_stores_nothing(path, database):
    someone = user()
    async with path(database) as log:
        await log.append(first(someone, "1", "2"))
        for version in (0, 1, 3):
            with pytest.raises(VersionConflict):
                await log.append(after(version, someone, "x", "y"))
        assert names(await log.load(someone)) == ["1", "2"]


async def test_appends_to_several_streams_go_in_together_or_not_at_all(path, database):
    taken, free = user(), user()
    async with path(database) as log:
        await log.append(first(taken, "1"))
        with pytest.raises(VersionConflict):
            await log.append([*first(free, "half"), *first(taken, "x")])
        assert await log.load(free) == []
        await log.append([*first(free, "1", "2"), *after(1, taken, "2")])
        assert names(await log.load(free)) == names(await log.load(taken)) == ["1", "2"]


async def test_an_append_of_no_events_is_nothing_at_all(path, database):
    someone = user()
    async with path(database) as log:
        await log.append([])
        await log.append([StreamAppend(someone, 5, ())])
        assert await log.load(someone) == []


async def test_a_save_that_is_repeated_is_no_conflict_with_itself(path, database):
    someone = user()
    once = [StreamAppend(someone, 0, (named("1"), named("2")))]
    async with path(database) as log:
        await log.append(once)
        await log.append(once)
        assert names(await log.load(someone)) == ["1", "2"]


async def test_of_many_writers_at_one_version_exactly_one_wins(path, database):
    someone = user()
    async with path(database) as log:
        outcomes = await asyncio.gather(
            *(log.append(first(someone, f"{n}")) for n in range(16)), return_exceptions=True
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == [
            "NoneType",
            *["VersionConflict"] * 15,
        ]
        assert len(await log.load(someone)) == 1


@event_type("user.unheard_of", retention=Retention.STATE)
class UnheardOf(ProfileChanged, frozen=True, kw_only=True):
    display_name: str = ""


@pytest.mark.parametrize(
    ("event", "refusal"),
    [
        (ProfileChanged(display_name=7, language="ko"), MalformedEvent),
        (ProfileChanged(display_name="x" * MAX_EVENT_BYTES, language="ko"), OversizedEvent),
        (UnheardOf(language="ko"), UnknownEventType),
    ],
    ids=["malformed", "too large", "unknown type"],
)
async def test_an_event_that_cannot_be_stored_leaves_nothing_behind(path, database, event, refusal):
    someone = user()
    async with path(database) as log:
        with pytest.raises(refusal):
            await log.append([StreamAppend(someone, 0, (named("before it"), new(event)))])
        assert await log.load(someone) == []
        await log.append(first(someone, "after it"))


async def test_a_lost_answer_is_an_acknowledgement_and_a_lost_request_is_sent_again(path, database):
    someone = user()
    with Proxy.to(database) as line:
        async with path(line.conninfo(database)) as log:
            await log.append(first(someone, "1"))
            line.lose_answer(someone.encode())
            await log.append(after(1, someone, "2"))
            line.lose_request(someone.encode())
            await log.append(after(2, someone, "3"))
            assert names(await log.load(someone)) == ["1", "2", "3"]


async def test_connections_that_were_killed_are_replaced(path, database):
    someone = user()
    async with path(database) as log:
        await log.append(first(someone, "before"))
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'megacity_writer'"
                " AND datname = current_database()"
            )
        await log.append(after(1, someone, "after"))
        assert names(await log.load(someone)) == ["before", "after"]


async def test_a_server_that_is_away_is_unreachable_and_comes_back(path, database):
    someone = user()
    with Proxy.to(database) as line:
        async with path(line.conninfo(database)) as log:
            await log.append(first(someone, "1"))
            line.refuse()
            with pytest.raises(EventLogUnreachable):
                await log.append(after(1, someone, "2"))
            line.accept()
            await log.append(after(1, someone, "2"))


async def test_appends_of_all_sizes_at_once_are_sequenced_with_nothing_amiss(path, database):
    streams = [user() for _ in range(12)]

    async def client(log, someone):
        version = 0
        for size in (1, 3, 2, 5, 1):
            await log.append(after(version, someone, *["x"] * size))
            version += size

    async with path(database) as log:
        await asyncio.gather(*(client(log, someone) for someone in streams))
    acknowledged = [(someone, version) for someone in streams for version in range(1, 13)]
    assert sequenced(database) == len(order(database)) == len(acknowledged)
    assert broken_promises(database, acknowledged) == []
