"""The API of `http_server` in a process of its own, and a client process that drives it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.postgres import CHECKOUT


@contextmanager
def bench_api(conninfo: str, folder: Path, examinees: int) -> Iterator[dict[str, Any]]:
    """What the server has told: see there."""
    words = [sys.executable, "-m", "tests.benchmarks.http_server", conninfo, str(folder), str(examinees)]
    with subprocess.Popen(words, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        told = process.stdout.readline()
        assert told, "the API did not start"
        try:
            yield json.loads(told)
        finally:
            process.stdin.close()


def drive(
    api: dict[str, Any], connections: list[list[str]], seconds: float, *, every_s: float = 0.0
) -> dict[str, Any]:
    """The result of `http_load`; all requests have to succeed."""
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


def request_text(method: str, path: str, token: str, body: str = "") -> str:
    """A whole request; without a token where that is empty."""
    lines = [f"{method} {path} HTTP/1.1", "Host: bench"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines) + "\r\n\r\n" + body
