"""Links that were sent by mail: good once, and for a while. Table `ops.one_time_links` holds hashes alone.

The token of a link is derived from the id of its mail with a secret of the server, so that a mail which is
sent again holds the same link, and nothing that opens an account lies in the database.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, LiteralString

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from commands.ports import MailKind
from domain.identifiers import StreamId
from infra.http.base64url import encode_base64url

GOOD_FOR: Final[Mapping[MailKind, timedelta]] = MappingProxyType(
    {"password_reset": timedelta(minutes=30), "verify_email": timedelta(days=3)}
)
USED_KEPT: Final = timedelta(days=2)
"""Longer than a mail is tried: one that is sent again holds the same link, which must stay used."""

_FIND: Final = """
SELECT subject_id FROM ops.one_time_links
WHERE token_hash = %(token_hash)s AND purpose = %(purpose)s AND expires_at > %(now)s AND used_at IS NULL
"""
# Whoever sets a new password has used every link by which another could be set.
_USE: Final = """
WITH used AS (
    UPDATE ops.one_time_links SET used_at = %(now)s
    WHERE token_hash = %(token_hash)s AND purpose = %(purpose)s AND expires_at > %(now)s AND used_at IS NULL
    RETURNING token_hash, subject_id, purpose
), others AS (
    UPDATE ops.one_time_links l SET used_at = %(now)s FROM used
    WHERE l.subject_id = used.subject_id AND l.purpose = used.purpose AND l.token_hash <> used.token_hash
    AND l.used_at IS NULL
)
SELECT subject_id FROM used
"""


class OneTimeLinks:
    """`commands.ports.Links`; and making them."""

    def __init__(
        self,
        pool: AsyncConnectionPool[AsyncConnection[Any]],
        *,
        secret: bytes,
        clock: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._secret = secret
        self._clock = clock

    async def make(self, mail_id: str, purpose: MailKind, subject_id: StreamId) -> str:
        """The token of a mail's link, good from now on unless it was used; the same for the same mail.

        base64url(HMAC-SHA256(secret, "one-time-link" || mail id)).
        """
        digest = hmac.digest(self._secret, b"one-time-link" + mail_id.encode(), "sha256")
        token = encode_base64url(digest)
        async with self._pool.connection() as connection:
            await connection.execute(
                "INSERT INTO ops.one_time_links (token_hash, purpose, subject_id, expires_at)"
                " VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (token_hash) DO UPDATE SET expires_at = excluded.expires_at"
                " WHERE one_time_links.used_at IS NULL",
                (_hash(token), purpose, subject_id, self._clock() + GOOD_FOR[purpose]),
            )
        return token

    async def subject(self, token: str, purpose: MailKind) -> StreamId | None:
        return await self._asked(_FIND, token, purpose)

    async def use(self, token: str, purpose: MailKind) -> StreamId | None:
        return await self._asked(_USE, token, purpose)

    async def withdraw(self, purpose: MailKind, subject_id: StreamId) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(
                "UPDATE ops.one_time_links SET used_at = %s"
                " WHERE subject_id = %s AND purpose = %s AND used_at IS NULL",
                (self._clock(), subject_id, purpose),
            )

    async def sweep(self, now: datetime) -> int:
        """Removes links whose time is over; returns how many."""
        async with self._pool.connection() as connection:
            done = await connection.execute(
                "DELETE FROM ops.one_time_links"
                " WHERE expires_at <= %s AND (used_at IS NULL OR used_at <= %s)",
                (now, now - USED_KEPT),
            )
        return done.rowcount

    async def _asked(self, statement: LiteralString, token: str, purpose: MailKind) -> StreamId | None:
        async with self._pool.connection() as connection:
            asked = {"token_hash": _hash(token), "purpose": purpose, "now": self._clock()}
            found = await connection.execute(statement, asked)
            row = await found.fetchone()
        return None if row is None else str(row[0])


def _hash(token: str) -> bytes:
    # 256 bits that nobody can guess: nothing slower is needed to hide them.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
