"""A limiter that never fails and keeps no request waiting: without the shared count it goes by its own."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from infra.rate_limits.limiter import Decision, Limit, LimitsUnavailable, RateLimiter, Take
from infra.rate_limits.metrics import RateLimitMetrics

FAILURES_IN_A_ROW: Final = 3
"""So many open the circuit: one may have been a pause of this process, not the store's fault."""
LEFT_ALONE_S: Final = 5.0
"""So long the store is not asked; then one request tries it."""

log = structlog.get_logger("rate-limits")


class FailoverRateLimiter:
    """`RateLimiter`: asks `shared`, and `local` for each take that `shared` fails to answer.

    While the circuit is open everybody gets what `local` allows: in this process, so that a client of n
    processes may for a while ask n times as often.
    """

    def __init__(
        self,
        shared: RateLimiter,
        local: RateLimiter,
        metrics: RateLimitMetrics,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        left_alone_s: float = LEFT_ALONE_S,
    ) -> None:
        self._shared = shared
        self._local = local
        self._metrics = metrics
        self._clock_s = clock_s
        self._left_alone_s = left_alone_s
        self._failures = 0
        self._asks_again_at: float | None = None

    async def take(self, key: str, limit: Limit, cost: int = 1) -> Decision:
        [only] = await self.take_all((Take(key=key, limit=limit, cost=cost),))
        return only

    async def take_all(self, takes: Sequence[Take]) -> tuple[Decision, ...]:
        if self._asks_again_at is not None:
            now_s = self._clock_s()
            if now_s < self._asks_again_at:
                return await self._local.take_all(takes)
            # This one tries; the others do not wait for what comes of it.
            self._asks_again_at = now_s + self._left_alone_s
        try:
            decisions = await self._shared.take_all(takes)
        except LimitsUnavailable as error:
            self._note_failure(str(error))
            return await self._local.take_all(takes)
        self._note_success()
        return decisions

    def _note_failure(self, reason: str) -> None:
        self._metrics.store_failures.inc()
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW and self._asks_again_at is None:
            self._asks_again_at = self._clock_s() + self._left_alone_s
            self._metrics.store_away.set(1)
            log.warning("rate limits are counted in this process: their store is away", error=reason)

    def _note_success(self) -> None:
        self._failures = 0
        if self._asks_again_at is not None:
            self._asks_again_at = None
            self._metrics.store_away.set(0)
            log.info("rate limits are counted in their store again")
