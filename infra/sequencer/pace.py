"""How long the leader waits between two looks: little while events come in, longer when none do."""

from typing import Final

FULL_RATE_EVENTS: Final = 32
"""In one batch: somebody appends as fast as they can."""
FULL_RATE_LASTS_S: Final = 0.05


class Pace:
    """Doubles the pause with each look that finds nothing, except in the short gaps of appends at full rate.

    Those come in bursts some milliseconds apart. To take a gap for the end of the work made the events of the
    next burst wait for longer than everything else together.
    """

    def __init__(self, busy_interval_s: float, idle_interval_s: float) -> None:
        self._busy_interval_s = busy_interval_s
        self._idle_interval_s = idle_interval_s
        self._interval_s = busy_interval_s
        self._full_rate_until = float("-inf")

    def pause_s(self, found: int, now: float) -> float:
        """How long to wait after a look that found so many events. `now` is of a monotonic clock."""
        if found:
            self._interval_s = self._busy_interval_s
            if found >= FULL_RATE_EVENTS:
                self._full_rate_until = now + FULL_RATE_LASTS_S
        elif now >= self._full_rate_until:
            self._interval_s = min(self._interval_s * 2, self._idle_interval_s)
        return self._interval_s
