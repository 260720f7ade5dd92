"""What is asked of the policies, and what they answer.

The fields of `Principal`, `Resource` and `Context` are the attributes that rules may speak of, with these
types: `domain.policies.catalogue` reads them from here. An attribute without a value is not known; what that
means for a rule is in `domain.policies.rule`.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec

from domain.identifiers import StreamId
from domain.zones import Role, ZoneId

Action = Literal[
    "enter_zone",
    "use_ai_tutor",
    "use_premium_feature",
    "take_exam",
    "author_exam",
    "view_results",
    "view_person",
    "administer_organization",
    "export_personal_data",
]

ResourceKind = Literal["zone", "feature", "exam", "attempt", "user", "organization"]

SubscriptionStatus = Literal["none", "active", "cancelled", "expired"]
"""A cancelled subscription is paid for until it expires."""

Text = Annotated[str, msgspec.Meta(max_length=200)]


class _Attributes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    pass


class Principal(_Attributes, frozen=True, kw_only=True):
    """Who asks: a person, or a service of an organisation."""

    id: Text
    roles: tuple[Role, ...]
    zone: ZoneId | None = None
    organizations: tuple[StreamId, ...] | None = None
    has_active_exam: bool | None = None
    subscription_status: SubscriptionStatus | None = None
    email_verified: bool | None = None
    age_years: Annotated[int, msgspec.Meta(ge=0, le=150)] | None = None


WHOLE_SYSTEM_ROLES: Final[frozenset[Role]] = frozenset({"sys_admin", "zone_admin"})


def roles_of(held: Iterable[tuple[Role, StreamId | None]]) -> tuple[Role, ...]:
    """Roles as rules speak of them. An administrator's role in one organisation is none over a zone."""
    return tuple(sorted({role for role, org_id in held if org_id is None or role not in WHOLE_SYSTEM_ROLES}))


class Resource(_Attributes, frozen=True, kw_only=True):
    """What it is about."""

    kind: ResourceKind
    id: Text
    zone: ZoneId | None = None
    organization: StreamId | None = None
    owner: StreamId | None = None


class Context(_Attributes, frozen=True, kw_only=True):
    """What is about the request alone. Hour (0 to 23) and weekday (1 is Monday) are those of the zone."""

    via: Literal["web", "app", "service", "operator"] | None = None
    hour: Annotated[int, msgspec.Meta(ge=0, le=23)] | None = None
    weekday: Annotated[int, msgspec.Meta(ge=1, le=7)] | None = None


class AccessRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """May this principal do this to that?

    `versions` says where the attributes come from: the version of each stream that they were read at. They
    take no part in the decision, and go into its record.
    """

    principal: Principal
    action: Action
    resource: Resource
    context: Context = Context()
    versions: dict[str, int] = {}


Reason = Literal["permitted", "forbidden", "no_permit", "unevaluable"]
"""`no_permit`: nothing forbids it and nothing permits it. `unevaluable`: a rule could not be evaluated, which
is a fault of ours and counts as a no."""


class AccessDecision(msgspec.Struct, frozen=True, kw_only=True):
    """The answer, and all that is needed to derive it again.

    Attributes:
        allowed: whether it may be done.
        reason: how that came about.
        decided_by: the policies that decided, in order: those that forbid it, or else those that permit it.
        audited: one of these says that its use is to be recorded.
        position: the position in the log as of which the policies were in force.
        since: the moment from which on this set was in force, where a moment began it.
        versions: the request's.
    """

    allowed: bool
    reason: Reason
    decided_by: tuple[StreamId, ...]
    audited: bool
    position: int
    since: datetime | None
    versions: dict[str, int]
