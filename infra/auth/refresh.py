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
from typing import Any, Final, Literal, LiteralString

from psycopg import AsyncConnection
from psycopg.rows import class_row, dict_row
from psycopg_pool import AsyncConnectionPool

from infra.auth.revocations import KEPT
from infra.http.base64url import encode_base64url
from infra.http.errors import RefreshRefused

_MAX_TOKEN_LENGTH: Final = 256

# Locking the family puts everything that happens in it in one order. The token is read in a statement
# of its own, after the lock: the first statement's snapshot may be older than the lock.
_LOCK_FAMILY = """
SELECT session_id, subject_id, generation, expires_at, revoked_at, credential_id FROM ops.refresh_families
WHERE session_id = (SELECT session_id FROM ops.refresh_tokens WHERE token_hash = %s)
FOR UPDATE
"""
_FIND = "SELECT generation, rotated_at FROM ops.refresh_tokens WHERE token_hash = %s"
_INSERT = """
INSERT INTO ops.refresh_tokens (token_hash, session_id, generation, issued_at) VALUES (%s, %s, %s, %s)
"""
# One statement: a sign-in that has ended is one whose access tokens are refused.
_REVOKE: Final[LiteralString] = """
WITH ended AS (
    UPDATE ops.refresh_families SET revoked_at = %(now)s, revoked_because = %(reason)s
    WHERE revoked_at IS NULL AND {which} RETURNING session_id
), listed AS (
    INSERT INTO ops.revocations (id, kept_until) SELECT session_id, %(kept_until)s FROM ended
    ON CONFLICT (id) DO NOTHING
)
SELECT session_id FROM ended
"""
_ONE: Final = _REVOKE.format(which="session_id = %(id)s")
_ONE_OF: Final = _REVOKE.format(which="session_id = %(id)s AND subject_id = %(subject_id)s")
_ALL_BUT: Final = _REVOKE.format(which="subject_id = %(id)s AND session_id IS DISTINCT FROM %(kept)s")

_SESSIONS: Final = """
SELECT session_id, created_at AS started_at, coalesce(last_used_at, created_at) AS last_used_at, expires_at,
       user_agent, address
FROM ops.refresh_families
WHERE subject_id = %s AND revoked_at IS NULL AND expires_at > %s
ORDER BY last_used_at DESC, session_id
"""


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request came from, as it says itself."""

    user_agent: str | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in that is still good."""

    session_id: str
    started_at: datetime
    last_used_at: datetime
    expires_at: datetime
    user_agent: str | None
    address: str | None


@dataclass(frozen=True, slots=True)
class RefreshGrant:
    """A token to be sent to the client, and what it stands for."""

    token: str
    session_id: str
    subject_id: str
    expires_at: datetime
    credential_id: str | None = None


def random_token() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


_NOT_TOLD: Final = Client()


class RefreshTokens:
    """The life of refresh tokens. `lifetime_s` counts from the sign-in and rotation does not prolong it.

    `on_ended` is told the ids of sessions that this process has ended.
    """

    def __init__(  # noqa: PLR0913 - all but one by name
        self,
        pool: AsyncConnectionPool[AsyncConnection[Any]],
        *,
        secret: bytes,
        new_token: Callable[[], str] = random_token,
        grace_s: float = 30.0,
        lifetime_s: float = 30 * 86_400.0,
        on_ended: Callable[[list[str]], None] = lambda _: None,
    ) -> None:
        self._pool = pool
        self._secret = secret
        self._new_token = new_token
        self._grace = timedelta(seconds=grace_s)
        self._lifetime = timedelta(seconds=lifetime_s)
        self._on_ended = on_ended

    async def start(
        self,
        subject_id: str,
        session_id: str,
        now: datetime,
        *,
        client: Client = _NOT_TOLD,
        credential_id: str | None = None,
    ) -> RefreshGrant:
        """The first token of a new family; the session id names the family."""
        token = self._new_token()
        expires_at = now + self._lifetime
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO ops.refresh_families"
                " (session_id, subject_id, generation, created_at, last_used_at, expires_at, user_agent,"
                " address, credential_id) VALUES (%s, %s, 0, %s, %s, %s, %s, %s, %s)",
                (
                    session_id,
                    subject_id,
                    now,
                    now,
                    expires_at,
                    client.user_agent,
                    client.address,
                    credential_id,
                ),
            )
            await connection.execute(_INSERT, (_hash(token), session_id, 0, now))
        return RefreshGrant(token, session_id, subject_id, expires_at, credential_id)

    async def rotate(self, token: str, now: datetime, *, client: Client = _NOT_TOLD) -> RefreshGrant:
        """The successor of a token.

        Within the grace, and as long as the successor has not been used, the same successor again.
        Anything else used twice revokes its whole family. Raises RefreshRefused.
        """
        if len(token) > _MAX_TOKEN_LENGTH:
            raise RefreshRefused(reason="unknown")
        async with self._pool.connection() as connection, connection.transaction():
            outcome = await self._rotate(connection, token, now, client)
        # Out here: inside, the refusal would roll the revocation back.
        if isinstance(outcome, _UsedTwice):
            self._on_ended([outcome.session_id])
            raise RefreshRefused(reason="used before, so this sign-in was ended")
        if not isinstance(outcome, RefreshGrant):
            raise RefreshRefused(reason=outcome)
        return outcome

    async def sessions(self, subject_id: str, now: datetime) -> list[Session]:
        """Somebody's sign-ins that are still good, the one used last first."""
        async with (
            self._pool.connection() as connection,
            connection.cursor(row_factory=class_row(Session)) as cursor,
        ):
            return await (await cursor.execute(_SESSIONS, (subject_id, now))).fetchall()

    async def revoke(
        self, session_id: str, now: datetime, *, reason: str = "signed out", subject_id: str | None = None
    ) -> bool:
        """Ends one sign-in, with `subject_id` only where it is theirs; False where there was none to end."""
        which = _ONE if subject_id is None else _ONE_OF
        return bool(await self._end(which, session_id, now, reason, subject_id=subject_id))

    async def revoke_all(self, subject_id: str, now: datetime, *, reason: str, but: str | None = None) -> int:
        """Ends every sign-in of somebody, one session perhaps excepted; returns how many."""
        return len(await self._end(_ALL_BUT, subject_id, now, reason, kept=but))

    async def renew_credential(self, session_id: str, credential_id: str) -> None:
        """The sign-in goes on under a new password."""
        async with self._pool.connection() as connection:
            await connection.execute(
                "UPDATE ops.refresh_families SET credential_id = %s WHERE session_id = %s",
                (credential_id, session_id),
            )

    async def sweep(self, now: datetime) -> int:
        """Removes families whose time is over, with their tokens; returns how many.

        And the list of ended sessions as far as their access tokens have expired as well.
        """
        async with self._pool.connection() as connection:
            await connection.execute("DELETE FROM ops.revocations WHERE kept_until <= %s", (now,))
            done = await connection.execute("DELETE FROM ops.refresh_families WHERE expires_at <= %s", (now,))
        return done.rowcount

    def successor_of(self, token: str) -> str:
        """The one token that follows `token`.

        base64url(HMAC-SHA256(secret, "refresh-successor" || token)).
        """
        message = b"refresh-successor" + token.encode("utf-8", "surrogatepass")
        return encode_base64url(hmac.digest(self._secret, message, "sha256"))

    async def _end(
        self, statement: LiteralString, id_: str, now: datetime, reason: str, **more: str | None
    ) -> list[str]:
        async with self._pool.connection() as connection:
            done = await connection.execute(statement, _ending(id_, now, reason, **more))
            ended = [str(session_id) for (session_id,) in await done.fetchall()]
        self._on_ended(ended)
        return ended

    async def _rotate(
        self, connection: AsyncConnection[Any], token: str, now: datetime, client: Client
    ) -> "RefreshGrant | _Refusal | _UsedTwice":
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
            grant = RefreshGrant(
                successor,
                family["session_id"],
                family["subject_id"],
                family["expires_at"],
                family["credential_id"],
            )
            if kept["generation"] == family["generation"]:
                await self._advance(cursor, token, grant, kept["generation"] + 1, now, client)
                return grant
            is_parent_of_latest = kept["generation"] == family["generation"] - 1
            if is_parent_of_latest and now - kept["rotated_at"] <= self._grace:
                return grant
            await cursor.execute(_ONE, _ending(grant.session_id, now, "a token was used twice"))
            return _UsedTwice(grant.session_id)

    @staticmethod
    async def _advance(  # noqa: PLR0913, PLR0917 - what is written down of one rotation
        cursor: Any, token: str, grant: RefreshGrant, generation: int, now: datetime, client: Client
    ) -> None:
        await cursor.execute(
            "UPDATE ops.refresh_tokens SET rotated_at = %s WHERE token_hash = %s", (now, _hash(token))
        )
        await cursor.execute(_INSERT, (_hash(grant.token), grant.session_id, generation, now))
        await cursor.execute(
            "UPDATE ops.refresh_families SET generation = %s, last_used_at = %s,"
            " user_agent = coalesce(%s, user_agent), address = coalesce(%s, address) WHERE session_id = %s",
            (generation, now, client.user_agent, client.address, grant.session_id),
        )


_Refusal = Literal["unknown", "revoked", "expired"]


@dataclass(frozen=True, slots=True)
class _UsedTwice:
    session_id: str


def _ending(id_: str, now: datetime, reason: str, **more: str | None) -> dict[str, Any]:
    return {"id": id_, "now": now, "reason": reason, "kept_until": now + KEPT, **more}


def _hash(token: str) -> bytes:
    # The token has 256 random bits: nothing slower than SHA-256 is needed to hide it.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
