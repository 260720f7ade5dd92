"""Exams: which there are, and what they are like."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from domain.exams.events import Audience, ReleaseRule
from domain.exams.exam import ExamNotFound
from domain.languages import LocalizedText
from infra.http.etags import ETAG_HEADER, etag
from infra.http.guards import CurrentPrincipal
from infra.http.paging import Page, Paging, encode_cursor
from infra.http.paths import ExamId
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from projections.catalogue import queries
from projections.queries import Connection
from read_api.asking import require_id
from read_api.contents import ItemParametersShown
from read_api.services import Read

router = APIRouter(prefix="/api/v1/exams", tags=["exams"], route_class=ApiRoute)

ExamStatus = Literal["draft", "published", "closed"]
Delivery = Literal["fixed", "adaptive"]


class ExamShown(BaseModel):
    exam_id: str
    org_id: str | None
    status: ExamStatus
    title: LocalizedText = Field(examples=[{"ko": "모의고사 1회", "en": "Mock exam 1"}])
    description: LocalizedText
    time_limit_s: int | None = Field(description="Null where there is no limit.")
    opens_at: datetime | None
    closes_at: datetime | None
    attempts_allowed: int
    release: ReleaseRule = Field(description="When examinees see their results.")
    audience: Audience
    delivery: Delivery = Field(
        description="`adaptive`: each examinee's items are chosen one by one, by the answers so far."
    )
    item_count: int = Field(description="Of an adaptive exam: the most that one test has.")
    pool_size: int | None = Field(
        description="How many items an adaptive exam chooses from; for the staff of its organisation."
    )
    max_score: int | None = Field(description="Null for adaptive exams: their tests are of different items.")
    results_released: bool = Field(description="Whether somebody has released the results by hand.")
    published_at: datetime | None
    closed_at: datetime | None
    version: int


class ExamItemShown(BaseModel):
    ordinal: int
    item_id: str
    item_version: int
    code: str
    parameters: ItemParametersShown | None = Field(
        description="As an adaptive exam pinned them when it was published; null for its pretest items, and "
        "in other exams."
    )


class ExamInDetail(ExamShown):
    items: list[ExamItemShown] | None = Field(
        description="The form, or the pool of an adaptive exam, for the staff of the exam's organisation. "
        "Examinees get theirs with their attempt."
    )
    adaptive: dict[str, Any] | None = Field(
        description="The rules of an adaptive exam, as they were drafted; for the staff of its organisation."
    )
    bank_id: str | None = Field(
        description="The bank of a published adaptive exam, on whose scale ability is."
    )
    bank_version: int | None = Field(description="Of which version of the bank the pinned parameters are.")


@router.get(
    "",
    operation_id="listExams",
    summary="Exams that one may know of, newest first",
    responses=problem_responses(401, 403, 422, 503),
)
async def list_exams(
    principal: CurrentPrincipal,
    read: Read,
    paging: Paging,
    status: Annotated[ExamStatus | None, Query(description="Only exams in this state.")] = None,
) -> Page[ExamShown]:
    before = paging.start_after("exams", str)
    async with read.of(principal, "catalogue", "attempts") as connection:
        found = await queries.exams(connection, status=status, before=before, limit=paging.limit + 1)
    shown = [ExamShown.model_validate(row) for row in found[: paging.limit]]
    more = len(found) > paging.limit
    return Page(items=shown, next_cursor=encode_cursor("exams", shown[-1].exam_id) if more else None)


@router.get(
    "/{exam_id}",
    operation_id="getExam",
    summary="One exam",
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def get_exam(
    exam_id: ExamId, principal: CurrentPrincipal, read: Read, response: Response
) -> ExamInDetail:
    require_id(exam_id, "exam", ExamNotFound)
    async with read.of(principal, "catalogue", "attempts") as connection:
        found = await visible_exam(connection, exam_id)
        items = await queries.exam_items(connection, exam_id) if found["asks_as_staff"] else None
    response.headers[ETAG_HEADER] = etag(found["version"])
    return ExamInDetail.model_validate({**found, "items": items, "adaptive": found["rules"]})


async def visible_exam(connection: Connection, exam_id: str) -> dict[str, Any]:
    """Raises `ExamNotFound`, also for an exam that the asker may not know of."""
    found = await queries.exam(connection, exam_id)
    if found is None:
        raise ExamNotFound
    return found
