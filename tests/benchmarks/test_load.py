"""How fast an aggregate of 30 events is loaded, cold: nothing of it is in any cache of the process."""

from time import perf_counter
from typing import Any

import msgspec
import psycopg
import uvloop
from eventsourcing.application import Application

from commands.kinds import ATTEMPT
from commands.ports import StreamAppend
from commands.streams import Streams
from domain.attempts.attempt import InProgress
from domain.attempts.events import AttemptStarted, ResponseGiven
from domain.events import EventMetadata
from infra.event_store.codec import PlainPersonalCodec
from infra.event_store.snapshots import PostgresSnapshots
from infra.postgres.roles import WRITER, role_conninfo
from tests.benchmarks.appending import EVENTS_PER_STREAM, Essay, an_attempt, library_environment, new_stream
from tests.benchmarks.harness import Report, bench_database, bench_server, paired, scaled
from tests.support.event_logs import NOON, event_log, new_id
from tests.support.postgres import ROLE_SECRET

STREAMS = 300
_SELECT = "SELECT version, type, meta, payload FROM log.events WHERE stream_id = %b ORDER BY version"


def test_load():
    report = Report("load")
    with bench_server() as server, bench_database(server) as conninfo:
        attempts = uvloop.run(_write_attempts(conninfo, scaled(STREAMS)))
        with Application[Any](library_environment(conninfo, 2)) as application:
            essays = [_an_essay(application) for _ in range(scaled(STREAMS))]
            found = paired(
                {
                    "ours": lambda: our_rate(conninfo, attempts),
                    "raw": lambda: raw_rate(conninfo, attempts),
                    "library": lambda: library_rate(application, essays),
                }
            )
    report.ratio("vs_library", found["ours"], found["library"], aim="≥ 5")
    report.ratio("vs_raw", found["ours"], found["raw"], aim="≥ 0.7")
    for name, rates in found.items():
        report.figure(name, rates, "aggregates/s")
    report.write()


def our_rate(conninfo: str, attempts: list[str]) -> float:
    """As a command loads it: through the log, decoded into typed events, folded; one after the other."""

    async def run() -> float:
        as_writer = role_conninfo(conninfo, WRITER, ROLE_SECRET)
        async with (
            event_log(conninfo) as log,
            PostgresSnapshots(as_writer, PlainPersonalCodec()) as snapshots,
        ):
            streams = Streams(log, lambda: NOON, new_id, snapshots=snapshots)
            await log.load(new_stream())
            started = perf_counter()
            for attempt in attempts:
                loaded = await streams.read(ATTEMPT, attempt)
                assert isinstance(loaded.state, InProgress)
                assert loaded.version == EVENTS_PER_STREAM
            return len(attempts) / (perf_counter() - started)

    return uvloop.run(run())


def raw_rate(conninfo: str, attempts: list[str]) -> float:
    """SELECT, and what was selected decoded into structs, by the fastest means there are here."""
    metadata = msgspec.json.Decoder(EventMetadata)
    classes = {cls.type_.stored_name: msgspec.json.Decoder(cls) for cls in (AttemptStarted, ResponseGiven)}

    async def run() -> float:
        as_writer = role_conninfo(conninfo, WRITER, ROLE_SECRET)
        async with await psycopg.AsyncConnection.connect(as_writer, autocommit=True) as connection:
            await connection.execute(_SELECT, [new_stream()], prepare=True, binary=True)
            started = perf_counter()
            for attempt in attempts:
                cursor = await connection.execute(_SELECT, [attempt], prepare=True, binary=True)
                rows = await cursor.fetchall()
                events = [
                    (version, metadata.decode(meta), classes[type_].decode(payload))
                    for version, type_, meta, payload in rows
                ]
                assert len(events) == EVENTS_PER_STREAM
            return len(attempts) / (perf_counter() - started)

    return uvloop.run(run())


def library_rate(application: Application[Any], essays: list[Any]) -> float:
    started = perf_counter()
    for essay_id in essays:
        assert application.repository.get(essay_id).version == EVENTS_PER_STREAM
    return len(essays) / (perf_counter() - started)


async def _write_attempts(conninfo: str, count: int) -> list[str]:
    attempts = [new_stream() for _ in range(count)]
    async with event_log(conninfo) as log:
        for attempt in attempts:
            await log.append((StreamAppend(attempt, 0, an_attempt()),))
    with psycopg.connect(conninfo, autocommit=True) as admin:
        admin.execute("VACUUM ANALYZE log.events")
    return attempts


def _an_essay(application: Application[Any]) -> Any:
    essay = Essay("It begins.")
    for _ in range(EVENTS_PER_STREAM - 1):
        essay.go_on("And it goes on. " * 40)
    application.save(essay)
    return essay.id
