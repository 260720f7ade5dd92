"""The Kafka broker of `megacity up --with-kafka`, started again whenever it dies."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from infra.kafka.embedded import BrokerPortTaken, EmbeddedBroker


class WatchedBroker:
    """For one thread at a time.

    Linux kills the broker when the thread that started it ends. So all starts come from one thread of its
    own, which lives until `stop`, or until the whole process is killed.
    """

    def __init__(self, folder: Path, log_file: Path, tell: Callable[[str], None]) -> None:
        self._folder = folder
        self.log_file = log_file
        self._tell = tell
        self._broker = EmbeddedBroker(folder, log_file)
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="broker")

    @property
    def bootstrap_servers(self) -> str:
        return self._broker.bootstrap_servers

    def start(self) -> None:
        """Raises the errors of `EmbeddedBroker.start`."""
        self._starter.submit(self._broker.start).result()

    def look_after(self) -> bool:
        """Starts it again if it has died; whether it had to move to another port.

        Raises the errors of `EmbeddedBroker.start`, but for a port that is taken.
        """
        if self._broker.is_running:
            return False
        self._tell("Kafka has died; starting it again, the relay sends it what it has lost")
        try:
            self.start()
        except BrokerPortTaken:
            self._broker = EmbeddedBroker(self._folder, self.log_file)
            self.start()
            self._tell(f"Kafka has moved to {self.bootstrap_servers}")
            return True
        return False

    def stop(self) -> None:
        # In its turn: a start that is under way comes first, and is stopped.
        self._starter.submit(self._broker.stop).result()
        self._starter.shutdown()
