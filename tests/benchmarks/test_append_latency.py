"""How long one idle client waits for its acknowledgement, against an INSERT that is committed by itself."""

import asyncio
import statistics
from time import perf_counter

import psycopg
import uvloop

from commands.ports import StreamAppend
from domain.events import RecordedEvent
from infra.postgres.roles import WRITER, role_conninfo
from tests.benchmarks.appending import INSERT, a_row, many_events, new_stream
from tests.benchmarks.harness import Report, bench_database, bench_server, named, paired, scaled
from tests.benchmarks.sequencing import sequencer_running
from tests.support.event_logs import CODEC, event_log
from tests.support.postgres import ROLE_SECRET

WARM_UP = 50


def test_append_latency():
    report = Report("append-latency")
    for fsync in (True, False):
        with (
            bench_server(fsync=fsync) as server,
            bench_database(server) as ours,
            bench_database(server) as theirs,
            sequencer_running(ours),
        ):
            found = paired(
                {
                    "ours": lambda at=ours: our_latency_ms(at, scaled(1_000)),
                    "raw": lambda at=theirs: raw_latency_ms(at, scaled(1_000)),
                }
            )
        report.ratio(named("p50_over_raw", fsync=fsync), found["ours"], found["raw"], aim="≤ 1.5")
        for name, values in found.items():
            report.figure(f"{name} p50, fsync {'on' if fsync else 'off'}", values, "ms")
    report.write()


def our_latency_ms(conninfo: str, count: int) -> float:
    async def run() -> float:
        stream, took = new_stream(), []
        async with event_log(conninfo) as log:
            for version, new in enumerate(many_events(count + WARM_UP)):
                started = perf_counter()
                await log.append((StreamAppend(stream, version, (new,)),))
                took.append(perf_counter() - started)
                await asyncio.sleep(0)
        return statistics.median(took[WARM_UP:]) * 1_000

    return uvloop.run(run())


def raw_latency_ms(conninfo: str, count: int) -> float:
    """INSERT and COMMIT in one, over one connection that is there already; encoding counts."""

    async def run() -> float:
        stream, took = new_stream(), []
        as_writer = role_conninfo(conninfo, WRITER, ROLE_SECRET)
        async with await psycopg.AsyncConnection.connect(as_writer, autocommit=True) as connection:
            for version, new in enumerate(many_events(count + WARM_UP), 1):
                started = perf_counter()
                recorded = RecordedEvent(stream, version, new.metadata, new.event)
                await connection.execute(INSERT, a_row(CODEC.encode(recorded)), prepare=True, binary=True)
                took.append(perf_counter() - started)
                await asyncio.sleep(0)
        return statistics.median(took[WARM_UP:]) * 1_000

    return uvloop.run(run())
