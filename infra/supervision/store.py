"""The Valkey of `megacity up --with-redis`, started again whenever it dies."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from infra.rate_limits.embedded import EmbeddedStore, StorePortTaken


class WatchedStore:
    """For one thread at a time.

    Linux kills the store when the thread that started it ends. So all starts come from one thread of its
    own, which lives until `stop`, or until the whole process is killed.
    """

    def __init__(self, log_file: Path, tell: Callable[[str], None]) -> None:
        self.log_file = log_file
        self._tell = tell
        self._store = EmbeddedStore(log_file)
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="store")

    @property
    def url(self) -> str:
        return self._store.url

    def start(self) -> None:
        """Raises the errors of `EmbeddedStore.start`."""
        self._starter.submit(self._store.start).result()

    def look_after(self) -> bool:
        """Starts it again if it has died; whether it had to move to another port.

        Raises the errors of `EmbeddedStore.start`, but for a port that is taken.
        """
        if self._store.is_running:
            return False
        self._tell("Valkey has died; starting it again, rate limits begin anew")
        try:
            self.start()
        except StorePortTaken:
            self._store = EmbeddedStore(self.log_file)
            self.start()
            self._tell("Valkey has moved to another port")
            return True
        return False

    def stop(self) -> None:
        # In its turn: a start that is under way comes first, and is stopped.
        self._starter.submit(self._store.stop).result()
        self._starter.shutdown()
