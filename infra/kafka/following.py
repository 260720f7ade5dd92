"""The thread of a consumer."""

import threading
from collections.abc import Callable
from typing import Final

import structlog

from infra.observability.database_errors import told
from infra.persistent_thread import PersistentThread

LONGEST_PAUSE_S: Final = 5.0
STOPS_WITHIN_S: Final = 15.0

log = structlog.get_logger("consumers")


def following(name: str, follow: Callable[[], None], stopping: threading.Event) -> PersistentThread:
    """Runs `follow` until `stopping` is set, and tells the log what goes wrong; not started."""

    def halted(error: Exception, pause_s: float) -> None:
        log.warning("consumer halted", consumer=name, error=told(error), retry_in_s=pause_s)

    return PersistentThread(f"consumer-{name}", follow, stopping, halted, longest_pause_s=LONGEST_PAUSE_S)
