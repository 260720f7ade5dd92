"""The life of a policy as commands: propose, simulate, approve, activate, withdraw.

Who may give them is for the routes to say. Policies belong to no zone and to no organisation.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from commands.context import CommandContext
from commands.kinds import POLICY
from commands.ports import VersionConflict
from commands.streams import MAX_TRIES, Loaded, Outcome
from commands.write_side import WriteSide
from domain.events import Event
from domain.identifiers import StreamId, stream_id
from domain.policies import policy
from domain.policies.access import AccessDecision, AccessRequest
from domain.policies.cedar import cedar_text
from domain.policies.events import Proposal, Simulation
from domain.policies.policy import (
    Approved,
    Policy,
    PolicyNotFound,
    PolicyNotProposed,
    Proposed,
    Unproposed,
)
from domain.policies.policy_set import ActiveRule, PolicySet
from domain.policies.rule import Rule, sha256


class PolicyEngine(Protocol):
    """What evaluates compiled rules."""

    def name(self) -> str:
        """With its version, as it is recorded."""
        ...

    def check(self, text: str) -> None:
        """Raises where it does not take the text: a fault of ours, as the rule was checked before."""
        ...


class RulesInForce(Protocol):
    """The policies in force at one moment: see `infra.policies.engine.PreparedSet`."""

    @property
    def rules(self) -> PolicySet: ...

    def decide(self, request: AccessRequest) -> AccessDecision: ...


class LivePolicies(Protocol):
    """See `infra.policies.live.LivePolicies`."""

    def in_force(self) -> RulesInForce:
        """Those of now. Raises `Unavailable` where that cannot be told."""
        ...

    async def include(self, stream_id: StreamId, version: int) -> None:
        """Returns once this version of a policy counts in this process.

        Raises `Unavailable` where that takes too long.
        """
        ...


class Simulator(Protocol):
    """See `infra.policies.recorded.RecordedDecisions`."""

    async def simulate(
        self, policy_id: StreamId, proposal: Proposal, in_force: PolicySet, since: datetime, until: datetime
    ) -> Simulation:
        """What a proposal would change among the decisions that were recorded between two moments.

        Raises `Unavailable`.
        """
        ...


class ProposePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Without a rule the policy that `replaces` names is to end."""

    rule: Rule | None
    reason: str
    replaces: StreamId | None = None


class ReviseProposal(msgspec.Struct, frozen=True, kw_only=True):
    policy_id: StreamId
    rule: Rule | None
    reason: str
    replaces: StreamId | None = None
    expected_version: int | None = None


class ApprovePolicy(msgspec.Struct, frozen=True, kw_only=True):
    policy_id: StreamId
    proposal_sha256: str
    reason: str


async def propose_policy(
    write: WriteSide, engine: PolicyEngine, context: CommandContext, command: ProposePolicy
) -> Outcome[Policy]:
    """Raises `UnusablePolicy`, and `PolicyNotActive` where there is nothing to replace."""
    policy_id = stream_id("policy", context.command_id)
    return await _propose(write, engine, context, policy_id, command, new=True)


async def revise_proposal(
    write: WriteSide, engine: PolicyEngine, context: CommandContext, command: ReviseProposal
) -> Outcome[Policy]:
    """Whoever does so becomes one of its proposers; what was found out about the earlier form is void.

    Raises `PolicyNotFound`, `UnusablePolicy`, `PolicyNotProposed`, `PolicyNotActive`, `StaleVersion`.
    """
    return await _propose(
        write, engine, context, command.policy_id, command, new=False, expected=command.expected_version
    )


async def record_simulation(
    write: WriteSide, context: CommandContext, policy_id: StreamId, simulation: Simulation
) -> Outcome[Policy]:
    """Raises `PolicyNotFound`, `PolicyNotProposed`, `PolicyNotValidated`, `ProposalChanged`."""
    by = context.actor.id
    return await _on(write, context, policy_id, lambda state: policy.simulate(state, simulation, by))


async def simulate_policy(  # noqa: PLR0913 - what is tried, on what, and by whom
    write: WriteSide,
    simulator: Simulator,
    rules: PolicySet,
    context: CommandContext,
    policy_id: StreamId,
    *,
    since: datetime,
    until: datetime,
) -> tuple[Outcome[Policy], Simulation]:
    """Tries the proposal out on recorded decisions, under these rules, and records what came of it.

    Raises `PolicyNotFound`, `PolicyNotProposed`, `PolicyNotValidated`, and `ProposalChanged` where it was
    changed in the meantime.
    """
    state = (await write.streams.read(POLICY, policy_id)).state
    if isinstance(state, Unproposed):
        raise PolicyNotFound
    if not isinstance(state, Proposed):
        raise PolicyNotProposed
    simulation = await simulator.simulate(policy_id, state.proposal, rules, since, until)
    return await record_simulation(write, context, policy_id, simulation), simulation


async def approve_policy(
    write: WriteSide, context: CommandContext, command: ApprovePolicy
) -> Outcome[Policy]:
    """Raises `ApprovedByItsProposer`, `PolicyNotSimulated`, and what else `policy.approve` raises."""
    by = context.actor.id
    return await _on(
        write,
        context,
        command.policy_id,
        lambda state: policy.approve(state, command.proposal_sha256, by=by, reason=command.reason),
    )


async def activate_policy(
    write: WriteSide, context: CommandContext, policy_id: StreamId, active_from: datetime | None = None
) -> Outcome[Policy]:
    """Brings it into force; what it replaces is superseded in the same append, or nothing happens.

    Raises `PolicyNotFound`, `PolicyNotApproved`, `ActivationInThePast`, and `PolicyNotActive` where what it
    replaces is over already.
    """
    for _ in range(MAX_TRIES):
        loaded = await write.streams.read(POLICY, policy_id)
        events = policy.activate(loaded.state, active_from, write.clock())
        if not events:
            break
        appends = [(policy_id, loaded.version, events)]
        assert isinstance(loaded.state, Approved)
        replaces = loaded.state.proposal.replaces
        if replaces is not None:
            replaced = await write.streams.read(POLICY, replaces)
            ended = policy.supersede(replaced.state, replaces, policy_id, active_from)
            appends.append((replaces, replaced.version, ended))
        try:
            await write.streams.execute_many(context.within(None, None), appends)
        except VersionConflict:
            continue
        return _outcome(policy_id, await write.streams.read(POLICY, policy_id), events)
    else:
        raise VersionConflict(stream_id=policy_id)
    return _outcome(policy_id, loaded, ())


async def withdraw_policy(
    write: WriteSide, context: CommandContext, policy_id: StreamId, reason: str
) -> Outcome[Policy]:
    """Raises `PolicyNotFound`, `RemovalNeedsProposal`, `PolicyNotActive`."""
    by = context.actor.id
    return await _on(write, context, policy_id, lambda state: policy.withdraw(state, by=by, reason=reason))


async def found_policies(
    write: WriteSide, context: CommandContext, rules: Sequence[ActiveRule]
) -> Sequence[Outcome[Policy]]:
    """Brings the rules that came with the release into force, each once for ever.

    Together: between two of them a running system would deny what only the later one permits.
    """
    for _ in range(MAX_TRIES):
        found = [(each, await write.streams.read(POLICY, each.policy_id)) for each in rules]
        decided = [
            (each.policy_id, loaded.version, policy.found(loaded.state, each.rule)) for each, loaded in found
        ]
        try:
            await write.streams.execute_many(context.within(None, None), decided)
        except VersionConflict:
            continue
        break
    else:
        raise VersionConflict(stream_id=rules[0].policy_id)
    return [
        _outcome(policy_id, await write.streams.read(POLICY, policy_id), events)
        for policy_id, _, events in decided
    ]


async def _propose(  # noqa: PLR0913 - the command, and how it came
    write: WriteSide,
    engine: PolicyEngine,
    context: CommandContext,
    policy_id: StreamId,
    command: ProposePolicy | ReviseProposal,
    *,
    new: bool,
    expected: int | None = None,
) -> Outcome[Policy]:
    replaced = None
    if command.replaces is not None:
        replaced = (await write.streams.read(POLICY, command.replaces)).state

    def decide(state: Policy) -> Sequence[Event]:
        events = policy.propose(
            state,
            command.rule,
            by=context.actor.id,
            reason=command.reason,
            new=new,
            replaces=command.replaces,
            replaced=replaced,
        )
        for event in events:
            state = policy.evolve(state, event)
        return [*events, *_validated(state, policy_id, command.rule, engine)]

    return await write.streams.execute(
        context.within(None, None), POLICY, policy_id, decide, expected_version=expected
    )


def _validated(
    state: Policy, policy_id: StreamId, rule: Rule | None, engine: PolicyEngine
) -> Sequence[Event]:
    """The engine is asked at once: what it refuses is not even proposed."""
    assert isinstance(state, Proposed)
    text = None if rule is None else cedar_text(policy_id, rule)
    if text is not None:
        engine.check(text)
    return policy.validate(state, state.sha256, None if text is None else sha256(text), engine.name())


async def _on(
    write: WriteSide,
    context: CommandContext,
    policy_id: StreamId,
    decide: Callable[[Policy], Sequence[Event]],
) -> Outcome[Policy]:
    return await write.streams.execute(context.within(None, None), POLICY, policy_id, decide)


def _outcome(policy_id: StreamId, loaded: Loaded[Policy], events: Sequence[Event]) -> Outcome[Policy]:
    assert not isinstance(loaded.state, Unproposed)
    return Outcome(policy_id, loaded.state, loaded.version, loaded.owner, tuple(events))
