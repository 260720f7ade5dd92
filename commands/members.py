"""Members of an organisation: a role is given to somebody it knows, and all of them are taken away again.

Strangers are invited: see `commands.invitations`.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from commands.classes import take_out_of_class
from commands.context import CommandContext
from commands.kinds import CLASS, USER
from commands.organizations import administered
from commands.ports import VersionConflict
from commands.roles import ChangeRole, grant_role
from commands.streams import MAX_TRIES, Outcome
from commands.write_side import WriteSide
from domain.classes import school_class
from domain.errors import NotFound
from domain.events import Event
from domain.identifiers import StreamId
from domain.invitations.events import MemberRole
from domain.users.account import Account, Registered, take_role_away
from domain.users.role_rules import OwnRoles


class MemberNotFound(NotFound):
    """Nobody of this id holds a role in the organisation, whether or not there is such a person."""

    code = "member-not-found"
    title = "The organisation has no such member"


class ClassLists(Protocol):
    """Who is in which class, as the read side has it. It may lag."""

    async def classes_of(self, user_id: StreamId, org_id: StreamId) -> Sequence[StreamId]:
        """The classes of the organisation that the person teaches or is a student of."""
        ...


class AddMember(msgspec.Struct, frozen=True, kw_only=True):
    org_id: StreamId
    user_id: StreamId
    role: MemberRole


class RemoveMember(msgspec.Struct, frozen=True, kw_only=True):
    org_id: StreamId
    user_id: StreamId


async def add_member(write: WriteSide, context: CommandContext, command: AddMember) -> Outcome[Account]:
    """Gives a role to somebody whom the organisation enrolled or who is a member already.

    Changes nothing where the role is held. Raises `OrganizationNotFound`; `UserNotFound` for everybody else,
    except that administrators of the system may make a member of anybody; `UserIsDeactivated`, `OwnRoles`,
    `OrganizationOfAnotherZone`.
    """
    await administered(write, context, command.org_id)
    wanted = ChangeRole(user_id=command.user_id, role=command.role, org_id=command.org_id)
    return await grant_role(write, context, wanted)


async def remove_member(
    write: WriteSide, classes: ClassLists, context: CommandContext, command: RemoveMember
) -> Outcome[Account]:
    """Takes all roles in the organisation away, and the classes with them.

    It returns when the read side goes by it and tokens that name the roles are refused. Whom the
    organisation enrolled may be removed again: nothing changes. Raises `OrganizationNotFound`,
    `MemberNotFound`, `OwnRoles`, `AccessNotApplied`.
    """
    place = await administered(write, context, command.org_id)
    if command.user_id == context.actor.id:
        raise OwnRoles(org_id=command.org_id)
    context = place.context(context)
    outcome = await write.streams.done_before(context, USER, command.user_id)
    if outcome is None:
        outcome = await _removed(write, classes, context, command)
    # Also where the roles were gone before: whoever took them away may have been stopped at this point.
    await write.older_tokens.end_older(command.user_id, outcome.version)
    await write.access_applied.wait(outcome.stream_id, outcome.version)
    # By now the lists have every class that they were put into before they ceased to be members.
    for class_id in await classes.classes_of(command.user_id, command.org_id):
        left = await take_out_of_class(write, context, class_id, command.user_id)
        await write.access_applied.wait(left.stream_id, left.version)
    return outcome


async def _removed(
    write: WriteSide, classes: ClassLists, context: CommandContext, command: RemoveMember
) -> Outcome[Account]:
    for _ in range(MAX_TRIES):
        person = await write.streams.read(USER, command.user_id)
        state = person.state
        if not isinstance(state, Registered) or command.org_id not in state.known_to:
            raise MemberNotFound
        lapses: list[Event] = []
        for held in state.roles:
            if held.org_id == command.org_id:
                lapses += take_role_away(state, held.role, command.org_id, "removed")
        appends = [(command.user_id, person.version, lapses)]
        for class_id in await classes.classes_of(command.user_id, command.org_id):
            loaded = await write.streams.read(CLASS, class_id)
            appends.append((class_id, loaded.version, school_class.take_out(loaded.state, command.user_id)))
        try:
            await write.streams.execute_many(context, appends)
        except VersionConflict:
            continue
        after = await write.streams.read(USER, command.user_id)
        return Outcome(command.user_id, after.state, after.version, after.owner, tuple(lapses))
    raise VersionConflict
