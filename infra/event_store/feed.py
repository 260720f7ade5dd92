"""The feed: the whole log in order, as projections, the relay and the checker read it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from domain.errors import DomainError
from domain.events import Event, PositionedEvent
from domain.identifiers import StreamId


@dataclass(frozen=True, slots=True)
class Partition:
    """One of `count` parts of the log, each with whole streams: a stable hash of the stream id decides."""

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"there is no partition {self.index} of {self.count}")


@dataclass(frozen=True, slots=True)
class UnreadableEvent:
    """An event that cannot be decoded, and why."""

    position: int
    stream_id: StreamId
    version: int
    type: str
    error: DomainError


OnUnreadable = Callable[[UnreadableEvent], None]


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Events after a position.

    `up_to` is where to go on once these are dealt with: no event that was asked for lies between the
    last one here and `up_to`, and none will appear there later. Where few events pass a filter, a page
    may hold none and still move on. `unreadable` holds what could not be decoded, in order.
    """

    events: list[PositionedEvent]
    up_to: int
    unreadable: list[UnreadableEvent] = field(default_factory=list)


class EventFeed(Protocol):
    """May be used by several threads at once.

    The filters go together: of these types (in all their schema versions, also those that only a newer
    release knows), and of streams of these categories, and in this partition.

    Raises `infra.event_store.log_feed.FeedUnreachable` where the log cannot be reached for a while.
    """

    def head(self) -> int:
        """The last position that can be read now; 0 where the log is empty."""
        ...

    def read(  # noqa: PLR0913 - filters, all by name
        self,
        after: int,
        limit: int,
        event_types: Sequence[type[Event]] | None = None,
        *,
        categories: Sequence[str] | None = None,
        partition: Partition | None = None,
        up_to: int | None = None,
    ) -> FeedPage:
        """At most `limit` events after a position, in order, none of them past `up_to`."""
        ...

    def stream(  # noqa: PLR0913 - filters, all by name
        self,
        after: int,
        up_to: int,
        event_types: Sequence[type[Event]] | None = None,
        *,
        categories: Sequence[str] | None = None,
        partition: Partition | None = None,
        on_unreadable: OnUnreadable | None = None,
    ) -> Iterator[PositionedEvent]:
        """All events after a position up to another, in flat memory, however many they are.

        An event that cannot be decoded is told to `on_unreadable`; without it, its error is raised.
        """
        ...

    def wait(self, after: int, timeout_s: float) -> None:
        """Returns when there may be something after the position, or when the time is over."""
        ...
