"""Which account an identity may open: table `ops.identity_claims`.

Whether it does is said by the account's stream. So a claim that came to nothing (the process died between the
claim and the event) blocks nobody for longer than `SETTLED_AFTER`.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from commands.external_identities import HeldIdentity
from domain.identifiers import StreamId

SETTLED_AFTER: Final = timedelta(seconds=60)
"""By then whoever claimed it has appended the event, or never will."""
_LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)

# Of the same user it is renewed, so that nobody takes over what is being linked again.
_CLAIM: Final = """
INSERT INTO ops.identity_claims AS held (subject_hash, user_id, claimed_at) VALUES (%s, %s, %s)
ON CONFLICT (subject_hash) DO UPDATE SET claimed_at = excluded.claimed_at
WHERE held.user_id = excluded.user_id
"""
# Only the very claim that was looked at: it may have been renewed since.
_MOVE: Final = """
UPDATE ops.identity_claims SET user_id = %s, claimed_at = %s
WHERE subject_hash = %s AND user_id = %s AND claimed_at = %s
"""


class PostgresIdentityClaims:
    """`commands.external_identities.IdentityClaims`."""

    def __init__(
        self, pool: AsyncConnectionPool[AsyncConnection[Any]], *, clock: Callable[[], datetime]
    ) -> None:
        self._pool = pool
        self._clock = clock

    async def holder(self, subject_hash: str) -> HeldIdentity | None:
        async with self._pool.connection() as connection:
            found = await connection.execute(
                "SELECT user_id, claimed_at FROM ops.identity_claims WHERE subject_hash = %s", (subject_hash,)
            )
            row = await found.fetchone()
        return None if row is None else HeldIdentity(*row)

    async def claim(self, subject_hash: str, user_id: StreamId) -> HeldIdentity:
        async with self._pool.connection() as connection:
            await connection.execute(_CLAIM, (subject_hash, user_id, self._clock()))
        # Read after the insert is committed: whoever won a race is visible now.
        held = await self.holder(subject_hash)
        assert held is not None
        return held

    async def move(self, subject_hash: str, held: HeldIdentity, user_id: StreamId) -> bool:
        now = self._clock()
        if now - held.claimed_at < SETTLED_AFTER:
            return False
        return await self._change(subject_hash, held, user_id, now)

    async def release(self, subject_hash: str, held: HeldIdentity) -> None:
        await self._change(subject_hash, held, held.user_id, _LONG_AGO)

    async def _change(self, subject_hash: str, held: HeldIdentity, user_id: StreamId, at: datetime) -> bool:
        async with self._pool.connection() as connection:
            done = await connection.execute(_MOVE, (user_id, at, subject_hash, held.user_id, held.claimed_at))
        return done.rowcount == 1
