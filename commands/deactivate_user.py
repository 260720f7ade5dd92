"""Deactivate an account: it opens nothing any longer."""

import msgspec

from commands.context import CommandContext
from commands.kinds import USER
from commands.streams import Outcome
from commands.write_side import WriteSide
from domain.identifiers import StreamId
from domain.users import account
from domain.users.account import Account, Deactivated, Registered, UserNotFound
from domain.users.role_rules import REVIEWED_ROLES, OwnRoles, RoleNotYoursToChange


class DeactivateUser(msgspec.Struct, frozen=True, kw_only=True):
    """`within_orgs` are the organisations whose people the asker may deactivate; None: anybody's."""

    user_id: StreamId
    reason: str
    within_orgs: frozenset[StreamId] | None


async def deactivate_user(
    write: WriteSide, context: CommandContext, command: DeactivateUser
) -> Outcome[Account]:
    """Raises `UserNotFound`, also for people of whom the asker may not know.

    An account is deactivated with all its roles, so whoever may not take an administrator's role away may not
    do it to one: raises `OwnRoles` and `RoleNotYoursToChange`.
    """
    loaded = await write.streams.read(USER, command.user_id)
    person = loaded.state.account if isinstance(loaded.state, Deactivated) else loaded.state
    if not isinstance(person, Registered):
        raise UserNotFound
    if command.within_orgs is not None and not person.org_ids & command.within_orgs:
        raise UserNotFound
    _require_may_deactivate(context, command, person)
    return await write.streams.execute(
        context.within(loaded.owner.zone_id, loaded.owner.org_id),
        USER,
        command.user_id,
        lambda state: account.deactivate(state, command.reason),
    )


def _require_may_deactivate(context: CommandContext, command: DeactivateUser, person: Registered) -> None:
    for role in REVIEWED_ROLES:
        if person.role(role, None) is None:
            continue
        if command.within_orgs is not None:
            raise RoleNotYoursToChange(role=role, org_id=None)
        # Or the last system administrator could leave the system without one.
        if context.actor.id == command.user_id:
            raise OwnRoles(role=role, org_id=None)
