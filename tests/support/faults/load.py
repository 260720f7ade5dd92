"""A writer that is somebody else's process, and the ledger of what it was told.

    python -m tests.support.faults.load LEDGER --log MODULE:FACTORY --callers 8 --seed 7 --pause-s 0

It appends to streams of people, now and then nothing at all, until its standard input is closed. Before each
command it writes into the ledger what it is about to ask for, after it what it was told. The ledger is as
durable as it must be: this process is none of those that are killed, and a line is with the operating system,
which is not killed either, before anything else happens. `CONNINFO` in the environment says where, signed in
as the write side.
"""

import argparse
import asyncio
import contextlib
import importlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from commands.ports import EventLog, NewEvent, StreamAppend, VersionConflict
from domain.errors import Unavailable
from domain.events import Actor, EventMetadata
from domain.identifiers import stream_id
from domain.users.events import ProfileChanged, UserRegistered
from infra.composition import event_codec, new_id
from infra.event_store.append_log import PostgresEventLog
from infra.observability.metrics import EventStoreMetrics, new_registry
from infra.postgres.processes import wait_until
from tests.support.postgres import CHECKOUT

OpenLog = Callable[[str], AbstractAsyncContextManager[EventLog]]

_STREAMS_OF_A_CALLER = 5
_EVENTS_OF_A_STREAM = 40


@asynccontextmanager
async def product_log(conninfo: str) -> AsyncIterator[EventLog]:
    """The log as the application opens it."""
    metrics = EventStoreMetrics.create(new_registry())
    async with PostgresEventLog(conninfo, event_codec(), metrics, queue_limit=1_000) as log:
        yield log


class Line(msgspec.Struct, frozen=True, tag=True):
    """A line of the ledger. `command` tells which lines are about the same command."""

    command: int


class Asked(Line, frozen=True, tag=True):
    """`events`: stream, version and event id of each, as one command of all or nothing.

    `stale`: it names a version that its stream is past, so it must be refused. No other command may be:
    each stream has one writer.
    """

    events: list[tuple[str, int, str]]
    stale: bool


class Told(Line, frozen=True, tag=True):
    """`answer`: saved, conflict, unavailable, or the name of an error that nobody should see."""

    answer: str
    detail: str = ""


class Ledger:
    """Writes lines that outlive the writer, whatever ends it."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._encoder = msgspec.json.Encoder()

    def write(self, line: Line) -> None:
        os.write(self._fd, self._encoder.encode(line) + b"\n")


class Caller:
    """One client: one command at a time, each for a stream of its own or for two of them together."""

    def __init__(self, number: int, log: EventLog, ledger: Ledger, seed: int, pause_s: float) -> None:
        self._number = number
        self._pause_s = pause_s
        self._log = log
        self._ledger = ledger
        self._random = random.Random(f"{seed} {number}")
        self._versions: dict[str, int] = {}
        self._commands = 0

    async def call(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            appends = self._next()
            command = self._number * 10_000_000 + self._commands
            self._commands += 1
            stale = any(each.expected_version < self._versions[each.stream_id] for each in appends)
            self._ledger.write(
                Asked(
                    command,
                    [
                        (each.stream_id, each.expected_version + number, new.metadata.event_id)
                        for each in appends
                        for number, new in enumerate(each.events, start=1)
                    ],
                    stale,
                )
            )
            try:
                await self._log.append(appends)
            except VersionConflict:
                told = Told(command, "conflict")
            except Unavailable as error:
                told = Told(command, "unavailable", error.code)
            except Exception as error:  # noqa: BLE001 - whatever it is, the ledger is to say so
                told = Told(command, type(error).__name__, repr(error))
            else:
                told = Told(command, "saved")
            self._ledger.write(told)
            self._go_on(appends, told.answer, stale=stale)
            # Whether what is unavailable was saved is not known: such a stream is left alone.
            if pause_s := max(self._pause_s, 0.02 if told.answer == "unavailable" else 0):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), pause_s)

    def _next(self) -> list[StreamAppend]:
        while len(self._versions) < _STREAMS_OF_A_CALLER:
            self._versions[stream_id("user", new_id())] = 0
        streams = self._random.sample(sorted(self._versions), 2 if self._random.random() < 0.1 else 1)
        return [self._append(each) for each in streams]

    def _append(self, stream: str) -> StreamAppend:
        version = self._versions[stream]
        if self._random.random() < 0.03:
            return StreamAppend(stream, version, ())
        if version and self._random.random() < 0.05:
            version -= 1  # somebody who has not seen the newest event: this must conflict
        count = self._random.choice((1, 1, 1, 2, 5))
        return StreamAppend(stream, version, tuple(self._event(version + n) for n in range(1, count + 1)))

    def _event(self, version: int) -> NewEvent:
        metadata = EventMetadata(
            event_id=new_id(),
            actor=Actor("service", "load"),
            zone_id="univprep",
            org_id=None,
            correlation_id="load",
            causation_id=new_id(),
            recorded_at=datetime.now(UTC),
        )
        if version == 1:
            event: Any = UserRegistered(
                origin="self", zone_id="univprep", display_name="새 사람", language="ko"
            )
        else:
            event = ProfileChanged(display_name=f"이름 {version} " + "가" * 50, language="ko")
        return NewEvent(metadata, event)

    def _go_on(self, appends: list[StreamAppend], answer: str, *, stale: bool) -> None:
        for append in appends:
            if answer == "saved":
                self._versions[append.stream_id] = append.expected_version + len(append.events)
            # A stream that is not as it should be is left alone; the ledger has what is to be said of it.
            known = answer == "saved" or (answer == "conflict" and stale)
            if not known or self._versions[append.stream_id] > _EVENTS_OF_A_STREAM:
                self._versions.pop(append.stream_id, None)


async def write(  # noqa: PLR0917 - what the command line says
    open_log: OpenLog, conninfo: str, ledger: Path, callers: int, seed: int, pause_s: float
) -> None:
    """Until standard input ends, or SIGTERM."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_reader(sys.stdin.fileno(), lambda: os.read(sys.stdin.fileno(), 100) or stopping.set())
    kept = Ledger(ledger)
    async with open_log(conninfo) as log:
        print("writing", flush=True)
        await asyncio.gather(*(Caller(n, log, kept, seed, pause_s).call(stopping) for n in range(callers)))


@dataclass
class Writing:
    """A writer that runs."""

    process: subprocess.Popen[bytes]
    ledger: Path

    def lines(self) -> int:
        return self.ledger.read_bytes().count(b"\n") if self.ledger.exists() else 0

    def acknowledged(self) -> int:
        return self.ledger.read_bytes().count(b'"saved"') if self.ledger.exists() else 0

    def goes_on(self, more: int = 20, within_s: float = 60.0) -> None:
        """Waits until so many more commands have been acknowledged."""
        before = self.acknowledged()

        def enough() -> bool:
            assert self.process.poll() is None, "the writer has ended"
            return self.acknowledged() >= before + more

        assert wait_until(enough, time_limit_s=within_s), "nothing more is acknowledged"

    def stop(self, within_s: float = 60.0) -> None:
        """Lets what is under way end."""
        if self.process.poll() is None:
            assert self.process.stdin is not None
            self.process.stdin.close()
        assert self.process.wait(within_s) == 0, "the writer has failed; see its output"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def writing(
    conninfo: str,
    ledger: Path,
    *,
    log: str = "tests.support.faults.load:product_log",
    callers: int = 8,
    seed: int = 1,
    pause_s: float = 0.0,
) -> Iterator[Writing]:
    """A writer in a process of its own, at work when the block begins and stopped when it ends.

    `pause_s` is how long each caller rests after a command.
    """
    words = ["-m", "tests.support.faults.load", str(ledger), "--log", log]
    words += ["--callers", str(callers), "--seed", str(seed), "--pause-s", str(pause_s)]
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=CHECKOUT,
        env={**os.environ, "CONNINFO": conninfo},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    running = Writing(process, ledger)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        yield running
        running.stop()
    finally:
        running.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("ledger", type=Path)
    words.add_argument("--log", required=True)
    words.add_argument("--callers", type=int, required=True)
    words.add_argument("--seed", type=int, required=True)
    words.add_argument("--pause-s", type=float, required=True)
    told = words.parse_args()
    module, _, factory = told.log.partition(":")
    open_log: OpenLog = getattr(importlib.import_module(module), factory)
    conninfo = os.environ["CONNINFO"]
    uvloop.run(write(open_log, conninfo, told.ledger, told.callers, told.seed, told.pause_s))


if __name__ == "__main__":
    main()
