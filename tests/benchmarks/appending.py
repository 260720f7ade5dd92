"""Workloads of appending: the same 1 KiB events by our log, by raw INSERTs, and by the library."""

import asyncio
import gc
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import uvloop
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool

from commands.ports import NewEvent, StreamAppend
from domain.attempts.events import AttemptStarted, ResponseGiven
from domain.events import RecordedEvent
from domain.identifiers import stream_id
from domain.items.responses import GivenText
from infra.event_store.append_log import PostgresEventLog
from infra.event_store.codec import StoredEvent
from infra.postgres.roles import WRITER, role_conninfo
from tests.support.event_logs import CODEC, NOON, event_log, new, new_id
from tests.support.postgres import ROLE_SECRET

EVENTS_PER_STREAM = 30
"""As an attempt has them: most appends go to a stream that exists."""

_TEXT = "The author compares the two letters and finds that each of them begins with a doubt. " * 12
_exam, _item = stream_id("exam", new_id()), stream_id("item", new_id())
_examinee = stream_id("user", new_id())


def an_event(number: int) -> NewEvent:
    """An answer in an examinee's own words; 1 KiB of payload, and no two the same."""
    given = ResponseGiven(
        examinee_id=_examinee,
        exam_id=_exam,
        item_id=_item,
        item_version=1,
        response=GivenText(f"{number:08d} {_TEXT}"[:765]),
        sequence=number,
    )
    return new(given)


def new_stream() -> str:
    return stream_id("attempt", new_id())


def an_attempt() -> tuple[NewEvent, ...]:
    """All of a stream of `EVENTS_PER_STREAM`."""
    started = AttemptStarted(
        exam_id=_exam, examinee_id=_examinee, ordinal=1, started_at=NOON, deadline=None, grace_s=5.0
    )
    return (new(started), *(an_event(number) for number in range(1, EVENTS_PER_STREAM)))


def many_events(count: int) -> list[NewEvent]:
    return [an_event(number) for number in range(count)]


def our_rate(conninfo: str, count: int, in_flight: int) -> float:
    """Events a second, one a command, by so many clients that wait for each acknowledgement."""

    async def client(log: PostgresEventLog, events: Iterator[NewEvent]) -> None:
        someone, version = new_stream(), 0
        for each in events:
            await log.append((StreamAppend(someone, version, (each,)),))
            version += 1
            if version == EVENTS_PER_STREAM:
                someone, version = new_stream(), 0

    async def run() -> float:
        events = many_events(count)
        async with event_log(conninfo) as log:
            await asyncio.gather(*(client(log, iter(many_events(4))) for _ in range(in_flight)))
            with unswept():
                remaining = iter(events)
                started = perf_counter()
                await asyncio.gather(*(client(log, remaining) for _ in range(in_flight)))
                return count / (perf_counter() - started)

    return uvloop.run(run())


INSERT = (
    "INSERT INTO log.events (stream_id, version, type, meta, payload, leaf) VALUES (%b, %b, %b, %b, %b, %b)"
)


def a_row(stored: StoredEvent) -> tuple[Any, ...]:
    return (stored.stream_id, stored.version, stored.type, stored.meta, stored.payload, stored.leaf)


def raw_rate(conninfo: str, count: int, in_flight: int, connections: int = 16) -> float:
    """Events a second by INSERTs into the same table, each committed by itself, through a pool."""

    async def client(pool: AsyncConnectionPool[Any], events: Iterator[NewEvent]) -> None:
        someone, version = new_stream(), 0
        for new_event in events:
            version += 1
            recorded = RecordedEvent(someone, version, new_event.metadata, new_event.event)
            row = a_row(CODEC.encode(recorded))
            async with pool.connection() as connection:
                await connection.execute(INSERT, row, prepare=True, binary=True)
            if version == EVENTS_PER_STREAM:
                someone, version = new_stream(), 0

    async def run() -> float:
        events = many_events(count)
        as_writer = role_conninfo(conninfo, WRITER, ROLE_SECRET)
        async with AsyncConnectionPool(
            as_writer, min_size=connections, timeout=120, kwargs={"autocommit": True}, open=False
        ) as pool:
            await pool.wait()
            await asyncio.gather(*(client(pool, iter(many_events(4))) for _ in range(in_flight)))
            with unswept():
                remaining = iter(events)
                started = perf_counter()
                await asyncio.gather(*(client(pool, remaining) for _ in range(in_flight)))
                return count / (perf_counter() - started)

    return uvloop.run(run())


@contextmanager
def unswept() -> Iterator[None]:
    """Leaves what was made beforehand, tens of thousands of events, out of garbage collections."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class Essay(Aggregate):
    """An aggregate of the library's own, with the same 1 KiB in each event."""

    def __init__(self, text: str) -> None:
        self.text = text

    @event("Continued")
    def go_on(self, text: str) -> None:
        self.text = text


def best_threads(conninfo: str, count: int) -> int:
    """With how many threads the library is fastest here; the better of two tries each, as they vary."""
    return max(
        (1, 2, 4, 8, 16), key=lambda threads: max(library_rate(conninfo, count, threads) for _ in range(2))
    )


def library_rate(conninfo: str, count: int, threads: int) -> float:
    """Events a second by the library's Application and its own recorder, one event a save."""
    texts = itertools.count()

    def client(application: Application[Any], share: int) -> None:
        essay: Essay | None = None
        for number in range(share):
            text = f"{next(texts):08d} {_TEXT}"[:1000]
            if essay is None or number % EVENTS_PER_STREAM == 0:
                essay = Essay(text)
            else:
                essay.go_on(text)
            application.save(essay)

    with (
        Application[Any](library_environment(conninfo, threads)) as application,
        ThreadPoolExecutor(threads) as workers,
    ):
        list(workers.map(lambda _: client(application, 4), range(threads)))
        share = max(1, count // threads)
        with unswept():
            started = perf_counter()
            list(workers.map(lambda _: client(application, share), range(threads)))
            return share * threads / (perf_counter() - started)


def library_environment(conninfo: str, pool_size: int) -> dict[str, str]:
    """The library's own PostgreSQL recorder, with the settings that it comes with."""
    place = conninfo_to_dict(conninfo)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(place["dbname"]),
        "POSTGRES_HOST": str(place["host"]),
        "POSTGRES_PORT": str(place["port"]),
        "POSTGRES_USER": str(place["user"]),
        "POSTGRES_PASSWORD": str(place["password"]),
        "POSTGRES_POOL_SIZE": str(pool_size),
        "POSTGRES_MAX_OVERFLOW": "0",
        "POSTGRES_POOL_TIMEOUT": "60",
    }
