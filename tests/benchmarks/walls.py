"""All walls before a handler against a route of the same process that has none.

Both do nothing, over real HTTP, as fast as 64 connections ask. The walled one is behind token, revocations,
a rate limit counted in the process, the policy of entering one's zone, and a role. What is compared is the
CPU time of the process for each request, whatever else the machine does meanwhile.
"""

from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.harness import Report, bench_database, bench_server, paired
from tests.benchmarks.http_driving import bench_api, drive, request_text
from tests.benchmarks.http_server import OPEN, WALLED
from tests.benchmarks.sequencing import sequencer_running

CONNECTIONS = 64
SECONDS = 5.0


def measure_walls(report: Report, folder: Path) -> None:
    with (
        bench_server(fsync=False) as server,
        bench_database(server) as conninfo,
        sequencer_running(conninfo),
        bench_api(conninfo, folder / "walls", CONNECTIONS) as api,
    ):

        def microseconds(path: str, *, signed_in: bool) -> float:
            asked = [[request_text("GET", path, each)] for each in _tokens(api, signed_in=signed_in)]
            before_s = _cpu_s(api)
            answered: int = drive(api, asked, SECONDS)["answered"]
            return 1e6 * (_cpu_s(api) - before_s) / answered

        found = paired(
            {
                "walled": lambda: microseconds(WALLED, signed_in=True),
                "open": lambda: microseconds(OPEN, signed_in=False),
            }
        )
    report.ratio("walls_to_none", found["walled"], found["open"], aim="<= 2")
    report.figure("a request behind all walls", found["walled"], "µs of CPU")
    report.figure("a request without any", found["open"], "µs of CPU")


def _cpu_s(api: dict[str, Any]) -> float:
    spent = psutil.Process(api["pid"]).cpu_times()
    return float(spent.user + spent.system)


def _tokens(api: dict[str, Any], *, signed_in: bool) -> list[str]:
    return [each["token"] if signed_in else "" for each in api["sittings"][:CONNECTIONS]]
