"""A thread that goes on after whatever goes wrong in it, until it is told to stop."""

import threading
from collections.abc import Callable
from time import monotonic
from typing import Final

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0
INTERRUPT_EVERY_S: Final = 0.2


def _nothing() -> None:
    """Nothing to interrupt."""


class PersistentThread:
    """Runs `work` in a thread of that name, again and again, ever more slowly while it fails.

    Args:
        name: the thread's.
        work: returns when it is done, at the latest soon after `stopping` is set; raises whatever goes wrong.
        stopping: set by `stop`, cleared by `start`.
        failed: is told what was raised, and for how many seconds nothing is tried.
        interrupt: ends what `work` waits for; called again and again once `stop` has waited for `grace_s`.
        grace_s: what the batch at hand may take.
        longest_pause_s: between two tries.
    """

    def __init__(  # noqa: PLR0913 - the parts, and by name what may differ
        self,
        name: str,
        work: Callable[[], None],
        stopping: threading.Event,
        failed: Callable[[Exception, float], None],
        *,
        interrupt: Callable[[], None] = _nothing,
        grace_s: float = 2.0,
        longest_pause_s: float = LONGEST_PAUSE_S,
    ) -> None:
        self._name = name
        self._work = work
        self._stopping = stopping
        self._failed = failed
        self._interrupt = interrupt
        self._grace_s = grace_s
        self._longest_pause_s = longest_pause_s
        self._thread: threading.Thread | None = None
        self._pause_s = FIRST_PAUSE_S

    def start(self) -> None:
        """Raises `RuntimeError` where it is running already."""
        if self._thread is not None:
            raise RuntimeError(f"{self._name} is running already")
        self._stopping.clear()
        self._pause_s = FIRST_PAUSE_S
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """False where it did not end in time; it may be asked again then."""
        self._stopping.set()
        thread = self._thread
        if thread is None:
            return True
        gives_up_at = monotonic() + timeout_s
        thread.join(min(timeout_s, self._grace_s))
        while thread.is_alive():
            if monotonic() > gives_up_at:
                return False
            self._interrupt()
            thread.join(INTERRUPT_EVERY_S)
        self._thread = None
        return True

    def progressed(self) -> None:
        """The next fault is a new one: it begins with short pauses again. For `work` to call."""
        self._pause_s = FIRST_PAUSE_S

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._work()
            except Exception as error:  # noqa: BLE001 - whatever it is, the thread must live to try again
                if self._stopping.is_set():
                    return
                self._failed(error, self._pause_s)
                self._stopping.wait(self._pause_s)
                self._pause_s = min(self._pause_s * 2, self._longest_pause_s)
            else:
                return
