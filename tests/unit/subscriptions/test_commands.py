"""The commands: one stream a person, two people at once, and who is out of reach."""

import asyncio

import pytest

from commands.kinds import SUBSCRIPTION
from commands.reactions.subscriptions import expire_subscriptions
from commands.subscriptions import (
    CancelSubscription,
    PaymentNews,
    Reach,
    RenewSubscription,
    StartSubscription,
    cancel_subscription,
    expire_subscription,
    hear_of_payment,
    renew_subscription,
    start_subscription,
)
from domain.subscriptions.events import SubscriptionExpired, SubscriptionRenewed, SubscriptionStarted
from domain.subscriptions.subscription import (
    Active,
    Cancelled,
    Expired,
    SubscriptionIsOpen,
    SubscriptionNotFound,
)
from domain.users.account import UserIsDeactivated, UserNotFound
from domain.users.events import UserDeactivated
from tests.support.exam_parts import STUDENT
from tests.support.memory import HandClock, World
from tests.support.subscriptions import day

ANYBODY, UNIVPREP, SKILLPREP = Reach(None), Reach("univprep"), Reach("skillprep")


@pytest.fixture
def world():
    made = World(clock=HandClock(day(0)))
    made.given_user(STUDENT)
    return made


def starting(until=30, user_id=STUDENT):
    return StartSubscription(user_id=user_id, plan="premium", paid_until=day(until))


def news(event_id, at, *, what="paid", until=None, user_id=STUDENT):
    return PaymentNews(
        event_id=event_id,
        user_id=user_id,
        occurred_at=day(at),
        what=what,
        plan="premium" if what == "paid" else None,
        paid_until=None if until is None else day(until),
    )


def asked(world):
    return world.asked_by("user-admin")


def types(world, subscription_id):
    return [type(event) for event in world.log.events(subscription_id)]


async def test_two_who_start_at_once_make_one_subscription(world):
    two = [world.write, world.another_process()]
    done = await asyncio.gather(
        *(start_subscription(write, asked(world), ANYBODY, starting()) for write in two),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in done) == ["Outcome", "SubscriptionIsOpen"]
    [subscription_id] = world.log.streams("subscription")
    assert types(world, subscription_id) == [SubscriptionStarted]


async def test_whoever_finds_one_open_is_told_which(world):
    first = await start_subscription(world.write, asked(world), ANYBODY, starting())
    with pytest.raises(SubscriptionIsOpen) as refused:
        await start_subscription(world.write, asked(world), ANYBODY, starting(60))
    assert refused.value.subscription_id == first.stream_id


async def test_what_is_started_after_the_end_stands_in_the_same_stream(world):
    first = await start_subscription(world.write, asked(world), ANYBODY, starting())
    world.clock.now = day(31)
    await expire_subscription(world.write, asked(world), first.stream_id)
    second = await start_subscription(world.write, asked(world), ANYBODY, starting(60))
    assert second.stream_id == first.stream_id
    assert types(world, first.stream_id) == [SubscriptionStarted, SubscriptionExpired, SubscriptionStarted]


async def test_the_events_belong_to_the_zone_of_the_person(world):
    other = world.given_user(world.fresh_id("user"), zone_id="skillprep")
    outcome = await start_subscription(world.write, asked(world), SKILLPREP, starting(user_id=other))
    [recorded] = world.log.stream(outcome.stream_id)
    assert (recorded.metadata.zone_id, recorded.metadata.org_id) == ("skillprep", None)


async def test_people_of_another_zone_are_not_there(world):
    with pytest.raises(UserNotFound):
        await start_subscription(world.write, asked(world), SKILLPREP, starting())
    outcome = await start_subscription(world.write, asked(world), UNIVPREP, starting())
    renewal = RenewSubscription(subscription_id=outcome.stream_id, paid_until=day(60))
    with pytest.raises(SubscriptionNotFound):
        await renew_subscription(world.write, asked(world), SKILLPREP, renewal)
    cancelling = CancelSubscription(subscription_id=outcome.stream_id, reason="no")
    with pytest.raises(SubscriptionNotFound):
        await cancel_subscription(world.write, asked(world), SKILLPREP, cancelling)
    assert types(world, outcome.stream_id) == [SubscriptionStarted]


async def test_nobody_is_subscribed_who_is_not_registered(world):
    with pytest.raises(UserNotFound):
        await start_subscription(world.write, asked(world), ANYBODY, starting(user_id=world.fresh_id("user")))
    with pytest.raises(UserNotFound):
        await hear_of_payment(
            world.write, asked(world), news("m", 0, until=30, user_id=world.fresh_id("user"))
        )
    world.record(STUDENT, UserDeactivated(reason="left"))
    with pytest.raises(UserIsDeactivated):
        await start_subscription(world.write, asked(world), ANYBODY, starting())
    assert world.log.streams("subscription") == []


async def test_a_renewal_without_a_plan_keeps_the_plan(world):
    outcome = await start_subscription(world.write, asked(world), ANYBODY, starting())
    renewal = RenewSubscription(subscription_id=outcome.stream_id, paid_until=day(60))
    renewed = await renew_subscription(world.write, asked(world), ANYBODY, renewal)
    assert isinstance(renewed.state, Active)
    assert (renewed.state.terms.plan, renewed.state.terms.paid_until) == ("premium", day(60))


async def test_the_same_message_to_two_processes_at_once_counts_once(world):
    two = [world.write, world.another_process()]
    await asyncio.gather(*(hear_of_payment(write, asked(world), news("msg_1", 0, until=30)) for write in two))
    [subscription_id] = world.log.streams("subscription")
    assert types(world, subscription_id) == [SubscriptionStarted]


async def test_payments_that_come_at_once_all_count(world):
    two = [world.write, world.another_process()]
    told = [news(f"msg_{number}", number, until=30 * number) for number in range(1, 6)]
    await asyncio.gather(
        *(hear_of_payment(two[number % 2], asked(world), each) for number, each in enumerate(told))
    )
    [subscription_id] = world.log.streams("subscription")
    loaded = await world.another_process().streams.read(SUBSCRIPTION, subscription_id)
    assert loaded.state.terms.paid_until == day(150)


async def test_a_cancellation_before_the_payment_is_refused_and_taken_when_it_comes_again(world):
    with pytest.raises(SubscriptionNotFound):
        await hear_of_payment(world.write, asked(world), news("c", 2, what="cancelled"))
    await hear_of_payment(world.write, asked(world), news("p", 1, until=30))
    outcome = await hear_of_payment(world.write, asked(world), news("c", 2, what="cancelled"))
    assert isinstance(outcome.state, Cancelled)


class Due:
    """As a read model that lags: it goes on naming what has expired already."""

    def __init__(self, *found):
        self.found = found

    async def subscriptions(self, _now, limit):
        return self.found[:limit]


async def test_the_clock_ends_what_is_over_and_nothing_else_and_once(world):
    ends = await start_subscription(world.write, asked(world), ANYBODY, starting(10))
    other = world.given_user(world.fresh_id("user"))
    goes_on = await start_subscription(world.write, asked(world), ANYBODY, starting(20, other))
    world.clock.now = day(10)
    due = Due(ends.stream_id, goes_on.stream_id)
    for _ in range(2):
        met = await expire_subscriptions(world.write, due)
        assert (met.done, met.failed) == (2, ())
    assert types(world, ends.stream_id) == [SubscriptionStarted, SubscriptionExpired]
    assert types(world, goes_on.stream_id) == [SubscriptionStarted]


async def test_a_renewal_between_the_look_and_the_command_keeps_it_open(world):
    outcome = await start_subscription(world.write, asked(world), ANYBODY, starting(10))
    world.clock.now = day(9)
    renewal = RenewSubscription(subscription_id=outcome.stream_id, paid_until=day(40))
    await renew_subscription(world.another_process(), asked(world), ANYBODY, renewal)
    world.clock.now = day(10)
    await expire_subscriptions(world.write, Due(outcome.stream_id))
    assert types(world, outcome.stream_id) == [SubscriptionStarted, SubscriptionRenewed]


async def test_as_many_as_one_round_takes_means_there_may_be_more(world):
    outcome = await start_subscription(world.write, asked(world), ANYBODY, starting(10))
    world.clock.now = day(11)
    assert (await expire_subscriptions(world.write, Due(outcome.stream_id), limit=1)).more
    assert isinstance((await world.write.streams.read(SUBSCRIPTION, outcome.stream_id)).state, Expired)
