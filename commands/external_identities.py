"""Sign in with an identity that another provider vouches for, link one to an account, unlink it again.

Of whom the provider names, a keyed hash is kept. Which account it opens is said by that account's stream; the
claim only says which stream to ask, and keeps two accounts from having the same identity.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec

from commands.context import CommandContext
from commands.kinds import USER
from commands.register_user import EMAIL_SCOPE, normal_email
from commands.sign_in import SignedIn, WrongCredentials
from commands.streams import Loaded, Outcome
from commands.write_side import WriteSide
from commands.zones import require_active_zone
from domain.errors import Denied, IllegalState, NotFound, Unavailable
from domain.events import Actor, Event
from domain.identifiers import StreamId, stream_id
from domain.languages import Language
from domain.users import account, ways_in
from domain.users.account import (
    Account,
    AlreadyRegistered,
    Deactivated,
    GrantedRole,
    Registered,
    Unregistered,
    UserIsDeactivated,
    UserNotFound,
)
from domain.users.events import EmailVerified, IdentityUnlinked, UserRegistered
from domain.users.ways_in import LinkedIdentity
from domain.zones import ZoneId


class ProviderNotFound(NotFound):
    """Nobody signs in here with this provider."""

    code = "provider-not-found"
    title = "There is no such identity provider"


class ProviderUnavailable(Unavailable):
    """The identity provider does not answer, or not as it must; carries `provider` and `retry_after_s`."""

    code = "identity-provider-unavailable"
    title = "The identity provider cannot be reached at the moment"


class ProofRefused(Denied):
    """What came back from the provider proves nothing; `reason` is for our log and not for the asker."""

    code = "identity-proof-refused"
    title = "The identity provider's answer cannot be accepted"

    def data(self) -> dict[str, str]:
        return {}


class AccountExists(IllegalState):
    """An account has the address that the provider vouches for, and is not linked to this identity."""

    code = "account-exists"
    title = "An account with this e-mail address exists; sign in to it and link the identity there"


class IdentityTaken(IllegalState):
    """The identity opens another account."""

    code = "identity-taken"
    title = "This identity is linked to another account"


class IdentityClaimed(Unavailable):
    """Somebody is linking the same identity to another account right now; carries `retry_after_s`."""

    code = "identity-claimed"
    title = "This identity is being linked elsewhere at this moment"


class Returned(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser brings back from a provider, and the secret that only this browser was given."""

    code: str
    state: str
    binding: str
    issuer: str | None = None


class ProvenIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a provider vouches for. `email` only where it says that the address is theirs."""

    provider: str
    issuer: str
    subject: str
    email: str | None
    display_name: str | None
    zone_id: ZoneId | None
    language: Language


class IdentityProviders(Protocol):
    """See `infra.auth.oidc.OidcProviders`."""

    @property
    def names(self) -> Collection[str]: ...

    async def proven(self, provider: str, returned: Returned, user_id: StreamId | None) -> ProvenIdentity:
        """Whom the provider vouches for, once for each start; for `user_id` where it was started so.

        Raises `ProviderNotFound`, `ProviderUnavailable` and `ProofRefused`.
        """
        ...


class HeldIdentity(msgspec.Struct, frozen=True):
    """The stream to ask about an identity, and since when it is the one."""

    user_id: StreamId
    claimed_at: datetime


class IdentityClaims(Protocol):
    """Which account an identity may open: see `infra.auth.oidc_claims`."""

    async def holder(self, subject_hash: str) -> HeldIdentity | None: ...

    async def claim(self, subject_hash: str, user_id: StreamId) -> HeldIdentity:
        """Who holds it, after claiming it for the user where it is free or theirs already."""
        ...

    async def move(self, subject_hash: str, held: HeldIdentity, user_id: StreamId) -> bool:
        """Takes it from a holder whose claim came to nothing.

        False where that claim is too young to tell, or was renewed in the meantime.
        """
        ...

    async def release(self, subject_hash: str, held: HeldIdentity) -> None:
        """Its holder is done with it: whoever proves it next may have it at once."""
        ...


@dataclass(frozen=True)
class Identities:
    """All that handlers need of other providers."""

    providers: IdentityProviders
    claims: IdentityClaims


async def sign_in_with_identity(
    write: WriteSide, claims: IdentityClaims, context: CommandContext, proven: ProvenIdentity
) -> SignedIn:
    """The account that the identity opens; a new one where it opens none.

    Raises `WrongCredentials` for an account that was deactivated, and `AccountExists` where the address
    belongs to an account that its owner has not linked: whoever opened that one first need not be the one
    who reads the mail, so nothing is linked silently. Raises `ZoneNotActive` and `IdentityClaimed`.
    """
    subject_hash = hash_of(write, proven)
    held = await claims.holder(subject_hash)
    if held is not None:
        loaded = await write.streams.read(USER, held.user_id)
        if isinstance(loaded.state, Deactivated) and _opens(loaded.state, subject_hash):
            raise WrongCredentials
        if isinstance(loaded.state, Registered) and _opens(loaded.state, subject_hash):
            return SignedIn(held.user_id, loaded.state, loaded.version)
    return await _register(write, claims, context, proven, subject_hash)


async def link_identity(
    write: WriteSide, identities: Identities, context: CommandContext, provider: str, returned: Returned
) -> Outcome[Account]:
    """Links an identity to the asker's account.

    Raises `IdentityTaken`, `AnotherIdentityLinked`, `IdentityClaimed` and what `proven` raises.
    """
    user_id, claims = context.actor.id, identities.claims
    done = await write.streams.done_before(context, USER, user_id)
    if done is not None:
        return done
    proven = await identities.providers.proven(provider, returned, user_id)
    subject_hash = hash_of(write, proven)
    loaded = await write.streams.read(USER, user_id)
    ways_in.link(opened(loaded.state).ways_in, provider, subject_hash)  # refused before anything is claimed
    held = await claims.claim(subject_hash, user_id)
    if held.user_id != user_id:
        if _opens((await write.streams.read(USER, held.user_id)).state, subject_hash):
            raise IdentityTaken
        if not await claims.move(subject_hash, held, user_id):
            raise IdentityClaimed(retry_after_s=60)
    return await write.streams.execute(
        context.within(loaded.owner.zone_id, loaded.owner.org_id),
        USER,
        user_id,
        lambda state: ways_in.link(opened(state).ways_in, provider, subject_hash),
    )


async def unlink_identity(
    write: WriteSide, identities: Identities, context: CommandContext, provider: str
) -> Outcome[Account]:
    """Raises `IdentityNotFound` and `LastWayIn`."""
    user_id, claims = context.actor.id, identities.claims
    loaded = await write.streams.read(USER, user_id)
    linked = opened(loaded.state).ways_in.identity_at(provider)
    held = None if linked is None else await claims.holder(linked.subject_hash)

    def decide(state: Account) -> list[Event]:
        person = opened(state)
        return ways_in.unlink(
            person.ways_in,
            provider,
            has_password=person.credential_id is not None,
            in_use=identities.providers.names,
        )

    outcome = await write.streams.execute(
        context.within(loaded.owner.zone_id, loaded.owner.org_id), USER, user_id, decide
    )
    if linked is not None and held is not None and held.user_id == user_id:
        await claims.release(linked.subject_hash, held)
    return outcome


async def claims_of(
    claims: IdentityClaims, user_id: StreamId, linked: Sequence[LinkedIdentity]
) -> dict[str, HeldIdentity]:
    """The claims of the user to these identities, by hash: to be asked for before they are unlinked."""
    held = {each.subject_hash: await claims.holder(each.subject_hash) for each in linked}
    return {key: each for key, each in held.items() if each is not None and each.user_id == user_id}


async def release_unlinked(
    claims: IdentityClaims, held: Mapping[str, HeldIdentity], events: Sequence[Event]
) -> None:
    """Whoever proves an identity that these events unlinked may have it at once."""
    for each in events:
        if isinstance(each, IdentityUnlinked) and each.subject_hash in held:
            await claims.release(each.subject_hash, held[each.subject_hash])


def hash_of(write: WriteSide, proven: ProvenIdentity) -> str:
    """A keyed hash of issuer and subject.

    The pair is the only thing that names somebody for good (OpenID Connect Core 1.0, section 5.7).
    """
    return write.keyed_hash(f"identity\n{proven.issuer}\n{proven.subject}")


def opened(state: Account) -> Registered:
    """The account. Raises `UserNotFound` and `UserIsDeactivated`."""
    if isinstance(state, Registered):
        return state
    raise UserNotFound if isinstance(state, Unregistered) else UserIsDeactivated


async def _register(
    write: WriteSide,
    claims: IdentityClaims,
    context: CommandContext,
    proven: ProvenIdentity,
    subject_hash: str,
) -> SignedIn:
    zone_id = proven.zone_id
    assert zone_id is not None
    await require_active_zone(write, zone_id)
    wanted = stream_id("user", write.new_id())
    email_hash = None if proven.email is None else write.keyed_hash(normal_email(proven.email))
    if email_hash is not None:
        # As at any registration: the first append to the stream that holds the address decides.
        [wanted] = await write.claims.claim(EMAIL_SCOPE, [email_hash], [wanted])
        loaded = await write.streams.read(USER, wanted)
        if not isinstance(loaded.state, Unregistered):
            return _the_same(wanted, loaded, subject_hash)
    user_id = await _claimed(write, claims, subject_hash, wanted, address_decides=email_hash is not None)
    registered = UserRegistered(
        origin="self",
        zone_id=zone_id,
        display_name=proven.display_name or _NOT_NAMED[proven.language],
        language=proven.language,
        email=proven.email,
        email_hash=email_hash,
    )

    def decide(state: Account) -> list[Event]:
        events = account.register(state, registered, (GrantedRole("student"),))
        events += ways_in.link(ways_in.WaysIn(), proven.provider, subject_hash)
        return events if email_hash is None else [*events, EmailVerified(email_hash=email_hash)]

    context = msgspec.structs.replace(context, actor=Actor("user", user_id))
    try:
        outcome = await write.streams.execute(context.within(zone_id, None), USER, user_id, decide)
    except AlreadyRegistered:
        return _the_same(user_id, await write.streams.read(USER, user_id), subject_hash)
    return SignedIn(user_id, opened(outcome.state), outcome.version)


def _the_same(user_id: StreamId, loaded: Loaded[Account], subject_hash: str) -> SignedIn:
    """The account, where the same sign-in was sent twice and the other one has just made it."""
    if isinstance(loaded.state, Registered) and _opens(loaded.state, subject_hash):
        return SignedIn(user_id, loaded.state, loaded.version)
    raise AccountExists


async def _claimed(
    write: WriteSide,
    claims: IdentityClaims,
    subject_hash: str,
    wanted: StreamId,
    *,
    address_decides: bool,
) -> StreamId:
    """The stream that is to become the account of the identity."""
    held = await claims.claim(subject_hash, wanted)
    if held.user_id == wanted:
        return wanted
    state = (await write.streams.read(USER, held.user_id)).state
    if _opens(state, subject_hash) or (isinstance(state, Unregistered) and not address_decides):
        return held.user_id  # somebody was faster, or was stopped between the claim and the account
    if not await claims.move(subject_hash, held, wanted):
        raise IdentityClaimed(retry_after_s=60)
    return wanted


def _opens(state: Account, subject_hash: str) -> bool:
    person = state.account if isinstance(state, Deactivated) else state
    return isinstance(person, Registered) and person.ways_in.knows(subject_hash)


_NOT_NAMED: dict[Language, str] = {"ko": "이름 없음", "en": "No name yet", "ja": "名前なし", "zh": "未命名"}
