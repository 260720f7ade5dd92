"""News of payments in any order and any number of times: the outcome is that of the right order."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.subscriptions.subscription import (
    Active,
    Cancellation,
    Cancelled,
    Expired,
    NotSubscribed,
    evolve,
    expire,
    hear_of_cancellation,
    hear_of_payment,
)
from tests.support.subscriptions import cancellation, day, payment

NOW = day(50)

# Few days, so that there are many of the same moment; all of it is paid for beyond now.
payments = st.builds(
    lambda at, until, plan: payment(at, until, plan=plan, event_id="?"),
    st.integers(0, 9),
    st.integers(51, 60),
    st.sampled_from(["basic", "family", "premium"]),
)
cancellations = st.builds(lambda at: cancellation(at, "?"), st.integers(0, 9))


@st.composite
def histories(draw):
    """A payment and more news, each under an id of its own; and the same once more, in some order."""
    first = draw(payments)
    told = [first, *draw(st.lists(payments | cancellations, max_size=7))]
    named = [replaced(each, f"msg_{number}") for number, each in enumerate(told)]
    again = draw(st.lists(st.sampled_from(named), max_size=5))
    return named, draw(st.permutations([*named, *again]))


def replaced(news, event_id):
    kind = type(news)
    fields = {name: getattr(news, name) for name in kind.__struct_fields__}
    return kind(**{**fields, "payment_event_id": event_id})


def heard(state, news, now=NOW):
    if isinstance(news, Cancellation):
        return hear_of_cancellation(state, news)
    return hear_of_payment(state, news, now)


def after(told):
    """As the provider sends: what is refused before the first payment comes again later."""
    state, later = NotSubscribed(), []
    for news in told:
        if isinstance(state, NotSubscribed) and isinstance(news, Cancellation):
            later.append(news)
            continue
        for event in heard(state, news):
            state = evolve(state, event)
    for news in later:
        for event in heard(state, news):
            state = evolve(state, event)
    return state


@given(histories())
def test_in_any_order_it_is_paid_until_the_latest_end_under_the_newest_plan(history):
    told, sent = history
    paid = [each for each in told if not isinstance(each, Cancellation)]
    newest = max(paid, key=lambda each: (each.occurred_at, each.plan))
    cancelled_at = max((each.occurred_at for each in told if isinstance(each, Cancellation)), default=day(-1))
    state = after(sent)
    assert isinstance(state, Active | Cancelled)
    assert state.terms.paid_until == max(each.paid_until for each in paid)
    assert state.terms.plan == newest.plan
    assert isinstance(state, Cancelled) == (cancelled_at >= newest.occurred_at)


@given(histories())
def test_what_was_heard_once_adds_no_event_ever_again(history):
    told, sent = history
    state = after(sent)
    assert [event for news in told for event in heard(state, news)] == []


@given(histories(), st.integers(51, 65))
def test_it_is_over_exactly_when_its_time_is(history, at):
    state = after(history[1])
    over = state.terms.paid_until <= day(at)
    events = expire(state, day(at))
    assert bool(events) == over
    for event in events:
        state = evolve(state, event)
    assert isinstance(state, Expired) == over
    if over:
        assert expire(state, day(at) + timedelta(days=1)) == []
        assert all(heard(state, news, day(at)) == [] for news in history[0])
