"""Answers that are kept open for a while are counted: nobody may hold as many as they like."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from domain.errors import IllegalState
from domain.identifiers import StreamId

AT_MOST = 3
"""Two devices, and one connection that is gone without having said so."""

Kind = Literal["event stream", "long poll"]


class TooManyEventStreams(IllegalState):
    """The events of this attempt are followed `at_most` times already; one of them has to end first."""

    code = "too-many-event-streams"
    title = "Too many event streams of this attempt are open"


class OpenAnswers:
    """How many answers of a kind are open for each attempt; within one event loop."""

    def __init__(self, at_most: int = AT_MOST) -> None:
        self._at_most = at_most
        self._open: Counter[tuple[Kind, StreamId]] = Counter()

    def has_room(self, kind: Kind, attempt_id: StreamId) -> bool:
        return self._open[kind, attempt_id] < self._at_most

    @contextmanager
    def one(self, kind: Kind, attempt_id: StreamId) -> Iterator[None]:
        """Raises `TooManyEventStreams`."""
        if not self.has_room(kind, attempt_id):
            raise TooManyEventStreams(at_most=self._at_most)
        self._open[kind, attempt_id] += 1
        try:
            yield
        finally:
            self._open[kind, attempt_id] -= 1
            if not self._open[kind, attempt_id]:
                del self._open[kind, attempt_id]
