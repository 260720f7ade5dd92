"""Calibrate item banks from live responses, and decide upon what was found."""

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from commands.api.asking import Asked
from commands.api.bodies import ItemId, JsonBool, Number, WholeNumber, pointers_under, written
from commands.api.services import Services
from commands.calibrate_bank import CalibrateBank, Calibrated
from commands.promote_items import PromoteItems, SetCalibrationRules, promote_items, set_calibration_rules
from domain.items.bank import Bank
from domain.items.calibration import CalibrationRules
from infra.http.etags import ExpectedVersion
from infra.http.guards import require_role
from infra.http.paths import BankId
from infra.http.problems import problem_responses
from infra.http.routing import ApiRoute
from infra.http.text import EXAMPLE_UUID7, RequestModel, SafeText

AUTHORS = ("teacher", "org_admin", "service")

router = APIRouter(
    prefix="/api/v1/item-banks/{bank_id}",
    tags=["calibrations"],
    route_class=ApiRoute,
    dependencies=[Depends(require_role(*AUTHORS))],
)


class RulesBody(RequestModel):
    """When an item is good enough for its bank, and when it is no longer what it was."""

    model: Literal["2pl", "3pl"] | None = Field(
        default=None, description="Null: the 3PL where an item of the bank has a lower asymptote."
    )
    min_responses: Annotated[int, WholeNumber(50, 1_000_000)] = Field(
        default=200, description="An item with fewer is not looked at.", examples=[300]
    )
    min_examinees: Annotated[int, WholeNumber(50, 1_000_000)] = 200
    min_discrimination: Annotated[float, Number(gt=0, le=5)] = 0.4
    max_difficulty: Annotated[float, Number(gt=0, le=6)] = Field(default=4.0, description="Beyond ± this.")
    max_se_difficulty: Annotated[float, Number(gt=0, le=5)] = 0.4
    max_se_discrimination: Annotated[float, Number(gt=0, le=5)] = Field(
        default=0.35, description="As a share of a."
    )
    error_rate: Annotated[float, Number(gt=0, le=0.2)] = Field(
        default=0.01, description="Share of false alarms among all alarms, of fit and of drift."
    )
    min_change: Annotated[float, Number(gt=0, le=0.5)] = Field(
        default=0.05, description="Share of right answers from which misfit and drift matter."
    )
    promotes_automatically: JsonBool = Field(
        default=False, description="The schedule promotes what is proposed without asking a person."
    )


class PromotionBody(RequestModel):
    calibration_id: Annotated[str, SafeText(1, 64)] = Field(
        description="The newest one of the bank.", examples=[EXAMPLE_UUID7]
    )
    item_ids: list[ItemId] = Field(min_length=1, max_length=2_000)
    reason: Annotated[str, SafeText(1, 1_000, multi_line=True)]


class FoundParameters(BaseModel):
    a: float
    b: float
    c: float
    d: float


class FoundOfItem(BaseModel):
    item_id: str
    item_version: int
    role: Literal["pretest", "operational"]
    responses: int
    parameters: FoundParameters | None
    flags: list[str]
    proposal: Literal["promote", "wait", "reject", "keep", "review"]
    rule: str


class CalibrationMade(BaseModel):
    calibration_id: str
    recorded: bool = Field(description="False for a dry run.")
    bank_version: int
    examinees: int
    converged: bool
    items: list[FoundOfItem] = Field(description="In short; `getCalibration` says all.")
    new_drift_alarms: int = Field(description="Items that drift, which no earlier alarm has told.")


class ScaleState(BaseModel):
    bank_id: str
    bank_version: int
    promoted: int = Field(description="Items whose parameters were calibrated from live responses.")
    version: int


@router.post(
    "/calibrations",
    operation_id="calibrateBank",
    summary="Calibrate a bank from the responses to its adaptive exams",
    description="Takes seconds, at most about a minute for 20,000 examinees (the newest are taken). Pretest "
    "items are put on the bank's scale, operational items are tested for drift. Nothing changes by that: "
    "see `promoteItems`. 409 where too few examinees were tested.",
    status_code=201,
    responses=problem_responses(400, 401, 403, 404, 409, 422, 503),
)
async def calibrate(
    bank_id: BankId,
    response: Response,
    services: Services,
    asked: Asked,
    dry_run: Annotated[bool, Query(description="Only say what would be found.")] = False,
) -> CalibrationMade:
    made = await services.calibrations.calibrate(
        services.write, asked, CalibrateBank(bank_id=bank_id, dry_run=dry_run)
    )
    written(response, bank_id, made.version)
    return _calibration_made(made)


@router.post(
    "/promotions",
    operation_id="promoteItems",
    summary="Give items the parameters that the newest calibration found",
    description="Exams that are published from now on use them; published ones keep what they pinned. "
    "A person may promote against a proposal.",
    status_code=201,
    responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 415, 422, 503),
)
async def promote(
    bank_id: BankId,
    body: PromotionBody,
    response: Response,
    services: Services,
    asked: Asked,
    expected_version: ExpectedVersion,
) -> ScaleState:
    command = PromoteItems(
        bank_id=bank_id,
        calibration_id=body.calibration_id,
        item_ids=tuple(body.item_ids),
        reason=body.reason,
        expected_version=expected_version,
    )
    with pointers_under(""):
        outcome = await promote_items(services.write, asked, command)
    written(response, bank_id, outcome.version)
    return _scale_state(bank_id, outcome.state, outcome.version)


@router.put(
    "/calibration-rules",
    operation_id="setCalibrationRules",
    summary="Say by which rules items are judged from now on",
    responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 415, 422, 503),
)
async def set_rules(
    bank_id: BankId,
    body: RulesBody,
    response: Response,
    services: Services,
    asked: Asked,
    expected_version: ExpectedVersion,
) -> ScaleState:
    rules = msgspec.convert(body.model_dump(), CalibrationRules)
    command = SetCalibrationRules(bank_id=bank_id, rules=rules, expected_version=expected_version)
    with pointers_under(""):
        outcome = await set_calibration_rules(services.write, asked, command)
    written(response, bank_id, outcome.version)
    return _scale_state(bank_id, outcome.state, outcome.version)


def _calibration_made(made: Calibrated) -> CalibrationMade:
    found = made.calibration
    return CalibrationMade(
        calibration_id=found.calibration_id,
        recorded=made.recorded,
        bank_version=found.bank_version,
        examinees=found.window.examinees,
        converged=found.figures.converged,
        items=[
            FoundOfItem(
                item_id=item.item_id,
                item_version=item.item_version,
                role=item.role,
                responses=item.responses,
                parameters=(
                    None
                    if item.parameters is None
                    else FoundParameters.model_validate(msgspec.to_builtins(item.parameters))
                ),
                flags=list(item.flags),
                proposal=item.proposal,
                rule=item.rule,
            )
            for item in found.items
        ],
        new_drift_alarms=0 if made.alarms is None else len(made.alarms.items),
    )


def _scale_state(bank_id: str, state: object, version: int) -> ScaleState:
    assert isinstance(state, Bank)
    return ScaleState(
        bank_id=bank_id, bank_version=state.bank_version, promoted=len(state.promoted), version=version
    )
