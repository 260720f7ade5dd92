"""Found an organisation and let its programs in. Only the demo set-up orders this so far."""

import msgspec

from commands.context import CommandContext
from commands.kinds import ORGANIZATION
from commands.streams import Outcome
from commands.write_side import WriteSide
from domain.errors import IllegalState, Malformed
from domain.identifiers import StreamId, stream_id
from domain.organizations.events import ServiceClientAdded
from domain.organizations.organization import (
    Founded,
    Organization,
    OrganizationNotFound,
    add_service_client,
    found,
)
from domain.zones import Role, ZoneId

CLIENT_SCOPE = "service_client"
CLIENT_PREFIX = "client-"
"""By which a token's subject is known to be a program."""


class UnusableClientId(Malformed):
    code = "unusable-client-id"
    title = "The id of a service client begins with client-"


class ClientIdTaken(IllegalState):
    code = "client-id-taken"
    title = "Another organisation has a service client of this id"


class FoundOrganization(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    zone_id: ZoneId


class AddServiceClient(msgspec.Struct, frozen=True, kw_only=True):
    org_id: StreamId
    client_id: str
    client_secret: str
    name: str
    roles: tuple[Role, ...] = ("service",)


async def found_organization(
    write: WriteSide, context: CommandContext, command: FoundOrganization
) -> Outcome[Organization]:
    org_id = stream_id("organization", context.command_id)
    return await write.streams.execute(
        context.within(command.zone_id, org_id),
        ORGANIZATION,
        org_id,
        lambda state: found(state, command.name, command.zone_id),
    )


async def add_client(
    write: WriteSide, context: CommandContext, command: AddServiceClient
) -> Outcome[Organization]:
    """The same client id a second time changes nothing.

    Raises `OrganizationNotFound`, `UnusableClientId`, `ClientIdTaken`.
    """
    organization = await write.streams.read(ORGANIZATION, command.org_id)
    if not isinstance(organization.state, Founded):
        raise OrganizationNotFound
    if not command.client_id.startswith(CLIENT_PREFIX):
        raise UnusableClientId(client_id=command.client_id)
    [holder] = await write.claims.claim(CLIENT_SCOPE, [command.client_id], [command.org_id])
    if holder != command.org_id:
        raise ClientIdTaken(client_id=command.client_id)
    if organization.state.client(command.client_id) is not None:
        return Outcome(command.org_id, organization.state, organization.version, organization.owner, ())
    credential_id = write.new_id()
    hash_ = await write.hasher.hash(command.client_secret)
    await write.credentials.put(credential_id, command.client_id, "client_secret", hash_)
    added = ServiceClientAdded(
        client_id=command.client_id, name=command.name, credential_id=credential_id, roles=command.roles
    )
    return await write.streams.execute(
        context.within(organization.owner.zone_id, command.org_id),
        ORGANIZATION,
        command.org_id,
        lambda state: add_service_client(state, added),
    )
