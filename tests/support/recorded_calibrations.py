"""Fully filled examples of what is recorded of calibrations: see `recorded_examples`.

No field is empty, as no real item has it: a pretest item was not used with parameters, and cannot drift.
"""

from datetime import UTC, datetime

from domain.events import Event
from domain.items.calibration import (
    CalibratedItem,
    CalibrationFigures,
    CalibrationRules,
    CalibrationWindow,
    DriftFinding,
    DriftTest,
    FitTest,
    ParameterErrors,
    PromotedItem,
)
from domain.items.content import ItemParameters
from domain.items.events import BankCalibrated, CalibrationRulesSet, DriftFound, ParametersPromoted
from tests.support.exam_parts import CHOICE_ID, EXAM_ID, NUMBER_ID, uuid7

CALIBRATION_ID = uuid7(0xCA1)
RULES = CalibrationRules(
    model="3pl",
    min_responses=300,
    min_examinees=500,
    min_discrimination=0.5,
    max_difficulty=3.5,
    max_se_difficulty=0.25,
    max_se_discrimination=0.3,
    error_rate=0.05,
    min_change=0.04,
    promotes_automatically=True,
)
USED = ItemParameters(a=1.2, b=-0.5, c=0.2, d=0.98)
FOUND = ItemParameters(a=0.9, b=0.75, c=0.15, d=0.99)
DRIFT = DriftTest(
    statistic=25.5, df=1, p_value=4.4e-7, mean_residual=-0.125, change_a=0.25, change_b=0.5, change=0.0625
)
FIT = FitTest(statistic=7.25, df=4, p_value=0.125, misfit=0.03125, infit=1.02, outfit=0.98)
WINDOW = CalibrationWindow(
    exam_ids=(EXAM_ID,),
    from_=datetime(2026, 3, 2, 12, tzinfo=UTC),
    to=datetime(2026, 3, 9, 18, 30, tzinfo=UTC),
    examinees=1200,
    responses=24_000,
)
FIGURES = CalibrationFigures(
    method="anchored-marginal-maximum-likelihood",
    model="3pl",
    algorithm_version=1,
    points=61,
    lowest=-6.0,
    highest=6.0,
    log_likelihood=-12_345.625,
    iterations=17,
    converged=True,
    population_mean=0.25,
    population_sd=1.125,
)
PRETEST = CalibratedItem(
    item_id=NUMBER_ID,
    item_version=3,
    role="pretest",
    responses=420,
    right=180,
    used=USED,
    parameters=FOUND,
    errors=ParameterErrors(0.0625, 0.125, 0.03125),
    fit=FIT,
    drift=DRIFT,
    flags=("misfit",),
    proposal="reject",
    rule="misfit",
)
OPERATIONAL = CalibratedItem(
    item_id=CHOICE_ID,
    item_version=1,
    role="operational",
    responses=900,
    right=600,
    used=USED,
    parameters=FOUND,
    errors=ParameterErrors(0.0625, 0.125, 0.03125),
    fit=FIT,
    drift=DRIFT,
    flags=("drift",),
    proposal="review",
    rule="drift",
)
CALIBRATED = BankCalibrated(
    calibration_id=CALIBRATION_ID,
    bank_version=3,
    window=WINDOW,
    figures=FIGURES,
    rules=RULES,
    items=(OPERATIONAL, PRETEST),
)

CALIBRATION_EVENTS: dict[str, Event] = {
    "item_bank.calibration_rules_set.v1": CalibrationRulesSet(rules=RULES),
    "item_bank.calibrated.v1": CALIBRATED,
    "item_bank.drift_found.v1": DriftFound(
        calibration_id=CALIBRATION_ID,
        items=(DriftFinding(item_id=CHOICE_ID, item_version=1, used=USED, responses=900, drift=DRIFT),),
    ),
    "item_bank.parameters_promoted.v1": ParametersPromoted(
        calibration_id=CALIBRATION_ID,
        items=(PromotedItem(NUMBER_ID, 3, FOUND),),
        reason="2026학년도 예비 문항",
        automatic=True,
        bank_version=4,
    ),
}
