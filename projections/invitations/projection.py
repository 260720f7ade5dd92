"""Who is invited where, as it stands; and the addresses that people have verified, by which they find it."""

from collections.abc import Sequence
from typing import ClassVar

from domain.events import Event, PositionedEvent, RecordedEvent
from domain.invitations.events import (
    InvitationAccepted,
    InvitationExpired,
    InvitationRevoked,
    MemberInvited,
)
from domain.users.events import EmailVerified
from projections.projection import Cursor
from projections.rows import Table

INVITATIONS = Table(
    "invitations",
    key=("invitation_id",),
    columns={
        "invitation_id": "text",
        "org_id": "text",
        "organization": "text",
        "zone_id": "text",
        "role": "text",
        "class_id": "text",
        "email": "text",
        "email_hash": "text",
        "invited_at": "timestamptz",
        "expires_at": "timestamptz",
        "status": "text",
        "accepted_by": "text",
        "version": "bigint",
    },
)
VERIFIED_ADDRESSES = Table(
    "verified_addresses",
    key=("user_id",),
    columns={"user_id": "text", "zone_id": "text", "email_hash": "text"},
)


class InvitationsProjection:
    name: ClassVar[str] = "invitations"
    version: ClassVar[int] = 1
    partitioned: ClassVar[bool] = True
    tables: ClassVar[tuple[str, ...]] = ("invitations", "verified_addresses")
    event_types: ClassVar[tuple[type[Event], ...]] = (
        MemberInvited,
        InvitationAccepted,
        InvitationRevoked,
        InvitationExpired,
        EmailVerified,
    )

    def apply(self, cursor: Cursor, events: Sequence[PositionedEvent]) -> None:
        recorded = [each.recorded for each in events if isinstance(each.recorded.event, self.event_types)]
        _apply_invitations(cursor, [each for each in recorded if each.category == "invitation"])
        VERIFIED_ADDRESSES.save(
            cursor,
            {
                each.stream_id: {
                    "user_id": each.stream_id,
                    "zone_id": each.metadata.zone_id,
                    "email_hash": each.event.email_hash,
                }
                for each in recorded
                if isinstance(each.event, EmailVerified)
            }.values(),
        )


def _apply_invitations(cursor: Cursor, recorded: Sequence[RecordedEvent]) -> None:
    rows = INVITATIONS.load(cursor, ((each.stream_id,) for each in recorded))
    for each in recorded:
        invitation_id = each.stream_id
        match each.event:
            case MemberInvited() as event:
                rows.put(
                    {
                        "invitation_id": invitation_id,
                        "org_id": event.org_id,
                        "organization": event.org_name,
                        "zone_id": event.zone_id,
                        "role": event.role,
                        "class_id": event.class_id,
                        "email": event.email,
                        "email_hash": event.email_hash,
                        "invited_at": each.metadata.recorded_at,
                        "expires_at": event.expires_at,
                        "status": "pending",
                        "accepted_by": None,
                        "version": each.version,
                    }
                )
            case InvitationAccepted() as event:
                rows.change(invitation_id, status="accepted", accepted_by=event.user_id)
            case InvitationRevoked():
                rows.change(invitation_id, status="revoked")
            case InvitationExpired():
                rows.change(invitation_id, status="expired")
            case _:
                continue
        rows.change(invitation_id, version=each.version)
    rows.save(cursor)
