"""Whether the projection `access` has applied an event: commands that take access away wait for that.

Row-level security goes by the rows of that projection, so from then on no read finds what was taken away.
"""

import asyncio
from time import monotonic
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from commands.ports import AccessNotApplied
from domain.identifiers import StreamId

PROJECTION: Final = "access"
WAIT_S: Final = 10.0
FIRST_LOOK_S: Final = 0.005
LONGEST_LOOK_S: Final = 0.05

# An event that was set aside has a position that the checkpoint has passed, and shows in no row.
_IS_APPLIED: Final = """
    SELECT p.position >= numbered.position AND NOT EXISTS (
        SELECT FROM ops.set_aside_events s
        WHERE s.projection = p.name AND s.stream_id = e.stream_id AND s.status = 'waiting'
    )
    FROM log.events e JOIN log.positions numbered USING (append_id), ops.projections p
    WHERE e.stream_id = %s AND e.version = %s AND p.name = %s
"""


class AccessProjectionApplied:
    """See `commands.ports.AccessApplied`. Looks through the writer's pool, and holds nothing meanwhile."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[Any]], *, wait_s: float = WAIT_S) -> None:
        self._pool = pool
        self._wait_s = wait_s

    async def wait(self, stream_id: StreamId, version: int) -> None:
        gives_up_at = monotonic() + self._wait_s
        pause_s = FIRST_LOOK_S
        while not await self._is_applied(stream_id, version):
            if monotonic() + pause_s > gives_up_at:
                raise AccessNotApplied(retry_after_s=1)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_LOOK_S)

    async def _is_applied(self, stream_id: StreamId, version: int) -> bool:
        try:
            async with self._pool.connection() as connection:
                found = await connection.execute(_IS_APPLIED, [stream_id, version, PROJECTION])
                row = await found.fetchone()
        except (psycopg.OperationalError, PoolTimeout, TooManyRequests):
            return False  # while the database is away nobody reads either; it is asked again
        return row is not None and bool(row[0])
