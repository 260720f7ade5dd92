"""Passwords and addresses: change a password, set a forgotten one anew, prove that an address is read."""

from typing import Literal, Protocol

import msgspec

from commands.context import CommandContext
from commands.external_identities import Identities, claims_of, release_unlinked
from commands.kinds import USER
from commands.passkeys import PasskeyRecords, forget_removed
from commands.ports import Links
from commands.register_user import normal_email
from commands.sign_in import WrongCredentials, secret_matches
from commands.streams import Outcome
from commands.write_side import WriteSide
from domain.errors import Denied
from domain.events import Actor, Event
from domain.identifiers import StreamId
from domain.users import account
from domain.users.account import Account, Registered, UserNotFound


class LinkRefused(Denied):
    """The link was used before, is too old, or was never sent; which of them is not told."""

    code = "link-refused"
    title = "This link is not good any more; ask for another"


class OtherWays(Protocol):
    """The records of the other ways into an account."""

    @property
    def identities(self) -> Identities: ...
    @property
    def passkeys(self) -> PasskeyRecords: ...


async def change_password(  # noqa: PLR0913 - the last two by name
    write: WriteSide, context: CommandContext, links: Links, user_id: StreamId, *, present: str, wanted: str
) -> Outcome[Account]:
    """Raises `WrongCredentials` where the present password is another, and `UserNotFound`."""
    done = await write.streams.done_before(context, USER, user_id)
    if done is None:
        done = await _change_password(write, context, user_id, present, wanted)
    # Also where it was done before: perhaps it was stopped here.
    await links.withdraw("password_reset", user_id)
    return done


async def reset_password(  # noqa: PLR0913 - the last two by name
    write: WriteSide, others: OtherWays, context: CommandContext, links: Links, *, token: str, wanted: str
) -> Outcome[Account]:
    """Raises `LinkRefused`.

    Where nobody had confirmed the address before, passkeys and identities of whoever registered it end too.
    The link is good until the new password is ready: whoever is told that too many passwords are being
    hashed may come again with it.
    """
    with write.hasher.place():
        if await links.subject(token, "password_reset") is None:
            raise LinkRefused
        hash_ = await write.hasher.hash(wanted)
    user_id = await links.use(token, "password_reset")
    person = None if user_id is None else (await write.streams.read(USER, user_id)).state
    if user_id is None or not isinstance(person, Registered):
        raise LinkRefused
    claims = others.identities.claims
    held = await claims_of(claims, user_id, person.ways_in.identities)
    context = msgspec.structs.replace(context, actor=Actor("user", user_id))
    outcome = await _set_password(write, context, user_id, wanted, by="emailed_link", hash_=hash_)
    await forget_removed(others.passkeys, outcome.events)
    await release_unlinked(claims, held, outcome.events)
    return outcome


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


async def _change_password(
    write: WriteSide, context: CommandContext, user_id: StreamId, present: str, wanted: str
) -> Outcome[Account]:
    state = (await write.streams.read(USER, user_id)).state
    if not isinstance(state, Registered):
        raise UserNotFound
    checked = state.credential_id
    if checked is None or not await secret_matches(write, checked, present):
        raise WrongCredentials
    return await _set_password(write, context, user_id, wanted, by="present_password", checked=checked)


async def _set_password(  # noqa: PLR0913 - the last three by name
    write: WriteSide,
    context: CommandContext,
    user_id: StreamId,
    wanted: str,
    *,
    by: Literal["present_password", "emailed_link"],
    hash_: str | None = None,
    checked: str | None = None,
) -> Outcome[Account]:
    """Raises `WrongCredentials` where the password that was `checked` is not the present one any more."""
    loaded = await write.streams.read(USER, user_id)
    assert isinstance(loaded.state, Registered)
    before = loaded.state.credential_id
    email_hash = write.keyed_hash(normal_email(loaded.state.email or ""))
    # As at registration: the event says which record counts, so one that no event names opens nothing.
    credential_id = write.new_id()
    hash_ = hash_ or await write.hasher.hash(wanted)
    await write.credentials.put(credential_id, user_id, "password", hash_)
    await write.mail.to_person("password_changed", user_id, credential_id)

    def decide(state: Account) -> list[Event]:
        if checked is not None and isinstance(state, Registered) and state.credential_id != checked:
            raise WrongCredentials
        return account.change_password(state, credential_id, by=by, email_hash=email_hash)

    outcome = await write.streams.execute(
        context.within(loaded.owner.zone_id, loaded.owner.org_id), USER, user_id, decide
    )
    # Where the same command had been done already, what was valid before may be its own.
    valid = outcome.state.credential_id if isinstance(outcome.state, Registered) else None
    if before is not None and before != valid:
        await write.credentials.forget(before)
    return outcome
