"""How many events a second can be appended, one event a command, each acknowledged once it is durable.

`make bench-append`. `MEGACITY_BENCH_SIZES=10000,100000` appends to logs of these sizes as well.
"""

import os
from functools import partial

from tests.benchmarks.appending import best_threads, library_rate, our_rate, raw_rate
from tests.benchmarks.harness import (
    Report,
    bench_database,
    bench_server,
    checkpoint,
    named,
    paired,
    scaled,
)
from tests.benchmarks.sequencing import fill, sequencer_running

IN_FLIGHT = 256
SIZES = [int(size) for size in os.environ.get("MEGACITY_BENCH_SIZES", "10000,100000").split(",") if size]
AIMS = {
    True: {"vs_library": "60", "vs_raw": "8", "vs_raw_16": "2"},
    False: {"vs_library": "30", "vs_raw": "6", "vs_raw_16": "2"},
}


def test_append():
    report = Report("append")
    for fsync in (True, False):
        with bench_server(fsync=fsync) as server:
            _compare(report, server, fsync=fsync)
            if fsync:
                _grow(report, server)
    report.write()


def _compare(report, server, *, fsync):
    # The sequencer is beside ours alone; the others lie in databases of their own.
    with bench_database(server) as ours, bench_database(server) as theirs, sequencer_running(ours):
        threads = best_threads(theirs, scaled(1_000))
        found = paired(
            {
                "ours, 256 in flight": lambda: our_rate(ours, scaled(60_000), IN_FLIGHT),
                "ours, 16 in flight": lambda: our_rate(ours, scaled(20_000), 16),
                "raw, 256 for a pool of 16": lambda: raw_rate(theirs, scaled(8_000), IN_FLIGHT),
                "raw, 16 for a pool of 16": lambda: raw_rate(theirs, scaled(8_000), 16),
                f"library, {threads} threads": lambda: library_rate(theirs, scaled(2_000), threads),
            },
            before=partial(checkpoint, ours),
        )
    ours_256, ours_16, raw_256, raw_16, library = found.values()
    for name, mine, other in (
        ("vs_library", ours_256, library),
        ("vs_raw", ours_256, raw_256),
        ("vs_raw_16", ours_16, raw_16),
    ):
        report.ratio(named(name, fsync=fsync), mine, other, aim=f"≥ {AIMS[fsync][name]}")
    for name, rates in found.items():
        report.figure(f"{name}, fsync {'on' if fsync else 'off'}", rates, "events/s")


def _grow(report, server):
    """Cost against size: an append must not get dearer as the log grows."""
    for size in SIZES:
        with bench_database(server) as conninfo:
            fill(conninfo, scaled(size))
            # Once: after each checkpoint the first change of a page is written with the whole page.
            checkpoint(conninfo)
            rates = paired({f"on {size:,}": lambda at=conninfo: our_rate(at, scaled(20_000), IN_FLIGHT)})
        report.figure(f"appending to {size:,} events", rates[f"on {size:,}"], "events/s")
