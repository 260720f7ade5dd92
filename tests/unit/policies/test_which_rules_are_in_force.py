"""As of a position in the log, and at a moment."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.events import Actor, EventMetadata, PositionedEvent, RecordedEvent
from domain.policies.events import (
    PolicyActivated,
    PolicyApproved,
    PolicySuperseded,
    PolicyWithdrawn,
    Proposal,
)
from domain.policies.policy_set import PolicyHistory
from domain.policies.rule import canonical
from tests.support.exam_parts import uuid7
from tests.support.policies import rule_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ONE, TWO = (f"policy-{uuid7(each)}" for each in (0xB1, 0xB2))


def activated(active_from=None, rule="one", replaces=None):
    said = None if rule is None else canonical(rule_of(id=rule))
    return PolicyActivated(
        proposal=Proposal(rule=said, replaces=replaces), proposal_sha256="", active_from=active_from
    )


def superseded(from_=None):
    return PolicySuperseded(superseded_by=TWO, superseded_from=from_)


WITHDRAWN = PolicyWithdrawn(withdrawn_by="user-1", reason="r")


def history(*events) -> list[PolicyHistory]:
    """As of each position, from 0 on; an event stands at the position of its place."""
    told = [PolicyHistory()]
    for position, (stream, event) in enumerate(events, 1):
        metadata = EventMetadata(
            event_id=uuid7(position),
            actor=Actor("operator", "tests"),
            zone_id=None,
            org_id=None,
            correlation_id="tests",
            causation_id="tests",
            recorded_at=NOON,
        )
        recorded = RecordedEvent(stream, position, metadata, event)
        told.append(told[-1].after(PositionedEvent(position, recorded)))
    return told


def names(history_, moment=NOON) -> list[str]:
    return [each.rule.id for each in history_.at(moment).rules]


def test_a_rule_is_in_force_from_the_position_of_its_activation_on():
    before, then = history((ONE, activated()))
    assert names(before) == []
    assert names(then) == ["one"]
    assert (before.at(NOON).position, then.at(NOON).position) == (0, 1)


def test_a_rule_with_a_later_moment_waits_for_it():
    told = history((ONE, activated(NOON)))[-1]
    just_before = NOON - timedelta(microseconds=1)
    assert names(told, just_before) == []
    assert names(told, NOON) == ["one"]
    assert (told.at(just_before).since, told.at(just_before).until) == (None, NOON)
    assert (told.at(NOON).since, told.at(NOON).until) == (NOON, None)


def test_one_rule_takes_the_place_of_another_at_one_moment_with_none_between():
    told = history((ONE, activated()), (TWO, activated(NOON, "two", replaces=ONE)), (ONE, superseded(NOON)))[
        -1
    ]
    assert names(told, NOON - timedelta(microseconds=1)) == ["one"]
    assert names(told, NOON) == ["two"]


def test_without_a_moment_the_place_is_taken_at_the_position():
    told = history((ONE, activated()), (TWO, activated(None, "two", replaces=ONE)), (ONE, superseded()))
    assert [names(each) for each in (told[1], told[3])] == [["one"], ["two"]]


def test_what_is_withdrawn_is_out_of_force_at_every_moment():
    told = history((ONE, activated(NOON)), (ONE, WITHDRAWN))
    assert names(told[1]) == ["one"]
    assert names(told[2]) == []
    assert told[2].at(NOON).position == 2


def test_a_policy_that_only_ends_another_brings_no_rule():
    told = history((ONE, activated()), (TWO, activated(None, None, replaces=ONE)), (ONE, superseded()))[-1]
    assert names(told) == []


def test_steps_before_activation_leave_the_position_of_the_set_as_it_is():
    approved = PolicyApproved(proposal_sha256="", approved_by="user-1", reason="r")
    told = history((ONE, activated()), (TWO, approved), (TWO, WITHDRAWN))
    assert told[3].at(NOON) == told[1].at(NOON)


def test_an_earlier_position_stays_as_it_was_when_the_log_grows():
    told = history((ONE, activated()), (ONE, WITHDRAWN))
    assert names(told[1]) == ["one"]


@pytest.mark.parametrize("hours", [0, 1, 2, 3])
def test_a_set_is_told_apart_by_its_key(hours):
    told = history(
        (ONE, activated(NOON + timedelta(hours=1))), (TWO, activated(NOON + timedelta(hours=2), "two"))
    )
    sets = [told[-1].at(NOON + timedelta(hours=each)) for each in range(4)]
    assert [each.key == sets[hours].key for each in sets] == [
        each.rules == sets[hours].rules for each in sets
    ]


def test_rules_stand_in_the_order_of_their_ids():
    told = history((TWO, activated(None, "two")), (ONE, activated(None, "one")))[-1]
    assert names(told) == ["one", "two"]
