"""What happens to the link between a parent and a student: asked for, approved, ended."""

from typing import Literal, TypeAlias

from domain.events import Event, Retention, event_type
from domain.identifiers import StreamId
from domain.zones import ZoneId

LinkEnd: TypeAlias = Literal["parent", "student"]
"""The two ends of a link; either may let go of it."""


@event_type("parent_link.requested", retention=Retention.STATE)
class LinkRequested(Event, frozen=True, kw_only=True):
    """Somebody says that they are this student's parent. It shows them nothing yet.

    Asked for again, after it was rejected, revoked or has expired, it is the same link.
    """

    parent_id: StreamId
    student_id: StreamId
    zone_id: ZoneId


@event_type("parent_link.approved", retention=Retention.STATE)
class LinkApproved(Event, frozen=True, kw_only=True):
    """From now on the parent sees what the student sees of their own. It lasts until it is revoked."""


@event_type("parent_link.rejected", retention=Retention.STATE)
class LinkRejected(Event, frozen=True, kw_only=True):
    """The student says no."""


@event_type("parent_link.expired", retention=Retention.STATE)
class LinkExpired(Event, frozen=True, kw_only=True):
    """Nobody has answered the request in time."""


@event_type("parent_link.revoked", retention=Retention.STATE)
class LinkRevoked(Event, frozen=True, kw_only=True):
    """It is over: the parent's next look finds nothing."""

    by: LinkEnd
