"""A projector in a process of its own that kills itself in the middle of its work, over the real log.

    python -m tests.support.faults.doomed HOW FOLDER

It keeps `tests.support.faults.tally` until its standard input ends, or until it dies, which it does so:

- `between`: now and then when it has written the rows of a batch, before the checkpoint moves or about then;
  never twice at one place, which the marks in the folder say
- `poison`: whenever it is to apply an event that `is_deadly`; those that are `is_poison` it cannot apply
- `never`

`CONNINFO` in the environment says where, as the administrator.
"""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

from domain.events import PositionedEvent
from projections.projection import Cursor
from tests.support.faults.tally import Tally, tallying
from tests.support.postgres import CHECKOUT

KILLED = -signal.SIGKILL
_ONE_BATCH_IN = 4


def is_poison(stream_id: str, version: int) -> bool:
    """The second event of every sixteenth stream."""
    return version == 2 and crc32(stream_id.encode()) % 16 == 0


def is_deadly(stream_id: str, version: int) -> bool:
    """The third event of every 32nd stream."""
    return version == 3 and crc32(stream_id.encode()) % 32 == 1


class DiesBetween(Tally):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def apply(self, cursor: Cursor, events: Sequence[PositionedEvent]) -> None:
        super().apply(cursor, events)
        mark = self._folder / str(events[0].position)
        if random.randrange(_ONE_BATCH_IN) == 0 and not mark.exists():
            mark.touch()
            if random.randrange(2):
                _die()
            # Or a moment later: about when rows and checkpoint are committed.
            threading.Timer(random.random() * 0.004, _die).start()


class Poisoned(Tally):
    def apply(self, cursor: Cursor, events: Sequence[PositionedEvent]) -> None:
        for each in events:
            place = each.recorded.stream_id, each.recorded.version
            if is_deadly(*place):
                _die()
            if is_poison(*place):
                raise ZeroDivisionError
        super().apply(cursor, events)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def projector(conninfo: str, how: str, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The process; it is told to end when the block does."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.faults.doomed", how, str(folder)],
        cwd=CHECKOUT,
        env={**os.environ, "CONNINFO": conninfo},
        stdin=subprocess.PIPE,
    )
    try:
        yield process
        process.communicate(timeout=60)
        assert process.returncode in {0, KILLED}, "the projector has failed; see its output"
    finally:
        process.kill()
        process.wait()


def main(how: str, folder: str) -> None:
    made = {"between": DiesBetween(Path(folder)), "poison": Poisoned(), "never": Tally()}
    with tallying(os.environ["CONNINFO"], projection=made[how]):
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
