"""Questions about subscriptions. Row-level security answers them only for those the asker may see."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from projections.queries import Connection, one

Status = Literal["none", "active", "cancelled", "expired"]


async def subscription_of(connection: Connection, user_id: str) -> dict[str, Any] | None:
    return await one(connection, "SELECT * FROM read.subscriptions WHERE user_id = %s", [user_id])


def status_at(row: Mapping[str, Any] | None, now: datetime) -> Status:
    """A subscription is over when its time is, and not only once that was said in the log."""
    if row is None:
        return "none"
    if row["paid_until"] <= now:
        return "expired"
    status: Status = row["status"]
    return status
