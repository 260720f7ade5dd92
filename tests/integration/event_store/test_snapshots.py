"""Snapshots in PostgreSQL: written beside the work, read by another process, useless to other code."""

from contextlib import asynccontextmanager

import msgspec
import psycopg
import pytest

from commands.kinds import ATTEMPT, SYSTEM
from commands.ports import StreamAppend
from commands.streams import Streams
from domain.attempts.events import AttemptStarted, ResponseGiven
from domain.identifiers import stream_id
from domain.items.responses import GivenText
from infra.event_store.codec import PlainPersonalCodec
from infra.event_store.snapshots import WAITING_LIMIT, PostgresSnapshots, fingerprint
from infra.postgres.roles import WRITER, role_conninfo
from tests.support.event_logs import NOON, event_log, new, new_id, user
from tests.support.faults.proxy import Proxy
from tests.support.postgres import ROLE_SECRET

EXAM, EXAMINEE = stream_id("exam", new_id()), user()


class CountingLog:
    """How many events each load has brought."""

    def __init__(self, log):
        self._log = log
        self.loaded = []

    async def load(self, stream_id, after_version=0, limit=None):
        found = await self._log.load(stream_id, after_version, limit)
        self.loaded.append(len(found))
        return found


class Sealing(PlainPersonalCodec):
    def seal(self, subject_id, value):
        return [subject_id, msgspec.json.encode(value).decode()[::-1]]

    def open(self, subject_id, sealed):
        assert sealed[0] == subject_id
        return msgspec.json.decode(sealed[1][::-1])


@asynccontextmanager
async def snapshots_in(database, codec=None):
    conninfo = role_conninfo(database, WRITER, ROLE_SECRET)
    async with PostgresSnapshots(conninfo, codec or PlainPersonalCodec()) as snapshots:
        yield snapshots


def streams(log, snapshots=None, every=10):
    return Streams(log, lambda: NOON, new_id, snapshots=snapshots, snapshot_every=every)


async def an_attempt(log, answers):
    attempt = stream_id("attempt", new_id())
    events = [
        AttemptStarted(
            exam_id=EXAM, examinee_id=EXAMINEE, ordinal=1, started_at=NOON, deadline=None, grace_s=5.0
        ),
        *(
            ResponseGiven(
                examinee_id=EXAMINEE,
                exam_id=EXAM,
                item_id=stream_id("item", new_id()),
                item_version=1,
                response=GivenText("a personal opinion"),
                sequence=number,
            )
            for number in range(answers)
        ),
    ]
    await log.append([StreamAppend(attempt, 0, tuple(map(new, events)))])
    return attempt


def rows(database, columns="version"):
    with psycopg.connect(database) as admin:
        return admin.execute(f"SELECT {columns} FROM log.snapshots ORDER BY stream_id").fetchall()


async def test_a_long_stream_is_loaded_from_the_snapshot_that_another_process_has_kept(database):
    async with event_log(database) as log, snapshots_in(database) as snapshots:
        attempt = await an_attempt(log, answers=34)
        whole = await streams(log).read(ATTEMPT, attempt)
        assert await streams(log, snapshots).read(ATTEMPT, attempt) == whole
        await snapshots.kept()
        assert rows(database) == [(35,)]
        counting = CountingLog(log)
        async with snapshots_in(database) as another:
            assert await streams(counting, another).read(ATTEMPT, attempt) == whole
        assert counting.loaded == [10, 0]


async def test_a_short_stream_is_loaded_at_one_go_and_has_no_snapshot(database):
    async with event_log(database) as log, snapshots_in(database) as snapshots:
        attempt = await an_attempt(log, answers=8)
        counting = CountingLog(log)
        assert (await streams(counting, snapshots).read(ATTEMPT, attempt)).version == 9
        await snapshots.kept()
        assert counting.loaded == [9]
        assert rows(database) == []


async def test_only_the_newest_snapshot_of_a_stream_is_kept(database):
    async with event_log(database) as log, snapshots_in(database) as snapshots:
        attempt = await an_attempt(log, answers=10)
        await streams(log, snapshots).read(ATTEMPT, attempt)
        more = await log.load(attempt, 1)
        await log.append([StreamAppend(attempt, 11, tuple(new(each.event) for each in more))])
        await streams(log, snapshots).read(ATTEMPT, attempt)
        await snapshots.kept()
        assert rows(database) == [(21,)]


async def test_a_snapshot_of_other_code_is_not_used_and_is_replaced(database, monkeypatch):
    async with event_log(database) as log:
        attempt = await an_attempt(log, answers=20)
        async with snapshots_in(database) as snapshots:
            monkeypatch.setattr("infra.event_store.snapshots.fingerprint", lambda _: "of yesterday")
            await streams(log, snapshots).read(ATTEMPT, attempt)
            await snapshots.kept()
        monkeypatch.undo()
        assert rows(database, "type") == [("attempt.of yesterday",)]
        async with snapshots_in(database) as snapshots:
            assert await snapshots.load(ATTEMPT, attempt) is None
            assert (await streams(log, snapshots).read(ATTEMPT, attempt)).version == 21
            await snapshots.kept()
        assert rows(database, "type") == [(f"attempt.{fingerprint(ATTEMPT)}",)]


def test_the_fingerprint_is_another_one_for_other_states_or_another_folding():
    class InProgress(msgspec.Struct):
        exam_id: str

    assert fingerprint(ATTEMPT) == fingerprint(ATTEMPT)
    others = [
        msgspec.structs.replace(ATTEMPT, states=ATTEMPT.states[:2]),
        msgspec.structs.replace(ATTEMPT, states=(InProgress, *ATTEMPT.states[1:])),
        msgspec.structs.replace(ATTEMPT, evolve=SYSTEM.evolve),
    ]
    assert len({fingerprint(kind) for kind in (ATTEMPT, *others)}) == 4


async def test_what_a_snapshot_tells_of_a_person_is_sealed_for_that_person(database):
    async with event_log(database) as log, snapshots_in(database, Sealing()) as snapshots:
        attempt = await an_attempt(log, answers=20)
        loaded = await streams(log, snapshots).read(ATTEMPT, attempt)
        await snapshots.kept()
        [(state,)] = rows(database, "state")
        assert b"a personal opinion" not in state
        assert msgspec.json.decode(state)["person"] == EXAMINEE
        assert await snapshots.load(ATTEMPT, attempt) == loaded


@pytest.mark.parametrize("state", [b"", b"{}", b'{"of":"Nobody","owner":[],"person":null,"state":{}}'])
async def test_a_snapshot_that_cannot_be_read_costs_time_and_nothing_else(database, state):
    async with event_log(database) as log, snapshots_in(database) as snapshots:
        attempt = await an_attempt(log, answers=20)
        with psycopg.connect(database) as admin:
            admin.execute(
                "INSERT INTO log.snapshots (stream_id, version, type, state) VALUES (%s, 20, %s, %s)",
                [attempt, f"attempt.{fingerprint(ATTEMPT)}", state],
            )
        assert (await streams(log, snapshots).read(ATTEMPT, attempt)).version == 21


async def test_a_database_that_is_away_costs_snapshots_and_nothing_else(database):
    with Proxy.to(database) as line:
        async with event_log(database) as log, snapshots_in(line.conninfo(database)) as snapshots:
            attempt = await an_attempt(log, answers=20)
            line.refuse()
            loaded = await streams(log, snapshots).read(ATTEMPT, attempt)
            assert loaded.version == 21
            for _ in range(2 * WAITING_LIMIT):
                snapshots.keep(ATTEMPT, attempt, loaded)
            await snapshots.kept()
            line.accept()
            snapshots.keep(ATTEMPT, attempt, loaded)
            await snapshots.kept()
    assert rows(database) == [(21,)]
