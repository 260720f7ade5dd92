"""An invitation: pending until it is accepted, revoked or expired; then somebody may be invited anew."""

from datetime import datetime
from typing import Literal, TypeAlias, assert_never

import msgspec

from domain.errors import IllegalState, NotFound
from domain.events import Event
from domain.identifiers import StreamId
from domain.invitations.events import (
    InvitationAccepted,
    InvitationExpired,
    InvitationRevoked,
    MemberInvited,
)

End: TypeAlias = Literal["accepted", "revoked", "expired"]


class NotInvited(msgspec.Struct, frozen=True):
    pass


class Pending(msgspec.Struct, frozen=True):
    invited: MemberInvited


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """`accepted_by` is who became a member by it."""

    invited: MemberInvited
    how: End
    accepted_by: StreamId | None = None


Invitation: TypeAlias = NotInvited | Pending | Ended


class InvitationNotFound(NotFound):
    code = "invitation-not-found"
    title = "There is no such invitation"


class InvitationOver(IllegalState):
    """`status` says how it ended: accepted, revoked or expired."""

    code = "invitation-over"
    title = "This invitation is not open any more"


class InvitedToOtherZone(IllegalState):
    """People belong to one zone, and an organisation has none of another's."""

    code = "invited-to-other-zone"
    title = "The organisation belongs to another zone than your account"


def evolve(state: Invitation, event: Event) -> Invitation:
    """The invitation after one more fact; facts it does not know leave it as it is."""
    if isinstance(event, MemberInvited):
        return Pending(event)
    if not isinstance(state, Pending):
        return state
    match event:
        case InvitationAccepted():
            return Ended(invited=state.invited, how="accepted", accepted_by=event.user_id)
        case InvitationRevoked():
            return Ended(invited=state.invited, how="revoked")
        case InvitationExpired():
            return Ended(invited=state.invited, how="expired")
        case _:
            return state


def is_open(state: Invitation, now: datetime) -> bool:
    return isinstance(state, Pending) and now < state.invited.expires_at


def invite(state: Invitation, invited: MemberInvited, now: datetime) -> list[Event]:
    """Nothing where it is open: whoever is invited twice is not written to twice."""
    match state:
        case NotInvited() | Ended():
            return [invited]
        case Pending():
            return [] if is_open(state, now) else [InvitationExpired(), invited]
        case _:
            assert_never(state)


def accept(state: Invitation, user_id: StreamId, email_hash: str, now: datetime) -> list[Event]:
    """No event where the same person accepted it before.

    Raises `InvitationNotFound`, also for those to whom it was not sent, and `InvitationOver`.
    """
    match state:
        case NotInvited():
            raise InvitationNotFound
        case Pending():
            if state.invited.email_hash != email_hash:
                raise InvitationNotFound
            if now >= state.invited.expires_at:
                raise InvitationOver(status="expired")
            return [InvitationAccepted(user_id=user_id)]
        case Ended():
            if state.invited.email_hash != email_hash:
                raise InvitationNotFound
            if state.accepted_by == user_id:
                return []
            raise InvitationOver(status=state.how)
        case _:
            assert_never(state)


def revoke(state: Invitation) -> list[Event]:
    """No event where it was revoked or has expired. Raises `InvitationNotFound`, `InvitationOver`."""
    match state:
        case NotInvited():
            raise InvitationNotFound
        case Pending():
            return [InvitationRevoked()]
        case Ended():
            if state.how == "accepted":
                raise InvitationOver(status=state.how)
            return []
        case _:
            assert_never(state)


def expire(state: Invitation, now: datetime) -> list[Event]:
    """Nothing before its time, and nothing a second time."""
    if isinstance(state, Pending) and now >= state.invited.expires_at:
        return [InvitationExpired()]
    return []
