"""Reading the whole log as typed events: our stream against a psycopg server cursor with msgspec decoding."""

import os
from collections.abc import Callable
from time import perf_counter

import msgspec
import psutil
import psycopg

from domain.attempts.events import ResponseGiven
from domain.events import EventMetadata
from infra.event_store.log_feed import LogFeed
from infra.postgres.roles import PROJECTOR, role_conninfo
from tests.benchmarks.harness import Report, bench_database, bench_server, paired, scaled
from tests.benchmarks.sequencing import fill
from tests.support.event_logs import CODEC
from tests.support.postgres import ROLE_SECRET
from tests.support.sequencing import sequenced

SIZES = (10_000, 100_000, 1_000_000, 5_000_000)
# Five million events of 1 KiB take 8 GB of disk and some minutes to write: asked for by name.
LARGEST = int(os.environ.get("MEGACITY_BENCH_LARGEST", "1000000"))
_LOOK_EVERY = 20_000


def test_replay():
    report = Report("replay")
    with bench_server(shared_buffers="1GB") as server, bench_database(server) as conninfo:
        count = scaled(200_000)
        there = 0

        def grow_to(size: int) -> None:
            nonlocal there
            fill(conninfo, size - there)
            there = sequenced(conninfo)
            with psycopg.connect(conninfo, autocommit=True) as admin:
                admin.execute("VACUUM ANALYZE log.events")
                admin.execute("VACUUM ANALYZE log.positions")

        grow_to(count)
        as_projector = role_conninfo(conninfo, PROJECTOR, ROLE_SECRET)
        with LogFeed(as_projector, CODEC) as feed:
            found = paired({"ours": lambda: ours(feed, count), "raw": lambda: raw(as_projector, count)})
            report.ratio("vs_raw", found["ours"], found["raw"], aim=">= 1")
            for size in (scaled(each) for each in SIZES if each <= LARGEST):
                if size > there:
                    grow_to(size)
                rate, grown_mib = ours_with_memory(feed, size)
                report.figure(f"replay of {size:,}", [rate], "events/s")
                report.figure(f"memory grown by {size:,}", [grown_mib], "MiB")
    report.write()


def ours(feed: LogFeed, count: int, look: Callable[[int], None] = lambda _: None) -> float:
    """Events a second, every one typed and in its place."""
    read, started = 0, perf_counter()
    for event in feed.stream(0, count):
        read += 1
        if read % _LOOK_EVERY == 0:
            look(event.position)
    assert read == count
    return read / (perf_counter() - started)


def ours_with_memory(feed: LogFeed, count: int) -> tuple[float, float]:
    """The rate, and how much larger this process was at most than when it began."""
    process = psutil.Process()
    before = process.memory_info().rss
    peak = before

    def look(_: int) -> None:
        nonlocal peak
        peak = max(peak, process.memory_info().rss)

    rate = ours(feed, count, look)
    return rate, (peak - before) / 2**20


def raw(conninfo: str, count: int) -> float:
    """The same rows by hand: a named cursor, binary, a thousand at a time, metadata and payload decoded."""
    metadata = msgspec.json.Decoder(EventMetadata).decode
    payload = msgspec.json.Decoder(ResponseGiven).decode
    read, started = 0, perf_counter()
    with psycopg.connect(conninfo) as connection, connection.cursor("replay") as cursor:
        cursor.itersize = 1_000
        cursor.execute(
            "SELECT p.position, e.stream_id, e.version, e.type, e.meta, e.payload"
            " FROM log.positions p JOIN log.events e USING (append_id)"
            " WHERE p.position <= %s ORDER BY p.position",
            [count],
            binary=True,
        )
        for _position, _stream_id, _version, _type, meta, data in cursor:
            metadata(meta)
            payload(data)
            read += 1
    assert read == count
    return read / (perf_counter() - started)
