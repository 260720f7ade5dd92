"""What happens to a person's subscription. All of it stands in one stream for each person, for good.

`occurred_at` is when something happened where it happened: news may arrive in any order, and by this the
newer is told from the older. `payment_event_id` is the payment provider's id of it, so that it counts once.
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from domain.events import Event, Retention, event_type
from domain.identifiers import StreamId
from domain.personal import Personal

PLAN_PATTERN = "^[a-z][a-z0-9_-]{0,39}$"

Plan = Annotated[str, msgspec.Meta(pattern=PLAN_PATTERN)]
"""What was bought. What each plan opens is a matter of policies."""

Source = Literal["administrator", "webhook"]
"""Who says so: an administrator, or the payment provider by a signed webhook."""


@event_type("subscription.started", retention=Retention.STATE, subject="user_id")
class SubscriptionStarted(Event, frozen=True, kw_only=True):
    """Paid for, for the first time or after an earlier one had run out."""

    user_id: StreamId
    occurred_at: datetime
    source: Source
    plan: Plan
    paid_until: datetime
    payment_event_id: str | None = None
    payment_ref: Personal[str | None] = None


@event_type("subscription.renewed", retention=Retention.STATE, subject="user_id")
class SubscriptionRenewed(Event, frozen=True, kw_only=True):
    """Paid for once more. Of all payments that of the latest end counts, of all plans the newest."""

    user_id: StreamId
    occurred_at: datetime
    source: Source
    plan: Plan
    paid_until: datetime
    payment_event_id: str | None = None
    payment_ref: Personal[str | None] = None


@event_type("subscription.cancelled", retention=Retention.STATE, subject="user_id")
class SubscriptionCancelled(Event, frozen=True, kw_only=True):
    """Not to be renewed. What is paid for stays open until its end."""

    user_id: StreamId
    occurred_at: datetime
    source: Source
    payment_event_id: str | None = None
    reason: Personal[str | None] = None


@event_type("subscription.expired", retention=Retention.STATE)
class SubscriptionExpired(Event, frozen=True, kw_only=True):
    """What was paid for is over, as of `paid_until`."""

    user_id: StreamId
    paid_until: datetime
