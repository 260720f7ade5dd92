"""What happens to an invitation: somebody is invited, and accepts, or not in time."""

from datetime import datetime
from typing import Literal, TypeAlias

from domain.events import Event, Retention, event_type
from domain.identifiers import StreamId
from domain.languages import Language
from domain.personal import Personal
from domain.zones import ZoneId

MemberRole: TypeAlias = Literal["student", "teacher", "tutor", "org_admin"]
"""What somebody may be in an organisation.

Parents are none of its members: they see their children by a link, which the children (or those who answer
for them) approve. The administrators of zones and of the system are nobody's members either, and `service`
is for programs.
"""


@event_type("invitation.member_invited", retention=Retention.STATE, subject="stream")
class MemberInvited(Event, frozen=True, kw_only=True):
    """Whoever reads mail at this address may become a member until `expires_at`.

    `org_name` is what the organisation was called then: who is no member yet may not look it up.

    Invited again, after it was revoked or has expired, it is the same invitation with another end. The
    address is sealed for the invitation itself: whether it is anybody's is not known.
    """

    org_id: StreamId
    org_name: str
    zone_id: ZoneId
    role: MemberRole
    email: Personal[str]
    email_hash: str
    language: Language
    expires_at: datetime
    class_id: StreamId | None = None


@event_type("invitation.accepted", retention=Retention.STATE)
class InvitationAccepted(Event, frozen=True, kw_only=True):
    user_id: StreamId


@event_type("invitation.revoked", retention=Retention.STATE)
class InvitationRevoked(Event, frozen=True, kw_only=True):
    """An administrator of the organisation took it back."""


@event_type("invitation.expired", retention=Retention.STATE)
class InvitationExpired(Event, frozen=True, kw_only=True):
    """Nobody accepted it in time."""
