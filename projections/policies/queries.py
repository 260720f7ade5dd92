"""Questions about policies. Row-level security answers them for administrators of the whole system alone."""

from typing import Any, Literal, TypeAlias

from projections.queries import Connection, many, one

Status: TypeAlias = Literal["proposed", "approved", "active", "superseded", "withdrawn"]


async def policies(
    connection: Connection, *, status: Status | None, before: str | None, limit: int
) -> list[dict[str, Any]]:
    """The newest first."""
    return await many(
        connection,
        """SELECT * FROM read.policies
           WHERE (%(status)s::text IS NULL OR status = %(status)s)
             AND (%(before)s::text IS NULL OR policy_id < %(before)s)
           ORDER BY policy_id DESC LIMIT %(limit)s""",
        {"status": status, "before": before, "limit": limit},
    )


async def awaiting_approval(
    connection: Connection, *, asker: str, after: str | None, limit: int
) -> list[dict[str, Any]]:
    """Proposals in which the asker had no hand, those that wait longest first."""
    return await many(
        connection,
        """SELECT * FROM read.policies
           WHERE status = 'proposed' AND NOT proposers ? %(asker)s
             AND (%(after)s::text IS NULL OR policy_id > %(after)s)
           ORDER BY policy_id LIMIT %(limit)s""",
        {"asker": asker, "after": after, "limit": limit},
    )


async def policy(connection: Connection, policy_id: str) -> dict[str, Any] | None:
    return await one(connection, "SELECT * FROM read.policies WHERE policy_id = %s", [policy_id])
