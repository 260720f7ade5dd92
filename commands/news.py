"""Who waits for a stream to go on is woken as soon as it does."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from domain.identifiers import StreamId


class Heard:
    """One listener's ear; see `News.listening`."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, timeout_s: float) -> bool:
        """Whether something was appended since the listening began, or since the last wait, in this time."""
        try:
            async with asyncio.timeout(max(0.0, timeout_s)):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True


class News:
    """Tells listeners within one event loop that a stream has grown.

    It is a hint and no promise: an append in another process is heard of as soon as somebody follows the log
    for it, or not at all. So a listener looks again when its time is over.
    """

    def __init__(self) -> None:
        self._listeners: dict[StreamId, set[Heard]] = {}

    def tell(self, stream_id: StreamId) -> None:
        for heard in self._listeners.get(stream_id, ()):
            heard.ring()

    @contextmanager
    def listening(self, stream_id: StreamId) -> Iterator[Heard]:
        """Listen first and look then: nothing is missed in between."""
        heard = Heard()
        listeners = self._listeners.setdefault(stream_id, set())
        listeners.add(heard)
        try:
            yield heard
        finally:
            listeners.discard(heard)
            if not listeners and self._listeners.get(stream_id) is listeners:
                del self._listeners[stream_id]
