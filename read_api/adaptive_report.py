"""How an adaptive exam uses its bank, for the staff of its organisation."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from domain.errors import IllegalState
from domain.exams.exam import ExamNotFound
from infra.http.paths import ExamId
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from projections.adaptive_report import queries
from projections.adaptive_report.figures import Gap
from projections.adaptive_report.report import EXPOSURE_LIMIT, adaptive_report
from read_api.asking import Staff, require_id, results_for_staff
from read_api.services import Read

router = APIRouter(prefix="/api/v1/exams", tags=["analytics"], route_class=ApiRoute)


class ExamNotAdaptive(IllegalState):
    """Carries `exam_id`: of a fixed exam there is the item analysis."""

    code = "exam-not-adaptive"
    title = "The exam is not adaptive"


class Reference(BaseModel):
    conditions: str
    mean_length: float
    rmse: float
    bias: float
    coverage: float = Field(description="Share of 95 % intervals that hold the true ability.")


class Spread(BaseModel):
    mean: float | None
    sd: float | None = Field(description="Divisor n - 1.")
    low: float | None
    median: float | None
    high: float | None


class LengthCount(BaseModel):
    items: int
    attempts: int


class AbilityBin(BaseModel):
    low: float | None = Field(description="Null: open.")
    high: float | None
    point: float = Field(description="The ability (logits) at which the pool is looked at.")
    attempts: int = Field(description="Attempts whose final ability lies here.")
    mean_length: float | None
    mean_se: float | None
    items_given: int = Field(description="Different items that somebody here was given.")
    information_used: float | None = Field(description="Mean test information of what they were given.")
    information_of_pool: float
    best_se: float = Field(description="What the best test of max_items items would end with here.")
    items_needed: int | None = Field(
        description="Items it takes at least to reach the standard error; null: not with all of them."
    )
    fresh_items_needed: int | None = Field(description="The same, of items within the exposure limit alone.")
    gap: Gap | None = Field(
        description="`precision`: no test of the allowed length is precise enough here. `fresh_items`: not "
        "without items that too many have seen."
    )


class ItemUse(BaseModel):
    ordinal: int
    item_id: str
    item_version: int
    code: str | None
    area: str | None
    a: float | None = Field(description="Parameters as pinned when it was published; null: a pretest item.")
    b: float | None
    c: float | None
    d: float | None
    given: int
    exposure: float = Field(description="Share of attempts in which it was presented.")
    right: float | None = Field(description="Share of right answers.")
    expected_right: float | None = Field(description="What its parameters say at the final abilities.")
    mean_theta: float | None = Field(description="Mean final ability of those who were given it.")
    median_s: float | None = Field(description="Median of the seconds to the response.")
    slow_s: float | None = Field(description="Their 90th percentile.")
    by_ability: list[int] = Field(description="`given` in each bin of `by_ability` of the report.")


class UnusualAttempt(BaseModel):
    attempt_id: str
    examinee_id: str
    lz_star: float
    theta: float
    items: int


class PersonFit(BaseModel):
    attempts: int
    mean: float | None
    sd: float | None
    limit: float
    nominal_share: float = Field(
        description="Share below the limit if the index were standard normal. In adaptive tests, where each "
        "answer is about as likely as not, fewer lie there, and the index sees less than in a fixed test."
    )
    flagged: int
    most_unusual: list[UnusualAttempt] = Field(description="The lowest of those flagged, at most 20.")


class AdaptiveReport(BaseModel):
    exam_id: str
    bank_id: str | None
    bank_version: int | None
    pool_size: int
    pretest_items: int
    stop_se: float | None
    max_items: int
    prior_sd: float
    attempts: int = Field(description="Scored attempts: all figures are of them.")
    attempts_open: int
    theta: Spread
    length: Spread = Field(description="Items that counted.")
    se: Spread
    duration_s: Spread
    share_below_stop_se: float | None
    expected_rmse: float | None = Field(
        description="Root mean square of the standard errors: the error of the estimates, if the model holds."
    )
    reliability: float | None = Field(description="Empirical, of posterior means.")
    shrinkage: float | None = Field(description="Mean size of what the prior added to an estimate (logits).")
    shrinkage_at_extremes: float | None = Field(description="Two prior standard deviations or more away.")
    lengths: list[LengthCount]
    stop_reasons: dict[str, int]
    overlap: float | None = Field(description="Mean share of items that two attempts have in common.")
    highest_exposure: float | None
    exposure_limit: float
    overexposed: int = Field(description="Items above the exposure limit.")
    never_given: int
    attempts_in_gaps: int
    by_ability: list[AbilityBin]
    items: list[ItemUse]
    person_fit: PersonFit
    reference: Reference = Field(description="What a good test of this kind reaches by simulation.")


@router.get(
    "/{exam_id}/adaptive-report",
    operation_id="getAdaptiveReport",
    summary="How an adaptive exam uses its bank",
    description="Exposure, overlap, use by ability, gaps in the bank, length, precision and person fit, over "
    "all scored attempts that the asker may see. For the staff of the exam's organisation. What is not "
    "defined is null.",
    dependencies=[Depends(results_for_staff)],
    responses=problem_responses(401, 403, 404, 409, 422, 503),
)
async def get_adaptive_report(
    exam_id: ExamId,
    principal: Staff,
    read: Read,
    exposure_limit: Annotated[
        float, Query(ge=0, le=1, description="Items in a larger share of attempts are no longer fresh.")
    ] = EXPOSURE_LIMIT,
) -> AdaptiveReport:
    require_id(exam_id, "exam", ExamNotFound)
    async with read.of(principal, "attempts", "catalogue") as connection:
        exam = await queries.adaptive_exam(connection, exam_id)
        if exam is None or not exam["asks_as_staff"]:
            raise ExamNotFound
        if exam["delivery"] != "adaptive":
            raise ExamNotAdaptive(exam_id=exam_id)
        report = await adaptive_report(connection, exam, exposure_limit=exposure_limit)
    return AdaptiveReport.model_validate(msgspec.to_builtins(report))
