"""The commands: what reaches the streams, and what happens when two people are at it."""

import asyncio

import pytest

from commands.kinds import POLICY
from commands.policies import (
    ApprovePolicy,
    ProposePolicy,
    ReviseProposal,
    activate_policy,
    approve_policy,
    found_policies,
    propose_policy,
    record_simulation,
    revise_proposal,
    withdraw_policy,
)
from domain.errors import StaleVersion
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
    Active,
    ApprovedByItsProposer,
    PolicyNotActive,
    PolicyNotFound,
    PolicyNotSimulated,
    Proposed,
)
from infra.policies.engine import CedarEngine, EngineRefused
from infra.policies.founding import founding_rules
from tests.support.memory import World
from tests.support.policies import POLICY as NO_POLICY
from tests.support.policies import rule_of

ENGINE = CedarEngine()
PERMIT, FORBID = rule_of(effect="permit"), rule_of(effect="forbid")
ANN, BOB = "user-ann", "user-bob"


@pytest.fixture
def world():
    return World()


def types(world, policy_id):
    return [type(event) for event in world.log.events(policy_id)]


async def proposed(world, rule, *, replaces=None, by=ANN):
    command = ProposePolicy(rule=rule, reason="because", replaces=replaces)
    return await propose_policy(world.write, ENGINE, world.asked_by(by), command)


async def approved(world, rule, *, replaces=None):
    made = await proposed(world, rule, replaces=replaces)
    state = made.state
    if state.widens:
        told = Simulation(
            proposal_sha256=state.sha256, after_position=0, up_to_position=1, decisions=0, flips=()
        )
        await record_simulation(world.write, world.asked_by(ANN), made.stream_id, told)
    await approve(world, made.stream_id, state.sha256)
    return made.stream_id


async def approve(world, policy_id, sha256, *, by=BOB):
    command = ApprovePolicy(policy_id=policy_id, proposal_sha256=sha256, reason="good")
    return await approve_policy(world.write, world.asked_by(by), command)


async def active(world, rule, *, replaces=None):
    policy_id = await approved(world, rule, replaces=replaces)
    await activate_policy(world.write, world.asked_by(BOB), policy_id)
    return policy_id


async def test_a_permit_goes_all_the_way(world):
    policy_id = await active(world, PERMIT)
    assert types(world, policy_id) == [
        PolicyProposed,
        PolicyValidated,
        PolicySimulated,
        PolicyApproved,
        PolicyActivated,
    ]
    recorded = world.log.stream(policy_id)
    assert {(each.metadata.zone_id, each.metadata.org_id) for each in recorded} == {(None, None)}
    assert recorded[0].event.proposed_by == recorded[0].metadata.actor.id == ANN
    assert recorded[1].event.engine.startswith("cedarpy 4.")
    assert len(recorded[1].event.cedar_sha256) == 64


async def test_a_permit_without_a_simulation_is_not_approved(world):
    made = await proposed(world, PERMIT)
    with pytest.raises(PolicyNotSimulated):
        await approve(world, made.stream_id, made.state.sha256)


async def test_the_proposer_does_not_approve(world):
    made = await proposed(world, FORBID)
    with pytest.raises(ApprovedByItsProposer):
        await approve(world, made.stream_id, made.state.sha256, by=ANN)


async def test_whoever_revises_a_proposal_is_one_of_its_proposers(world):
    made = await proposed(world, FORBID)
    command = ReviseProposal(
        policy_id=made.stream_id, rule=rule_of(effect="forbid", roles=["student"]), reason="less"
    )
    revised = await revise_proposal(world.write, ENGINE, world.asked_by(BOB), command)
    assert isinstance(revised.state, Proposed)
    assert revised.state.proposers == (ANN, BOB)
    with pytest.raises(ApprovedByItsProposer):
        await approve(world, made.stream_id, revised.state.sha256, by=BOB)


async def test_a_revision_of_what_somebody_else_has_changed_is_refused(world):
    made = await proposed(world, FORBID)
    command = ReviseProposal(
        policy_id=made.stream_id, rule=PERMIT, reason="more", expected_version=made.version - 1
    )
    with pytest.raises(StaleVersion):
        await revise_proposal(world.write, ENGINE, world.asked_by(BOB), command)


async def test_a_rule_with_faults_leaves_nothing_behind(world):
    with pytest.raises(UnusablePolicy):
        await proposed(world, rule_of(actions=[]))
    assert world.log.streams("policy") == []


async def test_what_the_engine_does_not_take_is_not_even_proposed(world):
    class Picky(CedarEngine):
        def check(self, text):
            raise EngineRefused(text)

    command = ProposePolicy(rule=FORBID, reason="because")
    with pytest.raises(EngineRefused):
        await propose_policy(world.write, Picky(), world.asked_by(ANN), command)
    assert world.log.streams("policy") == []


async def test_a_replacement_comes_with_the_end_of_what_it_replaces(world):
    old = await active(world, FORBID)
    new = await active(world, rule_of(effect="forbid", roles=["student"]), replaces=old)
    assert types(world, old)[-1] is PolicySuperseded
    assert world.log.events(old)[-1].superseded_by == new
    assert types(world, new)[-1] is PolicyActivated


async def test_of_two_replacements_at_once_one_comes_into_force(world):
    old = await active(world, FORBID)
    rivals = [
        await approved(world, rule_of(effect="forbid", roles=[role]), replaces=old)
        for role in ("student", "parent")
    ]

    outcomes = await asyncio.gather(
        *(activate_policy(world.another_process(), world.asked_by(BOB), rival) for rival in rivals),
        return_exceptions=True,
    )

    assert sorted(type(each).__name__ for each in outcomes) == ["Outcome", "PolicyNotActive"]
    assert sorted(PolicyActivated in types(world, rival) for rival in rivals) == [False, True]
    assert types(world, old).count(PolicySuperseded) == 1


async def test_activating_twice_changes_nothing(world):
    policy_id = await active(world, FORBID)
    again = await activate_policy(world.write, world.asked_by(BOB), policy_id)
    assert again.events == ()
    assert isinstance(again.state, Active)


async def test_a_policy_that_is_not_there_is_neither_replaced_nor_activated(world):
    with pytest.raises(PolicyNotActive):
        await proposed(world, FORBID, replaces=NO_POLICY)
    with pytest.raises(PolicyNotFound):
        await activate_policy(world.write, world.asked_by(BOB), NO_POLICY)


async def test_a_proposal_can_be_withdrawn(world):
    made = await proposed(world, PERMIT)
    await withdraw_policy(world.write, world.asked_by(BOB), made.stream_id, "no longer needed")
    assert types(world, made.stream_id)[-1] is PolicyWithdrawn


async def test_the_end_of_a_forbid_is_proposed_simulated_and_approved(world):
    old = await active(world, FORBID)
    new = await active(world, None, replaces=old)
    assert PolicySimulated in types(world, new)
    assert world.log.events(new)[1].cedar_sha256 is None
    assert types(world, old)[-1] is PolicySuperseded


async def test_founding_rules_come_into_force_once(world):
    for _ in range(2):
        await found_policies(world.write, world.asked_by("bootstrap", kind="operator"), founding_rules())
    for each in founding_rules():
        assert types(world, each.policy_id) == [PolicyActivated]
        loaded = await world.another_process().streams.read(POLICY, each.policy_id)
        assert isinstance(loaded.state, Active)
