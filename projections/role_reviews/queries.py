"""Questions about roles. Row-level security answers them for system administrators; others see their own."""

from collections.abc import Sequence
from typing import Final, LiteralString

from domain.users.role_reviews import HeldRole
from domain.users.role_rules import REVIEWED_ROLES
from projections.queries import Connection, many

HELD_ROLES: Final[LiteralString] = """
SELECT user_id, role, org_id, zone_id, granted_at, granted_by, confirmed_at, confirmed_by, reviewed_at
FROM read.role_reviews WHERE %(roles)s::text[] IS NULL OR role = ANY (%(roles)s)
ORDER BY coalesce(confirmed_at, granted_at), user_id, role, place
"""
"""The one that was confirmed longest ago first."""


async def reviewed_roles(connection: Connection) -> Sequence[HeldRole]:
    """All that have to be confirmed."""
    return [HeldRole(**row) for row in await many(connection, HELD_ROLES, {"roles": list(REVIEWED_ROLES)})]
