"""Invitations: somebody is invited by mail, and becomes a member by accepting.

Whether the address is anybody's is looked at by nobody: the answer, and what it takes, are the same
in either case. Accepting asks for an account whose verified address is the one that the mail was sent to, so
the id of an invitation opens nothing by itself.
"""

import math
from datetime import datetime, time, timedelta
from typing import Final

import msgspec

from commands.classes import Part
from commands.context import CommandContext
from commands.kinds import CLASS, INVITATION, USER
from commands.organizations import administered
from commands.ports import VersionConflict
from commands.register_user import normal_email
from commands.streams import MAX_TRIES, Loaded, Outcome
from commands.write_side import WriteSide
from domain.classes import school_class
from domain.classes.school_class import ClassIsClosed, ClassNotFound, Closed, Open, organization_of
from domain.errors import Denied, IllegalState, Malformed
from domain.events import Event
from domain.identifiers import StreamId, stream_id
from domain.invitations import invitation
from domain.invitations.events import MemberInvited, MemberRole
from domain.invitations.invitation import (
    Ended,
    Invitation,
    InvitationNotFound,
    InvitedToOtherZone,
    Pending,
    is_open,
)
from domain.languages import Language
from domain.organizations.organization import OrganizationNotFound
from domain.users.account import Registered, grant_role
from domain.users.role_rules import RoleNotYoursToChange

INVITATION_SCOPE: Final = "invitation"
MAIL_SCOPE: Final = "invitation-mail"
GOOD_FOR: Final = timedelta(days=14)
MAILS_A_DAY: Final = 5
"""From one organisation to one address, whatever became of the invitations. Days are those of UTC."""

PART_OF_ROLE: Final[dict[MemberRole, Part]] = {"student": "student", "teacher": "teacher", "tutor": "teacher"}


class RoleHasNoClass(Malformed):
    code = "role-has-no-class"
    title = "Only students, teachers and tutors are in classes"


class EmailNotVerified(Denied):
    code = "email-not-verified"
    title = "First confirm your e-mail address by the link that was sent to it"


class TooManyInvitations(IllegalState):
    """The organisation has written to this address `at_most` times today (UTC), taken back or not.

    Carries `retry_after_s`.
    """

    code = "too-many-invitations"
    title = "This address was invited by the organisation as often as it may be in one day"


class InviteMember(msgspec.Struct, frozen=True, kw_only=True):
    """`class_id` is the class that they are put into on accepting."""

    org_id: StreamId
    email: str
    role: MemberRole
    language: Language
    class_id: StreamId | None = None


class RevokeInvitation(msgspec.Struct, frozen=True, kw_only=True):
    org_id: StreamId
    invitation_id: StreamId


async def invite_member(
    write: WriteSide, context: CommandContext, command: InviteMember
) -> Outcome[Invitation]:
    """Changes nothing, and writes to nobody, where the same invitation is open.

    Administrators of the zone may invite an organisation's administrators and nobody else. Raises
    `OrganizationNotFound`, `RoleNotYoursToChange`, `RoleHasNoClass`, `ClassNotFound`, `ClassIsClosed`,
    `TooManyInvitations`.
    """
    place = await administered(write, context, command.org_id, by_zone=True)
    if place.by_zone and command.role != "org_admin":
        raise RoleNotYoursToChange(role=command.role, org_id=command.org_id)
    if command.class_id is not None:
        await _require_class(write, command.org_id, command.class_id, command.role)
    email_hash = write.keyed_hash(normal_email(command.email))
    key = write.keyed_hash(f"{command.org_id}|{email_hash}|{command.role}|{command.class_id or ''}")
    wanted = stream_id("invitation", context.command_id)
    [invitation_id] = await write.claims.claim(INVITATION_SCOPE, [key], [wanted])
    done = await write.streams.done_before(context, INVITATION, invitation_id)
    if done is not None:
        # Whatever became of the invitation since: nobody is written to a second time for one request.
        return done
    now = write.clock()
    invited = MemberInvited(
        org_id=command.org_id,
        org_name=place.organization.name,
        zone_id=place.organization.zone_id,
        role=command.role,
        email=command.email,
        email_hash=email_hash,
        language=command.language,
        expires_at=now + GOOD_FOR,
        class_id=command.class_id,
    )
    known = await write.streams.read(INVITATION, invitation_id)
    if not is_open(known.state, now):
        await _count(write, f"{command.org_id}|{email_hash}", f"{invitation_id}@{known.version}", now)
        await write.mail.to_invitee(invitation_id, context.command_id)
    return await write.streams.execute(
        place.context(context),
        INVITATION,
        invitation_id,
        lambda state: invitation.invite(state, invited, now),
    )


async def accept_invitation(
    write: WriteSide, context: CommandContext, invitation_id: StreamId
) -> Outcome[Invitation]:
    """The asker becomes a member, and is put into the class if it is still open: all of it or nothing.

    Accepting a second time changes nothing, also where the membership has ended since. Raises
    `InvitationNotFound`, also where it was sent to another address, and where whoever sent it could not
    invite to it any more; `EmailNotVerified`, `InvitationOver`,
    `InvitedToOtherZone`.
    """
    done = await write.streams.done_before(context, INVITATION, invitation_id)
    if done is not None:
        return done
    for _ in range(MAX_TRIES):
        loaded = await write.streams.read(INVITATION, invitation_id)
        person = await write.streams.read(USER, context.actor.id)
        if not isinstance(person.state, Registered) or person.state.email is None:
            raise InvitationNotFound
        email_hash = write.keyed_hash(normal_email(person.state.email))
        accepted = invitation.accept(loaded.state, context.actor.id, email_hash, write.clock())
        if not accepted:
            return _outcome(invitation_id, loaded)
        if not person.state.email_verified:
            raise EmailNotVerified
        invited = _invited(loaded.state)
        if person.state.zone_id != invited.zone_id:
            raise InvitedToOtherZone
        await _require_still_inviting(write, context, invitation_id, invited)
        granted = grant_role(person.state, invited.role, invited.org_id, write.clock())
        appends = [(context.actor.id, person.version, granted)]
        if invited.class_id is not None:
            appends.append(await _put_into_class(write, invited.class_id, invited.role, context.actor.id))
        appends.append((invitation_id, loaded.version, accepted))
        try:
            await write.streams.execute_many(context.within(invited.zone_id, invited.org_id), appends)
        except VersionConflict:
            continue
        after = await write.streams.read(INVITATION, invitation_id)
        return _outcome(invitation_id, after, *accepted)
    raise VersionConflict


async def revoke_invitation(
    write: WriteSide, context: CommandContext, command: RevokeInvitation
) -> Outcome[Invitation]:
    """Changes nothing where it was revoked or has expired.

    Raises `OrganizationNotFound`, `InvitationNotFound`, and `InvitationOver` where it was accepted.
    """
    place = await administered(write, context, command.org_id, by_zone=True)
    state = (await write.streams.read(INVITATION, command.invitation_id)).state
    if not isinstance(state, Pending | Ended) or state.invited.org_id != command.org_id:
        raise InvitationNotFound
    if place.by_zone and state.invited.role != "org_admin":
        raise InvitationNotFound
    return await write.streams.execute(
        place.context(context), INVITATION, command.invitation_id, invitation.revoke
    )


async def expire_invitation(
    write: WriteSide, context: CommandContext, invitation_id: StreamId
) -> Outcome[Invitation]:
    """Nothing before its time, and nothing a second time."""
    owner = (await write.streams.read(INVITATION, invitation_id)).owner
    return await write.streams.execute(
        context.within(owner.zone_id, owner.org_id),
        INVITATION,
        invitation_id,
        lambda state: invitation.expire(state, write.clock()),
    )


async def _count(write: WriteSide, to: str, letter: str, now: datetime) -> None:
    """Takes one of the places of the day for this letter; raises `TooManyInvitations` where all are taken.

    Orders of the same letter at the same moment share a place, and so does one that was stopped and comes
    again.
    """
    keys = [write.keyed_hash(f"{to}|{now.date().isoformat()}|{nth}") for nth in range(MAILS_A_DAY)]
    taken = await write.claims.holders(MAIL_SCOPE, keys)
    for key, holder in zip(keys, taken, strict=True):
        if letter == (holder or (await write.claims.claim(MAIL_SCOPE, [key], [letter]))[0]):
            return
    tomorrow = datetime.combine(now.date() + timedelta(days=1), time(), now.tzinfo)
    raise TooManyInvitations(at_most=MAILS_A_DAY, retry_after_s=math.ceil((tomorrow - now).total_seconds()))


async def _require_still_inviting(
    write: WriteSide, context: CommandContext, invitation_id: StreamId, invited: MemberInvited
) -> None:
    """Raises `InvitationNotFound` where whoever sent the invitation may not send it any more."""
    history = await write.streams.history(INVITATION, invitation_id)
    inviter = [each.metadata.actor for each in history if isinstance(each.event, MemberInvited)][-1]
    asked = msgspec.structs.replace(context, actor=inviter)
    try:
        place = await administered(write, asked, invited.org_id, by_zone=True)
    except OrganizationNotFound:
        raise InvitationNotFound from None
    if place.by_zone and invited.role != "org_admin":
        raise InvitationNotFound


async def _require_class(write: WriteSide, org_id: StreamId, class_id: StreamId, role: MemberRole) -> None:
    if role not in PART_OF_ROLE:
        raise RoleHasNoClass(role=role)
    state = (await write.streams.read(CLASS, class_id)).state
    if organization_of(state) != org_id:
        raise ClassNotFound
    if isinstance(state, Closed):
        raise ClassIsClosed


async def _put_into_class(
    write: WriteSide, class_id: StreamId, role: MemberRole, user_id: StreamId
) -> tuple[StreamId, int, list[Event]]:
    """A class that was closed since takes nobody in; the membership is theirs all the same."""
    loaded = await write.streams.read(CLASS, class_id)
    if not isinstance(loaded.state, Open):
        return class_id, loaded.version, []
    decide = school_class.enroll_students if PART_OF_ROLE[role] == "student" else school_class.assign_teachers
    return class_id, loaded.version, decide(loaded.state, [user_id])


def _invited(state: Invitation) -> MemberInvited:
    assert isinstance(state, Pending | Ended)
    return state.invited


def _outcome(invitation_id: StreamId, loaded: Loaded[Invitation], *events: Event) -> Outcome[Invitation]:
    return Outcome(invitation_id, loaded.state, loaded.version, loaded.owner, events)
