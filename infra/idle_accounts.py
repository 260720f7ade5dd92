"""Accounts that somebody could sign in to, and nobody has for a while.

People are known to the read side, sign-ins to the write side alone: no role of the database sees both, so
neither does one query.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from psycopg.rows import class_row

from domain.identifiers import StreamId
from infra.claims import Pool

PEOPLE_AT_ONCE: Final = 5_000

# Whoever has no address was enrolled by an organisation and never signs in.
_PEOPLE: Final = """
SELECT p.user_id, p.email, p.registered_at, NULL::timestamptz AS last_seen
FROM read.people p JOIN read.accounts a USING (user_id)
WHERE a.active AND p.email IS NOT NULL AND p.registered_at < %(before)s AND p.user_id > %(after)s
ORDER BY p.user_id LIMIT %(limit)s
"""
_SEEN: Final = """
SELECT subject_id, max(seen_at) FROM (
    SELECT subject_id, coalesce(last_used_at, created_at) AS seen_at FROM ops.refresh_families
    WHERE subject_id = ANY (%(people)s)
    UNION ALL
    SELECT subject_id, seen_at FROM ops.last_seen WHERE subject_id = ANY (%(people)s)
) AS seen GROUP BY subject_id
"""


class IdleAccount(msgspec.Struct, frozen=True):
    """`last_seen` is None for somebody who has never signed in."""

    user_id: StreamId
    email: str
    registered_at: datetime
    last_seen: datetime | None


class IdleAccounts:
    """`people` is a pool of a role that sees everybody, `sign_ins` one of a role that sees sessions."""

    def __init__(self, people: Pool, sign_ins: Pool) -> None:
        self._people = people
        self._sign_ins = sign_ins

    async def not_seen_since(self, before: datetime) -> AsyncIterator[IdleAccount]:
        """By user id. Who has registered since then is none of them."""
        after = ""
        while found := await self._registered(before, after):
            seen = await self._seen([each.user_id for each in found])
            for each in found:
                last_seen = seen.get(each.user_id)
                if last_seen is None or last_seen < before:
                    yield msgspec.structs.replace(each, last_seen=last_seen)
            after = found[-1].user_id

    async def _registered(self, before: datetime, after: str) -> list[IdleAccount]:
        values = {"before": before, "after": after, "limit": PEOPLE_AT_ONCE}
        async with (
            self._people.connection() as connection,
            connection.cursor(row_factory=class_row(IdleAccount)) as cursor,
        ):
            return await (await cursor.execute(_PEOPLE, values)).fetchall()

    async def _seen(self, people: Sequence[StreamId]) -> dict[StreamId, datetime]:
        async with self._sign_ins.connection() as connection:
            found: Any = await connection.execute(_SEEN, {"people": list(people)})
            return dict(await found.fetchall())
