"""Tells who waits for a stream in this process what other processes have appended to it."""

import asyncio
import threading
from collections.abc import Collection, Sequence
from typing import Final

import structlog

from commands.news import News
from domain.events import Event
from infra.event_store.stored_log import StoredLog, open_stored_log
from infra.observability.database_errors import told
from infra.persistent_thread import PersistentThread

POLL_INTERVAL_S: Final = 1.0
STOPS_WITHIN_S: Final = 10.0

log = structlog.get_logger("news")


class StreamNews:
    """Follows the end of the log from `start()` until `stop()`, and rings for the streams of some events.

    Nothing is decoded, and nothing but the head of the log is read while nobody listens. Who begins to listen
    looks afterwards, so what was passed over before that is seen then.

    Args:
        conninfo: of the role `megacity_projector`.
        news: is told in `loop`, which runs in another thread.
        event_types: what may have been waited for.
    """

    def __init__(
        self,
        conninfo: str,
        news: News,
        loop: asyncio.AbstractEventLoop,
        event_types: Sequence[type[Event]],
    ) -> None:
        self._conninfo = conninfo
        self._news = news
        self._loop = loop
        self._types = [cls.type_.name for cls in event_types]
        self._after: int | None = None
        self._stopping = threading.Event()
        self._thread = PersistentThread("stream-news", self._follow, self._stopping, _interrupted)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> bool:
        return self._thread.stop(STOPS_WITHIN_S)

    def _follow(self) -> None:
        with open_stored_log(self._conninfo) as stored:
            after = stored.head() if self._after is None else self._after
            while not self._stopping.is_set():
                self._after = after = self._rung_for(stored, after)
                self._thread.progressed()
                stored.wait(after, POLL_INTERVAL_S, self._stopping)

    def _rung_for(self, stored: StoredLog, after: int) -> int:
        head = stored.head()
        if head > after and self._news.somebody_listens:
            streams = stored.streams_with(self._types, after, head)
            if streams:
                self._ring(streams)
        return head

    def _ring(self, streams: Collection[str]) -> None:
        def tell() -> None:
            for stream_id in streams:
                self._news.tell(stream_id)

        try:
            self._loop.call_soon_threadsafe(tell)
        except RuntimeError:
            # The loop has ended, and everybody in it.
            self._stopping.set()


def _interrupted(error: Exception, pause_s: float) -> None:
    log.warning("waiters are not told of what others append", error=told(error), retry_in_s=pause_s)
