"""What a subscription does with payments, cancellations and the clock."""

import pytest

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
    NotPaidAhead,
    NotSubscribed,
    SubscriptionIsOpen,
    SubscriptionIsOver,
    SubscriptionNotFound,
    cancel,
    evolve,
    expire,
    hear_of_cancellation,
    hear_of_payment,
    renew,
    start,
)
from tests.support.subscriptions import cancellation, day, payment


def after(state, events):
    for event in events:
        state = evolve(state, event)
    return state


def started(until=30):
    return after(NotSubscribed(), start(NotSubscribed(), payment(0, until), day(0)))


def cancelled(at=5):
    state = started()
    return after(state, cancel(state, cancellation(at), day(at)))


def expired():
    state = started()
    return after(state, expire(state, day(30)))


def test_the_first_payment_starts_it():
    [event] = start(NotSubscribed(), payment(0, 30, payment_ref="order 1"), day(0))
    assert isinstance(event, SubscriptionStarted)
    assert (event.plan, event.paid_until, event.payment_ref) == ("premium", day(30), "order 1")
    assert isinstance(evolve(NotSubscribed(), event), Active)


@pytest.mark.parametrize("state", [started(), cancelled()])
def test_an_open_one_cannot_be_started_again(state):
    with pytest.raises(SubscriptionIsOpen):
        start(state, payment(1, 60), day(1))


def test_one_that_is_over_can_be_started_again():
    state = after(expired(), start(expired(), payment(40, 70, plan="family"), day(40)))
    assert isinstance(state, Active)
    assert (state.terms.plan, state.terms.started_at, state.terms.paid_until) == ("family", day(40), day(70))


@pytest.mark.parametrize("until", [0, -3])
def test_what_is_paid_for_ends_later_than_now(until):
    with pytest.raises(NotPaidAhead):
        start(NotSubscribed(), payment(0, until), day(0))


@pytest.mark.parametrize("until", [30, 29])
def test_a_renewal_ends_later_than_what_was_paid_for_before(until):
    with pytest.raises(NotPaidAhead) as refused:
        renew(started(), payment(10, until), day(10))
    assert refused.value.paid_until == day(30).isoformat()


@pytest.mark.parametrize(("state", "at"), [(started(), 10), (cancelled(), 10), (expired(), 40)])
def test_a_renewal_keeps_it_open_takes_a_cancellation_back_and_revives_what_was_over(state, at):
    [event] = renew(state, payment(at, 60), day(at))
    assert isinstance(event, SubscriptionRenewed)
    renewed = evolve(state, event)
    assert isinstance(renewed, Active)
    assert renewed.terms.paid_until == day(60)
    assert renewed.terms.started_at == day(0)


def test_nothing_is_renewed_that_never_began():
    with pytest.raises(SubscriptionNotFound):
        renew(NotSubscribed(), payment(0, 30), day(0))


def test_what_is_cancelled_is_paid_for_until_its_end():
    state = cancelled()
    assert isinstance(state, Cancelled)
    assert state.terms.paid_until == day(30)
    assert expire(state, day(29.9)) == []
    [event] = expire(state, day(30))
    assert isinstance(event, SubscriptionExpired)
    assert isinstance(evolve(state, event), Expired)


def test_cancelling_twice_is_cancelling_once():
    assert cancel(cancelled(), cancellation(6), day(6)) == []


def test_nothing_is_cancelled_that_is_over_or_never_began():
    with pytest.raises(SubscriptionIsOver):
        cancel(expired(), cancellation(31), day(31))
    with pytest.raises(SubscriptionIsOver):
        cancel(started(), cancellation(31), day(31))  # over, though the clock has not said so yet
    with pytest.raises(SubscriptionNotFound):
        cancel(NotSubscribed(), cancellation(1), day(1))


def test_it_expires_once_and_no_earlier_than_its_end():
    assert expire(started(), day(29.999)) == []
    assert len(expire(started(), day(30))) == 1
    assert expire(expired(), day(50)) == []
    assert expire(NotSubscribed(), day(50)) == []


def test_a_renewal_that_comes_before_the_clock_keeps_it_from_expiring():
    state = after(started(), renew(started(), payment(29, 60), day(29)))
    assert expire(state, day(30)) == []


def test_a_message_that_is_sent_again_has_no_effect():
    first = payment(0, 30, event_id="msg_1")
    state = after(NotSubscribed(), hear_of_payment(NotSubscribed(), first, day(0)))
    assert hear_of_payment(state, first, day(1)) == []
    again = cancellation(2, "msg_2")
    state = after(state, hear_of_cancellation(state, again))
    assert isinstance(state, Cancelled)
    assert hear_of_cancellation(state, again) == []


def test_a_message_whose_id_is_known_has_no_effect_whatever_it_says():
    state = after(NotSubscribed(), hear_of_payment(NotSubscribed(), payment(0, 30, event_id="m"), day(0)))
    assert hear_of_payment(state, payment(1, 300, event_id="m"), day(1)) == []
    assert hear_of_cancellation(state, cancellation(1, "m")) == []


def test_a_renewal_that_comes_before_the_start_starts_it_and_the_start_adds_nothing():
    [event] = hear_of_payment(NotSubscribed(), payment(20, 60, event_id="second"), day(21))
    assert isinstance(event, SubscriptionStarted)
    state = evolve(NotSubscribed(), event)
    assert hear_of_payment(state, payment(0, 30, event_id="first"), day(22)) == []


def test_an_older_cancellation_does_not_undo_a_newer_payment():
    state = after(NotSubscribed(), hear_of_payment(NotSubscribed(), payment(10, 60, event_id="p"), day(10)))
    assert hear_of_cancellation(state, cancellation(9, "c")) == []
    assert [type(each) for each in hear_of_cancellation(state, cancellation(11, "c"))] == [
        SubscriptionCancelled
    ]


def test_an_older_payment_does_not_undo_a_newer_cancellation_and_is_not_lost():
    state = cancelled(at=20)
    state = after(state, hear_of_payment(state, payment(10, 60, event_id="p"), day(21)))
    assert isinstance(state, Cancelled)
    assert state.terms.paid_until == day(60)


def test_an_older_payment_does_not_bring_its_plan_back():
    state = after(started(), renew(started(), payment(20, 60, plan="family"), day(20)))
    state = after(state, hear_of_payment(state, payment(10, 90, plan="basic", event_id="p"), day(21)))
    assert (state.terms.plan, state.terms.paid_until) == ("family", day(90))


def test_news_of_a_payment_whose_time_is_over_opens_nothing():
    assert hear_of_payment(NotSubscribed(), payment(0, 30, event_id="p"), day(31)) == []
    assert hear_of_payment(expired(), payment(5, 31, event_id="p"), day(32)) == []


def test_a_payment_that_arrives_after_the_end_opens_it_again():
    state = after(expired(), hear_of_payment(expired(), payment(29, 60, event_id="late"), day(31)))
    assert isinstance(state, Active)


def test_a_cancellation_of_what_nobody_has_heard_of_is_to_be_sent_again():
    with pytest.raises(SubscriptionNotFound):
        hear_of_cancellation(NotSubscribed(), cancellation(1, "c"))


def test_a_cancellation_that_arrives_after_the_end_opens_nothing_and_holds_against_older_payments():
    state = after(expired(), hear_of_cancellation(expired(), cancellation(28, "c")))
    assert isinstance(state, Expired)
    state = after(state, hear_of_payment(state, payment(27, 60, event_id="p"), day(31)))
    assert isinstance(state, Cancelled)
