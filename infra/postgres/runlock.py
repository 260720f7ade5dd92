"""One program per checkout: a lock file that the kernel forgets together with its holder."""

import fcntl
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self


class AlreadyRunning(Exception):
    """Another process holds the lock; `pid` and `since` are None while it has not yet written them."""

    def __init__(self, pid: int | None, since: datetime | None) -> None:
        self.pid, self.since = pid, since
        who = f"process {pid}" if pid is not None else "another process"
        when = f" since {since.astimezone():%Y-%m-%d %H:%M:%S}" if since is not None else ""
        super().__init__(
            f"MegaCity is already running in this checkout ({who}{when}). Use that one, or stop it first."
        )


class RunLock:
    """`with RunLock(var / "run.lock"): …` or `acquire()` and `release()`.

    An flock, so it ends with the process whatever ends the process. The file itself stays: deleting
    it would let two processes hold two locks of the same name.

    Raises:
        AlreadyRunning: somebody else (or another RunLock of this process) holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None
        self._forgets_in_child = False

    def acquire(self) -> None:
        if self._fd is not None:
            raise AlreadyRunning(os.getpid(), None)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, since = _read_holder(fd)
            os.close(fd)
            raise AlreadyRunning(pid, since) from None
        except BaseException:
            os.close(fd)
            raise
        holder = {"pid": os.getpid(), "since": datetime.now(UTC).isoformat()}
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(holder).encode(), 0)
        self._fd = fd
        if not self._forgets_in_child:
            # A forked child shares the open file, and with it the lock: it would outlive its holder.
            os.register_at_fork(after_in_child=self._close)
            self._forgets_in_child = True

    def release(self) -> None:
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            self._close()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def _read_holder(fd: int) -> tuple[int | None, datetime | None]:
    # The holder writes right after locking; looking a few times covers that moment.
    for _ in range(20):
        try:
            holder = json.loads(os.pread(fd, 1000, 0))
            return int(holder["pid"]), datetime.fromisoformat(holder["since"])
        except (ValueError, KeyError, TypeError):
            time.sleep(0.01)
    return None, None
