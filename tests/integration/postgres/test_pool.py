"""The pool of the API's processes: what a server that was restarted costs those who ask."""

import asyncio

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from infra.postgres.pool import CheckedPool

SIZE = 8


@pytest.fixture
def kill_sessions(migrated):
    def kill():
        with psycopg.connect(migrated, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pooled'"
            )

    return kill


def pool_of(conninfo, **options):
    given = {"min_size": SIZE, "max_size": SIZE, "kwargs": {"application_name": "pooled"}, **options}
    return CheckedPool(conninfo, open=False, **given)


async def backend(pool):
    async with pool.connection() as connection:
        return connection.info.backend_pid


def test_sessions_that_have_all_ended_cost_no_request(migrated, kill_sessions):
    async def story():
        async with pool_of(migrated, timeout=5.0) as pool:
            await pool.wait()
            kill_sessions()
            # With the library's own check the first of these waits for more than five seconds.
            return [await backend(pool) for _ in range(SIZE)]

    assert len(asyncio.run(story())) == SIZE


def test_a_pool_that_lost_its_sessions_again_and_again_is_whole_again(migrated, kill_sessions):
    async def story():
        async with pool_of(migrated, timeout=5.0) as pool:
            for _ in range(3):
                await pool.wait()
                kill_sessions()
                await backend(pool)
            await pool.wait()
            return pool.get_stats()

    stats = asyncio.run(story())
    assert (stats["pool_size"], stats["pool_available"]) == (SIZE, SIZE)


def test_a_server_that_admits_nobody_is_told_of_in_time(migrated, kill_sessions):
    async def story():
        async with pool_of(migrated, timeout=0.5) as pool:
            await pool.wait()
            pool.conninfo = psycopg.conninfo.make_conninfo(migrated, user="nobody")
            kill_sessions()
            await backend(pool)

    with pytest.raises(PoolTimeout):
        asyncio.run(story())
