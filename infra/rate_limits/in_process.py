"""Counts in this process alone: for one process, and for the time in which the shared count is away."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from infra.rate_limits.gcra import arrival_us, decision, wait_us
from infra.rate_limits.limiter import Decision, Limit, Take, require_distinct

MAX_KEYS = 100_000
_LOOKED_AT = 2


def monotonic_us() -> int:
    return time.monotonic_ns() // 1000


class InProcessRateLimiter:
    """`RateLimiter` for one event loop: between two awaits nobody comes between.

    Memory is bounded: each call forgets up to two keys that have nothing left to say, and with `max_keys`
    the one that was asked for longest ago goes, as if it had been quiet.
    """

    def __init__(self, clock_us: Callable[[], int] = monotonic_us, *, max_keys: int = MAX_KEYS) -> None:
        self._clock_us = clock_us
        self._max_keys = max_keys
        self._arrivals: OrderedDict[tuple[str, str], int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._arrivals)

    async def take(self, key: str, limit: Limit, cost: int = 1) -> Decision:
        [only] = await self.take_all((Take(key=key, limit=limit, cost=cost),))
        return only

    async def take_all(self, takes: Sequence[Take]) -> tuple[Decision, ...]:
        require_distinct(takes)
        now_us = self._clock_us()
        self._forget_stale(now_us)
        weighed = []
        for each in takes:
            name = (each.limit.name, each.key)
            arrival = arrival_us(self._arrivals.get(name), now_us, each.limit)
            weighed.append((each, name, arrival, wait_us(arrival, now_us, each.limit, each.cost)))
        granted = all(waiting_us <= 0 for _, _, _, waiting_us in weighed)
        decisions = []
        for each, name, before, waiting_us in weighed:
            arrival = before
            if granted:
                arrival += each.cost * each.limit.interval_us
                self._arrivals[name] = arrival
                self._arrivals.move_to_end(name)
            decisions.append(decision(arrival, now_us, each.limit, waiting_us))
        while len(self._arrivals) > self._max_keys:
            self._arrivals.popitem(last=False)
        return tuple(decisions)

    def _forget_stale(self, now_us: int) -> None:
        # Each call adds few keys and looks at more: what is stale goes as fast as new keys can come.
        for _ in range(_LOOKED_AT):
            if not self._arrivals:
                return
            oldest = next(iter(self._arrivals))
            if self._arrivals[oldest] > now_us:
                return
            del self._arrivals[oldest]
