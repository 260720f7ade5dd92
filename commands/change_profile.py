"""Change one's own profile."""

import msgspec

from commands.context import CommandContext
from commands.kinds import USER
from commands.streams import Outcome
from commands.write_side import WriteSide
from domain.identifiers import StreamId
from domain.languages import Language
from domain.users.account import Account, Registered, UserNotFound
from domain.users.account import change_profile as decide


class ChangeProfile(msgspec.Struct, frozen=True, kw_only=True):
    """What is None stays as it is."""

    user_id: StreamId
    display_name: str | None = None
    language: Language | None = None
    expected_version: int | None = None


async def change_profile(
    write: WriteSide, context: CommandContext, command: ChangeProfile
) -> Outcome[Account]:
    """Raises `UserNotFound`; `StaleVersion` where an expected version is given and is not the newest."""
    account = await write.streams.peek(USER, command.user_id)
    if not isinstance(account.state, Registered):
        raise UserNotFound
    return await write.streams.execute(
        context.within(account.owner.zone_id, account.owner.org_id),
        USER,
        command.user_id,
        lambda state: decide(state, command.display_name, command.language),
        expected_version=command.expected_version,
    )
