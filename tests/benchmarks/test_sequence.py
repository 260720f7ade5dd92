"""What the sequencer costs those who append, how fast it works off a backlog, how soon events are seen."""

from functools import partial
from time import perf_counter

import psycopg

from infra.postgres.roles import WRITER, role_conninfo
from infra.sequencer.sequencer import sequence_all
from tests.benchmarks.appending import our_rate
from tests.benchmarks.harness import (
    ROUNDS,
    Report,
    bench_database,
    bench_server,
    checkpoint,
    named,
    paired,
    scaled,
)
from tests.benchmarks.sequencing import fill, sequencer_running
from tests.support.postgres import ROLE_SECRET, SharedServer
from tests.support.sequencing import broken_promises, sequenced

IN_FLIGHT = 256
# As after some hours of work: a backlog that fits in memory.
SERVER = {"track_commit_timestamp": "on", "shared_buffers": "1GB"}


def test_sequence():
    report = Report("sequence")
    for fsync in (True, False):
        with bench_server(fsync=fsync, **SERVER) as server:
            with bench_database(server) as conninfo:
                append_kept(report, conninfo, fsync=fsync)
            if fsync:
                drain(report, server)
    report.write()


def append_kept(report: Report, conninfo: str, *, fsync: bool) -> None:
    """The append rate with a sequencer beside it over the rate without, and when events became visible.

    The server knows when each event was committed and when its position was: nobody has to watch.
    """
    count = scaled(100_000)
    fill(conninfo, count)
    sequenced(conninfo)
    p50s, p99s = list[float](), list[float]()

    def without() -> float:
        rate = our_rate(conninfo, count, IN_FLIGHT)
        sequenced(conninfo)
        return rate

    def with_sequencer() -> float:
        with sequencer_running(conninfo):
            rate = our_rate(conninfo, count, IN_FLIGHT)
            sequenced(conninfo)
        p50_ms, p99_ms = commit_to_visible_ms(conninfo, count)
        p50s.append(p50_ms)
        p99s.append(p99_ms)
        return rate

    found = paired({"with": with_sequencer, "without": without}, before=partial(checkpoint, conninfo))
    report.ratio(named("append_kept", fsync=fsync), found["with"], found["without"], aim=">= 0.85")
    report.figure(named("commit_to_visible_p50", fsync=fsync), p50s[1:], "ms")
    report.figure(named("commit_to_visible_p99", fsync=fsync), p99s[1:], "ms (aim < 15)")
    assert broken_promises(conninfo) == []


def commit_to_visible_ms(conninfo: str, events: int) -> tuple[float, float]:
    """From the commit of an event to the commit of its position, at the median and the 99th percentile.

    Of the newest events alone: those before them warmed the connections up, at anything but full rate.
    """
    with psycopg.connect(conninfo) as admin:
        (found,) = admin.execute(
            "SELECT percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY 1000 * extract(epoch FROM"
            " pg_xact_commit_timestamp(p.xmin) - pg_xact_commit_timestamp(e.xmin))::float8)"
            " FROM log.events e JOIN log.positions p USING (append_id)"
            " WHERE append_id > (SELECT max(append_id) FROM log.events) - %s",
            [events],
        ).fetchone() or ([0.0, 0.0],)
    return found[0], found[1]


def drain(report: Report, server: SharedServer) -> None:
    """A backlog of 500,000 events, as after some minutes without a sequencer."""
    count, rates = scaled(500_000), list[float]()
    for _ in range(ROUNDS):
        with bench_database(server) as conninfo:
            fill(conninfo, count)
            checkpoint(conninfo)
            started = perf_counter()
            last = sequence_all(role_conninfo(conninfo, WRITER, ROLE_SECRET))
            rates.append(count / (perf_counter() - started))
            assert last == count
    report.figure("drain_of_500000", rates, "events/s (aim >= 250,000)")
