"""One process of the system, started again whenever it dies."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

import httpx

from infra.server import PortTaken, Role, listening_socket

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 10.0
LIVED_LONG_S: Final = 60.0
STOP_LIMIT_S: Final = 20.0
LOG_LIMIT_BYTES: Final = 50 * 1024 * 1024


class RoleProcess:
    """`megacity serve ROLE`, looked after. For one thread at a time.

    Args:
        role: what it does.
        host: the address it listens on.
        port: where it listens; 0 takes a free one, which stays the same as long as nobody else takes it.
        log_file: what it says.
        tell: told what happens to it.
        name: what it is called; without it, as its role.
    """

    def __init__(  # noqa: PLR0913 - those of one process, the last by name
        self,
        role: Role,
        host: str,
        port: int,
        log_file: Path,
        tell: Callable[[str], None],
        *,
        name: str | None = None,
    ) -> None:
        self.name = name or role
        self.log_file = log_file
        self._role = role
        self._host = host
        self._port = port
        self._keeps_port = port != 0
        self._tell = tell
        self._log: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._environment: Mapping[str, str] = {}
        self._started_at = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._due_at: float | None = None

    @property
    def base_url(self) -> str:
        shown = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{shown}:{self._port}"

    @property
    def has_died(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    @property
    def is_ready(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.base_url}/readyz", timeout=5, trust_env=False).status_code == 200
        return False

    def start(self, environment: Mapping[str, str]) -> None:
        """Starts it with these variables on top of ours; they hold for every later start as well."""
        self._environment = environment
        if self._log is None:
            self._log = _open_log(self.log_file)
        self._settle_port()
        words = ["-m", "infra.cli.main", "serve", self._role, "--exit-with-parent"]
        words += ["--host", self._host, "--port", str(self._port)]
        self._started_at = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, *words],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, **environment},
            start_new_session=True,  # Ctrl-C is for us; we stop it in order
        )
        self._due_at = None

    def look_after(self) -> None:
        """Starts it again if it has died: later and later the shorter it lives."""
        if not self.has_died:
            return
        if self._due_at is None:
            lived_s = time.monotonic() - self._started_at
            pause_s = FIRST_PAUSE_S if lived_s > LIVED_LONG_S else min(self._pause_s * 2, LONGEST_PAUSE_S)
            self._pause_s = pause_s
            self._due_at = time.monotonic() + pause_s
            self._tell(f"The {self.name} has died; starting it again in {pause_s:g} s")
        if time.monotonic() >= self._due_at:
            self.start(self._environment)

    def restart(self) -> None:
        """For what it was told when it started and would believe for ever."""
        self.end()
        self.start(self._environment)

    def ask_to_end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def end(self) -> None:
        """Returns when it has ended, killed if it must be."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        self.end()
        if self._log is not None:
            self._log.close()
            self._log = None

    def _settle_port(self) -> None:
        """Whoever is told a port must be able to rely on it; one that was free may be taken by now."""
        if self._keeps_port:
            return
        try:
            probe = listening_socket(self._host, self._port)
        except PortTaken:
            probe = listening_socket(self._host, 0)
        with probe:
            found: int = probe.getsockname()[1]
        if self._port not in (0, found):
            self._tell(f"The {self.name} answers on port {found} from now on")
        self._port = found


def _open_log(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")
