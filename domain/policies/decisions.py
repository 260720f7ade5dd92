"""What was decided about access, as observations: what may have to be explained one by one, the rest counted.

A request is stored as its JSON text. It is the language that rules speak of, which grows; a record has to be
read as it was, for as long as it is kept.
"""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from domain.events import Event, Retention, event_type
from domain.identifiers import StreamId
from domain.personal import Personal
from domain.policies.access import AccessDecision, AccessRequest, Action, Principal, Reason, Resource

KEPT: Final = timedelta(days=365)
"""As the retention of these observations says; what shows them shows none that are older."""

SPECIAL_ACTIONS: Final[frozenset[Action]] = frozenset(
    {"use_premium_feature", "administer_organization", "export_personal_data"}
)
"""What is recorded one by one also where it is permitted."""

ANYBODY: Final = ""
"""In the place of every id in a counted request."""


@event_type("observation.access_decided", retention=Retention.OBSERVATION_1_YEAR, subject="principal_id")
class AccessDecided(Event, frozen=True, kw_only=True):
    """A refusal, or the use of a right that not everybody has.

    Attributes:
        request: all that it was decided on, with the versions of where that was read: see `read_request`.
        policies_position: of the rules in force, as of this position in the log and
        policies_since: from this moment on, where a moment began them.
    """

    decision_id: str
    decided_at: datetime
    principal_id: str
    action: str
    resource_kind: str
    resource_id: str
    request: Personal[str]
    allowed: bool
    reason: str
    decided_by: tuple[StreamId, ...]
    audited: bool
    policies_position: int
    policies_since: datetime | None


class CountedAccess(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request without ids (see `anonymous`), and how often one like it was permitted."""

    request: str
    count: int


@event_type("observation.access_counted", retention=Retention.OBSERVATION_1_YEAR)
class AccessCounted(Event, frozen=True, kw_only=True):
    """Ordinary permits of a while. `others`: those that were of too many kinds to be told apart."""

    since: datetime
    until: datetime
    permitted: tuple[CountedAccess, ...]
    others: int


def is_told_apart(request: AccessRequest, decision: AccessDecision) -> bool:
    """Whether a decision is recorded by itself."""
    return not decision.allowed or decision.audited or request.action in SPECIAL_ACTIONS


def access_decided(
    decision_id: str, decided_at: datetime, request: AccessRequest, decision: AccessDecision
) -> AccessDecided:
    return AccessDecided(
        decision_id=decision_id,
        decided_at=decided_at,
        principal_id=request.principal.id,
        action=request.action,
        resource_kind=request.resource.kind,
        resource_id=request.resource.id,
        request=written_request(request),
        allowed=decision.allowed,
        reason=decision.reason,
        decided_by=decision.decided_by,
        audited=decision.audited,
        policies_position=decision.position,
        policies_since=decision.since,
    )


def decision_of(recorded: AccessDecided) -> AccessDecision:
    """What was decided, as it was recorded. Raises `msgspec.ValidationError`."""
    return AccessDecision(
        allowed=recorded.allowed,
        reason=msgspec.convert(recorded.reason, Reason),
        decided_by=recorded.decided_by,
        audited=recorded.audited,
        position=recorded.policies_position,
        since=recorded.policies_since,
        versions=read_request(recorded.request).versions,
    )


def written_request(request: AccessRequest) -> str:
    return msgspec.json.encode(request, order="sorted").decode()


def read_request(text: str) -> AccessRequest:
    """Raises `msgspec.ValidationError` for what names attributes that there are no longer."""
    return msgspec.json.decode(text, type=AccessRequest)


def anonymous(request: AccessRequest) -> AccessRequest:
    """The request without anything that names somebody: no ids, no organisation, no versions.

    A rule that speaks of these can be tried on decisions that were recorded one by one, not on counted ones.
    """
    asker, resource = request.principal, request.resource
    return AccessRequest(
        principal=Principal(
            id=ANYBODY,
            roles=tuple(sorted(asker.roles)),
            zone=asker.zone,
            has_active_exam=asker.has_active_exam,
            subscription_status=asker.subscription_status,
            email_verified=asker.email_verified,
            age_years=asker.age_years,
        ),
        action=request.action,
        resource=Resource(kind=resource.kind, id=ANYBODY, zone=resource.zone),
        context=request.context,
    )
