"""Who waits for a stream to go on is woken as soon as it does."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from domain.identifiers import StreamId


class Heard:
    """One listener's ear; see `News.listening`."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._rings = 0
        self.closed = False
        """Nothing more will be heard, and nobody should wait."""

    def ring(self) -> None:
        self._rings += 1
        self._rung.set()

    def discount(self) -> None:
        """One ring was the listener's own doing."""
        self._rings -= 1
        if self._rings <= 0 and not self.closed:
            self._rings = 0
            self._rung.clear()

    def close(self) -> None:
        self.closed = True
        self._rung.set()

    async def wait(self, timeout_s: float) -> bool:
        """Whether something was appended since the listening began, or since the last wait, in this time.

        Once closed it answers at once that nothing was.
        """
        try:
            async with asyncio.timeout(max(0.0, timeout_s)):
                await self._rung.wait()
        except TimeoutError:
            return False
        if self.closed:
            return False
        self._rings = 0
        self._rung.clear()
        return True


class News:
    """Tells listeners within one event loop that a stream has grown.

    It is a hint and no promise: an append in another process is heard of as soon as somebody follows the log
    for it, or not at all. So a listener looks again when its time is over.
    """

    def __init__(self) -> None:
        self._listeners: dict[StreamId, set[Heard]] = {}
        self._closed = False

    def close(self) -> None:
        """Ends all waiting, that of later listeners too: a process that is to stop need not wait for them."""
        self._closed = True
        for listeners in self._listeners.values():
            for heard in listeners:
                heard.close()

    @property
    def somebody_listens(self) -> bool:
        return bool(self._listeners)

    def tell(self, stream_id: StreamId) -> None:
        for heard in self._listeners.get(stream_id, ()):
            heard.ring()

    @contextmanager
    def listening(self, stream_id: StreamId) -> Iterator[Heard]:
        """Listen first and look then: nothing is missed in between."""
        heard = Heard()
        if self._closed:
            heard.close()
        listeners = self._listeners.setdefault(stream_id, set())
        listeners.add(heard)
        try:
            yield heard
        finally:
            listeners.discard(heard)
            if not listeners and self._listeners.get(stream_id) is listeners:
                del self._listeners[stream_id]
