"""Calibrations of item banks: what was found, decided, and what drifts. For the staff of the organisation."""

import re
from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from domain.identifiers import UUID7_PATTERN
from domain.items.bank import CalibrationNotFound, ItemBankNotFound
from infra.http.etags import ETAG_HEADER, etag
from infra.http.paging import Page, Paging, encode_cursor
from infra.http.paths import BankId, CalibrationId
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from projections.calibrations import queries
from projections.queries import Connection
from read_api.asking import Staff, require_id
from read_api.contents import ItemParametersShown
from read_api.services import Read

router = APIRouter(prefix="/api/v1/item-banks/{bank_id}", tags=["calibrations"], route_class=ApiRoute)

_CALIBRATION_ID = re.compile(UUID7_PATTERN)

ProposalShown = Literal["promote", "wait", "reject", "keep", "review"]


class WindowShown(BaseModel):
    """Whose responses they were: first attempts at these exams, handed in between these two moments."""

    exam_ids: list[str]
    from_: datetime = Field(alias="from")
    to: datetime
    examinees: int
    responses: int


class FiguresShown(BaseModel):
    method: str
    model: Literal["2pl", "3pl"]
    algorithm_version: int
    points: int = Field(description="Of the grid of ability, from `lowest` to `highest` (logits).")
    lowest: float
    highest: float
    log_likelihood: float
    iterations: int
    converged: bool
    population_mean: float = Field(description="Of the examinees' abilities, estimated along (logits).")
    population_sd: float


class RulesShown(BaseModel):
    model: Literal["2pl", "3pl"] | None
    min_responses: int
    min_examinees: int
    min_discrimination: float
    max_difficulty: float
    max_se_difficulty: float
    max_se_discrimination: float
    error_rate: float
    min_change: float
    promotes_automatically: bool


class CalibrationListed(BaseModel):
    calibration_id: str
    bank_id: str
    calibrated_at: datetime
    bank_version: int
    examinees: int
    responses: int
    proposals: dict[ProposalShown, int] = Field(description="For how many items each proposal was made.")


class ErrorsShown(BaseModel):
    """Standard errors; null where they cannot be known."""

    a: float | None
    b: float | None
    c: float | None


class FitShown(BaseModel):
    statistic: float = Field(description="Chi-squared of right answers by groups of ability.")
    df: int
    p_value: float
    misfit: float = Field(description="Typical difference from the expected share right, beyond chance.")
    infit: float
    outfit: float


class DriftShown(BaseModel):
    statistic: float = Field(description="Chi-squared: do a and b still hold?")
    df: int
    p_value: float
    mean_residual: float = Field(description="Share right beyond the expected one.")
    change_a: float
    change_b: float = Field(description="How far the difficulty seems to have moved (logits).")
    change: float = Field(description="Typical difference in the chance of a right answer, beyond chance.")


class CalibratedItemShown(BaseModel):
    item_id: str
    item_version: int
    code: str | None
    role: Literal["pretest", "operational"]
    responses: int
    right: int
    used: ItemParametersShown | None = Field(description="With which it chose and counted; null: pretest.")
    parameters: ItemParametersShown | None = Field(description="Estimated now, on the bank's scale.")
    errors: ErrorsShown | None
    fit: FitShown | None
    drift: DriftShown | None
    flags: list[str]
    proposal: ProposalShown
    rule: str = Field(description="What decided upon the proposal.", examples=["meets-all-rules"])


class CalibrationInDetail(CalibrationListed):
    window: WindowShown
    figures: FiguresShown
    rules: RulesShown
    items: list[CalibratedItemShown]


class PromotedItemShown(BaseModel):
    item_id: str
    item_version: int
    code: str | None
    parameters: ItemParametersShown


class PromotionShown(BaseModel):
    bank_version: int
    calibration_id: str
    promoted_at: datetime
    promoted_by: str
    reason: str
    automatic: bool
    items: list[PromotedItemShown]


class Scale(BaseModel):
    bank_id: str
    bank_version: int = Field(description="Counts the decisions that changed parameters, from 1.")
    rules: RulesShown
    calibration_id: str | None = Field(description="The newest one, upon which decisions rest.")
    version: int
    promotions: list[PromotionShown]


class DriftAlarm(BaseModel):
    item_id: str
    item_version: int
    code: str | None
    calibration_id: str
    found_at: datetime
    responses: int
    used: ItemParametersShown
    drift: DriftShown
    settled: bool = Field(description="The item was given other parameters since.")


class DriftAlarms(BaseModel):
    bank_id: str
    alarms: list[DriftAlarm]


@router.get(
    "/scale",
    operation_id="getScale",
    summary="The bank's scale: rules of calibration, and every decision upon parameters",
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def get_scale(bank_id: BankId, principal: Staff, read: Read, response: Response) -> Scale:
    require_id(bank_id, "item_bank", ItemBankNotFound)
    async with read.of(principal, "calibrations", "catalogue") as connection:
        found = await _scale(connection, bank_id)
        promotions = await queries.promotions(connection, bank_id)
    response.headers[ETAG_HEADER] = etag(found["version"])
    return Scale.model_validate({**found, "promotions": promotions})


@router.get(
    "/calibrations",
    operation_id="listCalibrations",
    summary="Calibrations of a bank, newest first",
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def list_calibrations(
    bank_id: BankId, principal: Staff, read: Read, paging: Paging
) -> Page[CalibrationListed]:
    require_id(bank_id, "item_bank", ItemBankNotFound)
    list_name = f"calibrations of {bank_id}"
    before = paging.start_after(list_name, int)
    async with read.of(principal, "calibrations") as connection:
        await _scale(connection, bank_id)
        found = await queries.calibrations(connection, bank_id, before=before, limit=paging.limit + 1)
    shown = [CalibrationListed.model_validate(row) for row in found[: paging.limit]]
    more = len(found) > paging.limit
    last = found[paging.limit - 1]["version"] if more else None
    return Page(items=shown, next_cursor=encode_cursor(list_name, last) if more else None)


@router.get(
    "/calibrations/{calibration_id}",
    operation_id="getCalibration",
    summary="A calibration with all its items",
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def get_calibration(
    bank_id: BankId, calibration_id: CalibrationId, principal: Staff, read: Read
) -> CalibrationInDetail:
    require_id(bank_id, "item_bank", ItemBankNotFound)
    async with read.of(principal, "calibrations", "catalogue") as connection:
        await _scale(connection, bank_id)
        is_id = _CALIBRATION_ID.fullmatch(calibration_id) is not None
        found = await queries.calibration(connection, bank_id, calibration_id) if is_id else None
        if found is None:
            raise CalibrationNotFound
        items = await queries.calibrated_items(connection, calibration_id)
    return CalibrationInDetail.model_validate({**found, "items": [{**row["found"], **row} for row in items]})


@router.get(
    "/drift",
    operation_id="getDrift",
    summary="Items of a bank that do not work as they did",
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def get_drift(bank_id: BankId, principal: Staff, read: Read) -> DriftAlarms:
    require_id(bank_id, "item_bank", ItemBankNotFound)
    async with read.of(principal, "calibrations", "catalogue") as connection:
        await _scale(connection, bank_id)
        found = await queries.drift_alarms(connection, bank_id)
    return DriftAlarms.model_validate({"bank_id": bank_id, "alarms": found})


async def _scale(connection: Connection, bank_id: str) -> dict[str, Any]:
    found = await queries.scale(connection, bank_id)
    if found is None:
        raise ItemBankNotFound
    return found
