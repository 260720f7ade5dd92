"""Saving an answer over HTTP against a route of the same process that only signs in."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.benchmarks.harness import Report, bench_database, bench_server, named, paired, scaled
from tests.benchmarks.http_server import NOOP
from tests.benchmarks.sequencing import sequencer_running
from tests.support.postgres import CHECKOUT

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
            _api(conninfo, tmp_path / f"fsync-{fsync}") as api,
        ):
            found = paired(
                {
                    "save": lambda api=api: _drive(api, _answers(api, CONNECTIONS), SECONDS)["per_second"],
                    "noop": lambda api=api: _drive(api, _noops(api, CONNECTIONS), SECONDS)["per_second"],
                }
            )
            report.ratio(named("vs_noop", fsync=fsync), found["save"], found["noop"], aim=">= 0.5")
            report.figure(named("save", fsync=fsync), found["save"], "answers/s")
            report.figure(named("noop", fsync=fsync), found["noop"], "requests/s")
            calm = _drive(api, _answers(api, EXAMINEES), max(SECONDS, scaled(20)), every_s=ANSWER_EVERY_S)
            full = _drive(api, _answers(api, CONNECTIONS), SECONDS)
            for load, seen in (("200 examinees", calm), ("full load", full)):
                for latency in ("p50_ms", "p99_ms", "max_ms"):
                    name = f"{load}, {latency.removesuffix('_ms')}"
                    report.figure(named(name, fsync=fsync), [seen[latency]], "ms")
    report.write()


@contextmanager
def _api(conninfo: str, folder: Path) -> Iterator[dict[str, Any]]:
    words = [sys.executable, "-m", "tests.benchmarks.http_server", conninfo, str(folder), str(EXAMINEES)]
    with subprocess.Popen(words, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        told = process.stdout.readline()
        assert told, "the API did not start"
        try:
            yield json.loads(told)
        finally:
            process.stdin.close()


def _drive(
    api: dict[str, Any], connections: list[list[str]], seconds: float, *, every_s: float = 0.0
) -> dict[str, Any]:
    address = urlsplit(api["base_url"])
    plan = {
        "host": address.hostname,
        "port": address.port,
        "connections": connections,
        "seconds": seconds,
        "every_s": every_s,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.http_load"],
        cwd=CHECKOUT,
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    assert set(found["statuses"]) == {"200"}, found["statuses"]
    return found


_rounds = count()


def _answers(api: dict[str, Any], connections: int) -> list[list[str]]:
    """For each connection the answers of one examinee, each another than the one before: each is an event."""
    first = next(_rounds)
    return [
        [
            _request(
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
    return [[_request("GET", NOOP, sitting["token"])] for sitting in api["sittings"][:connections]]


def _request(method: str, path: str, token: str, body: str = "") -> str:
    lines = [f"{method} {path} HTTP/1.1", "Host: bench", f"Authorization: Bearer {token}"]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines) + "\r\n\r\n" + body
