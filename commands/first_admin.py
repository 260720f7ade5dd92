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
from domain.users.account import Account, Deactivated, EmailTaken, GrantedRole, Registered
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
    taken, and whoever was stopped halfway carries on by asking for the same address again. Whoever registers
    that address meanwhile gets the stream that the claim names, and not the place: it can be claimed anew.
    """
    email_hash = write.keyed_hash(normal_email(command.email))
    place, first = await _place(write)
    if first is None:
        user_id = await _unused_account(write, email_hash)
        [first] = await write.claims.claim(FIRST_ADMIN_SCOPE, [place], [user_id])
    if first != await write.claims.holder(EMAIL_SCOPE, email_hash):
        raise FirstAdminExists(begun=await _origin(write, first) != "bootstrap")
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
        if await _origin(write, first) != "bootstrap":
            raise
        raise FirstAdminExists(begun=False) from None


async def _place(write: WriteSide) -> tuple[str, StreamId | None]:
    """Under which name the place is to be claimed, and who has claimed it so. Raises `FirstAdminExists`.

    Claims are never given back, so each that came to nothing is followed by one that names it.
    """
    place = _THE_ONLY_ONE
    while (claimed := await write.claims.holder(FIRST_ADMIN_SCOPE, place)) is not None:
        origin = await _origin(write, claimed)
        if origin == "bootstrap":
            raise FirstAdminExists(begun=False)
        if origin is None:
            break
        place = f"{_THE_ONLY_ONE} after {claimed}"
    return place, claimed


async def _unused_account(write: WriteSide, email_hash: str) -> StreamId:
    """The stream that an account of this address is to have. Raises `EmailTaken`."""
    wanted = stream_id("user", write.new_id())
    [user_id] = await write.claims.claim(EMAIL_SCOPE, [email_hash], [wanted])
    if await _origin(write, user_id) is not None:
        raise EmailTaken
    return user_id


async def _origin(write: WriteSide, user_id: StreamId) -> str | None:
    """How the account was made; None where there is none yet."""
    match (await write.streams.read(USER, user_id)).state:
        case Registered() as person:
            return person.origin
        case Deactivated(account=person):
            return person.origin
        case _:
            return None
