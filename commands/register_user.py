"""Register: somebody gets an account under an e-mail address that nobody else has."""

import unicodedata
from typing import Literal

import msgspec

from commands.context import CommandContext
from commands.kinds import USER
from commands.streams import Outcome
from commands.write_side import WriteSide
from commands.zones import require_active_zone
from domain.events import Actor
from domain.identifiers import StreamId, stream_id
from domain.languages import Language
from domain.users.account import (
    Account,
    AlreadyRegistered,
    EmailTaken,
    GrantedRole,
    Unregistered,
    register,
)
from domain.users.events import UserRegistered
from domain.zones import ZoneId

EMAIL_SCOPE = "email"


class RegisterUser(msgspec.Struct, frozen=True, kw_only=True):
    email: str
    password: str
    display_name: str
    language: Language
    zone_id: ZoneId
    origin: Literal["self", "bootstrap"] = "self"
    roles: tuple[GrantedRole, ...] = (GrantedRole("student"),)
    org_id: StreamId | None = None
    country: str | None = None
    birth_date: str | None = None


def normal_email(email: str) -> str:
    """The form under which two spellings of an address are the same account."""
    return unicodedata.normalize("NFKC", email).strip().casefold()


async def register_user(write: WriteSide, context: CommandContext, command: RegisterUser) -> Outcome[Account]:
    """Raises `EmailTaken`, and `ZoneNotActive` where somebody registers themselves.

    The address is claimed first and the account is what the first append makes of it, so two people
    (or one person's double click) cannot both have it, and a crash in between blocks nobody.
    """
    if command.origin == "self":
        await require_active_zone(write, command.zone_id)
    email_hash = write.keyed_hash(normal_email(command.email))
    with write.hasher.place():
        wanted = stream_id("user", write.new_id())
        [user_id] = await write.claims.claim(EMAIL_SCOPE, [email_hash], [wanted])
        if not isinstance((await write.streams.read(USER, user_id)).state, Unregistered):
            # Said before the slow hash, of which a stranger could order any number.
            done = await write.streams.done_before(context, USER, user_id)
            if done is None:
                raise EmailTaken
            return done
        hash_ = await write.hasher.hash(command.password)
    # The password record is named by the event. Whoever loses the race leaves an unnamed record.
    credential_id = write.new_id()
    await write.credentials.put(credential_id, user_id, "password", hash_)
    registered = UserRegistered(
        origin=command.origin,
        zone_id=command.zone_id,
        display_name=command.display_name,
        language=command.language,
        email=command.email,
        email_hash=email_hash,
        credential_id=credential_id,
        org_id=command.org_id,
        country=command.country,
        birth_date=command.birth_date,
    )
    if command.origin == "self":
        context = msgspec.structs.replace(context, actor=Actor("user", user_id))
        await write.mail.to_person("verify_email", user_id)
    try:
        return await write.streams.execute(
            context.within(command.zone_id, command.org_id),
            USER,
            user_id,
            lambda state: register(state, registered, command.roles),
        )
    except AlreadyRegistered:
        raise EmailTaken from None
