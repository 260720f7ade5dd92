"""The log's own way to libpq: its answers, and what becomes of them when somebody goes away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

import psycopg
import pytest

from infra.event_store import line as lines
from infra.event_store.line import BYTEA, INT8, TEXT, Line, Statement, int8
from infra.postgres.roles import WRITER, role_conninfo
from tests.support.api import eventually
from tests.support.faults.proxy import Proxy
from tests.support.postgres import ROLE_SECRET

ECHO = Statement("echo", "SELECT $1, $2, $3", (TEXT, INT8, BYTEA))
SLEEP = Statement("sleep", "SELECT 'slept' FROM pg_sleep(0.3)", ())
FOREVER = Statement("forever", "SELECT 'slept' FROM pg_sleep(600)", ())
ANSWER = Statement("answer", "SELECT 42::bigint", ())
DIVISION = Statement("division", "SELECT 1 / $1", (INT8,))
LENGTH = Statement("length", "SELECT octet_length($1), encode(sha256($1), 'hex')", (BYTEA,))


@asynccontextmanager
async def opened(database: str) -> AsyncIterator[Line]:
    conninfo = role_conninfo(database, WRITER, ROLE_SECRET)
    line = Line(await psycopg.AsyncConnection.connect(conninfo, autocommit=True))
    yield line
    await line.close()


async def active(database):
    await asyncio.to_thread(
        eventually, lambda: [state for _, state in sessions(database)] == ["active"], within_s=20
    )


def sessions(database):
    with psycopg.connect(database, autocommit=True) as admin:
        return admin.execute(
            "SELECT pid, state FROM pg_stat_activity WHERE datname = current_database()"
            " AND usename = 'megacity_writer'"
        ).fetchall()


def kill_sessions(database):
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND usename = 'megacity_writer'"
        )


@pytest.mark.parametrize(
    "row", [("", 0, b""), ("한국어 😀", -(2**63), b"\x00\xff"), ("'; --", 2**63 - 1, b"x" * 70_000)]
)
async def test_what_goes_in_comes_out(database, row):
    async with opened(database) as line:
        text, number, octets = row
        assert await line.execute(ECHO, (text.encode(), int8(number), octets)) == [row]
        assert await line.execute(ECHO, (None, None, None)) == [(None, None, None)]


async def test_what_is_too_much_for_the_socket_at_once_arrives_whole(database):
    async with opened(database) as line:
        large = bytes(range(256)) * 80_000
        [(length, digest)] = await line.execute(LENGTH, (large,))
        assert (length, digest) == (len(large), sha256(large).hexdigest())
        assert await line.execute(ANSWER, ()) == [(42,)]


async def test_an_error_of_the_server_is_raised_and_the_line_lives_on(database):
    async with opened(database) as line:
        with pytest.raises(psycopg.errors.DivisionByZero):
            await line.execute(DIVISION, (int8(0),))
        assert not line.broken
        assert await line.execute(DIVISION, (int8(1),)) == [(1,)]


async def test_the_answer_to_somebody_who_went_away_is_not_given_to_the_next(database):
    async with opened(database) as line:
        gone = asyncio.create_task(line.execute(SLEEP, ()))
        await active(database)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert await line.execute(ANSWER, ()) == [(42,)]
        assert await line.execute(SLEEP, ()) == [("slept",)]


async def test_a_caller_that_goes_away_while_a_statement_is_prepared_leaves_a_line_that_works_or_is_broken(
    database,
):
    with Proxy.to(database) as through:
        async with opened(through.conninfo(database)) as line:
            assert await line.execute(ANSWER, ()) == [(42,)]
            through.stall()
            gone = asyncio.create_task(line.execute(ECHO, (b"a", int8(1), b"b")))
            await asyncio.sleep(0)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            through.flow()
            try:
                assert await line.execute(ECHO, (b"a", int8(1), b"b")) == [("a", 1, b"b")]
            except psycopg.OperationalError:
                assert line.broken


async def test_a_session_that_is_ended_while_it_waits_is_told_of_as_the_lines_fault(database):
    async with opened(database) as line:
        waiting = asyncio.create_task(line.execute(FOREVER, ()))
        await active(database)
        kill_sessions(database)
        with pytest.raises(psycopg.errors.AdminShutdown):
            await waiting
        assert line.broken
        with pytest.raises(psycopg.OperationalError):
            await line.execute(ANSWER, ())


async def test_a_session_that_is_ended_while_nobody_asks_is_known_for_broken_when_it_is_used(database):
    async with opened(database) as line:
        assert await line.execute(ANSWER, ()) == [(42,)]
        kill_sessions(database)
        with pytest.raises(psycopg.OperationalError):
            await line.execute(ANSWER, ())
        assert line.broken


async def test_a_server_that_says_nothing_is_hung_up_on(database, monkeypatch):
    with Proxy.to(database) as through:
        async with opened(through.conninfo(database)) as line:
            assert await line.execute(ANSWER, ()) == [(42,)]
            monkeypatch.setattr(lines, "STUCK_S", 0.2)
            through.stall()
            with pytest.raises(psycopg.OperationalError):
                await line.execute(ANSWER, ())
            assert line.broken


async def test_whoever_waits_when_the_line_is_closed_is_told_so(database):
    async with opened(database) as line:
        waiting = asyncio.create_task(line.execute(FOREVER, ()))
        await active(database)
        await line.close()
        with pytest.raises(psycopg.OperationalError):
            await waiting
    kill_sessions(database)


async def test_a_line_whose_socket_libpq_has_closed_leaves_alone_whoever_has_its_number_now(database):
    async with opened(database) as broken:
        number = broken._server.socket
        broken._server.finish()  # as libpq does within any call, once it sees that the server is gone
        async with opened(database) as other:
            assert other._server.socket == number
            await broken.close()
            assert await asyncio.wait_for(other.execute(ANSWER, ()), 10) == [(42,)]


async def test_after_the_last_words_of_a_session_nobody_else_is_sent_down_its_line(database):
    async with opened(database) as line:
        asked = asyncio.create_task(line.execute(FOREVER, ()))
        await active(database)
        await asyncio.to_thread(kill_sessions, database)
        with pytest.raises(psycopg.errors.AdminShutdown):
            await asked
        assert line.broken
