"""The feed: the whole log in order, as projections read it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.events import Event, PositionedEvent


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Events after a position.

    `up_to` is where to go on once these are dealt with: no event that was asked for lies between the
    last one here and `up_to`, and none will appear there later.
    """

    events: list[PositionedEvent]
    up_to: int


class EventFeed(Protocol):
    """May be used by several threads at once."""

    def head(self) -> int:
        """The last position that can be read now; 0 where the log is empty."""
        ...

    def read(self, after: int, limit: int, event_types: Sequence[type[Event]] | None = None) -> FeedPage:
        """At most `limit` events after a position, in order; of these types, or of all.

        Raises the errors of `EventRegistry.decode` where an event cannot be understood.
        """
        ...

    def wait(self, after: int, timeout_s: float) -> None:
        """Returns when there may be something after the position, or when the time is over."""
        ...
