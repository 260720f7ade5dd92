"""Found an organisation and let its programs in. Only the bootstrap command orders this so far."""

import msgspec

from commands.context import CommandContext
from commands.kinds import ORGANIZATION
from commands.streams import Outcome
from commands.write_side import WriteSide
from domain.identifiers import StreamId, stream_id
from domain.organizations.events import ServiceClientAdded
from domain.organizations.organization import Organization, add_service_client, found
from domain.zones import Role, ZoneId

CLIENT_SCOPE = "service_client"


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
    """Raises `OrganizationNotFound`. The same client id a second time changes nothing."""
    organization = await write.streams.read(ORGANIZATION, command.org_id)
    await write.claims.claim(CLIENT_SCOPE, [command.client_id], [command.org_id])
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
