"""Saving an answer over HTTP against a route of the same process that only signs in."""

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.harness import Report, bench_database, bench_server, named, paired, scaled
from tests.benchmarks.http_driving import bench_api, drive, request_text
from tests.benchmarks.http_server import NOOP
from tests.benchmarks.sequencing import sequencer_running

CONNECTIONS = 64
EXAMINEES = 200
ANSWER_EVERY_S = 5.0
SECONDS = 6.0


@pytest.mark.timeout(1800)
def test_http(tmp_path: Path) -> None:
    report = Report("http")
    for fsync in (True, False):
        with (
            bench_server(fsync=fsync) as server,
            bench_database(server) as conninfo,
            sequencer_running(conninfo),
            bench_api(conninfo, tmp_path / f"fsync-{fsync}", EXAMINEES) as api,
        ):
            found = paired(
                {
                    "save": lambda api=api: drive(api, _answers(api, CONNECTIONS), SECONDS)["per_second"],
                    "noop": lambda api=api: drive(api, _noops(api, CONNECTIONS), SECONDS)["per_second"],
                }
            )
            report.ratio(named("vs_noop", fsync=fsync), found["save"], found["noop"], aim=">= 0.5")
            report.figure(named("save", fsync=fsync), found["save"], "answers/s")
            report.figure(named("noop", fsync=fsync), found["noop"], "requests/s")
            calm = drive(api, _answers(api, EXAMINEES), max(SECONDS, scaled(20)), every_s=ANSWER_EVERY_S)
            full = drive(api, _answers(api, CONNECTIONS), SECONDS)
            for load, seen in (("200 examinees", calm), ("full load", full)):
                for latency in ("p50_ms", "p99_ms", "max_ms"):
                    name = f"{load}, {latency.removesuffix('_ms')}"
                    report.figure(named(name, fsync=fsync), [seen[latency]], "ms")
    report.write()


_rounds = count()


def _answers(api: dict[str, Any], connections: int) -> list[list[str]]:
    """For each connection the answers of one examinee, each another than the one before: each is an event."""
    first = next(_rounds)
    return [
        [
            request_text(
                "PUT",
                f"/api/v1/attempts/{sitting['attempt_id']}/responses/{item_id}",
                sitting["token"],
                json.dumps({"response": {"options": [str((first + turn) % 4 + 1)]}}),
            )
            for turn in range(4)
            for item_id in api["items"]
        ]
        for sitting in api["sittings"][:connections]
    ]


def _noops(api: dict[str, Any], connections: int) -> list[list[str]]:
    return [[request_text("GET", NOOP, sitting["token"])] for sitting in api["sittings"][:connections]]
