"""Public keys of passkeys, and challenges: tables `ops.passkeys` and `ops.passkey_challenges`."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation
from psycopg_pool import AsyncConnectionPool

from domain.identifiers import StreamId

CHALLENGE_GOOD_FOR: Final = timedelta(minutes=5)

# A counter of zero is none at all (WebAuthn level 3, section 6.1.1): such keys never count.
_USED: Final = """
UPDATE ops.passkeys SET sign_count = %(count)s, last_used_at = %(now)s
WHERE credential_ref = %(ref)s AND (sign_count < %(count)s OR (sign_count = 0 AND %(count)s = 0))
"""


class StoredPasskey(msgspec.Struct, frozen=True):
    credential_ref: str
    user_id: StreamId
    credential_id: bytes
    public_key: bytes
    sign_count: int


class PasskeyUse(msgspec.Struct, frozen=True):
    """When a passkey was made and used; `suspected_copy_at` is when its counter went back."""

    credential_ref: str
    created_at: datetime
    last_used_at: datetime | None
    suspected_copy_at: datetime | None


class PasskeyTable:
    def __init__(
        self, pool: AsyncConnectionPool[AsyncConnection[Any]], *, clock: Callable[[], datetime]
    ) -> None:
        self._pool = pool
        self._clock = clock

    async def add(self, passkey: StoredPasskey) -> bool:
        """False where the authenticator is known already."""
        try:
            async with self._pool.connection() as connection:
                await connection.execute(
                    "INSERT INTO ops.passkeys"
                    " (credential_ref, user_id, credential_id, public_key, sign_count, created_at)"
                    " VALUES (%s, %s, %s, %s, %s, %s)",
                    (*msgspec.structs.astuple(passkey), self._clock()),
                )
        except UniqueViolation:
            return False
        return True

    async def find(self, credential_id: bytes) -> StoredPasskey | None:
        async with self._pool.connection() as connection:
            found = await connection.execute(
                "SELECT credential_ref, user_id, credential_id, public_key, sign_count FROM ops.passkeys"
                " WHERE credential_id = %s",
                (credential_id,),
            )
            row = await found.fetchone()
        return None if row is None else StoredPasskey(*row)

    async def of_user(self, user_id: StreamId) -> Sequence[bytes]:
        """The authenticators' own ids for a person's passkeys."""
        async with self._pool.connection() as connection:
            found = await connection.execute(
                "SELECT credential_id FROM ops.passkeys WHERE user_id = %s", (user_id,)
            )
            return [row[0] for row in await found.fetchall()]

    async def uses(self, user_id: StreamId) -> dict[str, PasskeyUse]:
        async with self._pool.connection() as connection:
            found = await connection.execute(
                "SELECT credential_ref, created_at, last_used_at, suspected_copy_at FROM ops.passkeys"
                " WHERE user_id = %s",
                (user_id,),
            )
            return {row[0]: PasskeyUse(*row) for row in await found.fetchall()}

    async def used(self, credential_ref: str, sign_count: int) -> bool:
        """Notes a sign-in; False where the counter did not go forward, or another one was faster."""
        async with self._pool.connection() as connection:
            done = await connection.execute(
                _USED, {"ref": credential_ref, "count": sign_count, "now": self._clock()}
            )
        return done.rowcount == 1

    async def suspect(self, credential_ref: str) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(
                "UPDATE ops.passkeys SET suspected_copy_at = %s WHERE credential_ref = %s",
                (self._clock(), credential_ref),
            )

    async def forget(self, credential_ref: str) -> None:
        async with self._pool.connection() as connection:
            await connection.execute("DELETE FROM ops.passkeys WHERE credential_ref = %s", (credential_ref,))

    async def challenge(self, challenge: bytes, user_id: StreamId | None) -> None:
        """Keeps its hash until it is answered; `user_id` is who registers a passkey."""
        async with self._pool.connection() as connection:
            await connection.execute(
                "INSERT INTO ops.passkey_challenges (challenge_hash, user_id, expires_at)"
                " VALUES (%s, %s, %s)",
                (_hash(challenge), user_id, self._clock() + CHALLENGE_GOOD_FOR),
            )

    async def answered(self, challenge: bytes, user_id: StreamId | None) -> bool:
        """Whether it was made for this and is good; it is good no more. Of two at once one is told so."""
        async with self._pool.connection() as connection:
            done = await connection.execute(
                "DELETE FROM ops.passkey_challenges WHERE challenge_hash = %s"
                " AND user_id IS NOT DISTINCT FROM %s AND expires_at > %s",
                (_hash(challenge), user_id, self._clock()),
            )
        return done.rowcount == 1

    async def sweep(self, now: datetime) -> int:
        """Removes challenges that nobody answered; returns how many."""
        async with self._pool.connection() as connection:
            done = await connection.execute(
                "DELETE FROM ops.passkey_challenges WHERE expires_at <= %s", (now,)
            )
        return done.rowcount


def _hash(challenge: bytes) -> bytes:
    return hashlib.sha256(challenge).digest()
