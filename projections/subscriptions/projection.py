"""What each person is subscribed to: one row per person who ever was."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from domain.events import Event, PositionedEvent
from domain.subscriptions.events import (
    SubscriptionCancelled,
    SubscriptionExpired,
    SubscriptionRenewed,
    SubscriptionStarted,
)
from domain.subscriptions.subscription import (
    Active,
    Cancelled,
    Expired,
    NotSubscribed,
    Subscription,
    Terms,
    evolve,
)
from projections.projection import Cursor
from projections.rows import Row, Table

SUBSCRIPTIONS = Table(
    "subscriptions",
    key=("user_id",),
    columns={
        "user_id": "text",
        "subscription_id": "text",
        "zone_id": "text",
        "plan": "text",
        "status": "text",
        "started_at": "timestamptz",
        "paid_until": "timestamptz",
        "paid_as_of": "timestamptz",
        "cancelled_as_of": "timestamptz",
        "version": "bigint",
    },
)


class SubscriptionsProjection:
    name: ClassVar[str] = "subscriptions"
    version: ClassVar[int] = 1
    partitioned: ClassVar[bool] = True
    tables: ClassVar[tuple[str, ...]] = ("subscriptions",)
    event_types: ClassVar[tuple[type[Event], ...]] = (
        SubscriptionStarted,
        SubscriptionRenewed,
        SubscriptionCancelled,
        SubscriptionExpired,
    )

    def apply(self, cursor: Cursor, events: Sequence[PositionedEvent]) -> None:
        recorded = [each.recorded for each in events if isinstance(each.recorded.event, self.event_types)]
        rows = SUBSCRIPTIONS.load(cursor, ((_person(each.event),) for each in recorded))
        for each in recorded:
            before = rows.get(_person(each.event))
            after = evolve(_state(before), each.event)
            if isinstance(after, NotSubscribed):
                continue  # cancelled or over before it began: nobody writes that
            rows.put(
                {
                    **_row(after),
                    "subscription_id": each.stream_id,
                    "zone_id": each.metadata.zone_id,
                    "version": each.version,
                }
            )
        rows.save(cursor)


def _person(event: Event) -> str:
    assert isinstance(
        event, SubscriptionStarted | SubscriptionRenewed | SubscriptionCancelled | SubscriptionExpired
    )
    return event.user_id


# What comes of news in any order is the domain's to say: a row holds all that it needs for that. Which of the
# provider's news were seen does not matter here: what is in the log has had its effect.


def _row(state: Active | Cancelled | Expired) -> Row:
    terms = state.terms
    return {
        "user_id": terms.user_id,
        "plan": terms.plan,
        "status": _STATUS[type(state)],
        "started_at": terms.started_at,
        "paid_until": terms.paid_until,
        "paid_as_of": terms.paid_as_of,
        "cancelled_as_of": state.cancelled_as_of,
    }


_STATUS: dict[type, str] = {Active: "active", Cancelled: "cancelled", Expired: "expired"}


def _state(row: Row | None) -> Subscription:
    if row is None:
        return NotSubscribed()
    terms = Terms(
        user_id=row["user_id"],
        plan=row["plan"],
        started_at=_moment(row["started_at"]),
        paid_until=_moment(row["paid_until"]),
        paid_as_of=_moment(row["paid_as_of"]),
    )
    match row["status"]:
        case "active":
            return Active(terms, row["cancelled_as_of"])
        case "cancelled":
            return Cancelled(terms, _moment(row["cancelled_as_of"]))
        case _:
            return Expired(terms, row["cancelled_as_of"])


def _moment(value: object) -> datetime:
    assert isinstance(value, datetime)
    return value
