"""Proposed, validated, simulated, approved by somebody else, active; then superseded or withdrawn."""

from datetime import UTC, datetime, timedelta
from functools import reduce

import msgspec
import pytest

from domain.policies import policy
from domain.policies.checking import UnusablePolicy
from domain.policies.events import (
    PolicyActivated,
    PolicyApproved,
    PolicyProposed,
    PolicySimulated,
    PolicySuperseded,
    PolicyValidated,
    PolicyWithdrawn,
    Simulation,
)
from domain.policies.policy import (
    ActivationInThePast,
    Active,
    Approved,
    ApprovedByItsProposer,
    Over,
    PolicyExists,
    PolicyNotActive,
    PolicyNotApproved,
    PolicyNotFound,
    PolicyNotProposed,
    PolicyNotSimulated,
    PolicyNotValidated,
    ProposalChanged,
    Proposed,
    RemovalNeedsProposal,
    Unproposed,
    evolve,
)
from tests.support.policies import POLICY, a_rule, rule_of

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ANN, BOB, CAT = "user-ann", "user-bob", "user-cat"
PERMIT = rule_of(effect="permit")
FORBID = rule_of(effect="forbid")
OTHER = "policy-00000000-0000-7000-8000-0000000000ff"


def after(state, events):
    return reduce(evolve, events, state)


def proposed(rule=PERMIT, *, by=ANN, state=None, **said):
    state = state or Unproposed()
    new = isinstance(state, Unproposed)
    return after(state, policy.propose(state, rule, by=by, reason="because", new=new, **said))


def validated(rule=PERMIT, **said):
    state = proposed(rule, **said)
    return after(state, policy.validate(state, state.sha256, "c" * 64, "cedarpy 4"))


def a_simulation(state):
    return Simulation(proposal_sha256=state.sha256, after_position=0, up_to_position=9, decisions=3, flips=())


def simulated(rule=PERMIT, **said):
    state = validated(rule, **said)
    return after(state, policy.simulate(state, a_simulation(state), by=ANN))


def approved(rule=PERMIT, **said):
    state = simulated(rule, **said)
    return after(state, policy.approve(state, state.sha256, by=BOB, reason="good"))


def active(rule=PERMIT, active_from=None, **said):
    state = approved(rule, **said)
    return after(state, policy.activate(state, active_from, NOW))


def superseded():
    state = active()
    return after(state, policy.supersede(state, POLICY, OTHER, None))


def withdrawn():
    state = proposed()
    return after(state, policy.withdraw(state, by=ANN, reason="no"))


def test_a_policy_goes_all_the_way_and_each_step_is_an_event():
    state = Unproposed()
    sha = policy.proposal_sha256(proposed().proposal)
    steps = [
        lambda at: policy.propose(at, PERMIT, by=ANN, reason="because", new=True),
        lambda at: policy.validate(at, sha, "c" * 64, "cedarpy 4"),
        lambda at: policy.simulate(at, a_simulation(at), by=ANN),
        lambda at: policy.approve(at, sha, by=BOB, reason="good"),
        lambda at: policy.activate(at, NOW + timedelta(days=1), NOW),
        lambda at: policy.supersede(at, POLICY, OTHER, None),
    ]
    told = []
    for step in steps:
        [event] = step(state)
        told.append(type(event))
        state = evolve(state, event)
    assert told == [
        PolicyProposed,
        PolicyValidated,
        PolicySimulated,
        PolicyApproved,
        PolicyActivated,
        PolicySuperseded,
    ]
    assert state == Over(withdrawn=False)


def test_what_becomes_active_is_the_rule_that_was_proposed():
    state = active(FORBID, NOW)
    assert isinstance(state, Active)
    assert policy.rule_of(state) == FORBID
    assert state.active_from == NOW


# -- Four eyes ---------------------------------------------------------------------------------------------


def test_nobody_approves_their_own_proposal():
    state = simulated()
    with pytest.raises(ApprovedByItsProposer):
        policy.approve(state, state.sha256, by=ANN, reason="mine")


def test_whoever_had_a_hand_in_an_earlier_form_of_it_does_not_approve_it_either():
    state = proposed(FORBID, by=CAT, state=proposed(rule_of(effect="forbid", roles=["student"]), by=BOB))
    state = after(state, policy.validate(state, state.sha256, "c" * 64, "cedarpy 4"))
    for by in (BOB, CAT):
        with pytest.raises(ApprovedByItsProposer):
            policy.approve(state, state.sha256, by=by, reason="mine")
    assert policy.approve(state, state.sha256, by=ANN, reason="good")


def test_approval_is_of_what_the_approver_has_seen():
    seen = simulated()
    changed = proposed(rule_of(roles=["student"]), state=seen)
    with pytest.raises(ProposalChanged) as refused:
        policy.approve(changed, seen.sha256, by=BOB, reason="good")
    assert refused.value.data() == {"proposal_sha256": changed.sha256}


# -- Simulation --------------------------------------------------------------------------------------------


def test_a_proposal_that_widens_is_not_approved_without_a_simulation():
    state = validated(PERMIT)
    assert state.widens
    with pytest.raises(PolicyNotSimulated):
        policy.approve(state, state.sha256, by=BOB, reason="good")


def test_a_simulation_of_an_earlier_form_of_the_proposal_counts_for_nothing():
    state = proposed(rule_of(roles=["student"]), state=simulated())
    with pytest.raises(ProposalChanged):
        policy.simulate(state, a_simulation(simulated()), by=ANN)
    state = after(state, policy.validate(state, state.sha256, "c" * 64, "cedarpy 4"))
    with pytest.raises(PolicyNotSimulated):
        policy.approve(state, state.sha256, by=BOB, reason="good")


def test_the_same_rule_in_place_of_another_policy_is_another_proposal():
    assert proposed(FORBID).sha256 != proposed(FORBID, replaces=OTHER, replaced=active()).sha256


def test_a_proposal_that_only_narrows_is_approved_without_a_simulation():
    state = validated(FORBID)
    assert not state.widens
    assert policy.approve(state, state.sha256, by=BOB, reason="good")


def test_a_proposal_goes_neither_into_simulation_nor_into_force_unvalidated():
    state = proposed(FORBID)
    with pytest.raises(PolicyNotValidated):
        policy.simulate(state, a_simulation(state), by=ANN)
    with pytest.raises(PolicyNotValidated):
        policy.approve(state, state.sha256, by=BOB, reason="good")


STUDENTS, ALL = ["student"], ["student", "teacher"]


@pytest.mark.parametrize(
    ("rule", "replaced", "widens"),
    [
        ({"effect": "permit"}, None, True),
        ({"effect": "forbid"}, None, False),
        (None, {"effect": "forbid"}, True),
        (None, {"effect": "permit"}, False),
        ({"effect": "permit"}, {"effect": "forbid"}, True),
        ({"effect": "forbid"}, {"effect": "permit"}, False),
        ({"effect": "permit", "roles": ALL}, {"effect": "permit", "roles": STUDENTS}, True),
        ({"effect": "permit", "roles": STUDENTS}, {"effect": "permit", "roles": ALL}, False),
        ({"effect": "permit", "roles": STUDENTS}, {"effect": "permit"}, False),
        ({"effect": "permit"}, {"effect": "permit", "roles": STUDENTS}, True),
        ({"effect": "permit", "title": {"ko": "새", "en": "New"}}, {"effect": "permit"}, False),
        ({"effect": "forbid", "roles": STUDENTS}, {"effect": "forbid", "roles": ALL}, True),
        ({"effect": "forbid", "roles": ALL}, {"effect": "forbid", "roles": STUDENTS}, False),
        ({"effect": "forbid", "actions": ["enter_zone"]}, {"effect": "forbid", "actions": None}, True),
        ({"effect": "forbid", "resources": ["zone"]}, {"effect": "forbid"}, True),
        (
            {"effect": "forbid", "when": {"op": "exists", "attribute": "resource.zone"}},
            {"effect": "forbid"},
            True,
        ),
        (
            {"effect": "permit", "when": {"op": "exists", "attribute": "resource.zone"}},
            {"effect": "permit"},
            False,
        ),
    ],
)
def test_what_may_widen_access_is_known_as_such(rule, replaced, widens):
    rules = [None if each is None else rule_of(**each) for each in (rule, replaced)]
    assert policy.may_widen(*rules) is widens
    if replaced is not None:
        state = proposed(rules[0], replaces=OTHER, replaced=active(rules[1]))
        assert state.widens is widens


# -- Out of order ------------------------------------------------------------------------------------------

STATES = {
    "nothing": Unproposed,
    "proposed": proposed,
    "approved": approved,
    "active": active,
    "superseded": superseded,
    "withdrawn": withdrawn,
}
SHA = proposed().sha256
STEPS = {
    "propose": lambda at: policy.propose(at, FORBID, by=ANN, reason="r", new=True),
    "propose again": lambda at: policy.propose(at, FORBID, by=ANN, reason="r", new=False),
    "validate": lambda at: policy.validate(at, SHA, "c" * 64, "cedarpy 4"),
    "simulate": lambda at: policy.simulate(at, a_simulation(proposed()), by=ANN),
    "approve": lambda at: policy.approve(at, SHA, by=BOB, reason="r"),
    "activate": lambda at: policy.activate(at, None, NOW),
    "supersede": lambda at: policy.supersede(at, POLICY, OTHER, None),
    "withdraw": lambda at: policy.withdraw(at, by=ANN, reason="r"),
}
LATE = PolicyNotProposed
REFUSALS = {
    "propose": {
        "proposed": PolicyExists,
        **dict.fromkeys(("approved", "active", "superseded", "withdrawn"), LATE),
    },
    "propose again": {
        "nothing": PolicyNotFound,
        **dict.fromkeys(("approved", "active", "superseded", "withdrawn"), LATE),
    },
    "validate": {
        "nothing": PolicyNotFound,
        **dict.fromkeys(("approved", "active", "superseded", "withdrawn"), LATE),
    },
    "simulate": {
        "nothing": PolicyNotFound,
        "proposed": PolicyNotValidated,
        **dict.fromkeys(("approved", "active", "superseded", "withdrawn"), LATE),
    },
    "approve": {
        "nothing": PolicyNotFound,
        "proposed": PolicyNotValidated,
        **dict.fromkeys(("active", "superseded", "withdrawn"), LATE),
    },
    "activate": {
        "nothing": PolicyNotFound,
        **dict.fromkeys(("proposed", "superseded", "withdrawn"), PolicyNotApproved),
    },
    "supersede": dict.fromkeys(
        ("nothing", "proposed", "approved", "superseded", "withdrawn"), PolicyNotActive
    ),
    "withdraw": {"nothing": PolicyNotFound, "superseded": PolicyNotActive},
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("state", STATES)
def test_a_step_out_of_order_is_refused_with_its_reason(state, step):
    refusal = REFUSALS[step].get(state)
    if refusal is None:
        assert isinstance(STEPS[step](STATES[state]()), list)
    else:
        with pytest.raises(refusal):
            STEPS[step](STATES[state]())


@pytest.mark.parametrize(
    "again",
    [
        lambda: policy.propose(proposed(), PERMIT, by=BOB, reason="r", new=False),
        lambda: policy.validate(validated(), SHA, "c" * 64, "cedarpy 4"),
        lambda: policy.simulate(simulated(), a_simulation(proposed()), by=BOB),
        lambda: policy.approve(approved(), SHA, by=CAT, reason="r"),
        lambda: policy.activate(active(), None, NOW),
        lambda: policy.withdraw(withdrawn(), by=ANN, reason="r"),
        lambda: policy.found(active(), PERMIT),
    ],
)
def test_a_step_that_was_taken_already_changes_nothing(again):
    assert again() == []


# -- The ends ----------------------------------------------------------------------------------------------


def test_an_active_permit_can_be_withdrawn_at_once_and_an_active_forbid_cannot():
    assert policy.withdraw(active(PERMIT), by=ANN, reason="r") == [
        PolicyWithdrawn(withdrawn_by=ANN, reason="r")
    ]
    with pytest.raises(RemovalNeedsProposal):
        policy.withdraw(active(FORBID), by=ANN, reason="r")


def test_the_end_of_a_forbid_is_a_proposal_like_any_other():
    state = proposed(None, replaces=OTHER, replaced=active(FORBID))
    assert state.widens
    ended = active(None, replaces=OTHER, replaced=active(FORBID))
    assert isinstance(ended, Active)
    assert policy.rule_of(ended) is None
    with pytest.raises(RemovalNeedsProposal):
        policy.withdraw(ended, by=ANN, reason="r")


@pytest.mark.parametrize("replaced", [None, Unproposed(), proposed(), approved(), superseded(), withdrawn()])
def test_only_an_active_policy_can_be_replaced(replaced):
    with pytest.raises(PolicyNotActive) as refused:
        proposed(FORBID, replaces=OTHER, replaced=replaced)
    assert refused.value.data() == {"policy_id": OTHER}


def test_a_proposal_of_nothing_is_refused():
    with pytest.raises(UnusablePolicy) as refused:
        proposed(None)
    assert refused.value.errors[0]["code"] == "nothing-proposed"


def test_a_rule_with_faults_cannot_be_proposed_or_founded():
    broken = msgspec.convert(a_rule(actions=[]), policy.Rule)
    with pytest.raises(UnusablePolicy):
        proposed(broken)
    with pytest.raises(UnusablePolicy):
        policy.found(Unproposed(), broken)


def test_nothing_comes_into_force_before_it_was_decided():
    with pytest.raises(ActivationInThePast):
        policy.activate(approved(), NOW - timedelta(microseconds=1), NOW)
    assert policy.activate(approved(), NOW, NOW)


def test_a_founding_rule_is_in_force_from_its_first_event_on():
    [event] = policy.found(Unproposed(), FORBID)
    state = evolve(Unproposed(), event)
    assert isinstance(state, Active)
    assert policy.rule_of(state) == FORBID
    assert state.active_from is None


def test_states_are_what_they_are_called():
    assert isinstance(proposed(), Proposed)
    assert isinstance(approved(), Approved)
    assert withdrawn() == Over(withdrawn=True)
