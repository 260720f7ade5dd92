"""Passwords and addresses: change a password, set a forgotten one anew, prove that an address is read."""

from typing import Literal

import msgspec

from commands.context import CommandContext
from commands.kinds import USER
from commands.ports import Links
from commands.register_user import normal_email
from commands.sign_in import WrongCredentials, secret_matches
from commands.streams import Outcome
from commands.write_side import WriteSide
from domain.errors import Denied
from domain.events import Actor
from domain.identifiers import StreamId
from domain.users import account
from domain.users.account import Account, Registered, UserNotFound


class LinkRefused(Denied):
    """The link was used before, is too old, or was never sent; which of them is not told."""

    code = "link-refused"
    title = "This link is not good any more; ask for another"


async def change_password(
    write: WriteSide, context: CommandContext, user_id: StreamId, present: str, wanted: str
) -> Outcome[Account]:
    """Raises `WrongCredentials` where the present password is another, and `UserNotFound`."""
    done = await write.streams.done_before(context, USER, user_id)
    if done is not None:
        return done
    state = (await write.streams.read(USER, user_id)).state
    if not isinstance(state, Registered):
        raise UserNotFound
    if not await secret_matches(write, state.credential_id, present):
        raise WrongCredentials
    return await _set_password(write, context, user_id, wanted, by="present_password")


async def reset_password(
    write: WriteSide, context: CommandContext, links: Links, token: str, wanted: str
) -> Outcome[Account]:
    """Raises `LinkRefused`.

    The link is good until the new password is ready: whoever is told that too many passwords are being
    hashed may come again with it.
    """
    with write.hasher.place():
        if await links.subject(token, "password_reset") is None:
            raise LinkRefused
        hash_ = await write.hasher.hash(wanted)
    user_id = await links.use(token, "password_reset")
    if user_id is None or not isinstance((await write.streams.read(USER, user_id)).state, Registered):
        raise LinkRefused
    context = msgspec.structs.replace(context, actor=Actor("user", user_id))
    return await _set_password(write, context, user_id, wanted, by="emailed_link", hash_=hash_)


async def verify_email(
    write: WriteSide, context: CommandContext, links: Links, token: str
) -> Outcome[Account]:
    """Raises `LinkRefused`."""
    user_id = await links.use(token, "verify_email")
    loaded = None if user_id is None else await write.streams.read(USER, user_id)
    if user_id is None or loaded is None or not isinstance(loaded.state, Registered):
        raise LinkRefused
    email_hash = write.keyed_hash(normal_email(loaded.state.email or ""))
    context = msgspec.structs.replace(context, actor=Actor("user", user_id))
    return await write.streams.execute(
        context.within(loaded.owner.zone_id, loaded.owner.org_id),
        USER,
        user_id,
        lambda state: account.verify_email(state, email_hash),
    )


async def _set_password(  # noqa: PLR0913 - the last two by name
    write: WriteSide,
    context: CommandContext,
    user_id: StreamId,
    wanted: str,
    *,
    by: Literal["present_password", "emailed_link"],
    hash_: str | None = None,
) -> Outcome[Account]:
    loaded = await write.streams.read(USER, user_id)
    assert isinstance(loaded.state, Registered)
    before = loaded.state.credential_id
    email_hash = write.keyed_hash(normal_email(loaded.state.email or ""))
    # As at registration: the event says which record counts, so one that no event names opens nothing.
    credential_id = write.new_id()
    hash_ = hash_ or await write.hasher.hash(wanted)
    await write.credentials.put(credential_id, user_id, "password", hash_)
    await write.mail.to_person("password_changed", user_id, credential_id)
    outcome = await write.streams.execute(
        context.within(loaded.owner.zone_id, loaded.owner.org_id),
        USER,
        user_id,
        lambda state: account.change_password(state, credential_id, by=by, email_hash=email_hash),
    )
    if before is not None:
        await write.credentials.forget(before)
    return outcome
