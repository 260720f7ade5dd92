"""One's own account."""

from datetime import datetime

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from domain.languages import Language
from domain.users.account import UserNotFound
from domain.zones import Role, ZoneId
from infra.http.etags import ETAG_HEADER, etag
from infra.http.guards import CurrentPrincipal
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from projections.people.queries import person
from read_api.services import Read

router = APIRouter(prefix="/api/v1/users", tags=["users"], route_class=ApiRoute)


class RoleHeld(BaseModel):
    role: Role
    org_id: str | None = Field(description="Null for a role in the whole zone.")


class MyAccount(BaseModel):
    user_id: str
    display_name: str = Field(examples=["김민지"])
    language: Language
    email: str | None = Field(examples=["minji@example.org"])
    zone_id: ZoneId
    org_id: str | None = Field(description="The organisation that enrolled the person, if one did.")
    roles: list[RoleHeld]
    registered_at: datetime
    version: int


@router.get(
    "/me",
    operation_id="getMyAccount",
    summary="One's own account",
    description="A service is no person: it gets 404.",
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def my_account(principal: CurrentPrincipal, read: Read, response: Response) -> MyAccount:
    async with read.of(principal, "people") as connection:
        found = await person(connection, principal.subject_id)
    if found is None:
        raise UserNotFound
    response.headers[ETAG_HEADER] = etag(found["version"])
    return MyAccount.model_validate(found)
