"""From a response to the next item, over HTTP: the engine on the log and on Kafka, and how far that goes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from infra.kafka.embedded import EmbeddedBroker
from tests.benchmarks.harness import SCALE, Report, bench_database, bench_server
from tests.support.postgres import CHECKOUT

EXAMINEES = 200
ANSWER_EVERY_S = 5.0
WARM_UP_S, CALM_S, STEP_S = 5.0, 60.0, 10.0
FASTER = 1.25
TOO_SLOW_MS = 250.0
MOST_ANSWERS = 180
"""Of one examinee: their test has an end."""

BESIDE_THE_API = ("sequencer", "projector", "relay", "cat-engine")


@pytest.mark.timeout(1800)
def test_cat_live(tmp_path: Path) -> None:
    report = Report("cat_live")
    for feed in ("log", "kafka"):
        with bench_server() as server, bench_database(server) as conninfo:
            serving = _on_log if feed == "log" else _on_kafka
            with serving(conninfo, tmp_path / feed) as api:
                _measure(report, feed, {**api, "folder": tmp_path})
    report.write()


def _measure(report: Report, feed: str, api: dict[str, Any]) -> None:
    calm_rate = EXAMINEES / ANSWER_EVERY_S
    _drive(api, calm_rate, WARM_UP_S)
    calm = _drive(api, calm_rate, max(STEP_S, CALM_S * SCALE))
    for latency in ("p50_ms", "p99_ms", "max_ms"):
        name = f"{feed}, {EXAMINEES} examinees, {latency.removesuffix('_ms')}"
        report.figure(name, [calm[latency]], "ms")
    report.figure(f"{feed}, {EXAMINEES} examinees, asked again", [calm["polled"]], "responses")
    held, rate, found, answers = 0.0, calm_rate, calm, calm["answered"] / EXAMINEES
    seconds = max(2.0, STEP_S * SCALE)
    while found["p99_ms"] <= TOO_SLOW_MS and answers + FASTER * rate * seconds / EXAMINEES < MOST_ANSWERS:
        held = found["per_second"]
        rate *= FASTER
        found = _drive(api, rate, seconds)
        answers += found["answered"] / EXAMINEES
        print(f"  {feed}: {rate:.0f}/s asked for, {found['per_second']:.0f}/s, p99 {found['p99_ms']:.0f} ms")
        report.figure(f"{feed}, {rate:.0f}/s, p99", [found["p99_ms"]], "ms")
    report.figure(f"{feed}, highest rate with p99 under {TOO_SLOW_MS:.0f} ms", [held], "responses/s")
    if found["p99_ms"] > TOO_SLOW_MS:
        report.figure(f"{feed}, p99 is over {TOO_SLOW_MS:.0f} ms at", [rate], "responses/s")


@contextmanager
def _on_log(conninfo: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Everything in one process, as `megacity up` runs it."""
    with _process(conninfo, folder, "all") as api:
        yield api


@contextmanager
def _on_kafka(conninfo: str, folder: Path) -> Iterator[dict[str, Any]]:
    """The roles in processes of their own, and the embedded broker between them."""
    folder.mkdir()
    broker = EmbeddedBroker(folder, folder / "broker.log")
    broker.start()
    with ExitStack() as stack:
        stack.callback(broker.kill)
        for role in BESIDE_THE_API:
            stack.enter_context(_process(conninfo, folder / role, role, broker.bootstrap_servers))
        yield stack.enter_context(_process(conninfo, folder / "api", "api", broker.bootstrap_servers))


@contextmanager
def _process(conninfo: str, folder: Path, role: str, *brokers: str) -> Iterator[dict[str, Any]]:
    words = [
        sys.executable,
        "-m",
        "tests.benchmarks.live_server",
        conninfo,
        str(folder),
        role,
        str(EXAMINEES),
    ]
    with subprocess.Popen(
        [*words, *brokers], cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        told = process.stdout.readline()
        assert told, f"the role {role} did not start"
        try:
            yield json.loads(told)
        finally:
            process.stdin.close()


def _drive(api: dict[str, Any], rate: float, seconds: float) -> dict[str, Any]:
    """`api` goes on from where the examinees stand afterwards."""
    address = urlsplit(api["base_url"])
    plan = {
        "host": address.hostname,
        "port": address.port,
        "sittings": api["sittings"],
        "rate": rate,
        "seconds": seconds,
    }
    plan_file, result_file = api["folder"] / "plan.json", api["folder"] / "result.json"
    plan_file.write_text(json.dumps(plan), encoding="utf-8")
    words = [sys.executable, "-m", "tests.benchmarks.live_examinees", str(plan_file), str(result_file)]
    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(result_file.read_bytes())
    api["sittings"] = found.pop("sittings")
    return found
