"""Who administers the system first: made once, from the command line, and never again."""

import msgspec

from commands.context import CommandContext
from commands.kinds import USER
from commands.register_user import EMAIL_SCOPE, RegisterUser, normal_email, register_user
from commands.streams import Outcome
from commands.write_side import WriteSide
from domain.errors import IllegalState
from domain.identifiers import StreamId, stream_id
from domain.languages import Language
from domain.users.account import Account, EmailTaken, GrantedRole, Unregistered
from domain.zones import ZoneId

FIRST_ADMIN_SCOPE = "first_sys_admin"
_THE_ONLY_ONE = "first"


class FirstAdminExists(IllegalState):
    """`begun` where an earlier attempt with another address was stopped before the account was made."""

    code = "first-admin-exists"
    title = "The first system administrator was made before"

    def detail(self) -> str:
        if self.begun:
            return "The first system administrator was begun with another address: name that one again."
        return f"{self.title}; whoever is one can make others."


class FirstAdmin(msgspec.Struct, frozen=True, kw_only=True):
    email: str
    password: str
    display_name: str
    language: Language
    zone_id: ZoneId


async def make_first_admin(
    write: WriteSide, context: CommandContext, command: FirstAdmin
) -> Outcome[Account]:
    """Raises `FirstAdminExists`, and `EmailTaken` where the address has an account already.

    A claim says whose the place is before the account exists: of two who come at once one is told that it is
    taken, and whoever was stopped halfway carries on by asking for the same address again.
    """
    first = await write.claims.holder(FIRST_ADMIN_SCOPE, _THE_ONLY_ONE)
    email_hash = write.keyed_hash(normal_email(command.email))
    if first is None:
        user_id = await _unused_account(write, email_hash)
        [first] = await write.claims.claim(FIRST_ADMIN_SCOPE, [_THE_ONLY_ONE], [user_id])
    is_made = await _is_registered(write, first)
    if is_made or first != await write.claims.holder(EMAIL_SCOPE, email_hash):
        raise FirstAdminExists(begun=not is_made)
    registration = RegisterUser(
        email=command.email,
        password=command.password,
        display_name=command.display_name,
        language=command.language,
        zone_id=command.zone_id,
        origin="bootstrap",
        roles=(GrantedRole("sys_admin", None, write.clock()),),
    )
    try:
        return await register_user(write, context, registration)
    except EmailTaken:
        raise FirstAdminExists(begun=False) from None


async def _unused_account(write: WriteSide, email_hash: str) -> StreamId:
    """The stream that an account of this address is to have. Raises `EmailTaken`."""
    wanted = stream_id("user", write.new_id())
    [user_id] = await write.claims.claim(EMAIL_SCOPE, [email_hash], [wanted])
    if await _is_registered(write, user_id):
        raise EmailTaken
    return user_id


async def _is_registered(write: WriteSide, user_id: StreamId) -> bool:
    return not isinstance((await write.streams.read(USER, user_id)).state, Unregistered)
