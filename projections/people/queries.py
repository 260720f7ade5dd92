"""Questions about people. Row-level security answers them only for those the asker may see."""

from typing import Any

from projections.queries import Connection, one


async def person(connection: Connection, user_id: str) -> dict[str, Any] | None:
    return await one(connection, "SELECT * FROM read.people WHERE user_id = %s", [user_id])
