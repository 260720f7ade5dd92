"""Projections for a rebuild in several processes, whose process kills itself in the middle of a batch.

Processes that help to rebuild import this to get at them, so it imports little itself.
"""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from domain.event_types import EVENTS
from domain.events import PositionedEvent
from infra.event_store.codec import EventCodec, PlainPersonalCodec
from infra.event_store.log_feed import LogFeed
from projections.attempts.projection import AttemptsProjection
from projections.projection import Cursor

DEADLY = 300
"""An event beyond this position is one."""


@contextmanager
def open_the_log(conninfo: str) -> Iterator[LogFeed]:
    with LogFeed(conninfo, EventCodec(EVENTS, PlainPersonalCodec())) as feed:
        yield feed


class DyingAttempts(AttemptsProjection):
    """Dies after the rows were written: once for the file that TEST_DIES_ONCE names."""

    def apply(self, cursor: Cursor, events: Sequence[PositionedEvent]) -> None:
        super().apply(cursor, events)
        mark = os.environ.get("TEST_DIES_ONCE")
        if mark is not None and _deadly(events) and not Path(mark).exists():
            Path(mark).touch()
            _die()


class AlwaysDyingAttempts(AttemptsProjection):
    """Dies as long as there is a TEST_DIES_ALWAYS."""

    def apply(self, cursor: Cursor, events: Sequence[PositionedEvent]) -> None:
        super().apply(cursor, events)
        if "TEST_DIES_ALWAYS" in os.environ and _deadly(events):
            _die()


class ManyDeathsAttempts(AttemptsProjection):
    """Dies once for each of the positions in TEST_DIES_AT, noting so in the folder TEST_DEATHS."""

    def apply(self, cursor: Cursor, events: Sequence[PositionedEvent]) -> None:
        super().apply(cursor, events)
        for position in os.environ.get("TEST_DIES_AT", "").split():
            mark = Path(os.environ["TEST_DEATHS"]) / position
            if any(each.position == int(position) for each in events) and not mark.exists():
                mark.touch()
                _die()


def _deadly(events: Sequence[PositionedEvent]) -> bool:
    return any(each.position > DEADLY for each in events)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
