"""Questions about invitations. Row-level security answers them only for those the asker may see."""

from datetime import datetime
from typing import Any

from projections.queries import Connection, many


async def of_organization(
    connection: Connection, org_id: str, now: datetime, *, after: str | None, limit: int
) -> list[dict[str, Any]]:
    """The open ones, in the order of their ids."""
    return await many(
        connection,
        """SELECT * FROM read.invitations
           WHERE org_id = %(org)s AND status = 'pending' AND expires_at > %(now)s
             AND (%(after)s::text IS NULL OR invitation_id > %(after)s::text COLLATE "C")
           ORDER BY invitation_id LIMIT %(limit)s""",
        {"org": org_id, "now": now, "after": after, "limit": limit},
    )


async def of_asker(connection: Connection, now: datetime) -> list[dict[str, Any]]:
    """The open ones to the asker's own address, the newest first."""
    return await many(
        connection,
        """SELECT * FROM read.invitations
           WHERE email_hash = read.asker_email_hash() AND status = 'pending' AND expires_at > %s
           ORDER BY invited_at DESC, invitation_id LIMIT 200""",
        [now],
    )
