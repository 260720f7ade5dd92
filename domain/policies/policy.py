"""A policy: proposed, checked, tried out, approved by somebody else, then in force until it is replaced.

What may widen access takes the long way: a new permit, and whatever ends or narrows a forbid, needs a report
of what it would have changed, made of exactly this proposal. What surely narrows access needs only four eyes;
and an active permit can be withdrawn at once.
"""

from datetime import datetime
from typing import TypeAlias, assert_never

import msgspec

from domain.errors import Denied, IllegalState, Malformed, NotFound
from domain.events import Event
from domain.identifiers import StreamId
from domain.policies.checking import faults_in_rule, refuse
from domain.policies.events import (
    PolicyActivated,
    PolicyApproved,
    PolicyProposed,
    PolicySimulated,
    PolicySuperseded,
    PolicyValidated,
    PolicyWithdrawn,
    Proposal,
    Simulation,
)
from domain.policies.rule import Rule, canonical, covers, parse, sha256


class Unproposed(msgspec.Struct, frozen=True):
    pass


class Proposed(msgspec.Struct, frozen=True, kw_only=True):
    """`proposers` are all who had a hand in it. What was found out about an earlier proposal is forgotten."""

    proposal: Proposal
    sha256: str
    widens: bool
    proposers: tuple[str, ...]
    validated: bool = False
    simulation: Simulation | None = None


class Approved(msgspec.Struct, frozen=True, kw_only=True):
    proposal: Proposal
    sha256: str


class Active(msgspec.Struct, frozen=True, kw_only=True):
    proposal: Proposal
    active_from: datetime | None


class Over(msgspec.Struct, frozen=True):
    withdrawn: bool


Policy: TypeAlias = Unproposed | Proposed | Approved | Active | Over


class PolicyNotFound(NotFound):
    code = "policy-not-found"
    title = "There is no such policy"


class PolicyExists(IllegalState):
    code = "policy-exists"
    title = "This policy exists already"


class PolicyNotProposed(IllegalState):
    code = "policy-not-proposed"
    title = "The policy is approved already, or over"


class PolicyNotValidated(IllegalState):
    code = "policy-not-validated"
    title = "The proposal was not validated as it now stands"


class PolicyNotSimulated(IllegalState):
    code = "policy-not-simulated"
    title = "A proposal that may widen access is approved with a simulation of exactly this proposal"


class ProposalChanged(IllegalState):
    """Carries `proposal_sha256`, of the proposal as it now stands."""

    code = "proposal-changed"
    title = "The proposal was changed in the meantime"


class ApprovedByItsProposer(Denied):
    code = "approved-by-its-proposer"
    title = "A policy is approved by somebody who had no hand in it"


class PolicyNotApproved(IllegalState):
    code = "policy-not-approved"
    title = "The policy is not approved"


class PolicyNotActive(IllegalState):
    """Carries `policy_id` where it is about the policy that another one replaces."""

    code = "policy-not-active"
    title = "The policy is not active"


class RemovalNeedsProposal(IllegalState):
    code = "removal-needs-proposal"
    title = "An active policy that forbids ends by a proposal that replaces it, with approval"


class ActivationInThePast(Malformed):
    """Carries `active_from`."""

    code = "activation-in-the-past"
    title = "A policy comes into force now or later"


def evolve(state: Policy, event: Event) -> Policy:  # noqa: PLR0911 - a case for each event, and nothing else
    match state, event:
        case (Unproposed() | Proposed(), PolicyProposed()):
            before = state.proposers if isinstance(state, Proposed) else ()
            return Proposed(
                proposal=event.proposal,
                sha256=event.proposal_sha256,
                widens=event.widens,
                proposers=tuple(dict.fromkeys((*before, event.proposed_by))),
            )
        case (Proposed(), PolicyValidated()):
            return msgspec.structs.replace(state, validated=True)
        case (Proposed(), PolicySimulated()):
            return msgspec.structs.replace(state, simulation=event.simulation)
        case (Proposed(), PolicyApproved()):
            return Approved(proposal=state.proposal, sha256=state.sha256)
        case (Unproposed() | Approved(), PolicyActivated()):
            return Active(proposal=event.proposal, active_from=event.active_from)
        case (_, PolicySuperseded()):
            return Over(withdrawn=False)
        case (_, PolicyWithdrawn()):
            return Over(withdrawn=True)
        case _:
            return state


def proposal_sha256(proposal: Proposal) -> str:
    """By which a proposal is validated, simulated and approved: other rule, other hash."""
    return sha256(msgspec.json.encode(proposal, order="sorted").decode())


def may_widen(rule: Rule | None, replaced: Rule | None) -> bool:
    """Whether something may be allowed afterwards that was denied before; yes, where that cannot be told."""
    narrower = replaced is None or replaced.effect == "permit"
    match rule, replaced:
        case None, _:
            return not narrower
        case Rule(effect="forbid"), Rule(effect="forbid"):
            return not covers(rule, replaced)
        case Rule(effect="permit"), Rule(effect="permit"):
            return not covers(replaced, rule)
        case _:
            return rule.effect == "permit"


def propose(  # noqa: PLR0913 - the proposal, and who makes it of what
    state: Policy,
    rule: Rule | None,
    *,
    by: str,
    reason: str,
    new: bool,
    replaces: StreamId | None = None,
    replaced: Policy | None = None,
) -> list[Event]:
    """A first proposal (`new`), or another one in its place. No event where nothing would change.

    `replaced` is the policy that `replaces` names, as it is now. Raises `UnusablePolicy`, `PolicyExists`,
    `PolicyNotFound`, `PolicyNotProposed`, and `PolicyNotActive` where there is nothing to replace.
    """
    if rule is None and replaces is None:
        refuse([("", "nothing-proposed", "Name a rule, or the policy that is to end.")])
    if rule is not None:
        refuse(faults_in_rule(rule))
    if replaces is not None and not isinstance(replaced, Active):
        raise PolicyNotActive(policy_id=replaces)
    match state:
        case Unproposed():
            if not new:
                raise PolicyNotFound
        case Proposed():
            if new:
                raise PolicyExists
        case Approved() | Active() | Over():
            raise PolicyNotProposed
        case _:
            assert_never(state)
    proposal = Proposal(rule=None if rule is None else canonical(rule), replaces=replaces)
    if isinstance(state, Proposed) and state.proposal == proposal:
        return []
    return [
        PolicyProposed(
            proposal=proposal,
            proposal_sha256=proposal_sha256(proposal),
            widens=may_widen(rule, rule_of(replaced)),
            proposed_by=by,
            reason=reason,
        )
    ]


def validate(state: Policy, sha256_: str, cedar_sha256: str | None, engine: str) -> list[Event]:
    """The engine took the compiled rule. Raises `PolicyNotFound`, `PolicyNotProposed`, `ProposalChanged`."""
    proposed = _as_seen(state, sha256_)
    if proposed.validated:
        return []
    return [PolicyValidated(proposal_sha256=sha256_, cedar_sha256=cedar_sha256, engine=engine)]


def simulate(state: Policy, simulation: Simulation, by: str) -> list[Event]:
    """Raises `PolicyNotFound`, `PolicyNotProposed`, `PolicyNotValidated`, `ProposalChanged`."""
    proposed = _as_seen(state, simulation.proposal_sha256)
    if not proposed.validated:
        raise PolicyNotValidated
    if proposed.simulation == simulation:
        return []
    return [PolicySimulated(simulation=simulation, simulated_by=by)]


def approve(state: Policy, sha256_: str, *, by: str, reason: str) -> list[Event]:
    """Approves the proposal of this hash, which is the one that the approver has seen.

    Raises `PolicyNotFound`, `PolicyNotProposed`, `ProposalChanged`, `ApprovedByItsProposer`,
    `PolicyNotValidated`, `PolicyNotSimulated`.
    """
    if isinstance(state, Approved) and state.sha256 == sha256_:
        return []
    proposed = _as_seen(state, sha256_)
    if by in proposed.proposers:
        raise ApprovedByItsProposer
    if not proposed.validated:
        raise PolicyNotValidated
    if proposed.widens and proposed.simulation is None:
        raise PolicyNotSimulated
    return [PolicyApproved(proposal_sha256=sha256_, approved_by=by, reason=reason)]


def activate(state: Policy, active_from: datetime | None, now: datetime) -> list[Event]:
    """Into force from a moment on, or from this event on. What it replaces is superseded in the same append.

    Raises `PolicyNotFound`, `PolicyNotApproved`, `ActivationInThePast`.
    """
    match state:
        case Unproposed():
            raise PolicyNotFound
        case Proposed() | Over():
            raise PolicyNotApproved
        case Approved():
            if active_from is not None and active_from < now:
                raise ActivationInThePast(active_from=active_from.isoformat())
            activated = PolicyActivated(
                proposal=state.proposal, proposal_sha256=state.sha256, active_from=active_from
            )
            return [activated]
        case Active():
            return []
        case _:
            assert_never(state)


def found(state: Policy, rule: Rule) -> list[Event]:
    """In force from the beginning: a rule that came with the release, which was reviewed as code is."""
    refuse(faults_in_rule(rule))
    if not isinstance(state, Unproposed):
        return []
    proposal = Proposal(rule=canonical(rule))
    return [PolicyActivated(proposal=proposal, proposal_sha256=proposal_sha256(proposal), active_from=None)]


def supersede(state: Policy, policy_id: StreamId, by: StreamId, from_: datetime | None) -> list[Event]:
    """Raises `PolicyNotActive` with the id of this policy."""
    if not isinstance(state, Active):
        raise PolicyNotActive(policy_id=policy_id)
    return [PolicySuperseded(superseded_by=by, superseded_from=from_)]


def withdraw(state: Policy, *, by: str, reason: str) -> list[Event]:
    """Takes back a proposal, or an active permit.

    Raises `PolicyNotFound`, `RemovalNeedsProposal`, and `PolicyNotActive` where it is superseded.
    """
    match state:
        case Unproposed():
            raise PolicyNotFound
        case Active():
            rule = rule_of(state)
            if rule is None or rule.effect == "forbid":
                raise RemovalNeedsProposal
        case Over():
            if not state.withdrawn:
                raise PolicyNotActive
            return []
        case Proposed() | Approved():
            pass
        case _:
            assert_never(state)
    return [PolicyWithdrawn(withdrawn_by=by, reason=reason)]


def rule_of(state: Policy | None) -> Rule | None:
    """The rule that is proposed or in force; None where there is none."""
    if not isinstance(state, Proposed | Approved | Active) or state.proposal.rule is None:
        return None
    return parse(state.proposal.rule)


def _as_seen(state: Policy, sha256_: str) -> Proposed:
    match state:
        case Unproposed():
            raise PolicyNotFound
        case Approved() | Active() | Over():
            raise PolicyNotProposed
        case Proposed():
            if state.sha256 != sha256_:
                raise ProposalChanged(proposal_sha256=state.sha256)
            return state
        case _:
            assert_never(state)
