"""Readers, writers and checks around a rebuild."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, Self

import psycopg

from domain.items.responses import ChosenOptions
from infra.projections.checkpoints import Connection
from infra.projections.rebuild import verify
from infra.projections.runner import ProjectionRunner
from projections.projection import Projection
from tests.support.story import ZONE, Story, StoryFeed, a_choice_item

LONGEST_WAIT_S = 30.0


def until(true: Callable[[], object], what: str) -> None:
    """Waits for a condition; fails with `what` where it does not come."""
    waiting = threading.Event()
    for _ in range(int(LONGEST_WAIT_S / 0.01)):
        if true():
            return
        waiting.wait(0.01)
    raise AssertionError(f"this did not happen: {what}")


def run_to_the_end(projection: Projection, story: Story, connect: Callable[[], Connection]) -> None:
    """The live rows of a story, as the runner makes them."""
    with following(projection, StoryFeed(story), connect) as runner:
        until(lambda: runner.position >= len(story.events), f"{projection.name} applies the story")


@contextmanager
def following(
    projection: Projection, feed: StoryFeed, connect: Callable[[], Connection], **options: Any
) -> Iterator[ProjectionRunner]:
    runner = ProjectionRunner(projection, feed, connect, poll_interval_s=0.02, **options)
    runner.start()
    try:
        yield runner
    finally:
        assert runner.stop()


@contextmanager
def answers_keep_coming(story: Story, most: int = 4_000, seed: int = 3) -> Iterator[threading.Event]:
    """Somebody takes an exam again and again; the event says when enough is enough."""
    bank = story.bank()
    items = [story.item(bank, f"q{n}", a_choice_item()) for n in range(4)]
    exam = story.exam(items)
    stop, random = threading.Event(), Random(seed)

    def keep_answering() -> None:
        while not stop.is_set() and len(story.events) < most:
            story.take(exam, story.person(), [ChosenOptions((random.choice("1234"),)) for _ in items])
            stop.wait(0.002)

    writer = threading.Thread(target=keep_answering)
    writer.start()
    try:
        yield stop
    finally:
        stop.set()
        writer.join()


def rows_not_of_the_log(projection: Projection, feed: StoryFeed, connection: Connection) -> list[str]:
    """What does not hold of the live rows, in sentences: they are those that the log gives."""
    found = verify(projection, feed, connection)
    if found.agrees:
        return []
    replayed = {each.table: each for each in found.replayed.tables}
    return [
        f"{each.table} has {each.rows} rows, the log gives {replayed[each.table].rows} or others"
        for each in found.rows.tables
        if replayed[each.table] != each
    ]


class Reader:
    """Somebody of the school's staff who reads all the time, each time in one snapshot, as the API does."""

    def __init__(self, conninfo: str, statement: str) -> None:
        self._conninfo = conninfo
        self._statement = statement
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.answers: list[Any] = []
        self.errors: list[psycopg.Error] = []

    def __enter__(self) -> Self:
        self._thread.start()
        until(lambda: self.answers or self.errors, "the reader reads")
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _read(self) -> None:
        with psycopg.connect(self._conninfo) as connection:
            as_staff(connection)
            while not self._stopping.is_set() and not self.errors:
                try:
                    with connection.transaction():
                        self.answers.append(connection.execute(self._statement.encode()).fetchall())
                except psycopg.Error as error:
                    self.errors.append(error)


def as_staff(connection: psycopg.Connection[Any]) -> None:
    """The session sees what a program of the whole zone sees, in one snapshot per transaction."""
    connection.execute(
        "SELECT set_config('app.user_id', 'client-tests', false), set_config('app.zone_id', %s, false),"
        " set_config('app.roles', 'service', false), set_config('lock_timeout', '2s', false)",
        [ZONE],
    )
    connection.commit()
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
