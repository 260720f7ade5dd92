"""Enrolling examinees in bulk."""

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from commands.api.asking import Asked, acting_organization, organizations_with
from commands.api.bodies import DisplayName, OrganizationId, written_together
from commands.api.services import Services
from commands.enrol_examinees import Examinee, enrol_examinees
from domain.errors import Malformed
from domain.languages import Language
from infra.http.guards import CurrentPrincipal, require_role
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import RequestModel, SafeText

router = APIRouter(prefix="/api/v1", tags=["examinees"], route_class=ApiRoute)

MAX_EXAMINEES = 1000
ENROLLING_ROLES = ("org_admin", "service")


class DuplicateExaminee(Malformed):
    """The same external reference stands twice in one request."""

    code = "duplicate-examinee"
    title = "An examinee is named twice"


class ExamineeBody(RequestModel):
    external_ref: Annotated[str, SafeText(1, 100)] = Field(
        description="Your own name for this person, unique in your organisation.", examples=["2026-0317"]
    )
    display_name: DisplayName | None = Field(default=None, description="Default: the external reference.")
    language: Language = "ko"


class Enrolment(RequestModel):
    examinees: list[ExamineeBody] = Field(min_length=1, max_length=MAX_EXAMINEES)
    org_id: OrganizationId | None = Field(
        default=None, description="May be left out by those who work for one organisation."
    )


class EnrolledExaminee(BaseModel):
    external_ref: str
    user_id: str
    status: Literal["enrolled", "existing"]


class EnrolmentReport(BaseModel):
    enrolled: int
    existing: int
    examinees: list[EnrolledExaminee]


@router.post(
    "/examinees",
    operation_id="enrolExaminees",
    summary="Enrol the people whom an organisation examines",
    description="They get accounts without a password. Enrolling somebody again changes nothing. "
    "409 `examinees-deactivated` names those whose accounts were deactivated; then nobody is enrolled.",
    dependencies=[Depends(require_role(*ENROLLING_ROLES))],
    responses=problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
async def enrol(
    body: Enrolment, response: Response, services: Services, asked: Asked, principal: CurrentPrincipal
) -> EnrolmentReport:
    _refuse_duplicates(body)
    # A teacher of one organisation who administers another enrols for that other one alone.
    zone_id = asked.zone_id
    assert zone_id is not None
    asked = msgspec.structs.replace(asked, staff_of=organizations_with(principal, ENROLLING_ROLES))
    enrolled = await enrol_examinees(
        services.write,
        asked,
        acting_organization(asked, body.org_id),
        zone_id,
        [
            Examinee(
                external_ref=examinee.external_ref,
                display_name=examinee.display_name or examinee.external_ref,
                language=examinee.language,
            )
            for examinee in body.examinees
        ],
    )
    written_together(response, [(each.user_id, each.version, each.status == "enrolled") for each in enrolled])
    return EnrolmentReport(
        enrolled=sum(1 for each in enrolled if each.status == "enrolled"),
        existing=sum(1 for each in enrolled if each.status == "existing"),
        examinees=[
            EnrolledExaminee(external_ref=each.external_ref, user_id=each.user_id, status=each.status)
            for each in enrolled
        ],
    )


def _refuse_duplicates(body: Enrolment) -> None:
    first_at: dict[str, int] = {}
    errors: list[dict[str, str]] = []
    for index, examinee in enumerate(body.examinees):
        first = first_at.setdefault(examinee.external_ref, index)
        if first != index:
            errors.append(
                {
                    "in": "body",
                    "pointer": f"#/examinees/{index}/external_ref",
                    "code": "duplicate-examinee",
                    "detail": f"Examinee {first} has this reference too.",
                }
            )
    if errors:
        raise DuplicateExaminee(errors=errors[:100])
