"""The real program as somebody at a terminal runs it: `megacity up` in a folder of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg.conninfo import make_conninfo

from infra.postgres.cluster import SUPERUSER, superuser_password
from infra.postgres.embedded import EmbeddedPostgres
from tests.support.api import eventually
from tests.support.postgres import CHECKOUT, run_folder

START_LIMIT_S = 120.0
STOP_LIMIT_S = 60.0


@dataclass
class RunningSystem:
    """A supervisor with its server and its database."""

    var_dir: Path
    environment: dict[str, str]

    @property
    def address(self) -> dict[str, Any]:
        """`base_url` and `pid` of the server that answers now; empty before the first one does."""
        try:
            found: dict[str, Any] = json.loads((self.var_dir / "run" / "api.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return found

    @property
    def postgres(self) -> EmbeddedPostgres:
        return EmbeddedPostgres(
            self.var_dir / "postgres", self.var_dir / "secrets", log_file=self.var_dir / "log/postgres.log"
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        """`megacity` with these words, in the background."""
        return subprocess.Popen(
            [sys.executable, "-m", "infra.cli.main", *words],
            cwd=CHECKOUT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, within_s: float = 300.0) -> str:
        """What `megacity` with these words prints, when it succeeds."""
        return finished(self.start(*words), within_s)

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.address['base_url']}/readyz", timeout=5).status_code == 200
        except (httpx.TransportError, KeyError):
            return False

    @property
    def admin_conninfo(self) -> str:
        # Only looking at it: `EmbeddedPostgres.start` would make the server ours to stop.
        password = superuser_password(
            self.var_dir / "secrets", self.var_dir / "postgres", create_if_missing=False
        )
        return make_conninfo(
            host="127.0.0.1",
            port=self.postgres.status().port,
            user=SUPERUSER,
            password=password,
            dbname="megacity",
        )

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.admin_conninfo) as connection:
            return connection.execute(statement, values).fetchall()


def finished(process: subprocess.Popen[str], within_s: float = 300.0) -> str:
    """What a process printed, once it has ended well."""
    try:
        out, err = process.communicate(timeout=within_s)
    finally:
        process.kill()
    assert process.returncode == 0, f"exit code {process.returncode}: {out}{err}"
    return out


@contextmanager
def running_system(*words: str) -> Iterator[RunningSystem]:
    """`megacity up`, ready; `words` are more options of it. Stopped in order when the block ends."""
    with run_folder("system") as folder:
        var_dir = folder / "var"  # the folder itself is locked by this test run
        ours = {"MEGACITY_VAR_DIR": str(var_dir), "MEGACITY_HTTP__PORT": "0"}
        others = {
            name: value
            for name, value in os.environ.items()
            if name != "DATABASE_URL" and not name.startswith("MEGACITY_")
        }
        system = RunningSystem(var_dir, others | ours)
        log = folder / "up.log"
        with log.open("wb") as output:
            supervisor = subprocess.Popen(
                [sys.executable, "-m", "infra.cli.main", "up", *words],
                cwd=CHECKOUT,
                env=system.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            eventually(lambda: system.is_ready() or supervisor.poll() is not None, within_s=START_LIMIT_S)
            assert supervisor.poll() is None, log.read_text()
            yield system
        finally:
            supervisor.send_signal(signal.SIGTERM)
            try:
                supervisor.wait(STOP_LIMIT_S)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(supervisor.pid, signal.SIGKILL)
