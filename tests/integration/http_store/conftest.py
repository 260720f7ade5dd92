"""A migrated database of each test's own, and a pool that signs in as the writer does."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from psycopg_pool import AsyncConnectionPool

from infra.postgres.roles import WRITER, role_conninfo
from tests.support.postgres import ROLE_SECRET, fresh_database


@pytest.fixture
def with_pool(postgres_server):
    """Runs `story(pool)` in an event loop of its own."""
    with fresh_database(postgres_server) as base_conninfo:
        conninfo = role_conninfo(base_conninfo, WRITER, ROLE_SECRET)

        @asynccontextmanager
        async def opened():
            async with AsyncConnectionPool(conninfo, min_size=1, max_size=8, open=False) as pool:
                yield pool

        def run(story):
            async def told():
                async with opened() as pool:
                    return await story(pool)

            return asyncio.run(told())

        yield run
