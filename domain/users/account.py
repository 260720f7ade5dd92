"""A user account: its states and what may be done in each."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeAlias, assert_never

import msgspec

from domain.errors import IllegalState, NotFound
from domain.events import Event
from domain.identifiers import StreamId
from domain.languages import Language
from domain.users import ways_in
from domain.users.events import (
    EmailVerified,
    IdentityLinked,
    IdentityUnlinked,
    PasskeyRegistered,
    PasskeyRemoved,
    PasswordChanged,
    ProfileChanged,
    RoleConfirmed,
    RoleGranted,
    RoleLapse,
    RoleLapsed,
    UserDeactivated,
    UserRegistered,
)
from domain.users.ways_in import WaysIn
from domain.zones import Role, ZoneId


class GrantedRole(msgspec.Struct, frozen=True):
    """`reviewed_at` is when it was granted or confirmed last, for roles that have to be confirmed."""

    role: Role
    org_id: StreamId | None = None
    reviewed_at: datetime | None = None


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
    birth_date: str | None = None
    ways_in: WaysIn = WaysIn()
    origin: Literal["self", "organization", "bootstrap"] = "self"

    @property
    def org_ids(self) -> frozenset[StreamId]:
        """The organisations that the person belongs to: where they hold a role, and nowhere else."""
        return frozenset(each.org_id for each in self.roles if each.org_id is not None)

    @property
    def known_to(self) -> frozenset[StreamId]:
        """The organisations that the person belongs to, and the one that enrolled them.

        That one has their name for good, and may take back whom it removed; a member it is not by that.
        """
        return self.org_ids if self.org_id is None else self.org_ids | {self.org_id}

    def role(self, role: Role, org_id: StreamId | None) -> GrantedRole | None:
        """The role as it is held there; None where it is not."""
        return next((each for each in self.roles if (each.role, each.org_id) == (role, org_id)), None)


class Deactivated(msgspec.Struct, frozen=True):
    """Opens nothing any longer."""

    account: Registered


Account: TypeAlias = Unregistered | Registered | Deactivated


class UserNotFound(NotFound):
    code = "user-not-found"
    title = "There is no such user"


class RoleNotHeld(NotFound):
    code = "role-not-held"
    title = "This person does not hold this role there"


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
                birth_date=event.birth_date,
                origin=event.origin,
            )
        case ProfileChanged() if isinstance(state, Registered):
            return msgspec.structs.replace(state, display_name=event.display_name, language=event.language)
        case RoleGranted() if isinstance(state, Registered):
            return _with_role(state, GrantedRole(event.role, event.org_id, event.granted_at))
        case RoleConfirmed() if isinstance(state, Registered):
            return _with_role(state, GrantedRole(event.role, event.org_id, event.confirmed_at))
        case RoleLapsed() if isinstance(state, Registered):
            return msgspec.structs.replace(state, roles=_roles_but(state, event.role, event.org_id))
        case EmailVerified() if isinstance(state, Registered):
            return msgspec.structs.replace(state, email_verified=True)
        case PasswordChanged() if isinstance(state, Registered):
            return msgspec.structs.replace(state, credential_id=event.credential_id)
        case UserDeactivated() if isinstance(state, Registered):
            return Deactivated(state)
        case IdentityLinked() | IdentityUnlinked() | PasskeyRegistered() | PasskeyRemoved() if isinstance(
            state, Registered
        ):
            return msgspec.structs.replace(state, ways_in=ways_in.evolve(state.ways_in, event))
        case _:
            return state


def register(state: Account, registered: UserRegistered, roles: Sequence[GrantedRole]) -> list[Event]:
    match state:
        case Unregistered():
            grants = [
                RoleGranted(role=granted.role, org_id=granted.org_id, granted_at=granted.reviewed_at)
                for granted in roles
            ]
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
    """Whoever could use a link that was sent to the address reads the mail that is sent there.

    Where nobody had shown that before, whoever registered may be somebody else: the other ways in that they
    added would open the account of the address's owner, and end with the password.
    """
    account = _opened(state)
    changed = PasswordChanged(credential_id=credential_id, by=by)
    if by != "emailed_link" or account.email_verified:
        return [changed]
    return [changed, *ways_in.remove_all(account.ways_in), EmailVerified(email_hash=email_hash)]


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


def grant_role(state: Account, role: Role, org_id: StreamId | None, now: datetime) -> list[Event]:
    """No event where the role is held already."""
    if _opened(state).role(role, org_id) is not None:
        return []
    return [RoleGranted(role=role, org_id=org_id, granted_at=now)]


def confirm_role(state: Account, role: Role, org_id: StreamId | None, now: datetime) -> list[Event]:
    """Raises `RoleNotHeld`."""
    if _opened(state).role(role, org_id) is None:
        raise RoleNotHeld(role=role, org_id=org_id)
    return [RoleConfirmed(role=role, org_id=org_id, confirmed_at=now)]


def take_role_away(state: Account, role: Role, org_id: StreamId | None, reason: RoleLapse) -> list[Event]:
    """No event where the role is not held."""
    held = _opened(state).role(role, org_id)
    return [] if held is None else [RoleLapsed(role=role, org_id=org_id, reason=reason)]


def lapse_unconfirmed(
    state: Account, role: Role, org_id: StreamId | None, reviewed_at: datetime | None
) -> list[Event]:
    """Nobody has confirmed the role since `reviewed_at`. No event where somebody has, or it is gone."""
    held = state.role(role, org_id) if isinstance(state, Registered) else None
    if held is None or held.reviewed_at != reviewed_at:
        return []
    return [RoleLapsed(role=role, org_id=org_id, reason="unconfirmed")]


def _with_role(state: Registered, granted: GrantedRole) -> Registered:
    """Held once, however often it was granted."""
    others = _roles_but(state, granted.role, granted.org_id)
    if len(others) == len(state.roles):
        return msgspec.structs.replace(state, roles=(*state.roles, granted))
    # In the place that it had: the order of roles is the order in which they were given.
    renewed = tuple(granted if each not in others else each for each in state.roles)
    return msgspec.structs.replace(state, roles=renewed)


def _roles_but(state: Registered, role: Role, org_id: StreamId | None) -> tuple[GrantedRole, ...]:
    return tuple(each for each in state.roles if (each.role, each.org_id) != (role, org_id))


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
