"""A subscription: paid for, perhaps cancelled, over when its time is over, and perhaps paid for anew.

News of a payment provider comes in any order and more than once. Whatever the order is, the outcome is the
same: paid until the latest end that was paid for, under the newest plan, and cancelled where the newest
cancellation is not older than the newest payment. See docs/decisions/0042-subscriptions-converge.md.
"""

from datetime import datetime
from typing import TypeAlias, assert_never

import msgspec

from domain.errors import IllegalState, Malformed, NotFound
from domain.events import Event
from domain.identifiers import StreamId
from domain.subscriptions.events import (
    Plan,
    Source,
    SubscriptionCancelled,
    SubscriptionExpired,
    SubscriptionRenewed,
    SubscriptionStarted,
)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What was bought. `paid_as_of` is when the newest payment was made; `seen` are the provider's news."""

    user_id: StreamId
    plan: Plan
    started_at: datetime
    paid_until: datetime
    paid_as_of: datetime
    seen: tuple[str, ...] = ()


class NotSubscribed(msgspec.Struct, frozen=True):
    pass


class Active(msgspec.Struct, frozen=True):
    terms: Terms
    cancelled_as_of: datetime | None = None
    """An earlier cancellation, which a newer payment has taken back."""


class Cancelled(msgspec.Struct, frozen=True):
    """Open until its end, and not to be renewed."""

    terms: Terms
    cancelled_as_of: datetime


class Expired(msgspec.Struct, frozen=True):
    terms: Terms
    cancelled_as_of: datetime | None = None


Subscription: TypeAlias = NotSubscribed | Active | Cancelled | Expired


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody has paid for a plan until a moment."""

    user_id: StreamId
    plan: Plan
    paid_until: datetime
    occurred_at: datetime
    source: Source
    payment_ref: str | None = None
    payment_event_id: str | None = None


class Cancellation(msgspec.Struct, frozen=True, kw_only=True):
    occurred_at: datetime
    source: Source
    reason: str | None = None
    payment_event_id: str | None = None


class SubscriptionNotFound(NotFound):
    code = "subscription-not-found"
    title = "There is no such subscription"


class SubscriptionIsOpen(IllegalState):
    """Carries `subscription_id`: it can be renewed."""

    code = "subscription-is-open"
    title = "This person has a subscription that is not over"


class SubscriptionIsOver(IllegalState):
    code = "subscription-is-over"
    title = "The subscription is over; it can be renewed, and no longer be cancelled"


class NotPaidAhead(Malformed):
    """Carries `paid_until`, as it is, or the present moment where that is later."""

    code = "not-paid-ahead"
    title = "What is paid for has to end later than now, and later than what was paid for before"


def evolve(state: Subscription, event: Event) -> Subscription:
    """The subscription after one more fact; facts it does not know leave it as it is."""
    match event:
        case SubscriptionStarted() | SubscriptionRenewed():
            return _paid(state, event)
        case SubscriptionCancelled() if not isinstance(state, NotSubscribed):
            terms = _having_seen(state.terms, event.payment_event_id)
            if isinstance(state, Expired):
                return Expired(terms, event.occurred_at)
            return Cancelled(terms, event.occurred_at)
        case SubscriptionExpired() if not isinstance(state, NotSubscribed):
            return Expired(state.terms, state.cancelled_as_of)
        case _:
            return state


def start(state: Subscription, payment: Payment, now: datetime) -> list[Event]:
    """Raises `SubscriptionIsOpen` and `NotPaidAhead`."""
    match state:
        case NotSubscribed():
            _require_ahead(payment, now)
            return [_started(payment)]
        case Expired():
            _require_ahead(payment, max(now, state.terms.paid_until))
            return [_started(payment)]
        case Active() | Cancelled():
            raise SubscriptionIsOpen
        case _:
            assert_never(state)


def renew(state: Subscription, payment: Payment, now: datetime) -> list[Event]:
    """What was cancelled or is over goes on. Raises `SubscriptionNotFound` and `NotPaidAhead`."""
    match state:
        case NotSubscribed():
            raise SubscriptionNotFound
        case Active() | Cancelled() | Expired():
            _require_ahead(payment, max(now, state.terms.paid_until))
            return [_renewed(payment)]
        case _:
            assert_never(state)


def cancel(state: Subscription, cancellation: Cancellation, now: datetime) -> list[Event]:
    """Nothing where it is cancelled. Raises `SubscriptionNotFound` and `SubscriptionIsOver`."""
    match state:
        case NotSubscribed():
            raise SubscriptionNotFound
        case Expired():
            raise SubscriptionIsOver
        case Cancelled():
            return []
        case Active():
            if state.terms.paid_until <= now:
                raise SubscriptionIsOver
            return [_cancelled(state.terms, cancellation)]
        case _:
            assert_never(state)


def hear_of_payment(state: Subscription, payment: Payment, now: datetime) -> list[Event]:
    """What a provider tells: nothing where it is known, is older than what is known, or is over anyway."""
    if payment.paid_until <= now and (
        isinstance(state, NotSubscribed | Expired) or state.terms.paid_until <= now
    ):
        return []
    if isinstance(state, NotSubscribed):
        return [_started(payment)]
    known = state.terms
    if payment.payment_event_id in known.seen:
        return []
    if payment.paid_until <= known.paid_until and not _newer(payment, known):
        return []
    return [_renewed(payment)]


def hear_of_cancellation(state: Subscription, cancellation: Cancellation) -> list[Event]:
    """Nothing where it is known, or older than what is known.

    Raises `SubscriptionNotFound` where nobody has heard of a payment yet: the provider is to tell it again.
    """
    if isinstance(state, NotSubscribed):
        raise SubscriptionNotFound
    if cancellation.payment_event_id in state.terms.seen:
        return []
    # Both in the same moment: cancelled. Some rule there must be, or the outcome went by who comes first.
    if cancellation.occurred_at < state.terms.paid_as_of:
        return []
    if state.cancelled_as_of is not None and cancellation.occurred_at <= state.cancelled_as_of:
        return []
    return [_cancelled(state.terms, cancellation)]


def expire(state: Subscription, now: datetime) -> list[Event]:
    """What is paid for is over: nothing where it is not, or where that was said before."""
    match state:
        case NotSubscribed() | Expired():
            return []
        case Active() | Cancelled():
            if now < state.terms.paid_until:
                return []
            return [SubscriptionExpired(user_id=state.terms.user_id, paid_until=state.terms.paid_until)]
        case _:
            assert_never(state)


def _paid(state: Subscription, event: SubscriptionStarted | SubscriptionRenewed) -> Subscription:
    if isinstance(state, NotSubscribed):
        terms = Terms(
            user_id=event.user_id,
            plan=event.plan,
            started_at=event.occurred_at,
            paid_until=event.paid_until,
            paid_as_of=event.occurred_at,
        )
        return Active(_having_seen(terms, event.payment_event_id))
    known = state.terms
    terms = msgspec.structs.replace(known, paid_until=max(known.paid_until, event.paid_until))
    if _newer(event, known):
        terms = msgspec.structs.replace(terms, plan=event.plan, paid_as_of=event.occurred_at)
    if isinstance(event, SubscriptionStarted):
        terms = msgspec.structs.replace(terms, started_at=event.occurred_at)
    terms = _having_seen(terms, event.payment_event_id)
    cancelled = state.cancelled_as_of
    if cancelled is not None and cancelled >= terms.paid_as_of:
        return Cancelled(terms, cancelled)
    return Active(terms, cancelled)


def _newer(payment: Payment | SubscriptionStarted | SubscriptionRenewed, known: Terms) -> bool:
    # Two payments of one moment: the plan decides, for want of anything better that has an order.
    return (payment.occurred_at, payment.plan) > (known.paid_as_of, known.plan)


def _having_seen(terms: Terms, payment_event_id: str | None) -> Terms:
    if payment_event_id is None:
        return terms
    return msgspec.structs.replace(terms, seen=(*terms.seen, payment_event_id))


def _require_ahead(payment: Payment, of: datetime) -> None:
    if payment.paid_until <= of:
        raise NotPaidAhead(paid_until=of.isoformat())


def _started(payment: Payment) -> SubscriptionStarted:
    return SubscriptionStarted(**msgspec.structs.asdict(payment))


def _renewed(payment: Payment) -> SubscriptionRenewed:
    return SubscriptionRenewed(**msgspec.structs.asdict(payment))


def _cancelled(terms: Terms, cancellation: Cancellation) -> SubscriptionCancelled:
    return SubscriptionCancelled(user_id=terms.user_id, **msgspec.structs.asdict(cancellation))
