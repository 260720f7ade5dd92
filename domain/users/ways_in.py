"""Other ways into an account than a password: identities at other providers, and passkeys."""

from collections.abc import Collection
from typing import Final

import msgspec

from domain.errors import IllegalState, NotFound
from domain.events import Event
from domain.users.events import IdentityLinked, IdentityUnlinked, PasskeyRegistered, PasskeyRemoved

MOST_PASSKEYS: Final = 20


class LinkedIdentity(msgspec.Struct, frozen=True):
    """Somebody at a provider; who it is there is known as a keyed hash alone."""

    provider: str
    subject_hash: str


class Passkey(msgspec.Struct, frozen=True):
    credential_ref: str
    name: str


class WaysIn(msgspec.Struct, frozen=True):
    """All of them but the password."""

    identities: tuple[LinkedIdentity, ...] = ()
    passkeys: tuple[Passkey, ...] = ()

    def knows(self, subject_hash: str) -> bool:
        return any(each.subject_hash == subject_hash for each in self.identities)

    def identity_at(self, provider: str) -> LinkedIdentity | None:
        return next((each for each in self.identities if each.provider == provider), None)

    def passkey(self, credential_ref: str) -> Passkey | None:
        return next((each for each in self.passkeys if each.credential_ref == credential_ref), None)


class LastWayIn(IllegalState):
    """Without it nobody could sign in to the account any longer."""

    code = "last-way-in"
    title = "This is the only way into the account; add another one first"


class AnotherIdentityLinked(IllegalState):
    """One account has one identity at each provider."""

    code = "another-identity-linked"
    title = "Another identity of this provider is linked to the account; unlink it first"


class IdentityNotFound(NotFound):
    """No identity of this provider is linked to the account."""

    code = "identity-not-found"
    title = "No identity of this provider is linked"


class PasskeyNotFound(NotFound):
    code = "passkey-not-found"
    title = "There is no such passkey"


class TooManyPasskeys(IllegalState):
    """Carries `at_most`."""

    code = "too-many-passkeys"
    title = "The account has as many passkeys as it may have; remove one first"


def evolve(ways: WaysIn, event: Event) -> WaysIn:
    """The ways in after one more fact; facts of other kinds leave them as they are."""
    match event:
        case IdentityLinked():
            linked = LinkedIdentity(event.provider, event.subject_hash)
            return msgspec.structs.replace(ways, identities=(*ways.identities, linked))
        case IdentityUnlinked():
            kept = tuple(each for each in ways.identities if each.subject_hash != event.subject_hash)
            return msgspec.structs.replace(ways, identities=kept)
        case PasskeyRegistered():
            added = Passkey(event.credential_ref, event.name)
            return msgspec.structs.replace(ways, passkeys=(*ways.passkeys, added))
        case PasskeyRemoved():
            left = tuple(each for each in ways.passkeys if each.credential_ref != event.credential_ref)
            return msgspec.structs.replace(ways, passkeys=left)
        case _:
            return ways


def link(ways: WaysIn, provider: str, subject_hash: str) -> list[Event]:
    """No event where it was linked before. Raises `AnotherIdentityLinked`."""
    if ways.knows(subject_hash):
        return []
    if ways.identity_at(provider) is not None:
        raise AnotherIdentityLinked
    return [IdentityLinked(provider=provider, subject_hash=subject_hash)]


def unlink(ways: WaysIn, provider: str, *, has_password: bool, in_use: Collection[str]) -> list[Event]:
    """`in_use` are the providers at which somebody can sign in today. Raises `LastWayIn`."""
    linked = ways.identity_at(provider)
    if linked is None:
        raise IdentityNotFound
    others = [each for each in ways.identities if each is not linked and each.provider in in_use]
    if not (has_password or ways.passkeys or others):
        raise LastWayIn
    return [IdentityUnlinked(provider=provider, subject_hash=linked.subject_hash)]


def remove_all(ways: WaysIn) -> list[Event]:
    """For an account that has got a new password: none of what was added before opens it any longer."""
    unlinked = [
        IdentityUnlinked(provider=each.provider, subject_hash=each.subject_hash) for each in ways.identities
    ]
    removed = [PasskeyRemoved(credential_ref=each.credential_ref) for each in ways.passkeys]
    return [*unlinked, *removed]


def require_room(ways: WaysIn) -> None:
    """Raises `TooManyPasskeys`."""
    if len(ways.passkeys) >= MOST_PASSKEYS:
        raise TooManyPasskeys(at_most=MOST_PASSKEYS)


def add_passkey(ways: WaysIn, credential_ref: str, name: str) -> list[Event]:
    """Raises `TooManyPasskeys`."""
    if ways.passkey(credential_ref) is not None:
        return []
    require_room(ways)
    return [PasskeyRegistered(credential_ref=credential_ref, name=name)]


def remove_passkey(
    ways: WaysIn, credential_ref: str, *, has_password: bool, in_use: Collection[str]
) -> list[Event]:
    """Raises `PasskeyNotFound` and `LastWayIn`."""
    if ways.passkey(credential_ref) is None:
        raise PasskeyNotFound
    others = [each for each in ways.identities if each.provider in in_use]
    if not (has_password or len(ways.passkeys) > 1 or others):
        raise LastWayIn
    return [PasskeyRemoved(credential_ref=credential_ref)]
