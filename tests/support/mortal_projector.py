"""A projector in a process of its own that dies where the test wants it to: run as a script.

It follows `a_whole_story` with the item analysis and ends when it has come to the story's end. It is killed
as hard as can be (SIGKILL, to itself, so nothing is cleaned up) in one of these ways:

- `rows`: whenever it has written the rows of a batch that holds the position, before the checkpoint moves
- `event`: whenever it is about to apply the event at the position
"""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from infra.postgres.roles import PROJECTOR, role_conninfo, with_options
from infra.projections.batches import Batches
from infra.projections.checkpoints import advance
from infra.projections.runner import ProjectionRunner
from projections.item_analysis.projection import ItemAnalysisProjection
from tests.support.postgres import CHECKOUT, ROLE_SECRET
from tests.support.story import StoryFeed, a_whole_story

BATCH_SIZE = 7


@dataclass(frozen=True)
class Death:
    when: str
    position: int


class Mortal(ItemAnalysisProjection):
    def __init__(self, death: Death | None) -> None:
        self._death = death

    def apply(self, cursor: Any, events: Any) -> None:
        self.die("event", events)
        super().apply(cursor, events)
        self.die("rows", events)

    def die(self, when: str, events: Any) -> None:
        death = self._death
        if death is not None and death.when == when and death.position in {each.position for each in events}:
            os.kill(os.getpid(), signal.SIGKILL)


class CheckpointFirst(Batches):
    """A planted bug: the checkpoint is committed before the rows."""

    def _apply(self, connection: Any, position: int, page: Any, **_how: Any) -> None:
        with connection.transaction():
            self._hold(connection, position)
            advance(connection, self._projection, from_position=position, to_position=page.up_to)
        with connection.transaction(), connection.cursor() as cursor:
            self._projection.apply(cursor, page.events)


class RowsFirst(Batches):
    """A planted bug: the rows are committed before the checkpoint."""

    def _apply(self, connection: Any, position: int, page: Any, **_how: Any) -> None:
        with connection.transaction(), connection.cursor() as cursor:
            ItemAnalysisProjection().apply(cursor, page.events)
        self._projection.die("rows", page.events)
        with connection.transaction():
            advance(connection, self._projection, from_position=position, to_position=page.up_to)


PLANTED = {"checkpoint-first": CheckpointFirst, "rows-first": RowsFirst}


def run_projector(conninfo: str, death: Death | None = None, planted: str = "-") -> int:
    """Runs it to its end; the exit code, -9 where it was killed."""
    words = [death.when, str(death.position)] if death is not None else ["-", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.mortal_projector", conninfo, planted, *words],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        timeout=60,
        check=False,
    )
    return done.returncode


def main(conninfo: str, planted: str, when: str, position: str) -> None:
    projector = with_options(role_conninfo(conninfo, PROJECTOR, ROLE_SECRET), "-c synchronous_commit=off")
    story = a_whole_story()
    projection = Mortal(None if when == "-" else Death(when, int(position)))
    runner = ProjectionRunner(
        projection,
        StoryFeed(story),
        lambda: psycopg.connect(projector, autocommit=True, row_factory=dict_row),
        batch_size=BATCH_SIZE,
        poll_interval_s=0.02,
    )
    if planted in PLANTED:
        runner._batches = PLANTED[planted](projection, None)
    runner.start()
    while runner.position < len(story.events):
        threading.Event().wait(0.01)
    assert runner.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
