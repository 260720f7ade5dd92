"""Classical item analysis of an exam, for the staff of its organisation."""

import asyncio
from typing import Any

import msgspec
from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from domain.exams.exam import ExamNotFound
from infra.http.paths import ExamId
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from projections.catalogue.queries import exam
from projections.item_analysis.queries import exam_sums, item_codes
from projections.item_analysis.statistics import ExamStatistics, ExamSums, analyse
from projections.queries import Connection
from read_api.asking import Staff, require_id, results_for_staff
from read_api.errors import AnalysisOfAdaptiveExam
from read_api.services import Read

router = APIRouter(prefix="/api/v1/analytics", tags=["analytics"], route_class=ApiRoute)


class OptionAnalysis(BaseModel):
    option: str = Field(examples=["3"])
    is_key: bool
    count: int = Field(description="Examinees who chose it.")
    proportion: float | None = Field(description="Of all examinees.")
    mean_score: float | None = Field(description="Mean total score of those who chose it.")
    point_biserial: float | None = Field(description="Correlation of choosing it with the total score.")


class ItemAnalysis(BaseModel):
    ordinal: int
    item_id: str
    item_version: int
    code: str | None
    max_score: int
    n: int
    omitted: int = Field(description="Examinees who left it without an answer.")
    p_value: float | None = Field(description="Mean score as a share of the item's points.")
    sd: float | None
    point_biserial: float | None = Field(description="Correlation with the total, this item included.")
    point_biserial_corrected: float | None = Field(description="Correlation with the total of the others.")
    alpha_if_item_deleted: float | None
    options: list[OptionAnalysis]


class ScoreFrequency(BaseModel):
    score: int
    examinees: int


class ExamAnalysis(BaseModel):
    exam_id: str
    n: int = Field(description="Examinees whose first attempt is scored.")
    max_score: int
    mean: float | None
    sd: float | None = Field(description="Of a sample: divisor n - 1.")
    alpha: float | None = Field(description="Cronbach's coefficient alpha.")
    kr20: float | None = Field(description="Kuder-Richardson 20; null unless all items are scored 0 or 1.")
    sem: float | None = Field(description="Standard error of measurement.")
    score_distribution: list[ScoreFrequency]
    items: list[ItemAnalysis]


@router.get(
    "/exam/{exam_id}",
    operation_id="getExamAnalysis",
    summary="Item analysis of an exam",
    description="Only an examinee's first attempt counts. What is not defined (no variance, fewer than two "
    "examinees) is null. A draft has no analysis: 404. Neither has an adaptive exam, whose examinees have "
    "different items: 409.",
    dependencies=[Depends(results_for_staff)],
    responses=problem_responses(401, 403, 404, 409, 422, 503),
)
async def get_analysis(exam_id: ExamId, principal: Staff, read: Read) -> ExamAnalysis:
    require_id(exam_id, "exam", ExamNotFound)
    async with read.of(principal, "item_analysis", "catalogue") as connection:
        sums = await exam_sums(connection, exam_id)
        if sums is None:
            await _refuse_adaptive(connection, exam_id)
            raise ExamNotFound
        codes = await item_codes(connection, exam_id)
    # Exact fractions over many items take their time, and other requests must not wait for that.
    return await asyncio.to_thread(_analysis, exam_id, sums, codes)


async def _refuse_adaptive(connection: Connection, exam_id: str) -> None:
    found = await exam(connection, exam_id)
    if found is not None and found["asks_as_staff"] and found["delivery"] == "adaptive":
        raise AnalysisOfAdaptiveExam


def _analysis(exam_id: str, sums: ExamSums, codes: dict[str, str]) -> ExamAnalysis:
    return ExamAnalysis.model_validate({"exam_id": exam_id, **_with_codes(analyse(sums), codes)})


def _with_codes(statistics: ExamStatistics, codes: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(statistics)
    for item in found["items"]:
        item["code"] = codes.get(item["item_id"])
    return found
