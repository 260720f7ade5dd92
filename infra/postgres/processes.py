"""What the operating system knows about server processes: alive, whose, where, since when gone."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_PROC = Path("/proc")
_LOOK_EVERY_S = 0.02
_OUR_PROGRAMS = ("postgres", "postmaster", "initdb")


@dataclass(frozen=True, slots=True)
class PostmasterFile:
    """`postmaster.pid`, in which a server says who and where it is."""

    pid: int
    port: int | None
    shared_memory_id: int | None
    ready: bool

    @classmethod
    def read(cls, data_dir: Path) -> Self | None:
        """None where there is none, or one that was cut off while being written."""
        try:
            lines = (data_dir / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
            pid = abs(int(lines[0]))  # negative: a single-user backend
        except (FileNotFoundError, ValueError, IndexError):
            return None
        port = int(lines[3]) if len(lines) > 3 and lines[3].isdigit() else None
        memory = lines[6].split() if len(lines) > 6 else []
        return cls(
            pid=pid,
            port=port,
            shared_memory_id=int(memory[1]) if len(memory) == 2 and memory[1].isdigit() else None,
            ready=len(lines) > 7 and lines[7].strip() == "ready",
        )


def number_is_taken(pid: int) -> bool:
    """Whether there is such a process, be it a zombie: what PostgreSQL asks about a pid file it finds."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def is_alive(pid: int) -> bool:
    """False for a zombie too: it has ended, only nobody has asked for its exit status."""
    if not number_is_taken(pid):
        return False
    with contextlib.suppress(OSError, IndexError):
        # "pid (name) state …"; the name may hold anything, even a closing bracket.
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return True


def command_line(pid: int) -> list[str]:
    """Empty where the process is gone or tells nothing."""
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        if _PROC.joinpath("self").exists():
            return []
    told = subprocess.run(  # noqa: S603 - a number is the only thing passed
        ["ps", "-o", "command=", "-p", str(pid)],  # noqa: S607 - where /proc is missing; its place varies
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.split()


def works_in(pid: int, folder: Path) -> bool:
    """Whether the process works in `folder` or below it.

    The working folder decides, as it stays right when the folder is moved. Where the kernel does not
    show it (another user's process, without the right to trace), a path in the command line must do.
    """
    try:
        there = (_PROC / str(pid) / "cwd").readlink()
    except OSError:
        words = command_line(pid)
        return any(Path(word) == folder or folder in Path(word).parents for word in words if word)
    return there == folder or folder in there.parents


def is_server_in(pid: int, data_dir: Path) -> bool:
    """Whether this is a living PostgreSQL process of the folder, and not a later user of its number."""
    words = command_line(pid)
    program = Path(words[0]).name if words else ""
    return is_alive(pid) and program.startswith(_OUR_PROGRAMS) and works_in(pid, data_dir)


def servers_in(folder: Path) -> list[int]:
    """Living PostgreSQL processes of the folder or below; empty where there is no /proc.

    Other programs are passed over: somebody's shell may stand in the folder.
    """
    if not _PROC.joinpath("self").exists():
        return []
    pids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
    return [pid for pid in pids if is_server_in(pid, folder)]


def shared_memory_in_use(memory_id: int | None, owner_uid: int) -> bool:
    """Whether a process is still attached to this System V segment; False where the kernel does not tell.

    Each process of a server is, so this finds stragglers that hide their working folder.
    """
    try:
        rows = _PROC.joinpath("sysvipc/shm").read_text().splitlines()
    except OSError:
        return False
    heads = rows[0].split()
    for row in rows[1:]:
        told = dict(zip(heads, row.split(), strict=False))
        if told["shmid"] == str(memory_id) and told["uid"] == str(owner_uid):
            return int(told["nattch"]) > 0
    return False


def wait_until(condition: Callable[[], bool], *, time_limit_s: float) -> bool:
    """Looks until the condition holds; False when the time is over."""
    ends = time.monotonic() + time_limit_s
    while not condition():
        if time.monotonic() >= ends:
            return False
        time.sleep(_LOOK_EVERY_S)
    return True
