"""Schools, academies and other bodies that examine people."""

from domain.events import Event, Retention, event_type
from domain.zones import Role, ZoneId


@event_type("organization.founded", retention=Retention.STATE)
class OrganizationFounded(Event, frozen=True, kw_only=True):
    name: str
    zone_id: ZoneId


@event_type("organization.renamed", retention=Retention.STATE)
class OrganizationRenamed(Event, frozen=True, kw_only=True):
    name: str


@event_type("organization.service_client_added", retention=Retention.STATE)
class ServiceClientAdded(Event, frozen=True, kw_only=True):
    """A program of the organisation may sign in with client credentials.

    `client_id` is public; the secret's hash lies outside the log, under `credential_id`.
    """

    client_id: str
    name: str
    credential_id: str
    roles: tuple[Role, ...]
