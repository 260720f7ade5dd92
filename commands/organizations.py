"""Who runs an organisation, as the log has it now; and renaming one.

A token may be older than the loss of the role that it names: so the person's own stream is asked.
"""

from dataclasses import dataclass

import msgspec

from commands.context import CommandContext
from commands.kinds import ORGANIZATION, USER
from commands.streams import Outcome
from commands.write_side import WriteSide
from domain.identifiers import StreamId
from domain.organizations.organization import Founded, Organization, OrganizationNotFound, rename
from domain.users.account import Registered


class RenameOrganization(msgspec.Struct, frozen=True, kw_only=True):
    org_id: StreamId
    name: str
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class Administered:
    """An organisation that the asker may change, and by which right."""

    org_id: StreamId
    organization: Founded
    version: int
    by_zone: bool
    """As an administrator of its zone alone, who may found it and find it its first administrator."""

    def context(self, context: CommandContext) -> CommandContext:
        """The same order, for events that belong to this organisation."""
        return context.within(self.organization.zone_id, self.org_id)


async def administered(
    write: WriteSide,
    context: CommandContext,
    org_id: StreamId,
    *,
    by_zone: bool = False,
    services: bool = False,
) -> Administered:
    """Raises `OrganizationNotFound`, also for those who do not run it.

    Its own administrators run it, the system's and operators; where the caller allows it also the
    administrators of its zone, and its own programs.
    """
    loaded = await write.streams.read(ORGANIZATION, org_id)
    organization = loaded.state
    if not isinstance(organization, Founded):
        raise OrganizationNotFound
    actor = context.actor
    if actor.kind == "operator" or (services and actor.kind == "service" and org_id in context.staff_of):
        return Administered(org_id, organization, loaded.version, by_zone=False)
    person = (await write.streams.read(USER, actor.id)).state
    if actor.kind != "user" or not isinstance(person, Registered):
        raise OrganizationNotFound
    if person.role("org_admin", org_id) is not None or person.role("sys_admin", None) is not None:
        return Administered(org_id, organization, loaded.version, by_zone=False)
    in_zone = person.zone_id == organization.zone_id and person.role("zone_admin", None) is not None
    if by_zone and in_zone:
        return Administered(org_id, organization, loaded.version, by_zone=True)
    raise OrganizationNotFound


async def rename_organization(
    write: WriteSide, context: CommandContext, command: RenameOrganization
) -> Outcome[Organization]:
    """Raises `OrganizationNotFound`, `StaleVersion`."""
    found = await administered(write, context, command.org_id, by_zone=True)
    return await write.streams.execute(
        found.context(context),
        ORGANIZATION,
        command.org_id,
        lambda state: rename(state, command.name),
        expected_version=command.expected_version,
    )
