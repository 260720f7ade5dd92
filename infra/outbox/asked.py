"""What is to be sent: the table `ops.outbox`.

Rows name people, or hashes of addresses, and no address and no text: the worker looks up what is true when
it sends. Whether an address is anybody's is not looked at before, so that asking takes as long either way.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

from commands.ports import MailKind
from domain.identifiers import StreamId

LEASE: Final = timedelta(seconds=60)
"""Longer than any sender takes: who has taken a mail and died leaves it to others afterwards."""
KEPT: Final = timedelta(days=7)

_ASK: Final = """
INSERT INTO ops.outbox (mail_id, kind, subject_id, email_hash, asked_at, next_try_at)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""
_TAKE: Final = """
UPDATE ops.outbox SET tries = tries + 1, next_try_at = %(later)s
WHERE mail_id IN (
    SELECT mail_id FROM ops.outbox WHERE done_at IS NULL AND next_try_at <= %(now)s
    ORDER BY next_try_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
RETURNING mail_id, kind, subject_id, email_hash, asked_at, tries
"""


class Asked(msgspec.Struct, frozen=True):
    """One mail that is to be sent; `tries` counts this one."""

    mail_id: str
    kind: MailKind
    subject_id: StreamId | None
    email_hash: str | None
    asked_at: datetime
    tries: int


class Outbox:
    """`commands.ports.Mail`; and what the worker does with it."""

    def __init__(
        self,
        pool: AsyncConnectionPool[AsyncConnection[Any]],
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._new_id = new_id

    async def to_person(self, kind: MailKind, user_id: StreamId, mail_id: str | None = None) -> None:
        await self._ask(mail_id or self._new_id(), kind, user_id, None)

    async def to_address(self, kind: MailKind, email_hash: str) -> None:
        await self._ask(self._new_id(), kind, None, email_hash)

    async def to_invitee(self, invitation_id: StreamId, mail_id: str) -> None:
        await self._ask(mail_id, "invitation", invitation_id, None)

    async def take(self, limit: int) -> list[Asked]:
        """What is due. Nobody else is given it until the lease is over."""
        now = self._clock()
        async with (
            self._pool.connection() as connection,
            connection.cursor(row_factory=class_row(Asked)) as cursor,
        ):
            await cursor.execute(_TAKE, {"now": now, "later": now + LEASE, "limit": limit})
            return await cursor.fetchall()

    async def finish(self, mail_id: str, outcome: str) -> None:
        """It is `sent`, or `dropped` for good."""
        async with self._pool.connection() as connection:
            await connection.execute(
                "UPDATE ops.outbox SET outcome = %s, done_at = %s WHERE mail_id = %s",
                (outcome, self._clock(), mail_id),
            )

    async def postpone(self, mail_id: str, delay: timedelta) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(
                "UPDATE ops.outbox SET next_try_at = %s WHERE mail_id = %s",
                (self._clock() + delay, mail_id),
            )

    async def sent_since(self, email_hash: str, kind: MailKind, since: datetime) -> int:
        """How many of a kind were sent to an address."""
        async with self._pool.connection() as connection:
            found = await connection.execute(
                "SELECT count(*) FROM ops.outbox"
                " WHERE email_hash = %s AND kind = %s AND outcome = 'sent' AND done_at > %s",
                (email_hash, kind, since),
            )
            row = await found.fetchone()
        return 0 if row is None else int(row[0])

    async def sent_to_person_since(self, subject_id: StreamId, kind: MailKind, since: datetime) -> int:
        """How many of a kind were sent to a person, but for those that were asked for by address."""
        async with self._pool.connection() as connection:
            found = await connection.execute(
                "SELECT count(*) FROM ops.outbox"
                " WHERE subject_id = %s AND kind = %s AND outcome = 'sent' AND done_at > %s",
                (subject_id, kind, since),
            )
            row = await found.fetchone()
        return 0 if row is None else int(row[0])

    async def sweep(self, now: datetime) -> int:
        """Removes what was done with long ago; returns how many."""
        async with self._pool.connection() as connection:
            done = await connection.execute("DELETE FROM ops.outbox WHERE done_at <= %s", (now - KEPT,))
        return done.rowcount

    async def _ask(
        self, mail_id: str, kind: MailKind, subject_id: StreamId | None, email_hash: str | None
    ) -> None:
        now = self._clock()
        async with self._pool.connection() as connection:
            await connection.execute(_ASK, (mail_id, kind, subject_id, email_hash, now, now))
