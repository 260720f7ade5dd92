"""What a proposal would change: requests decided by the rules in force, and as they would be with it."""

from collections import Counter
from collections.abc import Iterable
from typing import Literal

import msgspec

from domain.identifiers import StreamId
from domain.policies.access import AccessDecision, AccessRequest
from domain.policies.events import Flips
from domain.policies.policy_set import ActiveRule, PolicySet
from domain.policies.rule import Rule, attributes_of
from infra.policies.engine import PreparedSet


def with_proposal(
    in_force: PolicySet, policy_id: StreamId, rule: Rule | None, replaces: StreamId | None
) -> PolicySet:
    """The set as it would be with the proposal in force, in the place of what it replaces."""
    kept = [each for each in in_force.rules if each.policy_id != replaces]
    added = [] if rule is None else [ActiveRule(policy_id, rule)]
    rules = sorted([*kept, *added], key=lambda each: each.policy_id)
    return PolicySet(
        position=in_force.position, since=in_force.since, until=in_force.until, rules=tuple(rules)
    )


def flips(
    in_force: PolicySet, proposed: PolicySet, requests: Iterable[tuple[AccessRequest, int]]
) -> tuple[int, tuple[Flips, ...]]:
    """How many decisions there were, and those that would be others, most frequent first.

    A request comes with the number of times it was made. The role is all roles of the principal, with `+`
    between them. `decided_by` is the first rule that decides where the proposal is in force; None where
    nothing permits it any more.
    """
    before, after = PreparedSet(in_force), PreparedSet(proposed)
    alike = _Alike(in_force, proposed)
    decided: dict[bytes, tuple[AccessDecision, AccessDecision]] = {}
    decisions = 0
    found: Counter[tuple[str, str | None, StreamId | None, Literal["allow", "deny"]]] = Counter()
    for request, times in requests:
        decisions += times
        key = alike.key(request)
        both = decided.get(key)
        if both is None:
            both = decided[key] = (before.decide(request), after.decide(request))
        if both[0].allowed != both[1].allowed:
            found[_described(request, both[1])] += times
    ordered = sorted(found.items(), key=lambda each: (-each[1], [str(part) for part in each[0]]))
    return decisions, tuple(
        Flips(role=role, zone=zone, decided_by=decided_by, now=now, count=count)
        for (role, zone, decided_by, now), count in ordered
    )


class _Alike:
    """Requests that none of these rules can tell from one another are decided once, however many they are."""

    def __init__(self, *policy_sets: PolicySet) -> None:
        spoken_of = {name for each in policy_sets for rule in each.rules for name in attributes_of(rule.rule)}
        self._attributes = [name.split(".") for name in sorted(spoken_of)]

    def key(self, request: AccessRequest) -> bytes:
        return msgspec.msgpack.encode(
            (
                request.action,
                request.principal.roles,
                request.resource.kind,
                [getattr(getattr(request, part), field) for part, field in self._attributes],
            )
        )


def _described(
    request: AccessRequest, then: AccessDecision
) -> tuple[str, str | None, StreamId | None, Literal["allow", "deny"]]:
    return (
        "+".join(sorted(request.principal.roles)),
        request.principal.zone,
        then.decided_by[0] if then.decided_by else None,
        "allow" if then.allowed else "deny",
    )
