"""Organisations, their members, and who is invited into them."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from domain.invitations.events import MemberRole
from domain.organizations.organization import OrganizationNotFound
from domain.zones import Role, ZoneId
from infra.http.etags import ETAG_HEADER, etag
from infra.http.guards import CurrentPrincipal, require_role
from infra.http.paging import Page, Paging, encode_cursor
from infra.http.paths import OrgId
from infra.http.principal import Principal
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import EXAMPLE_UUID7
from projections.access import directory
from projections.invitations import queries as invitations
from projections.queries import Connection
from read_api.asking import require_id
from read_api.services import Read, Services

router = APIRouter(prefix="/api/v1/organizations/{org_id}", tags=["organizations"], route_class=ApiRoute)
own_router = APIRouter(prefix="/api/v1/invitations", tags=["invitations"], route_class=ApiRoute)

Administration = Annotated[Principal, Depends(require_role("org_admin", "service"))]
"""Those who administer an organisation; row-level security says which."""
Administrator = Annotated[Principal, Depends(require_role("org_admin"))]

_MEMBERS = "members"
_INVITATIONS = "invitations"


class OrganizationShown(BaseModel):
    org_id: str = Field(examples=[f"organization-{EXAMPLE_UUID7}"])
    name: str = Field(examples=["한빛고등학교"])
    zone_id: ZoneId
    founded_at: datetime
    members: int | None = Field(description="For those who administer it; null for everybody else.")
    classes: int | None = Field(description="Open ones, for those who administer it.")
    version: int


class MemberShown(BaseModel):
    user_id: str = Field(examples=[f"user-{EXAMPLE_UUID7}"])
    display_name: str | None = Field(description="Null for a moment after somebody came.")
    roles: list[Role] = Field(description="In this organisation.")
    since: datetime


class InvitationShown(BaseModel):
    invitation_id: str = Field(examples=[f"invitation-{EXAMPLE_UUID7}"])
    org_id: str
    role: MemberRole
    class_id: str | None
    email: str = Field(examples=["jiwoo@example.org"])
    invited_at: datetime
    expires_at: datetime
    version: int


@router.get(
    "",
    operation_id="getOrganization",
    summary="An organisation",
    description="For its members, and for those who look after its zone.",
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def get_organization(
    org_id: OrgId, principal: CurrentPrincipal, read: Read, response: Response
) -> OrganizationShown:
    require_id(org_id, "organization", OrganizationNotFound)
    async with read.of(principal, "access") as connection:
        found = await directory.organization(connection, org_id)
    if found is None:
        raise OrganizationNotFound
    response.headers[ETAG_HEADER] = etag(found["version"])
    return OrganizationShown.model_validate(found)


@router.get(
    "/members",
    operation_id="listMembers",
    summary="The members of an organisation",
    description="For its administrators and programs: everybody who holds a role in it now.",
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def list_members(
    org_id: OrgId, principal: Administration, read: Read, paging: Paging
) -> Page[MemberShown]:
    after = paging.start_after(_MEMBERS, str)
    async with read.of(principal, "access", "people") as connection:
        await require_administered(connection, org_id)
        found = await directory.members(connection, org_id, after=after, limit=paging.limit + 1)
    shown = [MemberShown.model_validate(row) for row in found[: paging.limit]]
    if len(found) <= paging.limit:
        return Page(items=shown)
    return Page(items=shown, next_cursor=encode_cursor(_MEMBERS, shown[-1].user_id))


@router.get(
    "/invitations",
    operation_id="listInvitations",
    summary="Who is invited into an organisation",
    description="The open invitations, for the administrators of the organisation.",
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def list_invitations(
    org_id: OrgId, principal: Administrator, read: Read, services: Services, paging: Paging
) -> Page[InvitationShown]:
    after = paging.start_after(_INVITATIONS, str)
    async with read.of(principal, "access", "invitations") as connection:
        await require_administered(connection, org_id)
        found = await invitations.of_organization(
            connection, org_id, services.clock(), after=after, limit=paging.limit + 1
        )
    shown = [InvitationShown.model_validate(row) for row in found[: paging.limit]]
    if len(found) <= paging.limit:
        return Page(items=shown)
    return Page(items=shown, next_cursor=encode_cursor(_INVITATIONS, shown[-1].invitation_id))


class MyInvitation(BaseModel):
    invitation_id: str = Field(examples=[f"invitation-{EXAMPLE_UUID7}"])
    org_id: str
    organization: str = Field(description="Its name.", examples=["한빛고등학교"])
    role: MemberRole
    class_id: str | None
    invited_at: datetime
    expires_at: datetime


class MyInvitations(BaseModel):
    invitations: list[MyInvitation]


@own_router.get(
    "",
    operation_id="listMyInvitations",
    summary="Where one is invited to",
    description="The open invitations that were sent to one's own address, once it is verified.",
    responses=problem_responses(401, 403, 422, 503),
)
async def list_my_invitations(principal: CurrentPrincipal, read: Read, services: Services) -> MyInvitations:
    async with read.of(principal, "invitations") as connection:
        found = await invitations.of_asker(connection, services.clock())
    return MyInvitations(invitations=[MyInvitation.model_validate(row) for row in found])


async def require_administered(connection: Connection, org_id: str) -> None:
    """Raises `OrganizationNotFound`."""
    require_id(org_id, "organization", OrganizationNotFound)
    found = await directory.organization(connection, org_id)
    if found is None or not found["administers"]:
        raise OrganizationNotFound
