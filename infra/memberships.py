"""Memberships as the read models have them, and the loop that looks after them."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import structlog

from commands.reactions.memberships import DueMemberships, Stray, tend_memberships
from commands.write_side import WriteSide
from domain.identifiers import StreamId
from infra.claims import Pool

TEND_INTERVAL_S: Final = 30.0
"""Nothing waits for it: an invitation whose time is over is refused by itself, and so is who has no role."""

log = structlog.get_logger("memberships")


class ReadModelMemberships:
    """`commands.members.ClassLists` and `commands.reactions.memberships.DueMemberships`. It may lag."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def classes_of(self, user_id: StreamId, org_id: StreamId) -> Sequence[StreamId]:
        async with self._pool.connection() as connection:
            found = await connection.execute(
                """SELECT DISTINCT class_id FROM read.class_members JOIN read.classes USING (class_id)
                   WHERE user_id = %s AND class_members.org_id = %s AND closed_at IS NULL
                   ORDER BY class_id""",
                (user_id, org_id),
            )
            return [str(class_id) for (class_id,) in await found.fetchall()]

    async def invitations(self, now: datetime, limit: int) -> Sequence[StreamId]:
        async with self._pool.connection() as connection:
            found = await connection.execute(
                """SELECT invitation_id FROM read.invitations
                   WHERE status = 'pending' AND expires_at <= %s
                   ORDER BY expires_at, invitation_id LIMIT %s""",
                (now, limit),
            )
            return [str(invitation_id) for (invitation_id,) in await found.fetchall()]

    async def strays(self, limit: int) -> Sequence[Stray]:
        async with self._pool.connection() as connection:
            found = await connection.execute(
                """SELECT m.class_id, m.org_id, m.user_id, m.part
                   FROM read.class_members m
                   JOIN read.classes c ON c.class_id = m.class_id AND c.closed_at IS NULL
                   WHERE NOT EXISTS (
                       SELECT FROM read.memberships h
                       WHERE h.user_id = m.user_id AND h.place = m.org_id
                         AND h.role = ANY (CASE m.part WHEN 'student' THEN '{student}'::text[]
                                                       ELSE '{teacher,tutor}' END)
                   )
                   ORDER BY m.class_id, m.user_id LIMIT %s""",
                (limit,),
            )
            return [Stray(*row) for row in await found.fetchall()]


async def keep_memberships(write: WriteSide, due: DueMemberships) -> None:
    """Looks after them now and then, whatever happens."""
    while True:
        try:
            tended = await tend_memberships(write, due)
            if tended.expired or tended.taken_out:
                log.info("memberships tended", expired=tended.expired, taken_out=tended.taken_out)
            for stream_id, error in tended.failed:
                log.error("membership not tended", stream_id=stream_id, error=error.code)
        except Exception as error:
            # The database may be away: what is due stays due. This loop must outlive everything.
            log.exception("memberships not looked at", error=type(error).__name__)
        await asyncio.sleep(TEND_INTERVAL_S)
