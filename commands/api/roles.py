"""Roles of people: granting, confirming, taking away."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, Field

from commands.api.asking import Asked
from commands.api.bodies import OrganizationId, written
from commands.api.services import Services
from commands.roles import ChangeRole, confirm_role, grant_role, take_role_away
from commands.streams import Outcome
from domain.users.account import Account, Registered
from domain.zones import Role
from infra.http.guards import require_role
from infra.http.paths import UserIdInPath
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import EXAMPLE_UUID7, RequestModel

router = APIRouter(
    prefix="/api/v1/users/{user_id}/roles",
    tags=["roles"],
    route_class=ApiRoute,
    dependencies=[Depends(require_role("sys_admin", "org_admin"))],
)

RoleInPath = Annotated[Role, Path(description="The role.", examples=["teacher"])]
OrgIdInQuery = Annotated[
    OrganizationId | None,
    Query(
        description="The organisation in which the role is held; left out, the one in the whole zone.",
        examples=[f"organization-{EXAMPLE_UUID7}"],
    ),
]
WHO_MAY = (
    "`zone_admin` and `sys_admin` are for system administrators to grant, confirm and take away; roles in an "
    "organisation for its administrators too. Nobody does it for themselves. The roles that the asker holds "
    "now decide, whatever the token says."
)


class Granting(RequestModel):
    role: Role = Field(examples=["teacher"])
    org_id: OrganizationId | None = Field(
        default=None,
        description="Left out or null: in the whole zone.",
        examples=[f"organization-{EXAMPLE_UUID7}"],
    )


class RoleHeld(BaseModel):
    user_id: str
    role: Role
    org_id: str | None
    reviewed_at: datetime | None = Field(
        description="When it was granted or confirmed last; null where that is not asked for."
    )
    version: int


@router.post(
    "",
    operation_id="grantRole",
    summary="Grant a role",
    description=f"{WHO_MAY} Changes nothing where it is held. A token that names the role comes with the "
    "next refresh.",
    status_code=201,
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def grant(
    user_id: UserIdInPath, body: Granting, response: Response, services: Services, asked: Asked
) -> RoleHeld:
    command = ChangeRole(user_id=user_id, role=body.role, org_id=body.org_id)
    return _held(response, command, await grant_role(services.write, asked, command))


@router.post(
    "/{role}/confirm",
    operation_id="confirmRole",
    summary="Confirm that somebody is still to hold a role",
    description=f"{WHO_MAY} A role that has to be confirmed and is not in time lapses; its time begins "
    "anew now.",
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def confirm(
    user_id: UserIdInPath,
    role: RoleInPath,
    response: Response,
    services: Services,
    asked: Asked,
    org_id: OrgIdInQuery = None,
) -> RoleHeld:
    command = ChangeRole(user_id=user_id, role=role, org_id=org_id)
    return _held(response, command, await confirm_role(services.write, asked, command))


@router.delete(
    "/{role}",
    operation_id="takeRoleAway",
    summary="Take a role away",
    description=f"{WHO_MAY} Once this is answered, the role opens nothing: tokens of before are refused, and "
    "the next refresh gives one without it. 503 `access-not-applied` says that it is recorded and not yet in "
    "force everywhere; ask again.",
    status_code=204,
    responses=problem_responses(400, 401, 403, 404, 409, 422, 503),
)
async def take_away(
    user_id: UserIdInPath, role: RoleInPath, services: Services, asked: Asked, org_id: OrgIdInQuery = None
) -> Response:
    command = ChangeRole(user_id=user_id, role=role, org_id=org_id)
    outcome = await take_role_away(services.write, asked, command)
    answer = Response(status_code=204)
    written(answer, outcome.stream_id, outcome.version)
    return answer


def _held(response: Response, command: ChangeRole, outcome: Outcome[Account]) -> RoleHeld:
    assert isinstance(outcome.state, Registered)
    held = outcome.state.role(command.role, command.org_id)
    written(response, outcome.stream_id, outcome.version)
    return RoleHeld(
        user_id=outcome.stream_id,
        role=command.role,
        org_id=command.org_id,
        reviewed_at=None if held is None else held.reviewed_at,
        version=outcome.version,
    )
