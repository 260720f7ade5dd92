"""Subscriptions: started, renewed and cancelled by administrators, or as a payment provider tells.

Each person has one stream for all of their subscriptions, held by a claim on the person: so there is never
more than one that is open, however many payments come at once.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from commands.context import CommandContext
from commands.kinds import SUBSCRIPTION, USER
from commands.streams import Loaded, Outcome
from commands.write_side import WriteSide
from domain.events import Event
from domain.identifiers import StreamId, stream_id
from domain.subscriptions import subscription
from domain.subscriptions.subscription import (
    Cancellation,
    NotSubscribed,
    Payment,
    Subscription,
    SubscriptionIsOpen,
    SubscriptionNotFound,
)
from domain.users.account import Account, Deactivated, Registered, UserIsDeactivated, UserNotFound
from domain.zones import ZoneId

SUBSCRIPTION_SCOPE = "subscription"

Decide: TypeAlias = Callable[[Subscription, datetime], Sequence[Event]]


class Reach(msgspec.Struct, frozen=True):
    """Whose subscriptions somebody administers: those of one zone, or (None) of every zone."""

    zone_id: ZoneId | None

    def includes(self, zone_id: ZoneId | None) -> bool:
        return self.zone_id is None or self.zone_id == zone_id


class StartSubscription(msgspec.Struct, frozen=True, kw_only=True):
    user_id: StreamId
    plan: str
    paid_until: datetime
    payment_ref: str | None = None


class RenewSubscription(msgspec.Struct, frozen=True, kw_only=True):
    """`plan` None: the same as before."""

    subscription_id: StreamId
    paid_until: datetime
    plan: str | None = None
    payment_ref: str | None = None


class CancelSubscription(msgspec.Struct, frozen=True, kw_only=True):
    subscription_id: StreamId
    reason: str


class PaymentNews(msgspec.Struct, frozen=True, kw_only=True):
    """What a payment provider tells. `plan` and `paid_until` come with payments alone."""

    event_id: str
    user_id: StreamId
    occurred_at: datetime
    what: Literal["paid", "cancelled"]
    plan: str | None = None
    paid_until: datetime | None = None
    payment_ref: str | None = None


async def start_subscription(
    write: WriteSide, context: CommandContext, reach: Reach, command: StartSubscription
) -> Outcome[Subscription]:
    """Raises `UserNotFound` (also out of reach), `UserIsDeactivated`, `SubscriptionIsOpen`, `NotPaidAhead`.

    An open subscription is named in the refusal: it can be renewed.
    """
    person = await _person(write, command.user_id)
    if not reach.includes(person.owner.zone_id):
        raise UserNotFound
    if isinstance(person.state, Deactivated):
        raise UserIsDeactivated
    subscription_id = await _claimed(write, command.user_id)

    def decide(state: Subscription, now: datetime) -> Sequence[Event]:
        payment = Payment(
            user_id=command.user_id,
            plan=command.plan,
            paid_until=command.paid_until,
            occurred_at=now,
            source="administrator",
            payment_ref=command.payment_ref,
        )
        return subscription.start(state, payment, now)

    try:
        return await _execute(write, context, person.owner.zone_id, subscription_id, decide)
    except SubscriptionIsOpen:
        raise SubscriptionIsOpen(subscription_id=subscription_id) from None


async def renew_subscription(
    write: WriteSide, context: CommandContext, reach: Reach, command: RenewSubscription
) -> Outcome[Subscription]:
    """Raises `SubscriptionNotFound`, also for one out of reach, and `NotPaidAhead`."""
    loaded = await _within_reach(write, reach, command.subscription_id)

    def decide(state: Subscription, now: datetime) -> Sequence[Event]:
        if isinstance(state, NotSubscribed):
            raise SubscriptionNotFound
        payment = Payment(
            user_id=state.terms.user_id,
            plan=command.plan or state.terms.plan,
            paid_until=command.paid_until,
            occurred_at=now,
            source="administrator",
            payment_ref=command.payment_ref,
        )
        return subscription.renew(state, payment, now)

    return await _execute(write, context, loaded.owner.zone_id, command.subscription_id, decide)


async def cancel_subscription(
    write: WriteSide, context: CommandContext, reach: Reach, command: CancelSubscription
) -> Outcome[Subscription]:
    """What is paid for stays open. Nothing where it is cancelled already.

    Raises `SubscriptionNotFound`, also for one out of reach, and `SubscriptionIsOver`.
    """
    loaded = await _within_reach(write, reach, command.subscription_id)

    def decide(state: Subscription, now: datetime) -> Sequence[Event]:
        cancellation = Cancellation(occurred_at=now, source="administrator", reason=command.reason)
        return subscription.cancel(state, cancellation, now)

    return await _execute(write, context, loaded.owner.zone_id, command.subscription_id, decide)


async def hear_of_payment(
    write: WriteSide, context: CommandContext, news: PaymentNews
) -> Outcome[Subscription]:
    """Takes in what a payment provider tells; without events where it changes nothing.

    Raises `UserNotFound`, and `SubscriptionNotFound` for a cancellation before any payment was heard of: the
    provider sends it again later.
    """
    person = await _person(write, news.user_id)
    zone_id = person.owner.zone_id
    if news.what == "cancelled":
        holder = await write.claims.holder(SUBSCRIPTION_SCOPE, news.user_id)
        if holder is None:
            raise SubscriptionNotFound
        cancellation = Cancellation(
            occurred_at=news.occurred_at, source="webhook", payment_event_id=news.event_id
        )
        return await _execute(
            write,
            context,
            zone_id,
            holder,
            lambda state, _: subscription.hear_of_cancellation(state, cancellation),
        )
    assert news.plan is not None
    assert news.paid_until is not None
    payment = Payment(
        user_id=news.user_id,
        plan=news.plan,
        paid_until=news.paid_until,
        occurred_at=news.occurred_at,
        source="webhook",
        payment_ref=news.payment_ref,
        payment_event_id=news.event_id,
    )
    subscription_id = await _claimed(write, news.user_id)
    return await _execute(
        write,
        context,
        zone_id,
        subscription_id,
        lambda state, now: subscription.hear_of_payment(state, payment, now),
    )


async def expire_subscription(
    write: WriteSide, context: CommandContext, subscription_id: StreamId
) -> Outcome[Subscription]:
    """Nothing where it is paid for still, or over already."""
    loaded = await write.streams.read(SUBSCRIPTION, subscription_id)
    return await _execute(write, context, loaded.owner.zone_id, subscription_id, subscription.expire)


async def _person(write: WriteSide, user_id: StreamId) -> Loaded[Account]:
    loaded = await write.streams.read(USER, user_id)
    if not isinstance(loaded.state, Registered | Deactivated):
        raise UserNotFound
    return loaded


async def _claimed(write: WriteSide, user_id: StreamId) -> StreamId:
    """The stream of this person's subscriptions, which may have no event yet."""
    wanted = stream_id("subscription", write.new_id())
    [holder] = await write.claims.claim(SUBSCRIPTION_SCOPE, [user_id], [wanted])
    return holder


async def _within_reach(write: WriteSide, reach: Reach, subscription_id: StreamId) -> Loaded[Subscription]:
    loaded = await write.streams.read(SUBSCRIPTION, subscription_id)
    if isinstance(loaded.state, NotSubscribed) or not reach.includes(loaded.owner.zone_id):
        raise SubscriptionNotFound
    return loaded


async def _execute(
    write: WriteSide,
    context: CommandContext,
    zone_id: ZoneId | None,
    subscription_id: StreamId,
    decide: Decide,
) -> Outcome[Subscription]:
    return await write.streams.execute(
        context.within(zone_id, None),
        SUBSCRIPTION,
        subscription_id,
        lambda state: decide(state, write.clock()),
    )
