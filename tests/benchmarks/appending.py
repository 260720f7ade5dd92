"""Workloads of appending: the same 1 KiB events by our log, by raw INSERTs, and by the library."""

import asyncio
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from time import perf_counter
from typing import Any

import psycopg
import uvloop
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from psycopg.conninfo import conninfo_to_dict

from commands.ports import NewEvent, StreamAppend
from domain.attempts.events import ResponseGiven
from domain.events import RecordedEvent
from domain.identifiers import stream_id
from domain.items.responses import GivenText
from infra.event_store.append_log import PostgresEventLog
from infra.postgres.roles import WRITER, role_conninfo
from tests.support.event_logs import CODEC, event_log, new, new_id
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
            remaining = iter(events)
            started = perf_counter()
            await asyncio.gather(*(client(log, remaining) for _ in range(in_flight)))
            return count / (perf_counter() - started)

    return uvloop.run(run())


_INSERT = (
    "INSERT INTO log.events (stream_id, version, type, meta, payload, leaf) VALUES (%b, %b, %b, %b, %b, %b)"
)


def raw_rate(conninfo: str, count: int, connections: int = 16) -> float:
    """Events a second by INSERTs into the same table, each committed by itself, over so many connections."""

    async def client(connection: psycopg.AsyncConnection[Any], events: Iterator[NewEvent]) -> None:
        someone, version = new_stream(), 0
        for new_event in events:
            version += 1
            stored = CODEC.encode(RecordedEvent(someone, version, new_event.metadata, new_event.event))
            await connection.execute(
                _INSERT,
                (stored.stream_id, stored.version, stored.type, stored.meta, stored.payload, stored.leaf),
                prepare=True,
                binary=True,
            )
            if version == EVENTS_PER_STREAM:
                someone, version = new_stream(), 0

    async def run() -> float:
        events = many_events(count)
        as_writer = role_conninfo(conninfo, WRITER, ROLE_SECRET)
        async with AsyncExitStack() as stack:
            pool = [
                await stack.enter_async_context(
                    await psycopg.AsyncConnection.connect(as_writer, autocommit=True)
                )
                for _ in range(connections)
            ]
            await asyncio.gather(*(client(each, iter(many_events(4))) for each in pool))
            remaining = iter(events)
            started = perf_counter()
            await asyncio.gather(*(client(each, remaining) for each in pool))
            return count / (perf_counter() - started)

    return uvloop.run(run())


class Essay(Aggregate):
    """An aggregate of the library's own, with the same 1 KiB in each event."""

    def __init__(self, text: str) -> None:
        self.text = text

    @event("Continued")
    def go_on(self, text: str) -> None:
        self.text = text


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
