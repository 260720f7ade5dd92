"""A thread that follows something until told to stop, and begins again after whatever went wrong."""

import threading
from collections.abc import Callable
from typing import Final

import structlog

from infra.kafka.delivery import Stopped
from infra.observability.database_errors import told

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0

log = structlog.get_logger("consumers")


class Following:
    """Runs `follow` in a thread, again and again, ever more slowly while it fails.

    Args:
        name: of the thread, and in what is logged.
        follow: returns when `stopping` is set; raises whatever goes wrong. It is given a function to call
            when it has got somewhere, after which a fault counts as a new one.
        stopping: set by `stop`.
    """

    def __init__(
        self, name: str, follow: Callable[[Callable[[], None]], None], stopping: threading.Event
    ) -> None:
        self._name = name
        self._follow = follow
        self._stopping = stopping
        self._thread: threading.Thread | None = None
        self._pause_s = FIRST_PAUSE_S

    def start(self) -> None:
        """Raises `RuntimeError` where it is running already."""
        if self._thread is not None:
            raise RuntimeError(f"{self._name} is running already")
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 15.0) -> bool:
        """Ends after the batch at hand; False where it did not end in time."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                return False
            self._thread = None
        return True

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow(self._progressed)
            except Stopped:
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, the thread must live to try again
                log.warning(
                    "consumer halted", consumer=self._name, error=told(error), retry_in_s=self._pause_s
                )
            self._stopping.wait(self._pause_s)
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)

    def _progressed(self) -> None:
        self._pause_s = FIRST_PAUSE_S
