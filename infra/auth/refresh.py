"""Refresh tokens: opaque, rotated at each use, and revoked together when one is used twice (RFC 9700 4.14.2).

Tables `ops.refresh_families` (one sign-in each) and `ops.refresh_tokens` (SHA-256 of each token ever
given out in it). The successor of a token is derived from it with a secret of the server, so a client
whose answer was lost gets the same successor again, and nothing that opens an account is stored.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from infra.http.base64url import encode_base64url
from infra.http.errors import RefreshRefused

_MAX_TOKEN_LENGTH: Final = 256

# Locking the family puts everything that happens in it in one order. The token is read in a statement
# of its own, after the lock: the first statement's snapshot may be older than the lock.
_LOCK_FAMILY = """
SELECT session_id, subject_id, generation, expires_at, revoked_at FROM ops.refresh_families
WHERE session_id = (SELECT session_id FROM ops.refresh_tokens WHERE token_hash = %s)
FOR UPDATE
"""
_FIND = "SELECT generation, rotated_at FROM ops.refresh_tokens WHERE token_hash = %s"
_INSERT = """
INSERT INTO ops.refresh_tokens (token_hash, session_id, generation, issued_at) VALUES (%s, %s, %s, %s)
"""
_REVOKE = """
UPDATE ops.refresh_families SET revoked_at = %(now)s, revoked_because = %(reason)s
WHERE revoked_at IS NULL AND
"""


@dataclass(frozen=True, slots=True)
class RefreshGrant:
    """A token to be sent to the client, and what it stands for."""

    token: str
    session_id: str
    subject_id: str
    expires_at: datetime


def random_token() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


class RefreshTokens:
    """The life of refresh tokens. `lifetime_s` counts from the sign-in and rotation does not prolong it."""

    def __init__(
        self,
        pool: AsyncConnectionPool[AsyncConnection[Any]],
        *,
        secret: bytes,
        new_token: Callable[[], str] = random_token,
        grace_s: float = 30.0,
        lifetime_s: float = 30 * 86_400.0,
    ) -> None:
        self._pool = pool
        self._secret = secret
        self._new_token = new_token
        self._grace = timedelta(seconds=grace_s)
        self._lifetime = timedelta(seconds=lifetime_s)

    async def start(self, subject_id: str, session_id: str, now: datetime) -> RefreshGrant:
        """The first token of a new family; the session id names the family."""
        token = self._new_token()
        expires_at = now + self._lifetime
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO ops.refresh_families"
                " (session_id, subject_id, generation, created_at, expires_at) VALUES (%s, %s, 0, %s, %s)",
                (session_id, subject_id, now, expires_at),
            )
            await connection.execute(_INSERT, (_hash(token), session_id, 0, now))
        return RefreshGrant(token, session_id, subject_id, expires_at)

    async def rotate(self, token: str, now: datetime) -> RefreshGrant:
        """The successor of a token.

        Within the grace, and as long as the successor has not been used, the same successor again.
        Anything else used twice revokes its whole family. Raises RefreshRefused.
        """
        if len(token) > _MAX_TOKEN_LENGTH:
            raise RefreshRefused(reason="unknown")
        async with self._pool.connection() as connection, connection.transaction():
            outcome = await self._rotate(connection, token, now)
        # Raised out here: inside, the refusal would roll the revocation back.
        if not isinstance(outcome, RefreshGrant):
            raise RefreshRefused(reason=outcome)
        return outcome

    async def revoke(self, session_id: str, now: datetime, *, reason: str = "signed out") -> bool:
        """Ends one sign-in; False if it had ended before."""
        async with self._pool.connection() as connection:
            done = await connection.execute(
                _REVOKE + "session_id = %(session_id)s",
                {"session_id": session_id, "now": now, "reason": reason},
            )
        return done.rowcount > 0

    async def revoke_all(self, subject_id: str, now: datetime, *, reason: str) -> int:
        """Ends every sign-in of somebody; returns how many."""
        async with self._pool.connection() as connection:
            done = await connection.execute(
                _REVOKE + "subject_id = %(subject_id)s",
                {"subject_id": subject_id, "now": now, "reason": reason},
            )
        return done.rowcount

    async def sweep(self, now: datetime) -> int:
        """Removes families whose time is over, with their tokens; returns how many."""
        async with self._pool.connection() as connection:
            done = await connection.execute("DELETE FROM ops.refresh_families WHERE expires_at <= %s", (now,))
        return done.rowcount

    def successor_of(self, token: str) -> str:
        """The one token that follows `token`.

        base64url(HMAC-SHA256(secret, "refresh-successor" || token)).
        """
        message = b"refresh-successor" + token.encode("utf-8", "surrogatepass")
        return encode_base64url(hmac.digest(self._secret, message, "sha256"))

    async def _rotate(
        self, connection: AsyncConnection[Any], token: str, now: datetime
    ) -> "RefreshGrant | _Refusal":
        async with connection.cursor(row_factory=dict_row) as cursor:
            family = await (await cursor.execute(_LOCK_FAMILY, (_hash(token),))).fetchone()
            kept = await (await cursor.execute(_FIND, (_hash(token),))).fetchone()
            if family is None or kept is None:
                return "unknown"
            if family["revoked_at"] is not None:
                return "revoked"
            if family["expires_at"] <= now:
                return "expired"
            successor = self.successor_of(token)
            grant = RefreshGrant(successor, family["session_id"], family["subject_id"], family["expires_at"])
            if kept["generation"] == family["generation"]:
                await self._advance(cursor, token, grant, kept["generation"] + 1, now)
                return grant
            is_parent_of_latest = kept["generation"] == family["generation"] - 1
            if is_parent_of_latest and now - kept["rotated_at"] <= self._grace:
                return grant
            await cursor.execute(
                _REVOKE + "session_id = %(session_id)s",
                {"session_id": family["session_id"], "now": now, "reason": "a token was used twice"},
            )
            return "used before, so this sign-in was ended"

    @staticmethod
    async def _advance(cursor: Any, token: str, grant: RefreshGrant, generation: int, now: datetime) -> None:
        await cursor.execute(
            "UPDATE ops.refresh_tokens SET rotated_at = %s WHERE token_hash = %s", (now, _hash(token))
        )
        await cursor.execute(_INSERT, (_hash(grant.token), grant.session_id, generation, now))
        await cursor.execute(
            "UPDATE ops.refresh_families SET generation = %s WHERE session_id = %s",
            (generation, grant.session_id),
        )


_Refusal = Literal["unknown", "revoked", "expired", "used before, so this sign-in was ended"]


def _hash(token: str) -> bytes:
    # The token has 256 random bits: nothing slower than SHA-256 is needed to hide it.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
