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
    that examinee.
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
