"""Which rules are in force, as of a position in the log and at a moment.

Both are needed: an activation is known from its position on, and may name a later moment. Position and moment
together give the same set for ever.
"""

from datetime import datetime

import msgspec

from domain.events import PositionedEvent
from domain.identifiers import StreamId
from domain.policies.events import PolicyActivated, PolicySuperseded, PolicyWithdrawn
from domain.policies.rule import Rule, parse


class ActiveRule(msgspec.Struct, frozen=True):
    policy_id: StreamId
    rule: Rule


class PolicySet(msgspec.Struct, frozen=True, kw_only=True):
    """The rules in force as of `position`, by policy id.

    Attributes:
        position: of the last event that says something about which rules are in force; 0 without any.
        since: the moment at which one of these rules began, or another ended, last; None without any.
        until: the moment at which that will happen next, as far as is known; None without any.
        rules: in the order of their ids.
    """

    position: int
    since: datetime | None
    until: datetime | None
    rules: tuple[ActiveRule, ...]

    @property
    def key(self) -> tuple[int, datetime | None]:
        """What tells this set from every other one of the same log."""
        return self.position, self.since


class _InForce(msgspec.Struct, frozen=True):
    rule: Rule | None
    begins: datetime | None
    ends: datetime | None = None


class PolicyHistory(msgspec.Struct, frozen=True):
    """What the log says up to a position. Grows by one event at a time, in their order."""

    position: int = 0
    in_force: dict[StreamId, _InForce] = {}

    def after(self, positioned: PositionedEvent) -> "PolicyHistory":
        """With one more event; others than those of policies in force change nothing."""
        policy_id = positioned.recorded.stream_id
        held = dict(self.in_force)
        match positioned.recorded.event:
            case PolicyActivated() as event:
                rule = None if event.proposal.rule is None else parse(event.proposal.rule)
                held[policy_id] = _InForce(rule, event.active_from)
            case PolicySuperseded(superseded_from=datetime() as moment) if policy_id in held:
                held[policy_id] = msgspec.structs.replace(held[policy_id], ends=moment)
            case PolicySuperseded() | PolicyWithdrawn() if policy_id in held:
                del held[policy_id]
            case _:
                return self
        return PolicyHistory(positioned.position, held)

    def at(self, moment: datetime) -> PolicySet:
        """The rules in force at this moment: each from where it begins until before it ends."""
        rules = tuple(
            ActiveRule(policy_id, each.rule)
            for policy_id, each in sorted(self.in_force.items())
            if each.rule is not None
            and (each.begins is None or each.begins <= moment)
            and (each.ends is None or moment < each.ends)
        )
        moments = {
            change
            for each in self.in_force.values()
            for change in (each.begins, each.ends)
            if change is not None
        }
        return PolicySet(
            position=self.position,
            since=max((each for each in moments if each <= moment), default=None),
            until=min((each for each in moments if each > moment), default=None),
            rules=rules,
        )
