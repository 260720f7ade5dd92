"""The limiter of one process against what it is to be: buckets that fill evenly, in exact fractions."""

import asyncio
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.rate_limits.in_process import InProcessRateLimiter
from infra.rate_limits.limiter import Decision, Limit, Take, limit_of

PER_SECOND = limit_of("user", 10, per_s=1, burst=20)
MILLION = 1_000_000


class HandClock:
    def __init__(self) -> None:
        self.now_us = 1_700_000_000 * MILLION

    def __call__(self) -> int:
        return self.now_us

    def advance(self, seconds: float) -> None:
        self.now_us += round(seconds * MILLION)


@dataclass
class Buckets:
    """A token every `interval_us`, at most `burst` of them: the model."""

    tokens: dict[tuple[str, str], Fraction] = field(default_factory=dict)
    seen_us: int = 0

    def take_all(self, takes: list[Take], now_us: int) -> list[Decision]:
        for each in takes:
            name = (each.limit.name, each.key)
            self.tokens.setdefault(name, Fraction(each.limit.burst))
        for (name, key), held in self.tokens.items():
            limit = LIMITS[name]
            gained = Fraction(now_us - self.seen_us, limit.interval_us)
            self.tokens[name, key] = min(Fraction(limit.burst), held + gained)
        self.seen_us = now_us
        found = [self.tokens[each.limit.name, each.key] for each in takes]
        lacking = [each.cost - held for each, held in zip(takes, found, strict=True)]
        granted = all(lack <= 0 for lack in lacking)
        decisions = []
        for each, lack in zip(takes, lacking, strict=True):
            name = (each.limit.name, each.key)
            if granted:
                self.tokens[name] -= each.cost
            held = self.tokens[name]
            decisions.append(
                Decision(
                    allowed=lack <= 0,
                    remaining=floor(held),
                    retry_after_s=float(max(Fraction(0), lack) * each.limit.interval_us / MILLION),
                    reset_after_s=float((each.limit.burst - held) * each.limit.interval_us / MILLION),
                )
            )
        return decisions


LIMITS = {
    each.name: each
    for each in (Limit("fast", 100_000, 20), Limit("odd", 333_333, 3), Limit("single", 7_000_001, 1))
}
takes = st.builds(
    lambda name, key, cost: Take(key=key, limit=LIMITS[name], cost=min(cost, LIMITS[name].burst)),
    st.sampled_from(sorted(LIMITS)),
    st.sampled_from("ab"),
    st.integers(1, 4),
)
calls = st.tuples(
    st.one_of(st.just(0), st.integers(0, 200_000), st.integers(0, 30_000_000)),
    st.lists(takes, min_size=1, max_size=3, unique_by=lambda each: (each.limit.name, each.key)),
)


@given(st.lists(calls, max_size=60))
def test_it_decides_as_buckets_that_fill_evenly(sequence):
    clock, model = HandClock(), Buckets()
    limiter = InProcessRateLimiter(clock)
    for pause_us, wanted in sequence:
        clock.now_us += pause_us
        assert list(asyncio.run(limiter.take_all(wanted))) == model.take_all(wanted, clock.now_us)


async def test_a_burst_goes_through_at_once_and_the_next_is_told_when_to_come_back():
    clock = HandClock()
    limiter = InProcessRateLimiter(clock)
    assert all([(await limiter.take("ann", PER_SECOND)).allowed for _ in range(20)])
    refused = await limiter.take("ann", PER_SECOND)
    assert (refused.allowed, refused.remaining, refused.retry_after_s, refused.reset_after_s) == (
        False,
        0,
        0.1,
        2.0,
    )
    clock.advance(refused.retry_after_s)
    assert (await limiter.take("ann", PER_SECOND)).allowed
    assert (await limiter.take("ben", PER_SECOND)).remaining == 19


async def test_with_one_refusal_the_other_limits_lose_nothing():
    limiter = InProcessRateLimiter(HandClock())
    one, many = Limit("one", MILLION, 1), Limit("many", MILLION, 5)
    both = [Take(key="ann", limit=one), Take(key="school", limit=many)]
    assert [each.allowed for each in await limiter.take_all(both)] == [True, True]
    assert [each.allowed for each in await limiter.take_all(both)] == [False, True]
    assert (await limiter.take("school", many)).remaining == 3


async def test_after_a_clock_was_set_back_nobody_is_locked_out():
    clock = HandClock()
    limiter = InProcessRateLimiter(clock)
    await limiter.take("ann", PER_SECOND, cost=20)
    clock.advance(-3600)
    assert (await limiter.take("ann", PER_SECOND)).remaining == 19


async def test_memory_is_bounded_by_what_still_matters():
    clock = HandClock()
    limiter = InProcessRateLimiter(clock)
    sizes = []
    for number in range(5_000):
        clock.advance(0.01)
        await limiter.take(f"somebody-{number}", PER_SECOND)
        sizes.append(len(limiter))
    # Each is forgotten after the tenth of a second in which it has something to say: ten calls.
    assert max(sizes) <= 12


async def test_memory_is_bounded_whoever_comes():
    limiter = InProcessRateLimiter(HandClock(), max_keys=100)
    for number in range(1_000):
        await limiter.take(f"somebody-{number}", PER_SECOND)
    assert len(limiter) == 100
    assert (await limiter.take("somebody-999", PER_SECOND)).remaining == 18
    assert (await limiter.take("somebody-1", PER_SECOND)).remaining == 19


async def test_one_limit_and_key_is_taken_from_once_in_a_call():
    with pytest.raises(ValueError, match="once in a call"):
        await InProcessRateLimiter().take_all([Take(key="ann", limit=PER_SECOND)] * 2)


def test_a_cost_that_could_never_be_paid_is_a_mistake():
    with pytest.raises(ValueError, match="never to be had"):
        Take(key="ann", limit=PER_SECOND, cost=21)


def test_a_rate_becomes_an_interval_of_whole_microseconds():
    assert limit_of("user", 10, per_s=1, burst=20).interval_us == 100_000
    assert limit_of("address", 100, per_s=60, burst=100).interval_us == 600_000
    assert limit_of("fast", 3_000, per_s=1, burst=1).interval_us == 333
