"""From live responses to what a calibration says of each item of the bank."""

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from commands.live_responses import LiveSittings
from commands.pools import PinnedByExam
from domain.cat.grid import DEFAULT_GRID
from domain.cat.items import LogisticItems
from domain.cat.upkeep import ALGORITHM_VERSION, BankReview, Sittings, review_bank
from domain.identifiers import StreamId
from domain.items.bank import Bank
from domain.items.calibration import (
    CalibratedItem,
    CalibrationFigures,
    CalibrationModel,
    CalibrationRules,
    CalibrationWindow,
    DriftTest,
    FitTest,
    ParameterErrors,
    proposal_for,
)
from domain.items.content import ItemParameters
from domain.items.events import BankCalibrated

METHOD = "anchored-marginal-maximum-likelihood"

_MOST_CELLS = 20_000_000
"""Examinees times items of one calibration: 160 MB for the table of responses."""

Used = tuple[StreamId, int, tuple[float, float, float, float] | None]
"""An item version with the parameters with which it was used; None: as a pretest item."""


def review_of(calibration_id: str, bank: Bank, live: LiveSittings, pools: PinnedByExam) -> BankCalibrated:
    """The calibration that follows from the responses. Takes seconds: not for an event loop.

    The same item version used with other parameters, before and after a promotion, is looked at as an item
    of its own: otherwise a promotion would look like drift.
    """
    table = _table_of(live, pools)
    rules = bank.rules
    model = rules.model or ("3pl" if (table.operational.c > 0).any() else "2pl")
    found = review_bank(
        table.operational,
        table.sittings,
        table.pretest,
        model=model,
        min_responses=rules.min_responses,
        error_rate=rules.error_rate,
        min_change=rules.min_change,
    )
    assert live.submitted_at is not None
    oldest, newest = live.submitted_at
    has = bank.parameters_of()
    items = (
        proposal_for(_item(row, used, found, rules), rules, converged=found.converged)
        for row, used in enumerate(table.used)
        if found.responses[row]
    )
    return BankCalibrated(
        calibration_id=calibration_id,
        bank_version=bank.bank_version,
        window=CalibrationWindow(
            exam_ids=tuple(live.exam_ids),
            from_=oldest,
            to=newest,
            examinees=len(table.sittings),
            responses=int(found.responses.sum()),
        ),
        figures=_figures(found, model),
        rules=rules,
        items=tuple(_unless_promoted(each, (each.item_id, each.item_version) in has) for each in items),
    )


@dataclass(frozen=True, eq=False)
class _Table:
    """Rows of the bank in the order that `review_bank` wants: operational items first."""

    used: list[Used]
    operational: LogisticItems
    pretest: int
    sittings: Sittings


def _table_of(live: LiveSittings, pools: PinnedByExam) -> _Table:
    uses: list[Used] = [
        (each.item_id, each.item_version, pools[each.exam_id][each.item_id, each.item_version])
        for each in live.items
    ]
    ordered = sorted(dict.fromkeys(uses), key=lambda use: (use[2] is None, use[:2], use[2] or ()))
    row_of: dict[Used, int] = {use: row for row, use in enumerate(ordered)}
    rows: NDArray[np.int64] = np.array([*(row_of[use] for use in uses), -1])  # the last one for no response
    newest = slice(_MOST_CELLS // max(len(ordered), 1))
    parameters = [use[2] for use in ordered if use[2] is not None]
    return _Table(
        used=ordered,
        operational=LogisticItems.of(*np.array(parameters).reshape(-1, 4).T),
        pretest=len(ordered) - len(parameters),
        sittings=Sittings.of(rows[live.presented[newest]], live.right[newest], live.exams[newest]),
    )


def _item(row: int, used: Used, found: BankReview, rules: CalibrationRules) -> CalibratedItem:
    item_id, item_version, parameters = used
    estimated = found.estimated.get(row)
    enough = int(found.responses[row]) >= rules.min_responses
    operational = parameters is not None
    flags = []
    if operational and found.drifts[row]:
        flags.append("drift")
    if estimated is not None and estimated.at_bound:
        flags.append("at_bound")
    if estimated is not None and estimated.misfits:
        flags.append("misfit")
    return CalibratedItem(
        item_id=item_id,
        item_version=item_version,
        role="operational" if operational else "pretest",
        responses=int(found.responses[row]),
        right=int(found.right[row]),
        used=None if parameters is None else ItemParameters(*parameters),
        parameters=None if estimated is None else ItemParameters(*estimated.parameters),
        errors=None if estimated is None else ParameterErrors(*map(_known, estimated.errors)),
        fit=None if estimated is None else FitTest(**vars(estimated.fit)),
        drift=_drift(row, found) if operational and enough else None,
        flags=tuple(flags),
        proposal="wait",
        rule="not-judged",
    )


def _drift(row: int, found: BankReview) -> DriftTest:
    drift = found.drift
    return DriftTest(
        statistic=float(drift.statistic[row]),
        df=int(drift.df[row]),
        p_value=float(drift.p_value[row]),
        mean_residual=float(drift.mean_residual[row]),
        change_a=float(drift.change_a[row]),
        change_b=float(drift.change_b[row]),
        change=float(drift.change[row]),
    )


def _figures(found: BankReview, model: CalibrationModel) -> CalibrationFigures:
    points = DEFAULT_GRID.points
    return CalibrationFigures(
        method=METHOD,
        model=model,
        algorithm_version=ALGORITHM_VERSION,
        points=len(points),
        lowest=float(points[0]),
        highest=float(points[-1]),
        log_likelihood=found.log_likelihood,
        iterations=found.iterations,
        converged=found.converged,
        population_mean=found.population_mean,
        population_sd=found.population_sd,
    )


def _unless_promoted(item: CalibratedItem, promoted: bool) -> CalibratedItem:
    """Exams that were published before may go on giving an item for pretest that was promoted since."""
    if item.proposal != "promote" or not promoted:
        return item
    return msgspec.structs.replace(item, proposal="keep", rule="promoted-already")


def _known(error: float) -> float | None:
    return error if np.isfinite(error) else None
