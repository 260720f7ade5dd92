"""Passkeys: register one, sign in with it, remove it.

The stream of the account names the passkeys that open it; a public key that no event names opens nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from commands.context import CommandContext
from commands.external_identities import IdentityProviders, opened
from commands.kinds import USER
from commands.sign_in import SignedIn, WrongCredentials
from commands.streams import Outcome
from commands.write_side import WriteSide
from domain.errors import Denied, IllegalState
from domain.events import Event
from domain.identifiers import StreamId
from domain.users import ways_in
from domain.users.account import Account, Registered
from domain.users.events import PasskeyRemoved


class PasskeyRefused(Denied):
    """What the authenticator said cannot be accepted; `reason` is for our log and not for the asker."""

    code = "passkey-refused"
    title = "The authenticator's answer cannot be accepted"

    def data(self) -> dict[str, Any]:
        return {}


class PasskeyTaken(IllegalState):
    """The authenticator was registered before."""

    code = "passkey-taken"
    title = "This passkey is registered already"


class PasskeyRecords(Protocol):
    """Public keys, outside the log: see `infra.auth.passkeys.Passkeys`."""

    async def keep(self, user_id: StreamId, credential: Mapping[str, Any], credential_ref: str) -> None:
        """Keeps the public key of an authenticator that has answered a challenge made for this person.

        Raises `PasskeyRefused` and `PasskeyTaken`.
        """
        ...

    async def proven(self, credential: Mapping[str, Any]) -> tuple[StreamId, str]:
        """Whose passkey has answered a challenge, and which. Raises `PasskeyRefused`."""
        ...

    async def forget(self, credential_ref: str) -> None: ...


async def register_passkey(
    write: WriteSide,
    records: PasskeyRecords,
    context: CommandContext,
    credential: Mapping[str, Any],
    name: str,
) -> Outcome[Account]:
    """Adds a passkey to the asker's account.

    Raises `PasskeyRefused`, `PasskeyTaken` and `TooManyPasskeys`.
    """
    user_id = context.actor.id
    done = await write.streams.done_before(context, USER, user_id)
    if done is not None:
        return done
    loaded = await write.streams.read(USER, user_id)
    ways_in.require_room(opened(loaded.state).ways_in)
    credential_ref = write.new_id()
    await records.keep(user_id, credential, credential_ref)
    return await write.streams.execute(
        context.within(loaded.owner.zone_id, loaded.owner.org_id),
        USER,
        user_id,
        lambda state: ways_in.add_passkey(opened(state).ways_in, credential_ref, name),
    )


async def sign_in_with_passkey(
    write: WriteSide, records: PasskeyRecords, credential: Mapping[str, Any]
) -> SignedIn:
    """The account that the passkey opens. Raises `PasskeyRefused` and `WrongCredentials`."""
    user_id, credential_ref = await records.proven(credential)
    loaded = await write.streams.read(USER, user_id)
    if not isinstance(loaded.state, Registered) or loaded.state.ways_in.passkey(credential_ref) is None:
        raise WrongCredentials
    return SignedIn(user_id, loaded.state, loaded.version)


async def remove_passkey(
    write: WriteSide,
    records: PasskeyRecords,
    providers: IdentityProviders,
    context: CommandContext,
    credential_ref: str,
) -> Outcome[Account]:
    """Raises `PasskeyNotFound`, also for those of others, and `LastWayIn`."""
    user_id = context.actor.id
    loaded = await write.streams.read(USER, user_id)

    def decide(state: Account) -> list[Event]:
        person = opened(state)
        has_password = person.credential_id is not None
        return ways_in.remove_passkey(
            person.ways_in, credential_ref, has_password=has_password, in_use=providers.names
        )

    outcome = await write.streams.execute(
        context.within(loaded.owner.zone_id, loaded.owner.org_id), USER, user_id, decide
    )
    await records.forget(credential_ref)
    return outcome


async def forget_removed(records: PasskeyRecords, events: Sequence[Event]) -> None:
    """Forgets the public keys of the passkeys that these events removed."""
    for each in events:
        if isinstance(each, PasskeyRemoved):
            await records.forget(each.credential_ref)
