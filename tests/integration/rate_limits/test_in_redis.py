"""The script in a real store decides as the limiter of one process does."""

import asyncio
import sys
from random import Random

import pytest
from redis.asyncio import Redis

from infra.rate_limits.in_process import InProcessRateLimiter
from infra.rate_limits.in_redis import PREFIX, RedisRateLimiter
from infra.rate_limits.limiter import Limit, LimitsUnavailable, Take
from tests.support.postgres import CHECKOUT

TIMEOUT_S = 5.0
# Long intervals: what the store forgets by its own clock is then older than what the test looks at.
LIMITS = (Limit("slow", 10_000_000, 20), Limit("odd", 13_333_333, 3), Limit("single", 70_000_001, 1))


@pytest.fixture(autouse=True)
async def redis(store_url):
    async with Redis.from_url(store_url) as client:
        await client.flushall()
        yield client


async def test_both_decide_alike_about_thousands_of_requests(store_url):
    random = Random(20)
    now_us = 1_790_000_000_123_457

    def clock():
        return now_us

    in_process = InProcessRateLimiter(clock)
    async with RedisRateLimiter(store_url, timeout_s=TIMEOUT_S, clock_us=clock) as in_redis:
        refused = 0
        for _ in range(3_000):
            now_us += random.choice((0, 1, 999, 4_000_000, 11_000_000, random.randrange(40_000_000)))
            takes = [
                Take(key=random.choice("ab"), limit=limit, cost=random.randint(1, min(3, limit.burst)))
                for limit in random.sample(LIMITS, random.randint(1, 3))
            ]
            told = await in_redis.take_all(takes)
            assert told == await in_process.take_all(takes)
            refused += not all(each.allowed for each in told)
        assert 500 < refused < 2_500


async def test_both_begin_anew_where_a_clock_was_set_back_or_the_limit_made_smaller(store_url):
    now_us = 1_790_000_000_000_000
    limiters = [InProcessRateLimiter(lambda: now_us)]
    async with RedisRateLimiter(store_url, timeout_s=TIMEOUT_S, clock_us=lambda: now_us) as in_redis:
        for limiter in (*limiters, in_redis):
            now_us = 1_790_000_000_000_000
            await limiter.take("ann", Limit("user", 10_000_000, 20), cost=20)
            assert (await limiter.take("ann", Limit("user", 10_000_000, 5))).remaining == 4
            now_us -= 3_600_000_000
            assert (await limiter.take("ann", Limit("user", 10_000_000, 5))).remaining == 4


async def test_by_the_store_s_own_clock_a_refused_request_is_let_through_when_it_was_told(store_url):
    limit = Limit("user", 50_000, 2)
    async with RedisRateLimiter(store_url, timeout_s=TIMEOUT_S) as limiter:
        assert [(await limiter.take("ann", limit)).allowed for _ in range(2)] == [True, True]
        refused = await limiter.take("ann", limit)
        assert not refused.allowed
        assert 0 < refused.retry_after_s <= 0.05
        # It is the store's time that has to pass; asking costs nothing, so the first yes is on time.
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        while not (await limiter.take("ann", limit)).allowed:
            assert loop.time() - asked_at < TIMEOUT_S
        assert loop.time() - asked_at >= refused.retry_after_s - 0.01


async def test_nothing_stays_in_the_store_that_has_nothing_left_to_say(redis, store_url):
    async with RedisRateLimiter(store_url, timeout_s=TIMEOUT_S) as limiter:
        for number in range(50):
            await limiter.take(f"somebody-{number}", Limit("user", 100_000, 20))
        kept = await redis.keys(f"{PREFIX}*")
        assert all([0 < await redis.pttl(key) <= 101 for key in kept[:1]])
        async with asyncio.timeout(TIMEOUT_S):
            while await redis.dbsize():
                pass  # the answer itself takes the time


async def test_hundreds_at_once_are_each_counted_once(store_url):
    limit = Limit("user", 60_000_000, 400)
    async with RedisRateLimiter(store_url, timeout_s=TIMEOUT_S) as limiter:
        decisions = await asyncio.gather(*(limiter.take("ann", limit) for _ in range(1_000)))
        assert sum(each.allowed for each in decisions) == 400
        assert sorted(each.remaining for each in decisions if each.allowed) == list(range(400))


async def test_a_store_that_has_lost_the_script_is_given_it_again(redis, store_url):
    limit = Limit("user", 60_000_000, 400)
    async with RedisRateLimiter(store_url, timeout_s=TIMEOUT_S) as limiter:
        await limiter.take("ann", limit)
        await redis.script_flush()
        decisions = await asyncio.gather(*(limiter.take("ann", limit) for _ in range(50)))
        assert min(each.remaining for each in decisions) == 349


async def test_whoever_stops_waiting_leaves_the_others_their_answers(store_url):
    limit = Limit("user", 60_000_000, 10)
    async with RedisRateLimiter(store_url, timeout_s=TIMEOUT_S) as limiter:
        tasks = [asyncio.create_task(limiter.take("ann", limit)) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[2].cancel()
        assert (await tasks[1]).allowed
        assert (await limiter.take("ann", limit)).allowed


async def test_what_the_store_refuses_to_do_counts_as_no_answer(redis, store_url):
    await redis.lpush(f"{PREFIX}user:ann", "not a moment")
    await redis.set(f"{PREFIX}user:ben", "not a moment")
    async with RedisRateLimiter(store_url, timeout_s=TIMEOUT_S) as limiter:
        # A moment that is none is as if there were none: it is overwritten.
        assert (await limiter.take("ben", Limit("user", 60_000_000, 5))).remaining == 4
        await redis.config_set("maxmemory", "1")
        try:
            with pytest.raises(LimitsUnavailable):
                await limiter.take("ben", Limit("user", 60_000_000, 5))
        finally:
            await redis.config_set("maxmemory", "0")
        assert (await limiter.take("ben", Limit("user", 60_000_000, 5))).remaining == 3


TAKING = """
import asyncio, sys
from infra.rate_limits.in_redis import RedisRateLimiter
from infra.rate_limits.limiter import Limit

async def main(url):
    async with RedisRateLimiter(url, timeout_s=5) as limiter:
        print("ready", flush=True)
        sys.stdin.readline()
        taken = [await limiter.take("ann", Limit("user", 60_000_000, 100)) for _ in range(80)]
        print(sum(each.allowed for each in taken), flush=True)

asyncio.run(main(sys.argv[1]))
"""


async def test_two_processes_share_one_limit(store_url):
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            TAKING,
            store_url,
            cwd=CHECKOUT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(2)
    ]
    for each in processes:
        assert await each.stdout.readline() == b"ready\n"
    for each in processes:
        each.stdin.write(b"go\n")
    allowed = [int(await each.stdout.readline()) for each in processes]
    assert [await each.wait() for each in processes] == [0, 0]
    assert sum(allowed) == 100
    assert min(allowed) >= 20
