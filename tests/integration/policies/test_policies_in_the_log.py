"""Policies through the real log: which are in force as of each position, and what is decided by them."""

from datetime import timedelta

import msgspec
import pytest

from commands.policies import (
    ApprovePolicy,
    ProposePolicy,
    activate_policy,
    approve_policy,
    found_policies,
    propose_policy,
    withdraw_policy,
)
from domain.events import Actor
from infra.composition import open_feed
from infra.policies.engine import CedarEngine, PreparedSets
from infra.policies.founding import founding_rules
from infra.policies.history import history_as_of
from tests.support.api import bootstrap_context, eventually, running_api
from tests.support.policies import a_request, rule_of
from tests.support.postgres import run_folder


@pytest.fixture
def api(database):
    with run_folder("policies") as folder, running_api(database, folder, role="all") as running:
        yield running


def by(actor_id):
    return msgspec.structs.replace(bootstrap_context(), actor=Actor("user", actor_id))


def in_force(api, rule, *, active_from=None, replaces=None):
    """The id of a policy that was proposed by one and approved and activated by another."""
    command = ProposePolicy(rule=rule, reason="because", replaces=replaces)
    made = api.run(propose_policy(api.write, CedarEngine(), by("user-ann"), command))
    approval = ApprovePolicy(policy_id=made.stream_id, proposal_sha256=made.state.sha256, reason="good")
    api.run(approve_policy(api.write, by("user-bob"), approval))
    api.run(activate_policy(api.write, by("user-bob"), made.stream_id, active_from))
    return made.stream_id


def test_every_position_has_its_own_set_and_an_earlier_one_decides_as_it_did(api):
    sets, asked = PreparedSets(), a_request()
    with open_feed(api.database) as feed:

        def history_when(reached):
            return eventually(lambda: (found := history_as_of(feed)) and reached(found) and found)

        assert history_as_of(feed).in_force == {}
        api.run(found_policies(api.write, by("operator"), founding_rules()))
        founded = history_when(lambda found: len(found.in_force) == len(founding_rules()))
        now = api.clock()
        assert sets.of(founded.at(now)).decide(asked).allowed

        closed = in_force(api, rule_of(effect="forbid", id="closed"))
        later = now + timedelta(days=1)
        students = rule_of(effect="forbid", id="closed-to-all-but-teachers", audited=True)
        successor = in_force(api, students, active_from=later, replaces=closed)
        found = history_when(lambda found: successor in found.in_force and found.in_force[closed].ends)

        assert sets.of(found.at(now)).decide(asked).decided_by == (closed,)
        assert sets.of(found.at(later)).decide(asked).decided_by == (successor,)
        assert sets.of(found.at(later)).decide(asked).position == found.position

        before = history_as_of(feed, founded.position)
        assert before == founded
        assert sets.of(before.at(later)).decide(asked) == sets.of(founded.at(later)).decide(asked)
        assert sets.of(before.at(later)).decide(asked).allowed


def test_a_permit_that_is_withdrawn_is_gone_from_its_position_on(api):
    with open_feed(api.database) as feed:
        api.run(found_policies(api.write, by("operator"), founding_rules()))
        everybody = next(
            each.policy_id for each in founding_rules() if each.rule.id == "service-in-ones-own-zone"
        )
        api.run(withdraw_policy(api.write, by("user-ann"), everybody, "closed for maintenance"))
        found = eventually(
            lambda: (now := history_as_of(feed)).position and everybody not in now.in_force and now
        )
        decision = PreparedSets().of(found.at(api.clock())).decide(a_request())
    assert (decision.allowed, decision.reason) == (False, "no_permit")
