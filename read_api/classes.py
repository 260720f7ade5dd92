"""Classes and who is in them."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from domain.classes.school_class import ClassNotFound
from domain.organizations.organization import OrganizationNotFound
from infra.http.etags import ETAG_HEADER, etag
from infra.http.guards import CurrentPrincipal
from infra.http.paging import Page, Paging, encode_cursor
from infra.http.paths import ClassId, OrgId
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import EXAMPLE_UUID7
from projections.access import directory
from read_api.asking import require_id
from read_api.services import Read

router = APIRouter(prefix="/api/v1/organizations/{org_id}/classes", tags=["classes"], route_class=ApiRoute)

_CLASSES = "classes"
_PEOPLE = "class-people"


class ClassShown(BaseModel):
    class_id: str = Field(examples=[f"class-{EXAMPLE_UUID7}"])
    org_id: str
    name: str = Field(examples=["3학년 2반"])
    external_id: str | None = Field(description="The organisation's own name for it.", examples=["2026-3-2"])
    opened_at: datetime
    closed_at: datetime | None = Field(description="Null while it is open.")
    teachers: int | None = Field(description="For those who administer or teach it; null for everybody else.")
    students: int | None = Field(description="As `teachers`.")
    version: int


class ClassPerson(BaseModel):
    user_id: str = Field(examples=[f"user-{EXAMPLE_UUID7}"])
    part: Literal["teacher", "student"]
    display_name: str | None = Field(description="Null for those whose name one may not see.")
    since: datetime


class _Place(msgspec.Struct, frozen=True, array_like=True):
    user_id: str
    part: str


@router.get(
    "",
    operation_id="listClasses",
    summary="The classes of an organisation",
    description="All of them for those who administer it, their own for teachers and students.",
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def list_classes(
    org_id: OrgId,
    principal: CurrentPrincipal,
    read: Read,
    paging: Paging,
    with_closed: Annotated[bool, Query(description="Also those that were closed.")] = False,
) -> Page[ClassShown]:
    require_id(org_id, "organization", OrganizationNotFound)
    after = paging.start_after(_CLASSES, str)
    async with read.of(principal, "access") as connection:
        if await directory.organization(connection, org_id) is None:
            raise OrganizationNotFound
        found = await directory.classes(
            connection, org_id, with_closed=with_closed, after=after, limit=paging.limit + 1
        )
    shown = [ClassShown.model_validate(row) for row in found[: paging.limit]]
    if len(found) <= paging.limit:
        return Page(items=shown)
    return Page(items=shown, next_cursor=encode_cursor(_CLASSES, shown[-1].class_id))


@router.get(
    "/{class_id}",
    operation_id="getClass",
    summary="A class",
    description="For those who administer the organisation, and for the class's teachers and students.",
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def get_class(
    org_id: OrgId, class_id: ClassId, principal: CurrentPrincipal, read: Read, response: Response
) -> ClassShown:
    require_id(org_id, "organization", ClassNotFound)
    require_id(class_id, "class", ClassNotFound)
    async with read.of(principal, "access") as connection:
        found = await directory.school_class(connection, org_id, class_id)
    if found is None:
        raise ClassNotFound
    response.headers[ETAG_HEADER] = etag(found["version"])
    return ClassShown.model_validate(found)


@router.get(
    "/{class_id}/people",
    operation_id="listClassPeople",
    summary="Teachers and students of a class",
    description="For those who administer the organisation and those who teach the class; a student finds "
    "oneself alone.",
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def list_class_people(
    org_id: OrgId, class_id: ClassId, principal: CurrentPrincipal, read: Read, paging: Paging
) -> Page[ClassPerson]:
    require_id(org_id, "organization", ClassNotFound)
    require_id(class_id, "class", ClassNotFound)
    after = paging.start_after(_PEOPLE, _Place)
    async with read.of(principal, "access", "people") as connection:
        if await directory.school_class(connection, org_id, class_id) is None:
            raise ClassNotFound
        found = await directory.people_in(
            connection,
            class_id,
            after=None if after is None else (after.user_id, after.part),
            limit=paging.limit + 1,
        )
    shown = [ClassPerson.model_validate(row) for row in found[: paging.limit]]
    if len(found) <= paging.limit:
        return Page(items=shown)
    last = shown[-1]
    return Page(items=shown, next_cursor=encode_cursor(_PEOPLE, (last.user_id, last.part)))
