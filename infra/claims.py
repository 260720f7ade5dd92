"""Claims in PostgreSQL: the table `ops.claims`."""

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from domain.identifiers import StreamId

Pool = AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]


class PostgresClaims:
    """`commands.ports.Claims` over `ops.claims`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(self, scope: str, keys: Sequence[str], stream_ids: Sequence[StreamId]) -> list[StreamId]:
        # Sorted, so that two imports of the same rows cannot wait for each other crosswise.
        free = sorted(zip(keys, stream_ids, strict=True))
        async with self._pool.connection() as connection:
            await connection.execute(
                """INSERT INTO ops.claims (scope, key, stream_id)
                   SELECT %s, wanted.key, wanted.stream_id
                   FROM unnest(%s::text[], %s::text[]) AS wanted (key, stream_id)
                   ON CONFLICT (scope, key) DO NOTHING""",
                (scope, [key for key, _ in free], [stream_id for _, stream_id in free]),
            )
        # Read after the insert is committed: whoever won a race is visible now.
        async with self._pool.connection() as connection:
            found = await connection.execute(
                "SELECT key, stream_id FROM ops.claims WHERE scope = %s AND key = ANY(%s)",
                (scope, list(keys)),
            )
            holders: dict[str, StreamId] = dict(await found.fetchall())
        return [holders[key] for key in keys]

    async def holders(self, scope: str, keys: Sequence[str]) -> list[StreamId | None]:
        async with self._pool.connection() as connection:
            found = await connection.execute(
                "SELECT key, stream_id FROM ops.claims WHERE scope = %s AND key = ANY(%s)",
                (scope, list(keys)),
            )
            held: dict[str, StreamId] = dict(await found.fetchall())
        return [held.get(key) for key in keys]

    async def holder(self, scope: str, key: str) -> StreamId | None:
        async with self._pool.connection() as connection:
            found = await connection.execute(
                "SELECT stream_id FROM ops.claims WHERE scope = %s AND key = %s", (scope, key)
            )
            row = await found.fetchone()
        return None if row is None else str(row[0])
