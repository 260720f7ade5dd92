"""What happens to a person's account."""

from typing import Literal

from domain.events import Event, Retention, event_type
from domain.identifiers import StreamId
from domain.languages import Language
from domain.personal import Personal
from domain.zones import Role, ZoneId


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
    """A role, everywhere in the person's zone or in one organisation."""

    role: Role
    org_id: StreamId | None = None


@event_type("user.email_verified", retention=Retention.STATE)
class EmailVerified(Event, frozen=True, kw_only=True):
    """The person reads mail that is sent to the address with this keyed hash."""

    email_hash: str


@event_type("user.password_changed", retention=Retention.STATE)
class PasswordChanged(Event, frozen=True, kw_only=True):
    """From now on the password is the one of this credential, and the one before opens nothing."""

    credential_id: str
    by: Literal["present_password", "emailed_link"]


@event_type("user.deactivated", retention=Retention.STATE, subject="stream")
class UserDeactivated(Event, frozen=True, kw_only=True):
    """The account opens nothing any longer; what the person did stays."""

    reason: Personal[str]
