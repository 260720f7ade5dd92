"""Calibrations of item banks: what each found, what was promoted, which items drift."""

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from domain.events import Event, PositionedEvent
from domain.items.bank import FIRST_VERSION
from domain.items.calibration import CalibrationRules
from domain.items.events import (
    BankCalibrated,
    CalibrationRulesSet,
    DriftFound,
    ItemBankCreated,
    ParametersPromoted,
)
from projections.calibrations.tables import (
    BANK_SCALES,
    CALIBRATED_ITEMS,
    CALIBRATIONS,
    DRIFT_ALARMS,
    PROMOTED_ITEMS,
    calibrated_item_rows,
    calibration_row,
    drift_alarm_rows,
    promoted_item_rows,
)
from projections.projection import Cursor
from projections.rows import Row, owner_of


class CalibrationsProjection:
    name: ClassVar[str] = "calibrations"
    version: ClassVar[int] = 1
    tables: ClassVar[tuple[str, ...]] = (
        "drift_alarms",
        "promoted_items",
        "calibrated_items",
        "calibrations",
        "bank_scales",
    )
    event_types: ClassVar[tuple[type[Event], ...]] = (
        ItemBankCreated,
        CalibrationRulesSet,
        BankCalibrated,
        DriftFound,
        ParametersPromoted,
    )
    partitioned: ClassVar[bool] = True

    def apply(self, cursor: Cursor, events: Sequence[PositionedEvent]) -> None:
        recorded = [each.recorded for each in events if isinstance(each.recorded.event, self.event_types)]
        scales = BANK_SCALES.load(cursor, ((each.stream_id,) for each in recorded))
        calibrations, items, promoted, alarms = (list[Row]() for _ in range(4))
        for each in recorded:
            bank_id = each.stream_id
            match each.event:
                case ItemBankCreated():
                    scales.put(
                        {
                            "bank_id": bank_id,
                            **owner_of(each),
                            "bank_version": FIRST_VERSION,
                            "rules": msgspec.to_builtins(CalibrationRules()),
                            "calibration_id": None,
                        }
                    )
                case CalibrationRulesSet(rules=rules):
                    scales.change(bank_id, rules=msgspec.to_builtins(rules))
                case BankCalibrated() as event:
                    scales.change(bank_id, calibration_id=event.calibration_id)
                    calibrations.append(calibration_row(each, event))
                    items += calibrated_item_rows(each, event)
                case DriftFound() as event:
                    alarms += drift_alarm_rows(each, event)
                case ParametersPromoted() as event:
                    scales.change(bank_id, bank_version=event.bank_version)
                    promoted += promoted_item_rows(each, event)
                case _:
                    continue
            scales.change(bank_id, version=each.version)
        scales.save(cursor)
        CALIBRATIONS.save(cursor, calibrations)
        CALIBRATED_ITEMS.save(cursor, items)
        PROMOTED_ITEMS.save(cursor, promoted)
        DRIFT_ALARMS.save(cursor, alarms)
