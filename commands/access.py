"""May somebody do something? Asked of the rules in force, about facts that this side gathers itself."""

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Final, Protocol, assert_never

import msgspec

from commands.context import CommandContext
from commands.kinds import ATTEMPT, EXAM, ORGANIZATION, USER
from commands.policies import LivePolicies
from commands.streams import NOBODY, Loaded, Streams
from commands.write_side import WriteSide
from domain.attempts.attempt import NotStarted, examinee_of
from domain.identifiers import StreamId, category_of
from domain.policies.access import AccessDecision, AccessRequest, Action, Context, Principal, Resource
from domain.policies.access import ResourceKind as Kind
from domain.policies.policy_set import PolicySet
from domain.zones import ZONES, ZoneId

ZONE_TIME: Final = timezone(timedelta(hours=9), "KST")
"""All zones are Korean, and Korea does not change its clocks."""


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes, and the versions of the streams that they were read at."""

    principal: Principal
    versions: dict[str, int]


class Attributes(Protocol):
    """What is known of people: see `infra.policies.attributes`."""

    async def of(self, user_id: StreamId) -> Gathered:
        """Raises `UserNotFound`."""
        ...


class DecisionRecords(Protocol):
    """See `infra.policies.recorder`."""

    async def note(
        self, request: AccessRequest, decision: AccessDecision, context: CommandContext
    ) -> str | None:
        """The id under which the decision is recorded; None where it is only counted, or was dropped.

        Waits for next to nothing, and raises nothing: no answer depends on a record.
        """
        ...


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody would do, as they say it: what the resource is of is looked up."""

    action: Action
    kind: Kind
    resource_id: str
    zone: ZoneId | None = None
    via: str | None = None


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    decision: AccessDecision
    decision_id: str | None


async def decide_access(  # noqa: PLR0913 - who, what, and the three that answer
    policies: LivePolicies,
    records: DecisionRecords,
    write: WriteSide,
    context: CommandContext,
    *,
    asker: Gathered,
    wishes: Sequence[Wish],
) -> tuple[PolicySet, list[Answered]]:
    """Decides all by the same rules, those in force now, and records what is to be recorded.

    Raises `Unavailable` where the rules in force cannot be told.
    """
    resources = [await resource_of(write.streams, asker.principal, wish) for wish in wishes]
    in_force, at = policies.in_force(), write.clock()
    answers = []
    for wish, (resource, versions) in zip(wishes, resources, strict=True):
        request = AccessRequest(
            principal=asker.principal,
            action=wish.action,
            resource=resource,
            context=context_at(at, wish.via),
            versions={**asker.versions, **versions},
        )
        decision = in_force.decide(request)
        answers.append(
            Answered(decision=decision, decision_id=await records.note(request, decision, context))
        )
    return in_force.rules, answers


def context_at(now: datetime, via: str | None = None) -> Context:
    """The moment by the clocks of the zones."""
    there = now.astimezone(ZONE_TIME)
    return msgspec.convert({"via": via, "hour": there.hour, "weekday": there.isoweekday()}, Context)


async def resource_of(streams: Streams, principal: Principal, wish: Wish) -> tuple[Resource, dict[str, int]]:
    """What the wish is about, with what the log says of it, and the version at which it says so.

    Of what does not exist nothing is known; nor, to somebody who stays within a zone, of what is elsewhere:
    so the answer does not tell whether an id is one of another zone.
    """
    bare = Resource(kind=wish.kind, id=wish.resource_id)
    if wish.kind == "zone":
        known = wish.resource_id in ZONES
        return msgspec.structs.replace(bare, zone=wish.resource_id if known else None), {}
    if wish.kind == "feature":
        return msgspec.structs.replace(bare, zone=wish.zone or principal.zone), {}
    found, person = await _looked_up(streams, wish.kind, wish.resource_id)
    elsewhere = found.owner.zone_id != principal.zone and "sys_admin" not in principal.roles
    if found.version == 0 or elsewhere:
        return bare, {}
    resource = msgspec.structs.replace(
        bare, zone=found.owner.zone_id, organization=found.owner.org_id, owner=person
    )
    return resource, {wish.resource_id: found.version}


async def _looked_up(streams: Streams, kind: Kind, id_: str) -> tuple[Loaded[Any], StreamId | None]:
    """The stream behind an id, and the person it belongs to. What a stream is of never changes."""
    if category_of(id_) != kind:
        return Loaded[Any](None, 0, NOBODY), None
    match kind:
        case "exam":
            return await streams.peek(EXAM, id_), None
        case "organization":
            return await streams.peek(ORGANIZATION, id_), None
        case "user":
            return await streams.peek(USER, id_), id_
        case "attempt":
            found = await streams.peek(ATTEMPT, id_)
            return found, None if isinstance(found.state, NotStarted) else examinee_of(found.state)
        case "zone" | "feature":
            raise AssertionError(kind)
        case _:
            assert_never(kind)
