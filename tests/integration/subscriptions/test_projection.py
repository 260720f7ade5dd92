"""Rows of subscriptions: what the domain makes of the same events, however the log is cut."""

import random
from datetime import timedelta

import psycopg
import pytest
from msgspec.structs import replace
from psycopg.rows import dict_row

from commands.kinds import SUBSCRIPTION
from domain.identifiers import stream_id
from domain.subscriptions.events import SubscriptionStarted
from domain.subscriptions.subscription import (
    Active,
    Cancelled,
    Expired,
    expire,
    hear_of_cancellation,
    hear_of_payment,
)
from infra.postgres.roles import PROJECTOR, role_conninfo
from infra.projections.rebuild import rebuild, verify
from infra.projections.runner import ProjectionRunner
from projections.subscriptions.projection import SubscriptionsProjection
from tests.support.exam_parts import uuid7
from tests.support.postgres import ROLE_SECRET
from tests.support.projecting import eventually
from tests.support.story import Story, StoryFeed
from tests.support.subscriptions import cancellation, day, payment

PROJECTION = SubscriptionsProjection()
STATUS = {Active: "active", Cancelled: "cancelled", Expired: "expired"}


@pytest.fixture
def connect(database):
    conninfo = role_conninfo(database, PROJECTOR, ROLE_SECRET)
    return lambda: psycopg.connect(conninfo, autocommit=True, row_factory=dict_row)


@pytest.fixture
def projector(connect):
    with connect() as connection:
        yield connection


def a_story(people=12, seed=7):
    """What several people's subscriptions have been through, told in turns; and the states they are in."""
    chance = random.Random(seed)
    story, states, numbers = Story(), {}, iter(range(1, 10_000))
    for step in range(people * 12):
        person = chance.randrange(people)
        stream, user_id = stream_id("subscription", uuid7(0x500 + person)), stream_id("user", uuid7(person))
        state = states.get(stream, SUBSCRIPTION.initial)
        now = day(step / 4)
        at, event_id = now - timedelta(days=chance.uniform(0, 3)), f"msg_{next(numbers)}"
        match chance.choice(["paid", "paid", "cancelled", "time goes on"]):
            case "paid":
                until = at + timedelta(days=chance.uniform(1, 9))
                news = replace(
                    payment(0, 1, plan=chance.choice("abc"), event_id=event_id),
                    user_id=user_id,
                    occurred_at=at,
                    paid_until=until,
                )
                made = hear_of_payment(state, news, now)
            case "cancelled" if stream in states:
                made = hear_of_cancellation(state, replace(cancellation(0, event_id), occurred_at=at))
            case _:
                made = expire(state, now)
        for event in made:
            story.add(stream, event)
            state = states[stream] = SUBSCRIPTION.evolve(state, event)
    return story, states


def applied(connection, events, size):
    for start in range(0, len(events), size):
        with connection.transaction(), connection.cursor() as cursor:
            PROJECTION.apply(cursor, events[start : start + size])


def rows(connection):
    found = connection.execute("SELECT * FROM read.subscriptions").fetchall()
    return {row["subscription_id"]: row for row in found}


@pytest.mark.parametrize("size", [1, 5, 500])
def test_a_row_is_what_the_domain_makes_of_the_events_however_they_are_cut(projector, size):
    story, states = a_story()
    assert {type(state) for state in states.values()} == set(STATUS)
    applied(projector, story.events, size)
    found = rows(projector)
    assert found.keys() == states.keys()
    for stream, state in states.items():
        terms, row = state.terms, found[stream]
        shown = (row["user_id"], row["status"], row["plan"], row["started_at"], row["paid_until"])
        assert shown == (
            terms.user_id,
            STATUS[type(state)],
            terms.plan,
            terms.started_at,
            terms.paid_until,
        )
        assert row["zone_id"] == story.zone_id


def test_a_rebuild_gives_the_same_rows(connect, projector):
    story, _ = a_story()
    feed = StoryFeed(story)
    runner = ProjectionRunner(PROJECTION, feed, connect, poll_interval_s=0.05)
    runner.start()
    eventually(lambda: runner.position == len(story.events))
    assert runner.stop()
    before = rows(projector)
    rebuild(PROJECTION, feed, projector)
    assert rows(projector) == before
    assert verify(PROJECTION, feed, projector).agrees


def test_what_is_paid_for_no_second_time_stays_as_it_was(projector):
    story, _ = a_story(people=1)
    assert isinstance(story.events[0].recorded.event, SubscriptionStarted)
    applied(projector, story.events[:1], 1)
    [row] = rows(projector).values()
    assert (row["status"], row["version"]) == ("active", 1)
