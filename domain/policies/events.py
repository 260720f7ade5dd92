"""What happens to a policy: proposed, validated, simulated, approved, activated, superseded or withdrawn.

A rule is stored as its canonical JSON text (`domain.policies.rule.canonical`): conditions nest without end,
and the hash that approval goes by is one of exactly this text. `rule` is None in a proposal that only ends
the policy which it replaces. A moment of None is that of the event's own position in the log.
"""

from datetime import datetime
from typing import Literal

import msgspec

from domain.events import Event, Retention, event_type
from domain.identifiers import StreamId


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A rule to come, in place of another policy or beside those there are."""

    rule: str | None
    replaces: StreamId | None = None


@event_type("policy.proposed", retention=Retention.STATE)
class PolicyProposed(Event, frozen=True, kw_only=True):
    """The proposal as it now stands; a later one replaces it. `widens`: it may allow what was denied."""

    proposal: Proposal
    proposal_sha256: str
    widens: bool
    proposed_by: str
    reason: str


@event_type("policy.validated", retention=Retention.STATE)
class PolicyValidated(Event, frozen=True, kw_only=True):
    """The engine took the text that the rule was compiled to."""

    proposal_sha256: str
    cedar_sha256: str | None
    engine: str


class Flips(msgspec.Struct, frozen=True, kw_only=True):
    """Recorded decisions that the proposal would turn round, by role, zone and the policy that does it."""

    role: str
    zone: str | None
    decided_by: StreamId | None
    now: Literal["allow", "deny"]
    count: int


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal over the decisions that were recorded after one position and up to another."""

    proposal_sha256: str
    after_position: int
    up_to_position: int
    decisions: int
    flips: tuple[Flips, ...]


@event_type("policy.simulated", retention=Retention.STATE)
class PolicySimulated(Event, frozen=True, kw_only=True):
    simulation: Simulation
    simulated_by: str


@event_type("policy.approved", retention=Retention.STATE)
class PolicyApproved(Event, frozen=True, kw_only=True):
    """By somebody who proposed no part of it."""

    proposal_sha256: str
    approved_by: str
    reason: str


@event_type("policy.activated", retention=Retention.STATE)
class PolicyActivated(Event, frozen=True, kw_only=True):
    """The rule is repeated here, so that this fact alone says what came into force."""

    proposal: Proposal
    proposal_sha256: str
    active_from: datetime | None


@event_type("policy.superseded", retention=Retention.STATE)
class PolicySuperseded(Event, frozen=True, kw_only=True):
    """Another policy stands in its place from a moment on: recorded with the activation of that one."""

    superseded_by: StreamId
    superseded_from: datetime | None


@event_type("policy.withdrawn", retention=Retention.STATE)
class PolicyWithdrawn(Event, frozen=True, kw_only=True):
    """It is not to come, or is out of force from this event on."""

    withdrawn_by: str
    reason: str
