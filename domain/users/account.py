"""A user account: its states and what may be done in each."""

from collections.abc import Sequence
from typing import Literal, TypeAlias, assert_never

import msgspec

from domain.errors import IllegalState, NotFound
from domain.events import Event
from domain.identifiers import StreamId
from domain.languages import Language
from domain.users.events import (
    EmailVerified,
    PasswordChanged,
    ProfileChanged,
    RoleGranted,
    UserDeactivated,
    UserRegistered,
)
from domain.zones import Role, ZoneId


class GrantedRole(msgspec.Struct, frozen=True):
    role: Role
    org_id: StreamId | None = None


class Unregistered(msgspec.Struct, frozen=True):
    pass


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    zone_id: ZoneId
    display_name: str
    language: Language
    email: str | None
    credential_id: str | None
    org_id: StreamId | None
    roles: tuple[GrantedRole, ...]
    email_verified: bool = False

    @property
    def org_ids(self) -> frozenset[StreamId]:
        """The organisations that the person belongs to."""
        return frozenset(
            org_id for org_id in (self.org_id, *(each.org_id for each in self.roles)) if org_id is not None
        )


class Deactivated(msgspec.Struct, frozen=True):
    """Opens nothing any longer."""

    account: Registered


Account: TypeAlias = Unregistered | Registered | Deactivated


class UserNotFound(NotFound):
    code = "user-not-found"
    title = "There is no such user"


class AlreadyRegistered(IllegalState):
    code = "already-registered"
    title = "This account exists already"


class UserIsDeactivated(IllegalState):
    code = "user-deactivated"
    title = "This account was deactivated"


class EmailTaken(IllegalState):
    code = "email-taken"
    title = "An account with this e-mail address exists already"


def evolve(state: Account, event: Event) -> Account:  # noqa: PLR0911 - one for each fact
    """The account after one more fact; facts it does not know leave it as it is."""
    match event:
        case UserRegistered():
            return Registered(
                zone_id=event.zone_id,
                display_name=event.display_name,
                language=event.language,
                email=event.email,
                credential_id=event.credential_id,
                org_id=event.org_id,
                roles=(),
            )
        case ProfileChanged() if isinstance(state, Registered):
            return msgspec.structs.replace(state, display_name=event.display_name, language=event.language)
        case RoleGranted() if isinstance(state, Registered):
            granted = GrantedRole(event.role, event.org_id)
            return msgspec.structs.replace(state, roles=(*state.roles, granted))
        case EmailVerified() if isinstance(state, Registered):
            return msgspec.structs.replace(state, email_verified=True)
        case PasswordChanged() if isinstance(state, Registered):
            return msgspec.structs.replace(state, credential_id=event.credential_id)
        case UserDeactivated() if isinstance(state, Registered):
            return Deactivated(state)
        case _:
            return state


def register(state: Account, registered: UserRegistered, roles: Sequence[GrantedRole]) -> list[Event]:
    match state:
        case Unregistered():
            grants = [RoleGranted(role=granted.role, org_id=granted.org_id) for granted in roles]
            return [registered, *grants]
        case Registered() | Deactivated():
            raise AlreadyRegistered
        case _:
            assert_never(state)


def change_profile(state: Account, display_name: str | None, language: Language | None) -> list[Event]:
    """A new profile; what is None stays. No event where nothing would change."""
    match state:
        case Unregistered():
            raise UserNotFound
        case Deactivated():
            raise UserIsDeactivated
        case Registered():
            new_name = state.display_name if display_name is None else display_name
            new_language = state.language if language is None else language
            if (new_name, new_language) == (state.display_name, state.language):
                return []
            return [ProfileChanged(display_name=new_name, language=new_language)]
        case _:
            assert_never(state)


def verify_email(state: Account, email_hash: str) -> list[Event]:
    """No event where it was verified before."""
    account = _opened(state)
    return [] if account.email_verified else [EmailVerified(email_hash=email_hash)]


def change_password(
    state: Account, credential_id: str, *, by: Literal["present_password", "emailed_link"], email_hash: str
) -> list[Event]:
    """Whoever could use a link that was sent to the address reads the mail that is sent there."""
    account = _opened(state)
    verified = verify_email(account, email_hash) if by == "emailed_link" else []
    return [PasswordChanged(credential_id=credential_id, by=by), *verified]


def deactivate(state: Account, reason: str) -> list[Event]:
    """No event where it was deactivated before."""
    match state:
        case Unregistered():
            raise UserNotFound
        case Deactivated():
            return []
        case Registered():
            return [UserDeactivated(reason=reason)]
        case _:
            assert_never(state)


def _opened(state: Account) -> Registered:
    match state:
        case Unregistered():
            raise UserNotFound
        case Deactivated():
            raise UserIsDeactivated
        case Registered():
            return state
        case _:
            assert_never(state)
