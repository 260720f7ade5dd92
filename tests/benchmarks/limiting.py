"""What it costs to ask the rate limiters: one request after the other, and a hundred at once."""

import asyncio
from time import perf_counter

import uvloop

from infra.rate_limits.in_process import InProcessRateLimiter
from infra.rate_limits.in_redis import RedisRateLimiter
from infra.rate_limits.limiter import Limit, RateLimiter
from tests.benchmarks.harness import ROUNDS, Report, scaled
from tests.support.stores import running_store

TAKES = 5_000
KEYS = 1_000
AT_ONCE = 100
AIM_US = 300.0
LIMIT = Limit("user", 100_000, 20)
TIMEOUT_S = 5.0


def measure_limiters(report: Report) -> None:
    with running_store() as store:
        uvloop.run(_measure(report, store.connection_url))


async def _measure(report: Report, url: str) -> None:
    async with RedisRateLimiter(url, timeout_s=TIMEOUT_S) as in_redis:
        for name, limiter in (("in the process", InProcessRateLimiter()), ("on a local Valkey", in_redis)):
            await _one_by_one(limiter)  # warm-up
            runs = [await _one_by_one(limiter) for _ in range(ROUNDS)]
            medians = [run[len(run) // 2] for run in runs]
            report.figure(f"rate limit {name}, p50", medians, "µs")
            report.figure(f"rate limit {name}, p99", [run[int(0.99 * len(run))] for run in runs], "µs")
            surges = [await _at_once(limiter) for _ in range(ROUNDS)]
            report.figure(f"rate limit {name}, {AT_ONCE} at once, each", surges, "µs")
    report.ratio("rate_limit_p50_to_aim", medians, [AIM_US] * ROUNDS, aim="<= 1")


async def _one_by_one(limiter: RateLimiter) -> list[float]:
    """Microseconds each, in order."""
    taken = []
    for number in range(scaled(TAKES)):
        begun = perf_counter()
        await limiter.take(f"user-{number % KEYS}", LIMIT)
        taken.append((perf_counter() - begun) * 1e6)
    return sorted(taken)


async def _at_once(limiter: RateLimiter) -> float:
    """Microseconds of all together, for each."""
    rounds = max(1, scaled(TAKES) // AT_ONCE)
    begun = perf_counter()
    for _ in range(rounds):
        await asyncio.gather(*(limiter.take(f"user-{number}", LIMIT) for number in range(AT_ONCE)))
    return (perf_counter() - begun) * 1e6 / (rounds * AT_ONCE)
