"""Organisations: founding and renaming them, giving their members roles and taking them away."""

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from commands.api.asking import Asked
from commands.api.bodies import Title, UserId, written
from commands.api.services import Services
from commands.found_organization import FoundOrganization, found_organization
from commands.members import AddMember, RemoveMember, add_member, remove_member
from commands.organizations import RenameOrganization, rename_organization
from commands.streams import Outcome
from domain.invitations.events import MemberRole
from domain.organizations.organization import Founded, Organization
from domain.users.account import Registered
from domain.zones import Role, ZoneId
from infra.http.etags import ExpectedVersion
from infra.http.guards import require_role, require_zone_access
from infra.http.paths import OrgId, UserIdInPath
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import EXAMPLE_UUID7, RequestModel

router = APIRouter(prefix="/api/v1/organizations", tags=["organizations"], route_class=ApiRoute)

ADMINISTRATORS = ("org_admin", "zone_admin", "sys_admin")
"""Who may change something of an organisation; which one, their own stream says."""
MEMBERS_ADMINISTRATORS = ("org_admin", "sys_admin")


class Founding(RequestModel):
    name: Title = Field(examples=["한빛고등학교"])
    zone_id: ZoneId


class Renaming(RequestModel):
    name: Title = Field(examples=["한빛고등학교"])


class OrganizationState(BaseModel):
    org_id: str = Field(examples=[f"organization-{EXAMPLE_UUID7}"])
    name: str
    zone_id: ZoneId
    version: int


class AddingMember(RequestModel):
    user_id: UserId
    role: MemberRole = Field(examples=["teacher"])


class MemberState(BaseModel):
    org_id: str
    user_id: str
    roles: list[Role] = Field(description="In this organisation.")
    version: int = Field(description="Of the person's stream.")


@router.post(
    "",
    operation_id="foundOrganization",
    summary="Found an organisation",
    description="For administrators of the system, and of the zone that it belongs to. Its first "
    "administrator is invited, as everybody else.",
    status_code=201,
    dependencies=[
        Depends(require_role("zone_admin", "sys_admin")),
        Depends(require_zone_access("zone_id")),
    ],
    responses=problem_responses(400, 401, 403, 409, 413, 415, 422, 503),
)
async def found(body: Founding, response: Response, services: Services, asked: Asked) -> OrganizationState:
    command = FoundOrganization(name=body.name, zone_id=body.zone_id)
    return _answer(response, await found_organization(services.write, asked, command))


@router.put(
    "/{org_id}",
    operation_id="renameOrganization",
    summary="Rename an organisation",
    dependencies=[Depends(require_role(*ADMINISTRATORS))],
    responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 415, 422, 503),
)
async def rename(
    org_id: OrgId,
    body: Renaming,
    response: Response,
    services: Services,
    asked: Asked,
    expected_version: ExpectedVersion,
) -> OrganizationState:
    command = RenameOrganization(org_id=org_id, name=body.name, expected_version=expected_version)
    return _answer(response, await rename_organization(services.write, asked, command))


@router.post(
    "/{org_id}/members",
    operation_id="addMember",
    summary="Give somebody a role in an organisation",
    description="For its administrators, about people whom the organisation enrolled or who are members "
    "already; everybody else is invited. Administrators of the system may make a member of anybody of the "
    "zone. A role that is held already stays. Tokens show it from the next refresh on.",
    status_code=201,
    dependencies=[Depends(require_role(*MEMBERS_ADMINISTRATORS))],
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def add(
    org_id: OrgId, body: AddingMember, response: Response, services: Services, asked: Asked
) -> MemberState:
    command = AddMember(org_id=org_id, user_id=body.user_id, role=body.role)
    outcome = await add_member(services.write, asked, command)
    assert isinstance(outcome.state, Registered)
    written(response, outcome.stream_id, outcome.version)
    return MemberState(
        org_id=org_id,
        user_id=outcome.stream_id,
        roles=sorted(held.role for held in outcome.state.roles if held.org_id == org_id),
        version=outcome.version,
    )


@router.delete(
    "/{org_id}/members/{user_id}",
    operation_id="removeMember",
    summary="Take all of somebody's roles in an organisation away, and its classes with them",
    description="Answered when it is in force: the very next request of that person, with whatever token, "
    "finds nothing of the organisation. What the person did stays.",
    status_code=204,
    dependencies=[Depends(require_role(*MEMBERS_ADMINISTRATORS))],
    responses=problem_responses(400, 401, 403, 404, 409, 422, 503),
)
async def remove(org_id: OrgId, user_id: UserIdInPath, services: Services, asked: Asked) -> Response:
    command = RemoveMember(org_id=org_id, user_id=user_id)
    outcome = await remove_member(services.write, services.class_lists, asked, command)
    answer = Response(status_code=204)
    written(answer, outcome.stream_id, outcome.version)
    return answer


def _answer(response: Response, outcome: Outcome[Organization]) -> OrganizationState:
    assert isinstance(outcome.state, Founded)
    written(response, outcome.stream_id, outcome.version)
    return OrganizationState(
        org_id=outcome.stream_id,
        name=outcome.state.name,
        zone_id=outcome.state.zone_id,
        version=outcome.version,
    )
