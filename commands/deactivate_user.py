"""Deactivate an account: it opens nothing any longer."""

import msgspec

from commands.context import CommandContext
from commands.kinds import USER
from commands.streams import Outcome
from commands.write_side import WriteSide
from domain.identifiers import StreamId
from domain.users import account
from domain.users.account import Account, Deactivated, Registered, UserNotFound


class DeactivateUser(msgspec.Struct, frozen=True, kw_only=True):
    """`within_orgs` are the organisations whose people the asker may deactivate; None: anybody's."""

    user_id: StreamId
    reason: str
    within_orgs: frozenset[StreamId] | None


async def deactivate_user(
    write: WriteSide, context: CommandContext, command: DeactivateUser
) -> Outcome[Account]:
    """Raises `UserNotFound`, also for people of whom the asker may not know."""
    loaded = await write.streams.read(USER, command.user_id)
    person = loaded.state.account if isinstance(loaded.state, Deactivated) else loaded.state
    if not isinstance(person, Registered):
        raise UserNotFound
    if command.within_orgs is not None and not person.org_ids & command.within_orgs:
        raise UserNotFound
    return await write.streams.execute(
        context.within(loaded.owner.zone_id, loaded.owner.org_id),
        USER,
        command.user_id,
        lambda state: account.deactivate(state, command.reason),
    )
