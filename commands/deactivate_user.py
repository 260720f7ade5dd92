"""Deactivate an account: it opens nothing any longer.

Who may do it goes by the roles that the asker holds now, not by those that a token names.
"""

import msgspec

from commands.context import CommandContext
from commands.kinds import USER
from commands.roles import ChangeRole, take_role_away
from commands.streams import Outcome
from commands.write_side import WriteSide
from domain.identifiers import StreamId
from domain.users import account
from domain.users.account import Account, Deactivated, Registered, UserNotFound
from domain.users.role_rules import require_may_deactivate


class DeactivateUser(msgspec.Struct, frozen=True, kw_only=True):
    user_id: StreamId
    reason: str


async def deactivate_user(
    write: WriteSide, context: CommandContext, command: DeactivateUser
) -> Outcome[Account]:
    """Raises `UserNotFound`, also for people of whom the asker may not know.

    An account is deactivated with all its roles, so whoever may not take one of them away may not do it:
    raises `OwnRoles` and `RoleNotYoursToChange`; and `AccessNotApplied`, where a system administrator's role
    is gone and the account is not deactivated yet.
    """
    loaded = await write.streams.read(USER, command.user_id)
    person = loaded.state.account if isinstance(loaded.state, Deactivated) else loaded.state
    if not isinstance(person, Registered):
        raise UserNotFound
    if context.actor.kind != "operator":
        asker = (await write.streams.read(USER, context.actor.id)).state
        if not isinstance(asker, Registered):
            raise UserNotFound
        require_may_deactivate(asker, person, own=context.actor.id == command.user_id)
        await _leave_an_administrator(write, context, command.user_id, loaded.state)
    return await write.streams.execute(
        context.within(loaded.owner.zone_id, loaded.owner.org_id),
        USER,
        command.user_id,
        lambda state: account.deactivate(state, command.reason),
    )


async def _leave_an_administrator(
    write: WriteSide, context: CommandContext, user_id: StreamId, state: Account
) -> None:
    """Two who deactivate each other at the same moment would leave the system without an administrator.

    A deactivation is for good; a role that was taken away is given back where the asker lost their own.
    """
    if isinstance(state, Registered) and state.role("sys_admin", None) is not None:
        # An order of its own: the one with the asker's key is the deactivation.
        taking = msgspec.structs.replace(context, command_id=write.new_id(), repeatable=False)
        await take_role_away(write, taking, ChangeRole(user_id=user_id, role="sys_admin"))
