"""Grant a role, confirm it, take it away; and what follows from losing one.

Who may do it goes by the roles that the asker holds now, not by those that a token names. A role that is lost
opens nothing from the moment that the command is acknowledged: access tokens of before are refused, so that
the next refresh gives one without it, and the read side has taken note.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from commands.context import CommandContext
from commands.kinds import ORGANIZATION, USER
from commands.streams import Outcome
from commands.write_side import WriteSide
from domain.events import Event
from domain.identifiers import StreamId
from domain.organizations.organization import Founded, OrganizationNotFound
from domain.users import account
from domain.users.account import Account, Registered, UserIsDeactivated, UserNotFound
from domain.users.events import RoleLapse
from domain.users.role_rules import (
    OrganizationOfAnotherZone,
    RoleNotYoursToChange,
    require_holdable,
    require_may_change,
    require_may_know,
)
from domain.zones import Role


class ChangeRole(msgspec.Struct, frozen=True, kw_only=True):
    """Which role of whom is meant; without `org_id` the one that is held in the whole zone."""

    user_id: StreamId
    role: Role
    org_id: StreamId | None = None


async def grant_role(write: WriteSide, context: CommandContext, command: ChangeRole) -> Outcome[Account]:
    """Changes nothing where the role is held.

    Raises `UserNotFound`, `UserIsDeactivated`, `OrganizationNotFound`, `OrganizationOfAnotherZone`,
    `RoleNotGrantable`, `RoleNotYoursToChange`, `OwnRoles`.
    """
    await _authorized(write, context, command)
    granted = await give_role(write, context, command)
    try:
        await _authorized(write, context, command)
    except RoleNotYoursToChange:
        # Lost between the look and the append: what was granted then was not theirs to grant.
        if granted.events:
            await end_role(write, _another_order(write, context), command, "removed")
        raise
    return granted


async def confirm_role(write: WriteSide, context: CommandContext, command: ChangeRole) -> Outcome[Account]:
    """Somebody else stands for it that the role is still to be held.

    Raises as `grant_role`, and `RoleNotHeld`.
    """
    await _authorized(write, context, command)
    role, org_id = command.role, command.org_id
    return await _change(
        write, context, command, lambda state, now: account.confirm_role(state, role, org_id, now)
    )


async def take_role_away(write: WriteSide, context: CommandContext, command: ChangeRole) -> Outcome[Account]:
    """Changes nothing where the role is not held.

    Raises as `grant_role`, and `AccessNotApplied` where it is recorded and cannot yet be said to be in force.
    """
    await _authorized(write, context, command)
    role, org_id = command.role, command.org_id
    taken = await _change(
        write, context, command, lambda state, _now: account.take_role_away(state, role, org_id, "removed")
    )
    if command.role == "sys_admin" and context.actor.kind == "user":
        # Before anything that may fail: two who are stopped there would have left nobody.
        await _require_still_held(write, context, command)
    return await _in_force(write, command, taken)


async def give_role(write: WriteSide, context: CommandContext, command: ChangeRole) -> Outcome[Account]:
    """As `grant_role`, for callers who have a right of their own to do it, such as an accepted invitation.

    Raises `UserNotFound`, `UserIsDeactivated`, `OrganizationNotFound`, `OrganizationOfAnotherZone`,
    `RoleNotGrantable`.
    """
    require_holdable(command.role, command.org_id)
    person = await _person(write, command.user_id)
    await _require_organization(write, person, command.org_id)
    role, org_id = command.role, command.org_id
    return await _change(
        write, context, command, lambda state, now: account.grant_role(state, role, org_id, now)
    )


async def end_role(
    write: WriteSide, context: CommandContext, command: ChangeRole, reason: RoleLapse
) -> Outcome[Account]:
    """As `take_role_away`, for callers who have a right of their own to do it.

    Raises `UserNotFound`, `UserIsDeactivated`, `AccessNotApplied`.
    """
    return await _end(
        write,
        context,
        command,
        lambda state, _now: account.take_role_away(state, command.role, command.org_id, reason),
    )


async def lapse_unconfirmed(
    write: WriteSide, context: CommandContext, command: ChangeRole, reviewed_at: datetime | None
) -> Outcome[Account]:
    """Nobody has confirmed the role since then, and its time is over. Changes nothing where somebody has."""
    return await _end(
        write,
        context,
        command,
        lambda state, _now: account.lapse_unconfirmed(state, command.role, command.org_id, reviewed_at),
    )


async def _end(
    write: WriteSide,
    context: CommandContext,
    command: ChangeRole,
    decide: Callable[[Account, datetime], Sequence[Event]],
) -> Outcome[Account]:
    return await _in_force(write, command, await _change(write, context, command, decide))


async def _in_force(write: WriteSide, command: ChangeRole, ended: Outcome[Account]) -> Outcome[Account]:
    """Returns when nobody goes by the role any longer, where it is gone."""
    held = ended.state.role(command.role, command.org_id) if isinstance(ended.state, Registered) else None
    if held is None and ended.version:
        # Also where it was gone before: whoever took it away may have been stopped at this point.
        await write.older_tokens.end_older(ended.stream_id, ended.version)
        await write.access_applied.wait(ended.stream_id, ended.version)
    return ended


async def _change(
    write: WriteSide,
    context: CommandContext,
    command: ChangeRole,
    decide: Callable[[Account, datetime], Sequence[Event]],
) -> Outcome[Account]:
    owner = (await write.streams.read(USER, command.user_id)).owner
    return await write.streams.execute(
        context.within(owner.zone_id, command.org_id or owner.org_id),
        USER,
        command.user_id,
        lambda state: decide(state, write.clock()),
    )


async def _authorized(write: WriteSide, context: CommandContext, command: ChangeRole) -> None:
    """First whether the changer may do it at all: only then anything is said of whose role it is."""
    require_holdable(command.role, command.org_id)
    changer: Registered | None = None
    if context.actor.kind != "operator":
        asker = (await write.streams.read(USER, context.actor.id)).state
        if not isinstance(asker, Registered):
            raise RoleNotYoursToChange(role=command.role, org_id=command.org_id)
        own = context.actor.id == command.user_id
        require_may_change(asker, command.role, command.org_id, own=own)
        changer = asker
    state = (await write.streams.read(USER, command.user_id)).state
    person = state.account if isinstance(state, account.Deactivated) else state
    if not isinstance(person, Registered):
        raise UserNotFound
    if changer is not None:
        require_may_know(changer, person, command.org_id)
    if person is not state:
        raise UserIsDeactivated


async def _person(write: WriteSide, user_id: StreamId) -> Registered:
    match (await write.streams.read(USER, user_id)).state:
        case Registered() as person:
            return person
        case account.Deactivated():
            raise UserIsDeactivated
        case _:
            raise UserNotFound


async def _require_organization(write: WriteSide, person: Registered, org_id: StreamId | None) -> None:
    if org_id is None:
        return
    organization = (await write.streams.read(ORGANIZATION, org_id)).state
    if not isinstance(organization, Founded):
        raise OrganizationNotFound
    if organization.zone_id != person.zone_id:
        raise OrganizationOfAnotherZone


async def _require_still_held(write: WriteSide, context: CommandContext, command: ChangeRole) -> None:
    """Two administrators who take the role from each other at the same moment would leave none.

    Each looks at their own role after having taken the other's, so at least one of them finds it gone, and
    gives back what they took.
    """
    changer = (await write.streams.read(USER, context.actor.id)).state
    if not isinstance(changer, Registered) or changer.role("sys_admin", None) is None:
        await give_role(write, _another_order(write, context), command)
        raise RoleNotYoursToChange(role=command.role, org_id=command.org_id)


def _another_order(write: WriteSide, context: CommandContext) -> CommandContext:
    """By the same asker; what came with the asker's idempotency key counts as done already."""
    return msgspec.structs.replace(context, command_id=write.new_id(), repeatable=False)
