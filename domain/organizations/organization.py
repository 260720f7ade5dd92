"""An organisation: founded once; then it may be renamed and have service clients."""

from typing import TypeAlias, assert_never

import msgspec

from domain.errors import IllegalState, NotFound
from domain.events import Event
from domain.organizations.events import OrganizationFounded, OrganizationRenamed, ServiceClientAdded
from domain.zones import Role, ZoneId


class ServiceClient(msgspec.Struct, frozen=True):
    client_id: str
    name: str
    credential_id: str
    roles: tuple[Role, ...]


class Unfounded(msgspec.Struct, frozen=True):
    pass


class Founded(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    zone_id: ZoneId
    clients: tuple[ServiceClient, ...]

    def client(self, client_id: str) -> ServiceClient | None:
        return next((client for client in self.clients if client.client_id == client_id), None)


Organization: TypeAlias = Unfounded | Founded


class OrganizationNotFound(NotFound):
    code = "organization-not-found"
    title = "There is no such organisation"


class OrganizationExists(IllegalState):
    code = "organization-exists"
    title = "This organisation exists already"


def evolve(state: Organization, event: Event) -> Organization:
    match event:
        case OrganizationFounded():
            return Founded(name=event.name, zone_id=event.zone_id, clients=())
        case OrganizationRenamed() if isinstance(state, Founded):
            return msgspec.structs.replace(state, name=event.name)
        case ServiceClientAdded() if isinstance(state, Founded):
            added = ServiceClient(event.client_id, event.name, event.credential_id, event.roles)
            return msgspec.structs.replace(state, clients=(*state.clients, added))
        case _:
            return state


def found(state: Organization, name: str, zone_id: ZoneId) -> list[Event]:
    match state:
        case Unfounded():
            return [OrganizationFounded(name=name, zone_id=zone_id)]
        case Founded():
            raise OrganizationExists
        case _:
            assert_never(state)


def rename(state: Organization, name: str) -> list[Event]:
    """No event where it has this name. Raises `OrganizationNotFound`."""
    match state:
        case Unfounded():
            raise OrganizationNotFound
        case Founded():
            return [] if state.name == name else [OrganizationRenamed(name=name)]
        case _:
            assert_never(state)


def add_service_client(state: Organization, added: ServiceClientAdded) -> list[Event]:
    match state:
        case Unfounded():
            raise OrganizationNotFound
        case Founded():
            return [] if state.client(added.client_id) is not None else [added]
        case _:
            assert_never(state)
