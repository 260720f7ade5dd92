"""Reads the next page of the log while the present one is applied: one page ahead, and never more."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from domain.events import Event
from infra.event_store.feed import EventFeed, FeedPage


class ReadAhead:
    """Pages of a feed. Used by one thread, within `with`; a second thread reads for it.

    Only a full page is followed by the next at once: at the end of the log there is nothing to read yet. So
    a projection that is slow holds two pages in memory, however much there is behind them.
    """

    def __init__(self, feed: EventFeed, limit: int, event_types: Sequence[type[Event]]) -> None:
        self._feed = feed
        self._limit = limit
        self._event_types = event_types
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead")
        self._after = -1
        self._next: Future[FeedPage] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.shutdown(wait=True, cancel_futures=True)

    def page(self, after: int) -> FeedPage:
        """The page after a position. Raises what reading it has raised."""
        ahead, self._next = self._next, None
        page = ahead.result() if ahead is not None and self._after == after else self._read(after)
        if self.is_full(page):
            self._after = page.up_to
            self._next = self._reader.submit(self._read, page.up_to)
        return page

    def is_full(self, page: FeedPage) -> bool:
        return len(page.events) + len(page.unreadable) >= self._limit

    def _read(self, after: int) -> FeedPage:
        return self._feed.read(after, self._limit, self._event_types)
