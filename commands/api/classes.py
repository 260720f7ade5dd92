"""Classes: opening, renaming and closing them, who teaches and who attends them."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from commands.api.asking import Asked
from commands.api.bodies import Title, UserId, written
from commands.api.services import Services
from commands.classes import (
    ClassChanged,
    ClassPeople,
    CloseClass,
    OpenClass,
    Part,
    RenameClass,
    add_to_class,
    close_class,
    open_class,
    rename_class,
    withdraw_from_class,
)
from commands.streams import Outcome
from domain.classes.school_class import Closed, Open, SchoolClass
from infra.http.etags import ExpectedVersion
from infra.http.guards import require_role
from infra.http.paths import ClassId, OrgId, UserIdInPath
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import EXAMPLE_UUID7, RequestModel, SafeText

router = APIRouter(
    prefix="/api/v1/organizations/{org_id}/classes",
    tags=["classes"],
    route_class=ApiRoute,
    dependencies=[Depends(require_role("org_admin", "service", "sys_admin"))],
)

MAX_PEOPLE = 500


class Opening(RequestModel):
    name: Title = Field(examples=["3학년 2반"])
    external_id: Annotated[str, SafeText(1, 100)] | None = Field(
        default=None,
        description="Your own name for the class, unique in your organisation.",
        examples=["2026-3-2"],
    )


class ClassRenaming(RequestModel):
    name: Title = Field(examples=["3학년 3반"])


class Closing(RequestModel):
    reason: Annotated[str, SafeText(1, 500)] = Field(examples=["the school year is over"])


class ClassState(BaseModel):
    class_id: str = Field(examples=[f"class-{EXAMPLE_UUID7}"])
    org_id: str
    name: str
    external_id: str | None
    open: bool
    version: int


class Adding(RequestModel):
    user_ids: list[UserId] = Field(min_length=1, max_length=MAX_PEOPLE)


class PersonPlaced(BaseModel):
    user_id: str
    status: Literal["added", "present", "not_a_member"] = Field(
        description="`present`: was in it before. `not_a_member`: holds no fitting role in the organisation, "
        "or does not exist; the others are added all the same."
    )


class PlacementReport(BaseModel):
    class_id: str
    people: list[PersonPlaced] = Field(description="In the order asked for, each of them once.")
    version: int


@router.post(
    "",
    operation_id="openClass",
    summary="Open a class",
    description="409 `class-exists` names the class that has this external id.",
    status_code=201,
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def open_(
    org_id: OrgId, body: Opening, response: Response, services: Services, asked: Asked
) -> ClassState:
    command = OpenClass(org_id=org_id, name=body.name, external_id=body.external_id)
    return _answer(response, await open_class(services.write, asked, command))


@router.put(
    "/{class_id}",
    operation_id="renameClass",
    summary="Rename a class",
    responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 415, 422, 503),
)
async def rename(
    org_id: OrgId,
    class_id: ClassId,
    body: ClassRenaming,
    response: Response,
    services: Services,
    asked: Asked,
    expected_version: ExpectedVersion,
) -> ClassState:
    command = RenameClass(org_id=org_id, class_id=class_id, name=body.name, expected_version=expected_version)
    return _answer(response, await rename_class(services.write, asked, command))


@router.post(
    "/{class_id}/closure",
    operation_id="closeClass",
    summary="Close a class",
    description="Answered when it is in force: its teachers see its students no longer. It stays closed.",
    responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 415, 422, 503),
)
async def close(
    org_id: OrgId,
    class_id: ClassId,
    body: Closing,
    response: Response,
    services: Services,
    asked: Asked,
    expected_version: ExpectedVersion,
) -> ClassState:
    command = CloseClass(
        org_id=org_id, class_id=class_id, reason=body.reason, expected_version=expected_version
    )
    return _answer(response, await close_class(services.write, asked, command))


@router.post(
    "/{class_id}/students",
    operation_id="enrollStudents",
    summary="Put students of the organisation into a class",
    responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 415, 422, 503),
)
async def enroll(
    org_id: OrgId,
    class_id: ClassId,
    body: Adding,
    response: Response,
    services: Services,
    asked: Asked,
    expected_version: ExpectedVersion,
) -> PlacementReport:
    command = _people(org_id, class_id, "student", body.user_ids, expected_version)
    return _placed(response, await add_to_class(services.write, asked, command))


@router.post(
    "/{class_id}/teachers",
    operation_id="assignTeachers",
    summary="Have teachers and tutors of the organisation teach a class",
    responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 415, 422, 503),
)
async def assign(
    org_id: OrgId,
    class_id: ClassId,
    body: Adding,
    response: Response,
    services: Services,
    asked: Asked,
    expected_version: ExpectedVersion,
) -> PlacementReport:
    command = _people(org_id, class_id, "teacher", body.user_ids, expected_version)
    return _placed(response, await add_to_class(services.write, asked, command))


@router.delete(
    "/{class_id}/students/{user_id}",
    operation_id="withdrawStudent",
    summary="Take a student out of a class",
    description="Answered when it is in force: the class's teachers see this student no longer. Changes "
    "nothing where nobody of this id is in it.",
    status_code=204,
    responses=problem_responses(400, 401, 403, 404, 409, 412, 422, 503),
)
async def withdraw_student(
    org_id: OrgId,
    class_id: ClassId,
    user_id: UserIdInPath,
    services: Services,
    asked: Asked,
    expected_version: ExpectedVersion,
) -> Response:
    command = _people(org_id, class_id, "student", [user_id], expected_version)
    return _withdrawn(await withdraw_from_class(services.write, asked, command))


@router.delete(
    "/{class_id}/teachers/{user_id}",
    operation_id="withdrawTeacher",
    summary="Have somebody teach a class no longer",
    description="Answered when it is in force: they see its students no longer. Changes nothing where nobody "
    "of this id teaches it.",
    status_code=204,
    responses=problem_responses(400, 401, 403, 404, 409, 412, 422, 503),
)
async def withdraw_teacher(
    org_id: OrgId,
    class_id: ClassId,
    user_id: UserIdInPath,
    services: Services,
    asked: Asked,
    expected_version: ExpectedVersion,
) -> Response:
    command = _people(org_id, class_id, "teacher", [user_id], expected_version)
    return _withdrawn(await withdraw_from_class(services.write, asked, command))


def _people(
    org_id: str, class_id: str, part: Part, user_ids: list[str], expected_version: int | None
) -> ClassPeople:
    return ClassPeople(
        org_id=org_id,
        class_id=class_id,
        part=part,
        user_ids=tuple(user_ids),
        expected_version=expected_version,
    )


def _answer(response: Response, outcome: Outcome[SchoolClass]) -> ClassState:
    state = outcome.state
    shown = state.last if isinstance(state, Closed) else state
    assert isinstance(shown, Open)
    written(response, outcome.stream_id, outcome.version)
    return ClassState(
        class_id=outcome.stream_id,
        org_id=shown.org_id,
        name=shown.name,
        external_id=shown.external_id,
        open=isinstance(state, Open),
        version=outcome.version,
    )


def _placed(response: Response, changed: ClassChanged) -> PlacementReport:
    written(response, changed.outcome.stream_id, changed.outcome.version)
    return PlacementReport(
        class_id=changed.outcome.stream_id,
        people=[PersonPlaced.model_validate(each, from_attributes=True) for each in changed.people],
        version=changed.outcome.version,
    )


def _withdrawn(changed: ClassChanged) -> Response:
    answer = Response(status_code=204)
    written(answer, changed.outcome.stream_id, changed.outcome.version)
    return answer
