"""Decisions by the Cedar engine: a policy set is prepared once, and asked often.

Forbid overrides permit, and what nothing permits is denied. Where a policy cannot be evaluated Cedar passes
it over; here that denies.
"""

from collections import OrderedDict
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import msgspec

from domain.identifiers import StreamId
from domain.policies.access import AccessDecision, AccessRequest, Action, Reason
from domain.policies.cedar import PRINCIPAL, cedar_text, entity_type
from domain.policies.policy_set import ActiveRule, PolicySet
from domain.policies.rule import attributes_of

if TYPE_CHECKING:
    import cedarpy

PREPARED_SETS: Final = 32
"""More than a process uses at once: the set in force, and those that decisions are explained with."""


_ENCODER: Final = msgspec.json.Encoder()


class EngineRefused(Exception):
    """The engine does not take a text that a checked rule was compiled to: a fault of ours."""


class CedarEngine:
    """What validates proposals: see `commands.policies.PolicyEngine`."""

    def name(self) -> str:
        return f"cedarpy {version('cedarpy')}"

    def check(self, text: str) -> None:
        """Raises `EngineRefused`."""
        parsed(text)


def parsed(text: str) -> "cedarpy.PolicySet":
    """Raises `EngineRefused`."""
    from cedarpy import PolicySet as CedarSet

    try:
        return CedarSet.from_str(text)
    except ValueError as error:
        raise EngineRefused(str(error)) from error


class PreparedSet:
    """A policy set as the engine takes it: for each action the rules that may be about it.

    They are prepared when an action is asked for first: a decision costs what its own rules cost, however
    many there are about other things.
    """

    def __init__(self, policy_set: PolicySet) -> None:
        from cedarpy import Decision, is_authorized

        self._ask = is_authorized
        self._none = Decision.NoDecision
        self.rules = policy_set
        self._prepared: dict[Action, cedarpy.PolicySet] = {}
        self._spoken_of: dict[Action, frozenset[str]] = {}
        self._audited = frozenset(each.policy_id for each in policy_set.rules if each.rule.audited)

    def decide(self, request: AccessRequest) -> AccessDecision:
        prepared = self._prepared.get(request.action)
        if prepared is None:
            prepared = self._prepared[request.action] = self._prepare(request.action)
        principal = {"type": PRINCIPAL, "id": request.principal.id}
        resource = {"type": entity_type(request.resource.kind), "id": request.resource.id}
        answer = self._ask(
            {
                "principal": principal,
                "action": {"type": "Action", "id": request.action},
                "resource": resource,
                "context": _json(request.context),
            },
            prepared,
            _json(
                (
                    {"uid": principal, "attrs": request.principal, "parents": ()},
                    {"uid": resource, "attrs": request.resource, "parents": ()},
                )
            ),
        )
        diagnostics = answer.diagnostics
        failed = bool(diagnostics.errors) or answer.decision is self._none
        decided_by = tuple(sorted(diagnostics.id_annotations_by_reason.values()))
        allowed = answer.allowed and not failed
        return AccessDecision(
            allowed=allowed,
            reason=_reason(allowed=allowed, failed=failed, decided_by=decided_by),
            decided_by=decided_by,
            audited=not self._audited.isdisjoint(decided_by),
            position=self.rules.position,
            since=self.rules.since,
            versions=request.versions,
        )

    def spoken_of(self, action: Action) -> frozenset[str]:
        """The names of all attributes that rules about this action speak of."""
        found = self._spoken_of.get(action)
        if found is None:
            found = frozenset(name for each in self._about(action) for name in attributes_of(each.rule))
            self._spoken_of[action] = found
        return found

    def _about(self, action: Action) -> Iterator[ActiveRule]:
        return (each for each in self.rules.rules if each.rule.actions is None or action in each.rule.actions)

    def _prepare(self, action: Action) -> "cedarpy.PolicySet":
        return parsed("\n".join(cedar_text(each.policy_id, each.rule) for each in self._about(action)))


class PreparedSets:
    """Prepared sets by position and moment; those that were not asked for longest go first."""

    def __init__(self, size: int = PREPARED_SETS) -> None:
        self._size = size
        self._held: OrderedDict[tuple[int, datetime | None], PreparedSet] = OrderedDict()

    def of(self, policy_set: PolicySet) -> PreparedSet:
        found = self._held.get(policy_set.key)
        if found is None:
            found = self._held[policy_set.key] = PreparedSet(policy_set)
            while len(self._held) > self._size:
                self._held.popitem(last=False)
        self._held.move_to_end(policy_set.key)
        return found


def _reason(*, allowed: bool, failed: bool, decided_by: tuple[StreamId, ...]) -> Reason:
    if failed:
        return "unevaluable"
    if allowed:
        return "permitted"
    return "forbidden" if decided_by else "no_permit"


def _json(value: Any) -> str:
    return _ENCODER.encode(value).decode()
