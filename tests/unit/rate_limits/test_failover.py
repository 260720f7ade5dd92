"""A store that is away makes nobody wait, and is asked again after a while."""

import pytest
from prometheus_client import CollectorRegistry

from infra.rate_limits.failover import FAILURES_IN_A_ROW, LEFT_ALONE_S, FailoverRateLimiter
from infra.rate_limits.in_process import InProcessRateLimiter
from infra.rate_limits.limiter import Limit, LimitsUnavailable
from infra.rate_limits.metrics import RateLimitMetrics

LIMIT = Limit("user", 1_000_000, 5)


class Store(InProcessRateLimiter):
    """Can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.asked = 0

    async def take_all(self, takes):
        self.asked += 1
        if self.is_away:
            raise LimitsUnavailable("TimeoutError")
        return await super().take_all(takes)


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def limiter(store, clock, registry):
    metrics = RateLimitMetrics.create(registry)
    return FailoverRateLimiter(store, InProcessRateLimiter(), metrics, clock_s=clock)


async def test_the_shared_count_decides_as_long_as_it_answers(limiter, store):
    await store.take("ann", LIMIT, cost=5)
    assert not (await limiter.take("ann", LIMIT)).allowed


async def test_without_it_the_limit_still_holds_in_this_process(limiter, store, registry):
    store.is_away = True
    assert [(await limiter.take("ann", LIMIT)).allowed for _ in range(6)] == [True] * 5 + [False]
    assert registry.get_sample_value("megacity_rate_limit_store_failures_total") == FAILURES_IN_A_ROW
    assert registry.get_sample_value("megacity_rate_limit_store_away") == 1


async def test_a_store_that_has_failed_is_left_alone_and_then_tried_by_one_request(limiter, store, clock):
    store.is_away = True
    for _ in range(50):
        await limiter.take("ann", LIMIT)
    assert store.asked == FAILURES_IN_A_ROW
    clock.now_s += LEFT_ALONE_S
    for _ in range(50):
        await limiter.take("ann", LIMIT)
    assert store.asked == FAILURES_IN_A_ROW + 1


async def test_when_it_is_back_it_decides_again(limiter, store, clock, registry):
    store.is_away = True
    for _ in range(10):
        await limiter.take("ann", LIMIT)
    store.is_away = False
    clock.now_s += LEFT_ALONE_S
    assert [(await limiter.take("ann", LIMIT)).remaining for _ in range(2)] == [4, 3]
    assert registry.get_sample_value("megacity_rate_limit_store_away") == 0


async def test_one_slow_answer_alone_changes_nothing(limiter, store, registry):
    for _ in range(5):
        store.is_away = True
        await limiter.take("ann", LIMIT)
        store.is_away = False
        await limiter.take("ann", LIMIT)
    assert store.asked == 10
    assert registry.get_sample_value("megacity_rate_limit_store_away") == 0
