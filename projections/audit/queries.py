"""Questions about who did what. Row-level security answers them only for those the asker may see.

Newest first, in the order of recording: that is what the indexes of `read.audit_entries` hold.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from psycopg import sql

from domain.zones import ZoneId
from projections.audit.actions import Action
from projections.queries import Connection

Place: TypeAlias = tuple[datetime, int]
"""Where an entry stands in the list: when it was recorded, and its position."""


@dataclass(frozen=True, kw_only=True)
class Criteria:
    """Everything that is set must hold.

    Attributes:
        actor: id of who did it.
        action: what was done, as auditors call it.
        since: recorded then or later.
        until: recorded before then.
        zone: the zone that the event belongs to.
        event_type: `attempt.started` for all its schema versions, or `attempt.started.v1`.
        category: what the stream id begins with.
        after: positions beyond this one.
        up_to: positions as far as this one.
    """

    actor: str | None = None
    action: Action | None = None
    since: datetime | None = None
    until: datetime | None = None
    zone: ZoneId | None = None
    event_type: str | None = None
    category: str | None = None
    after: int = 0
    up_to: int | None = None


async def entries(
    connection: Connection, wanted: Criteria, *, before: Place | None, limit: int
) -> list[dict[str, Any]]:
    found = await connection.execute(*statement(wanted, before=before, limit=limit))
    return await found.fetchall()


def statement(wanted: Criteria, *, before: Place | None, limit: int) -> tuple[sql.Composed, list[Any]]:
    """The query and its parameters, for a connection of either kind."""
    tests: list[tuple[sql.SQL, list[Any]]] = []
    for test, value in (
        (sql.SQL("actor_id = %s"), wanted.actor),
        (sql.SQL("action = %s"), wanted.action),
        (sql.SQL("recorded_at >= %s"), wanted.since),
        (sql.SQL("recorded_at < %s"), wanted.until),
        (sql.SQL("zone_id = %s"), wanted.zone),
        (sql.SQL("resource_category = %s"), wanted.category),
        (sql.SQL("position > %s"), wanted.after or None),
        (sql.SQL("position <= %s"), wanted.up_to),
    ):
        if value is not None:
            tests.append((test, [value]))
    if wanted.event_type is not None:
        tests.append(
            (sql.SQL("(type = %s OR rtrim(type, '0123456789') = %s)"), _type_names(wanted.event_type))
        )
    if before is not None:
        tests.append((sql.SQL("(recorded_at, position) < (%s, %s)"), list(before)))
    where = sql.SQL(" AND ").join([test for test, _ in tests] or [sql.SQL("true")])
    query = sql.SQL(
        "SELECT * FROM read.audit_entries WHERE {} ORDER BY recorded_at DESC, position DESC LIMIT %s"
    ).format(where)
    return query, [*(value for _, values in tests for value in values), limit]


def _type_names(event_type: str) -> list[str]:
    """The name as it is stored, and all its schema versions without their numbers."""
    return [event_type, f"{event_type}.v"]
