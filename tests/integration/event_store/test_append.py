"""Appending and loading over a real PostgreSQL: what the port promises, whoever else is about."""

import asyncio
from datetime import datetime

import psycopg
import pytest

from commands.ports import StreamAppend, VersionConflict
from domain.events import Retention, UnknownEventType, event_type
from domain.users.events import ProfileChanged
from infra.event_store.append_log import EventLogBusy
from infra.event_store.append_queue import MAX_BATCH
from infra.event_store.codec import MAX_EVENT_BYTES, MalformedEvent, OversizedEvent
from infra.event_store.leaves import leaf_hash
from infra.event_store.line import Statement
from infra.postgres.roles import WRITER, role_conninfo
from tests.support.event_logs import after, event_log, first, named, names, new, user
from tests.support.postgres import ROLE_SECRET


def stored(database, columns="stream_id, version, type, meta, payload, leaf"):
    with psycopg.connect(database) as admin:
        return admin.execute(f"SELECT {columns} FROM log.events ORDER BY append_id").fetchall()


async def test_what_was_appended_is_loaded_in_order_with_its_metadata(database):
    someone = user()
    one, two = named("하나"), named("둘")
    async with event_log(database) as log:
        await log.append([StreamAppend(someone, 0, (one, two))])
        loaded = await log.load(someone)
        assert [(event.version, event.metadata, event.event) for event in loaded] == [
            (1, one.metadata, one.event),
            (2, two.metadata, two.event),
        ]
        assert names(await log.load(someone, after_version=1)) == ["둘"]
        assert await log.load(user()) == []


async def test_what_is_stored_has_its_leaf(database):
    someone = user()
    event = named("잎")
    async with event_log(database) as log:
        await log.append([StreamAppend(someone, 0, (event,))])
    [(stream_id, version, type_, meta, payload, leaf)] = stored(database)
    assert (stream_id, version, type_) == (someone, 1, "user.profile_changed.v1")
    assert leaf == leaf_hash(someone, 1, type_, meta, event.metadata.event_id, payload)


async def test_an_append_at_an_old_version_conflicts_and_stores_nothing(database):
    someone = user()
    async with event_log(database) as log:
        await log.append(first(someone, "first"))
        with pytest.raises(VersionConflict):
            await log.append(first(someone, "late", "later"))
        assert names(await log.load(someone)) == ["first"]


async def test_a_partial_overlap_stores_nothing(database):
    someone = user()
    async with event_log(database) as log:
        await log.append(first(someone, "1", "2"))
        with pytest.raises(VersionConflict):
            await log.append(after(1, someone, "two again", "3", "4"))
        assert names(await log.load(someone)) == ["1", "2"]


async def test_an_append_past_the_end_of_a_stream_conflicts(database):
    someone = user()
    async with event_log(database) as log:
        await log.append(first(someone, "1"))
        for version in (2, 7):
            with pytest.raises(VersionConflict):
                await log.append(after(version, someone, "too far"))
        assert names(await log.load(someone)) == ["1"]


async def test_appends_to_many_streams_are_durable_together_or_not_at_all(database):
    taken, free, other = user(), user(), user()
    async with event_log(database) as log:
        await log.append(first(taken, "taken"))
        with pytest.raises(VersionConflict) as refusal:
            await log.append([*first(free, "half", "half"), *first(taken, "x")])
        assert refusal.value.stream_id == taken
        assert await log.load(free) == []
        await log.append([*after(1, taken, "2", "3"), *first(other, "1"), *first(free, "1", "2")])
        assert names(await log.load(taken)) == ["taken", "2", "3"]
        assert names(await log.load(free)) == ["1", "2"]
    with psycopg.connect(database) as admin:
        [(transactions,)] = admin.execute(
            "SELECT count(DISTINCT xid) FROM log.events WHERE NOT (stream_id = %s AND version = 1)", [taken]
        ).fetchall()
    assert transactions == 1


async def test_two_appends_to_one_stream_in_a_command_are_one(database):
    someone, other = user(), user()
    async with event_log(database) as log:
        await log.append([*first(someone, "1"), *first(other, "a"), *after(1, someone, "2")])
        assert names(await log.load(someone)) == ["1", "2"]
        with pytest.raises(VersionConflict):
            await log.append([*after(2, someone, "3"), *after(2, someone, "3 as well")])
        assert names(await log.load(someone)) == ["1", "2"]


async def test_an_append_of_no_events_asks_for_nothing_and_gets_it(database):
    someone = user()
    async with event_log(database) as log:
        await log.append([])
        await log.append([StreamAppend(someone, 0, ()), StreamAppend(user(), 17, ())])
        assert await log.load(someone) == []
        await log.append([StreamAppend(someone, 9, ()), *first(someone, "1")])
        assert names(await log.load(someone)) == ["1"]
    assert stored(database, "version") == [(1,)]


async def test_of_32_writers_at_one_version_exactly_one_wins(database):
    someone = user()
    async with event_log(database) as log, event_log(database) as another:
        outcomes = await asyncio.gather(
            *((log, another)[n % 2].append(first(someone, str(n))) for n in range(32)),
            return_exceptions=True,
        )
        assert sum(outcome is None for outcome in outcomes) == 1
        assert sum(isinstance(outcome, VersionConflict) for outcome in outcomes) == 31
        assert len(await log.load(someone)) == 1


async def test_two_commands_for_one_stream_never_stand_in_one_call(database):
    # Queued at the same moment, and each right only after the one before it.
    someone, others = user(), [user() for _ in range(40)]
    async with event_log(database) as log:
        outcomes = await asyncio.gather(
            *(log.append(after(n, someone, f"{n}", f"{n} too")) for n in range(0, 40, 2)),
            *(log.append(first(other, "x")) for other in others),
        )
        assert set(outcomes) == {None}
        assert names(await log.load(someone)) == [
            word for n in range(0, 40, 2) for word in (f"{n}", f"{n} too")
        ]
    with psycopg.connect(database) as admin:
        [(calls,)] = admin.execute(
            "SELECT count(DISTINCT xid) FROM log.events WHERE stream_id = %s", [someone]
        ).fetchall()
    assert calls == 20


async def test_a_save_that_is_repeated_after_a_lost_answer_is_no_conflict_with_itself(database):
    someone, other, event = user(), user(), named("once")
    once = [StreamAppend(someone, 0, (event, named("twice")))]
    both = [StreamAppend(someone, 2, (named("3"),)), StreamAppend(other, 0, (named("1"),))]
    async with event_log(database) as log:
        for _ in range(2):
            await log.append(once)
        for _ in range(2):
            await log.append(both)
        assert names(await log.load(someone)) == ["once", "twice", "3"]
        assert names(await log.load(other)) == ["1"]


async def test_commands_that_wait_share_a_transaction(database):
    async with event_log(database) as log:
        await asyncio.gather(*(log.append(first(user(), "x")) for _ in range(64)))
    transactions = {xid for (xid,) in stored(database, "xid::text")}
    assert len(stored(database)) == 64
    assert len(transactions) < 16


async def test_more_commands_than_a_call_holds_are_all_saved(database):
    streams = [user() for _ in range(3 * MAX_BATCH)]
    async with event_log(database) as log:
        await asyncio.gather(*(log.append(first(someone, "x")) for someone in streams))
    assert sorted(stream_id for (stream_id,) in stored(database, "stream_id")) == sorted(streams)


async def test_a_conflict_in_a_shared_transaction_is_its_own_commands_alone(database):
    taken = user()
    others = [user() for _ in range(20)]
    async with event_log(database) as log:
        await log.append(first(taken, "first"))
        late = [log.append(first(taken, "late"))]
        huge = [log.append(first(user(), "가" * MAX_EVENT_BYTES))]
        fine = [log.append(first(other, "fine", "too")) for other in others]
        outcomes = await asyncio.gather(*fine[:10], *late, *huge, *fine[10:], return_exceptions=True)
        assert [type(outcome) for outcome in outcomes if outcome is not None] == [
            VersionConflict,
            OversizedEvent,
        ]
        assert [names(await log.load(other)) for other in others] == [["fine", "too"]] * 20
        assert names(await log.load(taken)) == ["first"]


@event_type("user.unheard_of", retention=Retention.STATE)
class UnheardOf(ProfileChanged, frozen=True, kw_only=True):
    display_name: str = ""


@pytest.mark.parametrize(
    ("event", "refusal"),
    [
        (ProfileChanged(display_name=7, language="ko"), MalformedEvent),
        (ProfileChanged(display_name="\ud800", language="ko"), MalformedEvent),
        (ProfileChanged(display_name="x" * MAX_EVENT_BYTES, language="ko"), OversizedEvent),
        (UnheardOf(language="ko"), UnknownEventType),
    ],
    ids=["wrong type", "no text", "too large", "unknown type"],
)
async def test_an_event_that_cannot_be_stored_is_refused_and_the_log_lives_on(database, event, refusal):
    someone = user()
    async with event_log(database) as log:
        with pytest.raises(refusal):
            await log.append([StreamAppend(someone, 0, (named("before it"), new(event)))])
        assert await log.load(someone) == []
        await log.append(first(someone, "after it"))
        assert names(await log.load(someone)) == ["after it"]
        assert log._in_flight == 0


async def test_a_time_without_a_zone_is_refused_for_nobody_could_compare_it(database):
    async with event_log(database) as log:
        changed = ProfileChanged(display_name="x", language="ko")
        with pytest.raises(MalformedEvent):
            await log.append([StreamAppend(user(), 0, (new(changed, recorded_at=datetime(2026, 3, 2)),))])  # noqa: DTZ001 - it is what is refused


async def test_what_the_server_refuses_is_its_own_commands_alone_and_the_log_lives_on(database):
    others = [user() for _ in range(20)]
    async with event_log(database) as log:
        fine = [log.append(first(other, "fine")) for other in others]
        bad = log.append(first("user-\0", "no text of PostgreSQL's"))
        outcomes = await asyncio.gather(*fine[:10], bad, *fine[10:], return_exceptions=True)
        assert [type(outcome) for outcome in outcomes if outcome is not None] == [
            psycopg.errors.CharacterNotInRepertoire
        ]
        await log.append(after(1, others[0], "after it"))
        assert [names(await log.load(other)) for other in others] == [["fine", "after it"], *[["fine"]] * 19]


@pytest.mark.parametrize("version", [-1, 2**63 - 1, 2**70])
async def test_a_version_that_no_stream_can_have_is_a_conflict(database, version):
    someone, other = user(), user()
    async with event_log(database) as log:
        outcomes = await asyncio.gather(
            log.append(after(version, someone, "x")), log.append(first(other, "x")), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [VersionConflict, type(None)]


async def test_a_request_that_is_cancelled_holds_nobody_up(database):
    async with event_log(database) as log:
        tasks = [asyncio.create_task(log.append(first(user(), "x"))) for _ in range(8)]
        await asyncio.sleep(0)
        tasks[3].cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [outcome for outcome in outcomes if outcome is not None] == [outcomes[3]]
        assert isinstance(outcomes[3], asyncio.CancelledError)
        assert (log._in_flight, log._bytes_in_flight) == (0, 0)
        someone = user()
        await log.append(first(someone, "after"))
        assert names(await log.load(someone)) == ["after"]


async def test_more_calls_than_may_wait_are_refused_at_once_and_store_nothing(database):
    async with event_log(database, queue_limit=2) as log:
        streams = [user() for _ in range(6)]
        outcomes = await asyncio.gather(
            *(log.append(first(someone, "x")) for someone in streams), return_exceptions=True
        )
        refused = [s for s, outcome in zip(streams, outcomes, strict=True) if outcome is not None]
        assert len(refused) == 4
        assert all(isinstance(outcome, EventLogBusy) for outcome in outcomes if outcome is not None)
        assert [len(await log.load(someone)) for someone in refused] == [0] * 4


async def test_more_bytes_than_may_wait_are_refused_but_one_command_always_fits(database):
    large = "x" * 10_000
    async with event_log(database, queue_limit_bytes=15_000) as log:
        streams = [user() for _ in range(3)]
        outcomes = await asyncio.gather(
            *(log.append(first(someone, large)) for someone in streams), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [type(None), EventLogBusy, EventLogBusy]
        someone = user()
        await log.append(first(someone, large, large))
        assert len(await log.load(someone)) == 2


@pytest.mark.parametrize("table", ["events", "positions"])
@pytest.mark.parametrize("verb", ["UPDATE log.{} SET append_id = 0", "DELETE FROM log.{}", "TRUNCATE log.{}"])
@pytest.mark.parametrize("role", ["megacity_writer", "superuser"])
async def test_nobody_changes_or_removes_an_event_or_a_position(database, table, verb, role):
    async with event_log(database) as log:
        await log.append(first(user(), "kept"))
    conninfo = database if role == "superuser" else role_conninfo(database, WRITER, ROLE_SECRET)
    with psycopg.connect(conninfo) as connection, pytest.raises(psycopg.Error) as refusal:
        connection.execute(verb.format(table))
    # An identity column is refused before the trigger is asked.
    assert refusal.value.sqlstate in {"42501", "428C9"}


async def test_the_connections_have_every_parameter_of_the_conninfo(database):
    extra = "application_name='log of a test' options='-c statement_timeout=54321'"
    settings = Statement(
        "settings",
        "SELECT name, setting FROM pg_settings WHERE name IN ('application_name', 'statement_timeout')",
        (),
    )
    someone = user()
    async with event_log(f"{database} {extra}") as log:
        await log.append(first(someone, "x"))
        await log.load(someone)
        for connection in (log._flushers[0].connection, log._readers._idle[-1]):
            rows = await connection.execute(settings, ())
            assert dict(rows) == {"application_name": "log of a test", "statement_timeout": "54321"}


async def test_an_acknowledgement_means_on_disk_whatever_the_database_says(database):
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("ALTER ROLE megacity_writer SET synchronous_commit = off")
    try:
        async with event_log(f"{database} options='-c synchronous_commit=local'") as log:
            await log.append(first(user(), "x"))
            rows = await log._flushers[0].connection.execute(
                Statement("commit", "SHOW synchronous_commit", ()), ()
            )
            assert rows == [("on",)]
    finally:
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute("ALTER ROLE megacity_writer RESET synchronous_commit")
