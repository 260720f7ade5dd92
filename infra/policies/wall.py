"""The wall of policies: asked with every request of somebody who is signed in, so a permit is remembered.

It is remembered for what the rules look at, and for as long as they are in force: another set of rules, or a
moment at which one begins or ends, forgets all of it. A refusal is decided anew each time, and recorded.

What a token says of a person is believed for as long as the token is good (a role that was taken away ends
it). What it does not say is looked up where a rule speaks of it, at most once a second for each person.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final

import msgspec
from fastapi import Request

from commands.access import Attributes, DecisionRecords, Wish, context_at, resource_of
from commands.context import CommandContext
from commands.streams import Streams
from domain.events import Actor
from domain.identifiers import StreamId, category_of
from domain.policies.access import AccessDecision, AccessRequest, Action, Context, Resource, ResourceKind
from domain.policies.policy_set import PolicySet
from domain.users.account import UserNotFound
from infra.http.access_principal import of_token
from infra.http.errors import PolicyForbids
from infra.http.principal import Principal
from infra.policies.engine import PreparedSet
from infra.policies.live import LivePolicies

REMEMBERED: Final = 20_000
LOOKED_UP_AGAIN_S: Final = 1.0

TOLD_BY_TOKEN: Final = frozenset(
    {"principal.id", "principal.roles", "principal.zone", "principal.organizations"}
)
_OF_THE_MOMENT: Final = frozenset({"context.hour", "context.weekday"})
MENDING: Final = "/api/v1/policies"
_ENTER: Final = "enter_zone"


class _Permit:
    """One that is remembered. `times` it let somebody through since that was counted last."""

    __slots__ = ("request", "times", "until")

    def __init__(self, request: AccessRequest, until: float | None) -> None:
        self.request = request
        self.until = until
        self.times = 0


class PolicyWall:
    """`infra.http.services.PolicyWall`."""

    def __init__(
        self,
        *,
        policies: LivePolicies,
        attributes: Attributes,
        records: DecisionRecords,
        streams: Streams,
        clock: Callable[[], datetime],
    ) -> None:
        self._policies = policies
        self._attributes = attributes
        self._records = records
        self._streams = streams
        self._clock = clock
        self._rules: PreparedSet | None = None
        self._permits: dict[tuple[Any, ...], _Permit] = {}
        self._replaced: list[_Permit] = []
        self._names_person = self._names_moment = self._looks_up = False

    def has_entered(self, principal: Principal) -> bool:
        """Whether they surely may enter their zone; False also where that has to be looked at first.

        Raises `PoliciesUnreadable`.
        """
        rules = self._policies.in_force()
        if rules is not self._rules:
            self._begin(rules)
        permit = self._permits.get(self._key(principal))
        if permit is None or (permit.until is not None and permit.until <= self._clock().timestamp()):
            return False
        permit.times += 1
        return True

    async def enter(self, request: Request, principal: Principal) -> None:
        """Decides whether they may enter their zone. Raises `PolicyForbids` and `PoliciesUnreadable`."""
        resource = Resource(kind="zone", id=principal.zone_id, zone=principal.zone_id)
        rules, asked = await self._asked(principal, _ENTER, resource, {})
        decision = rules.decide(asked)
        if not decision.allowed:
            if _mends_rules(request, principal):
                await self._records.note(asked, decision, _context(request, principal))
                return
            await self._refuse(request, principal, rules, asked, decision)
        if rules is not self._rules:
            self._begin(rules)
        if len(self._permits) >= REMEMBERED:
            self._begin(rules)
        until = self._clock().timestamp() + LOOKED_UP_AGAIN_S if self._looks_up else None
        permit = _Permit(asked, until)
        permit.times = 1
        key = self._key(principal)
        earlier = self._permits.get(key)
        if earlier is not None:
            self._replaced.append(earlier)
        self._permits[key] = permit

    async def require(
        self, request: Request, principal: Principal, action: Action, kind: ResourceKind, resource_id: str
    ) -> bool:
        """False where there is no such thing, for all that the asker may know.

        Raises `PolicyForbids` and `PoliciesUnreadable`.
        """
        wish = Wish(action=action, kind=kind, resource_id=resource_id)
        resource, versions = await resource_of(self._streams, of_token(principal), wish)
        if not versions:
            return False
        rules, asked = await self._asked(principal, action, resource, versions)
        decision = rules.decide(asked)
        if not decision.allowed:
            await self._refuse(request, principal, rules, asked, decision)
        await self._records.note(asked, decision, _context(request, principal))
        return True

    async def require_of(  # noqa: PLR0913, PLR0917 - who asks, and the whole question
        self,
        request: Request,
        service: Principal,
        user_id: StreamId,
        action: Action,
        kind: ResourceKind,
        resource_id: str,
    ) -> None:
        """The same of a person for whom a service does it: the rules are about people, not about programs.

        Says nothing about people of other organisations: the handler refuses those, as if they were nobody.
        Raises `PolicyForbids` and `PoliciesUnreadable`.
        """
        try:
            gathered = await self._attributes.of(user_id)
        except UserNotFound:
            return
        if set(service.org_ids).isdisjoint(gathered.principal.organizations or ()):
            return
        wish = Wish(action=action, kind=kind, resource_id=resource_id)
        resource, versions = await resource_of(self._streams, gathered.principal, wish)
        rules = self._policies.in_force()
        asked = AccessRequest(
            principal=gathered.principal,
            action=action,
            resource=resource,
            context=self._context_of(rules, action),
            versions={**gathered.versions, **versions},
        )
        decision = rules.decide(asked)
        if not decision.allowed:
            await self._refuse(request, service, rules, asked, decision)
        await self._records.note(asked, decision, _context(request, service))

    def passed(self) -> Iterator[tuple[AccessRequest, int]]:
        """Who was let through by a permit that was remembered, and how often, since this was asked last."""
        for permit in (*self._permits.values(), *self._replaced):
            if permit.times:
                yield permit.request, permit.times
                permit.times = 0
        self._replaced.clear()

    async def _asked(
        self, principal: Principal, action: Action, resource: Resource, versions: dict[str, int]
    ) -> tuple[PreparedSet, AccessRequest]:
        """The rules, and what they are asked: with what is to be looked up, where they speak of it."""
        rules = self._policies.in_force()
        asker = of_token(principal)
        if _looks_up(rules, action) and category_of(principal.subject_id) == "user":
            gathered = await self._attributes.of(principal.subject_id)
            known = gathered.principal
            asker = msgspec.structs.replace(
                asker,
                has_active_exam=known.has_active_exam,
                subscription_status=known.subscription_status,
                email_verified=known.email_verified,
                age_years=known.age_years,
            )
            versions = {**versions, **gathered.versions}
            # They may have changed while the person was looked up.
            rules = self._policies.in_force()
        context = self._context_of(rules, action)
        return rules, AccessRequest(
            principal=asker, action=action, resource=resource, context=context, versions=versions
        )

    def _context_of(self, rules: PreparedSet, action: Action) -> Context:
        timed = not _OF_THE_MOMENT.isdisjoint(rules.spoken_of(action))
        return context_at(self._clock()) if timed else Context()

    async def _refuse(
        self,
        request: Request,
        principal: Principal,
        rules: PreparedSet,
        asked: AccessRequest,
        decision: AccessDecision,
    ) -> None:
        await self._records.note(asked, decision, _context(request, principal))
        raise PolicyForbids(
            action=asked.action, reason=decision.reason, decided_by=_deciding(rules.rules, decision)
        )

    def _begin(self, rules: PreparedSet) -> None:
        self._replaced += (each for each in self._permits.values() if each.times)
        self._permits = {}
        self._rules = rules
        spoken_of = rules.spoken_of(_ENTER)
        # An organisation is one of the token's too; a token is one person's.
        self._names_person = not spoken_of <= {"principal.roles", "principal.zone", "resource.kind"} | {
            "resource.id",
            "resource.zone",
        }
        self._names_moment = not _OF_THE_MOMENT.isdisjoint(spoken_of)
        self._looks_up = _looks_up(rules, _ENTER)

    def _key(self, principal: Principal) -> tuple[Any, ...]:
        return (
            principal.zone_id,
            principal.roles,
            principal.subject_id if self._names_person else None,
            self._clock().replace(second=0, microsecond=0) if self._names_moment else None,
        )


def _mends_rules(request: Request, principal: Principal) -> bool:
    """Rules do not guard the routes that change them: who has locked out everybody can let them in again."""
    administers = any(grant.role == "sys_admin" and grant.org_id is None for grant in principal.roles)
    return administers and request.url.path.startswith(MENDING)


def _looks_up(rules: PreparedSet, action: Action) -> bool:
    spoken_of = {name for name in rules.spoken_of(action) if name.startswith("principal.")}
    return not spoken_of <= TOLD_BY_TOKEN


def _deciding(rules: PolicySet, decision: AccessDecision) -> list[dict[str, Any]]:
    by_id = {each.policy_id: each.rule for each in rules.rules}
    return [
        {"policy_id": each, "rule": by_id[each].id, "title": dict(by_id[each].title)}
        for each in decision.decided_by
    ]


def _context(request: Request, principal: Principal) -> CommandContext:
    request_id = request.state.request_id
    return CommandContext(
        actor=Actor(principal.kind, principal.delegate or principal.subject_id),
        zone_id=None,
        org_id=None,
        correlation_id=request_id,
        command_id=request_id,
    )
