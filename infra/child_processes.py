"""Programs that this process starts and that must not outlive it."""

import ctypes
import signal
import sys
from collections.abc import Callable
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def end_with_parent() -> Callable[[], None] | None:
    """For `preexec_fn`: the child is killed when the thread that starts it ends. Linux alone; else None."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
