"""Attempts at an exam and their results: of those whom the asker teaches or examines, or one's own."""

from datetime import datetime

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from domain.attempts.events import SubmittedBy
from domain.exams.exam import ExamNotFound
from infra.http.guards import CurrentPrincipal
from infra.http.paging import Page, Paging, encode_cursor
from infra.http.paths import ExamId
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from projections.attempts import queries
from read_api.abilities import AbilityShown, AbilitySummary, ability_shown
from read_api.asking import require_id, results_of_exam
from read_api.attempts import AttemptStatus
from read_api.errors import ResultsNotReleased
from read_api.exams import visible_exam
from read_api.services import Read, Services

router = APIRouter(prefix="/api/v1/exams", tags=["results"], route_class=ApiRoute)


class AttemptListed(BaseModel):
    attempt_id: str
    exam_id: str
    examinee_id: str
    display_name: str | None = Field(description="Null for people of whom the asker may not know.")
    ordinal: int
    status: AttemptStatus
    started_at: datetime
    deadline: datetime | None
    server_now: datetime = Field(description="Compare the deadline with this, not with the device's clock.")
    submitted_at: datetime | None
    submitted_by: SubmittedBy | None
    responses_given: int
    version: int


class AttemptResult(BaseModel):
    attempt_id: str
    examinee_id: str
    display_name: str | None = Field(description="Null for people of whom the asker may not know.")
    ordinal: int
    score: int
    max_score: int
    ability: AbilityShown | None = Field(description="Of adaptive attempts, which have different items.")
    submitted_at: datetime | None
    scored_at: datetime


class ResultsSummary(BaseModel):
    """Over all attempts; the item analysis counts first attempts only."""

    attempts: int
    in_progress: int
    scored: int
    mean_score: float | None = Field(description="Null for adaptive exams, as the other scores are.")
    lowest_score: int | None
    highest_score: int | None
    ability: AbilitySummary | None = Field(description="Of adaptive exams alone.")


class ExamResults(BaseModel):
    exam_id: str
    max_score: int | None = Field(description="Null for adaptive exams.")
    summary: ResultsSummary | None = Field(
        description="For the staff of the exam's organisation, over the attempts that the asker may see."
    )
    items: list[AttemptResult]
    next_cursor: str | None = Field(description="Send as `cursor` for the next page; null on the last one.")


@router.get(
    "/{exam_id}/attempts",
    operation_id="listAttempts",
    summary="Attempts at an exam",
    description="All of them for whoever drafted the exam and for those who administer its organisation; "
    "those of their students for teachers of a class, those of their children for parents; one's own for "
    "everybody else.",
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def list_attempts(
    exam_id: ExamId, principal: CurrentPrincipal, read: Read, services: Services, paging: Paging
) -> Page[AttemptListed]:
    require_id(exam_id, "exam", ExamNotFound)
    list_name = f"attempts at {exam_id}"
    after = paging.start_after(list_name, str)
    async with read.of(principal, "attempts", "catalogue", "people") as connection:
        await visible_exam(connection, exam_id)
        found = await queries.attempts_at_exam(connection, exam_id, after=after, limit=paging.limit + 1)
    now = services.clock()
    shown = [AttemptListed.model_validate({**row, "server_now": now}) for row in found[: paging.limit]]
    more = len(found) > paging.limit
    return Page(items=shown, next_cursor=encode_cursor(list_name, shown[-1].attempt_id) if more else None)


@router.get(
    "/{exam_id}/results",
    operation_id="getExamResults",
    summary="Results of an exam",
    description="Of the attempts that the asker may see (as for `listAttempts`); one's own and those of "
    "one's children once they are released. With a summary for the staff of the exam's organisation.",
    dependencies=[Depends(results_of_exam)],
    responses=problem_responses(401, 403, 404, 409, 422, 503),
)
async def get_results(
    exam_id: ExamId, principal: CurrentPrincipal, read: Read, paging: Paging
) -> ExamResults:
    require_id(exam_id, "exam", ExamNotFound)
    list_name = f"results of {exam_id}"
    after = paging.start_after(list_name, str)
    async with read.of(principal, "attempts", "catalogue", "people") as connection:
        exam = await visible_exam(connection, exam_id)
        found = await queries.results(connection, exam_id, after=after, limit=paging.limit + 1)
        counts = await queries.summary(connection, exam_id)
    # Whoever has an attempt that is not scored yet is told to wait, and not that there is nothing.
    waits = not exam["released"] or (counts["attempts"] > 0 and counts["scored"] == 0)
    if waits and not exam["asks_as_staff"]:
        raise ResultsNotReleased(release=exam["release"])
    shown = [
        AttemptResult.model_validate({**row, "ability": ability_shown(row)}) for row in found[: paging.limit]
    ]
    ability = counts if exam["delivery"] == "adaptive" else None
    more = len(found) > paging.limit
    return ExamResults(
        exam_id=exam_id,
        max_score=exam["max_score"],
        summary=ResultsSummary.model_validate({**counts, "ability": ability})
        if exam["asks_as_staff"]
        else None,
        items=shown,
        next_cursor=encode_cursor(list_name, shown[-1].attempt_id) if more else None,
    )
