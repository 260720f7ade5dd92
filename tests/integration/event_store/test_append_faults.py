"""Appending when something is in the way: an open transaction, a broken line, a server that is away."""

import asyncio
import threading
from contextlib import contextmanager
from time import monotonic

import psycopg
import pytest

from commands.ports import StreamAppend, VersionConflict
from infra.event_store.append_log import EventLogBusy, EventLogUnreachable
from infra.event_store.append_queue import APPEND, call_parameters, encoded
from infra.event_store.arrays import register_arrays
from infra.postgres.roles import WRITER, role_conninfo
from tests.support.api import eventually
from tests.support.event_logs import CODEC, after, event_log, first, named, names, user
from tests.support.faults.proxy import Proxy
from tests.support.postgres import ROLE_SECRET


@contextmanager
def as_writer(database, *, autocommit=True):
    with psycopg.connect(role_conninfo(database, WRITER, ROLE_SECRET), autocommit=autocommit) as connection:
        register_arrays(connection)
        yield connection


def call(connection, *appends):
    """One call of the server's function, as another process makes it; the streams that lost."""
    events = encoded(appends, CODEC)
    cursor = psycopg.RawCursor(connection).execute(APPEND.sql, call_parameters(events))
    return [row[0] for row in cursor.fetchall()]


@contextmanager
def held_open(database, *appends):
    """Another process has appended and has not committed yet; it rolls back at the end."""
    with as_writer(database, autocommit=False) as connection:
        call(connection, *appends)
        yield connection
        connection.rollback()


async def test_an_append_that_another_process_holds_open_delays_nobody_else(database):
    held, others = user(), [user() for _ in range(50)]
    async with event_log(database) as log:
        with held_open(database, *first(held, "theirs")) as another:
            waiting = asyncio.create_task(log.append(first(held, "ours")))
            await asyncio.gather(*(log.append(first(other, "1")) for other in others))
            await asyncio.gather(*(log.append(after(1, other, "2")) for other in others))
            assert not waiting.done()
            another.rollback()
            await waiting
        assert names(await log.load(held)) == ["ours"]


async def test_a_command_whose_caller_goes_away_while_it_is_saved_holds_nobody_up(database):
    held = user()
    async with event_log(database) as log:
        with held_open(database, *first(held, "theirs")) as another:
            gone = asyncio.create_task(log.append(first(held, "ours")))
            await asyncio.to_thread(eventually, lambda: held in log._queue._busy)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            another.rollback()
        # It was under way, so it is saved.
        await log.append(after(1, held, "the next"))
        assert names(await log.load(held)) == ["ours", "the next"]
        await asyncio.gather(*(log.append(first(user(), "x")) for _ in range(100)))


async def test_an_append_conflicts_when_the_other_process_commits_first(database):
    held = user()
    async with event_log(database) as log:
        with held_open(database, *first(held, "theirs")) as another:
            waiting = [asyncio.create_task(log.append(first(held, "ours"))) for _ in range(3)]
            await asyncio.sleep(0)
            another.commit()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [VersionConflict] * 3
        assert names(await log.load(held)) == ["theirs"]


async def test_an_append_that_stays_held_is_told_to_come_back(database):
    held, free = user(), user()
    async with event_log(database) as log:
        with held_open(database, *first(held, "theirs")):
            for appends in (first(held, "ours"), [*first(free, "ours"), *first(held, "ours")]):
                with pytest.raises(EventLogBusy):
                    await log.append(appends)
        await log.append([*first(free, "ours"), *first(held, "ours")])
        assert names(await log.load(held)) == ["ours"]
        assert names(await log.load(free)) == ["ours"]


async def test_a_table_that_is_locked_holds_commands_up_and_the_log_lives_on(database):
    streams = [user() for _ in range(40)]
    async with event_log(database) as log:
        with psycopg.connect(database) as admin:
            admin.execute("LOCK TABLE log.events IN EXCLUSIVE MODE")
            began = monotonic()
            outcomes = await asyncio.gather(
                *(log.append(first(someone, "x")) for someone in streams), return_exceptions=True
            )
            assert {type(outcome) for outcome in outcomes} == {EventLogBusy}
            # Not one after the other: each would wait for its own two seconds.
            assert monotonic() - began < 20
            assert await log.load(streams[0]) == []
        await asyncio.gather(*(log.append(first(someone, "x")) for someone in streams))


def test_batches_that_were_queued_in_opposite_orders_never_deadlock(database):
    streams = [user() for _ in range(1_000)]  # so many that the two are at work at the same time
    rounds = 8
    together = threading.Barrier(2)
    failures = []

    def append(backwards):
        with as_writer(database) as connection:
            for version in range(rounds):
                batch = [after(version, someone, "x")[0] for someone in streams]
                together.wait(30)
                try:
                    call(connection, *(reversed(batch) if backwards else batch))
                except psycopg.Error as error:
                    failures.append(error)

    threads = [threading.Thread(target=append, args=[backwards]) for backwards in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with psycopg.connect(database) as admin:
        rows = admin.execute("SELECT count(*) FROM log.events GROUP BY stream_id").fetchall()
    assert rows == [(rounds,)] * len(streams)


def test_a_call_reads_no_more_as_the_log_grows_although_its_plan_was_made_for_an_empty_one(database):
    with as_writer(database) as connection:
        streams = [user() for _ in range(100)]
        for version in range(30):
            lost = call(connection, *(after(version, someone, "x")[0] for someone in streams))
            assert lost == []
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("SELECT pg_stat_force_next_flush()")
        [(scans, found)] = admin.execute(
            "SELECT seq_scan, idx_tup_fetch FROM pg_stat_user_tables"
            " WHERE schemaname = 'log' AND relname = 'events'"
        ).fetchall()
    # A hashed subplan is one scan of the whole table for each call.
    assert scans == 0
    assert found <= 2 * 30 * 100


def test_a_command_that_lost_leaves_the_others_of_its_call_alone(database):
    taken, free = user(), user()
    with as_writer(database) as connection:
        assert call(connection, *first(taken, "1")) == []
        assert call(connection, *first(taken, "2", "3"), *first(free, "1", "2")) == [taken]
    with psycopg.connect(database) as admin:
        rows = admin.execute("SELECT stream_id, version FROM log.events ORDER BY append_id").fetchall()
    assert rows == [(taken, 1), (free, 1), (free, 2)]


# -- broken lines ------------------------------------------------------------------------------------------


async def test_a_lost_answer_is_an_acknowledgement_once_the_line_is_back(database):
    someone, other = user(), user()
    with Proxy.to(database) as line:
        async with event_log(line.conninfo(database)) as log:
            await log.append(first(someone, "1"))
            for version, appends in (
                (1, after(1, someone, "2", "3")),
                (3, [*after(3, someone, "4"), *first(other, "1")]),
            ):
                lost = line.lose_answer(someone.encode())
                await log.append(appends)
                assert lost.happened.is_set()
                assert len(await log.load(someone)) > version
        assert names(await _all(database, someone)) == ["1", "2", "3", "4"]
        assert names(await _all(database, other)) == ["1"]


async def test_a_lost_request_is_sent_again(database):
    someone = user()
    with Proxy.to(database) as line:
        async with event_log(line.conninfo(database)) as log:
            await log.append(first(user(), "the line is open"))
            lost = line.lose_request(someone.encode(), times=2)
            await log.append(first(someone, "1", "2"))
            assert lost.count == 2
        assert names(await _all(database, someone)) == ["1", "2"]


async def test_a_whole_batch_whose_answer_was_lost_is_told_what_became_of_each(database):
    taken, others = user(), [user() for _ in range(30)]
    with Proxy.to(database) as line:
        async with event_log(line.conninfo(database)) as log:
            await log.append(first(taken, "first"))
            lost = line.lose_answer(taken.encode())
            outcomes = await asyncio.gather(
                log.append(first(taken, "late")),
                *(log.append(first(other, "fine")) for other in others),
                return_exceptions=True,
            )
            assert lost.happened.is_set()
        assert [type(outcome) for outcome in outcomes] == [VersionConflict, *[type(None)] * 30]
        assert [names(await _all(database, other)) for other in others[:3]] == [["fine"]] * 3


async def test_every_command_is_told_something_however_often_the_line_breaks(database):
    streams = [user() for _ in range(200)]
    told = {}

    async def client(log, someone):
        for version in range(5):
            try:
                await log.append(after(version, someone, f"{version}"))
            except (EventLogUnreachable, VersionConflict) as error:
                told[someone] = (version, error)
                return
        told[someone] = (5, None)

    with Proxy.to(database) as line:
        async with event_log(line.conninfo(database)) as log:
            clients = asyncio.gather(*(client(log, someone) for someone in streams))
            for _ in range(10):
                await asyncio.sleep(0.02)
                line.cut()
            await clients
    with psycopg.connect(database) as admin:
        there = dict(admin.execute("SELECT stream_id, max(version) FROM log.events GROUP BY 1").fetchall())
    assert [error for _, error in told.values() if isinstance(error, VersionConflict)] == []
    assert all(there.get(someone, 0) >= version for someone, (version, _) in told.items())


async def test_appends_go_on_after_all_connections_were_killed(database):
    someone = user()
    async with event_log(database) as log:
        await log.append(first(someone, "before"))
        await log.load(someone)
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'megacity_writer'"
                " AND datname = current_database()"
            )
        await log.append(after(1, someone, "after"))
        assert names(await log.load(someone)) == ["before", "after"]


async def test_a_server_that_is_away_is_told_of_soon_and_missed_no_longer_than_it_is_away(database):
    someone = user()
    with Proxy.to(database) as line:
        async with event_log(line.conninfo(database)) as log:
            await log.append(first(someone, "1"))
            line.refuse()
            began = monotonic()
            refused = await asyncio.gather(
                log.load(someone),
                log.append([*after(1, someone, "2"), *first(user(), "x")]),
                *(log.append(first(user(), "x")) for _ in range(20)),
                return_exceptions=True,
            )
            assert {type(outcome) for outcome in refused} == {EventLogUnreachable}
            # Not a speed: twelve seconds is what it took when each connection was tried for long.
            assert monotonic() - began < 8
            line.accept()
            await log.append(after(1, someone, "2"))
            assert names(await log.load(someone)) == ["1", "2"]


async def test_a_log_that_is_closed_leaves_nobody_waiting(database):
    held, queued = user(), user()
    with held_open(database, *first(held, "theirs"), *first(queued, "theirs")):
        async with event_log(database) as log:
            waiting = [
                asyncio.create_task(log.append(appends))
                for appends in (
                    first(held, "ours"),
                    [*first(queued, "ours"), *first(user(), "ours")],
                    first(held, "ours, after that"),
                )
            ]
            await asyncio.sleep(0)
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {EventLogUnreachable}


async def _all(database, stream_id):
    async with event_log(database) as log:
        return await log.load(stream_id)


def test_a_repeated_command_is_known_by_its_event_id_and_another_one_is_not(database):
    someone = user()
    once, other = (StreamAppend(someone, 0, (named("x"),)) for _ in range(2))
    with as_writer(database) as connection:
        assert call(connection, once) == []
        assert call(connection, once) == []
        assert call(connection, other) == [someone]
