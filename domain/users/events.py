"""What happens to a person's account."""

from datetime import datetime
from typing import Literal, TypeAlias

from domain.events import Event, Retention, event_type
from domain.identifiers import StreamId
from domain.languages import Language
from domain.personal import Personal
from domain.zones import Role, ZoneId

RoleLapse: TypeAlias = Literal["removed", "unconfirmed", "left"]
"""Why a role is held no longer."""


@event_type("user.registered", retention=Retention.STATE, subject="stream")
class UserRegistered(Event, frozen=True, kw_only=True):
    """Somebody has an account.

    `email_hash` is a keyed hash: uniqueness is checked on it, never on the plain address.
    `credential_id` names the password record outside the log; None for an examinee whom an
    organisation enrolled and who never signs in. `external_ref` is the organisation's own name for
    that examinee. `country` (ISO 3166-1, two letters) and `birth_date` (ISO 8601) are what the person
    says; the age from which somebody may consent alone depends on both.
    """

    origin: Literal["self", "organization", "bootstrap"]
    zone_id: ZoneId
    display_name: Personal[str]
    language: Language
    email: Personal[str | None] = None
    email_hash: str | None = None
    credential_id: str | None = None
    org_id: StreamId | None = None
    external_ref: Personal[str | None] = None
    country: Personal[str | None] = None
    birth_date: Personal[str | None] = None


@event_type("user.profile_changed", retention=Retention.STATE, subject="stream")
class ProfileChanged(Event, frozen=True, kw_only=True):
    """The whole changeable profile as it stands after the change."""

    display_name: Personal[str]
    language: Language


@event_type("user.role_granted", retention=Retention.STATE)
class RoleGranted(Event, frozen=True, kw_only=True):
    """A role, everywhere in the person's zone or in one organisation.

    `granted_at` is None where nobody else has to confirm the role from time to time.
    """

    role: Role
    org_id: StreamId | None = None
    granted_at: datetime | None = None


@event_type("user.role_confirmed", retention=Retention.STATE)
class RoleConfirmed(Event, frozen=True, kw_only=True):
    """Somebody else stands for it that the person is still to hold the role; the actor says who."""

    role: Role
    org_id: StreamId | None = None
    confirmed_at: datetime


@event_type("user.role_lapsed", retention=Retention.STATE)
class RoleLapsed(Event, frozen=True, kw_only=True):
    """The person holds the role no longer: taken away, not confirmed in time, or given up on leaving."""

    role: Role
    org_id: StreamId | None = None
    reason: RoleLapse


@event_type("user.email_verified", retention=Retention.STATE)
class EmailVerified(Event, frozen=True, kw_only=True):
    """The person reads mail that is sent to the address with this keyed hash."""

    email_hash: str


@event_type("user.password_changed", retention=Retention.STATE)
class PasswordChanged(Event, frozen=True, kw_only=True):
    """From now on the password is the one of this credential, and the one before opens nothing."""

    credential_id: str
    by: Literal["present_password", "emailed_link"]


@event_type("user.identity_linked", retention=Retention.STATE)
class IdentityLinked(Event, frozen=True, kw_only=True):
    """Whoever proves at the provider to be this subject opens the account.

    `subject_hash` is a keyed hash of the issuer and of the subject that it names.
    """

    provider: str
    subject_hash: str


@event_type("user.identity_unlinked", retention=Retention.STATE)
class IdentityUnlinked(Event, frozen=True, kw_only=True):
    """The identity at the provider opens the account no longer."""

    provider: str
    subject_hash: str


@event_type("user.passkey_registered", retention=Retention.STATE, subject="stream")
class PasskeyRegistered(Event, frozen=True, kw_only=True):
    """A passkey opens the account; its public key is kept under this name outside the log.

    `name` is what the person calls it ("my phone").
    """

    credential_ref: str
    name: Personal[str]


@event_type("user.passkey_removed", retention=Retention.STATE)
class PasskeyRemoved(Event, frozen=True, kw_only=True):
    """The passkey opens the account no longer."""

    credential_ref: str


@event_type("user.deactivated", retention=Retention.STATE, subject="stream")
class UserDeactivated(Event, frozen=True, kw_only=True):
    """The account opens nothing any longer; what the person did stays."""

    reason: Personal[str]
