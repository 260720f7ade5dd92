"""The tables of calibrations, and the rows that events become."""

from collections import Counter

import msgspec

from domain.events import RecordedEvent
from domain.items.events import BankCalibrated, DriftFound, ParametersPromoted
from projections.rows import Row, Table, owner_of

BANK_SCALES = Table(
    "bank_scales",
    key=("bank_id",),
    columns={
        "bank_id": "text",
        "zone_id": "text",
        "org_id": "text",
        "bank_version": "bigint",
        "rules": "jsonb",
        "calibration_id": "text",
        "version": "bigint",
    },
)
CALIBRATIONS = Table(
    "calibrations",
    key=("calibration_id",),
    columns={
        "calibration_id": "text",
        "bank_id": "text",
        "zone_id": "text",
        "org_id": "text",
        "calibrated_at": "timestamptz",
        "bank_version": "bigint",
        "window": "jsonb",
        "figures": "jsonb",
        "rules": "jsonb",
        "examinees": "bigint",
        "responses": "bigint",
        "proposals": "jsonb",
        "version": "bigint",
    },
)
CALIBRATED_ITEMS = Table(
    "calibrated_items",
    key=("calibration_id", "ordinal"),
    columns={
        "calibration_id": "text",
        "ordinal": "bigint",
        "bank_id": "text",
        "zone_id": "text",
        "org_id": "text",
        "item_id": "text",
        "item_version": "bigint",
        "role": "text",
        "proposal": "text",
        "found": "jsonb",
    },
)
PROMOTED_ITEMS = Table(
    "promoted_items",
    key=("bank_id", "bank_version", "item_id"),
    columns={
        "bank_id": "text",
        "bank_version": "bigint",
        "item_id": "text",
        "item_version": "bigint",
        "zone_id": "text",
        "org_id": "text",
        "calibration_id": "text",
        "parameters": "jsonb",
        "promoted_at": "timestamptz",
        "promoted_by": "text",
        "reason": "text",
        "automatic": "boolean",
    },
)
DRIFT_ALARMS = Table(
    "drift_alarms",
    key=("calibration_id", "ordinal"),
    columns={
        "calibration_id": "text",
        "ordinal": "bigint",
        "bank_id": "text",
        "zone_id": "text",
        "org_id": "text",
        "item_id": "text",
        "item_version": "bigint",
        "found_at": "timestamptz",
        "responses": "bigint",
        "used": "jsonb",
        "drift": "jsonb",
    },
)

_KEYS = ("item_id", "item_version", "role", "proposal")
"""What has columns of its own; the rest of an item is looked at and never looked for."""


def calibration_row(recorded: RecordedEvent, event: BankCalibrated) -> Row:
    return {
        "calibration_id": event.calibration_id,
        "bank_id": recorded.stream_id,
        **owner_of(recorded),
        "calibrated_at": recorded.metadata.recorded_at,
        "bank_version": event.bank_version,
        "window": msgspec.to_builtins(event.window),
        "figures": msgspec.to_builtins(event.figures),
        "rules": msgspec.to_builtins(event.rules),
        "examinees": event.window.examinees,
        "responses": event.window.responses,
        "proposals": dict(sorted(Counter(item.proposal for item in event.items).items())),
        "version": recorded.version,
    }


def calibrated_item_rows(recorded: RecordedEvent, event: BankCalibrated) -> list[Row]:
    rows = []
    for ordinal, item in enumerate(event.items, 1):
        found = msgspec.to_builtins(item)
        rows.append(
            {
                "calibration_id": event.calibration_id,
                "ordinal": ordinal,
                "bank_id": recorded.stream_id,
                **owner_of(recorded),
                **{key: found.pop(key) for key in _KEYS},
                "found": found,
            }
        )
    return rows


def promoted_item_rows(recorded: RecordedEvent, event: ParametersPromoted) -> list[Row]:
    return [
        {
            "bank_id": recorded.stream_id,
            "bank_version": event.bank_version,
            "item_id": item.item_id,
            "item_version": item.item_version,
            **owner_of(recorded),
            "calibration_id": event.calibration_id,
            "parameters": msgspec.to_builtins(item.parameters),
            "promoted_at": recorded.metadata.recorded_at,
            "promoted_by": recorded.metadata.actor.id,
            "reason": event.reason,
            "automatic": event.automatic,
        }
        for item in event.items
    ]


def drift_alarm_rows(recorded: RecordedEvent, event: DriftFound) -> list[Row]:
    return [
        {
            "calibration_id": event.calibration_id,
            "ordinal": ordinal,
            "bank_id": recorded.stream_id,
            **owner_of(recorded),
            "item_id": item.item_id,
            "item_version": item.item_version,
            "found_at": recorded.metadata.recorded_at,
            "responses": item.responses,
            "used": msgspec.to_builtins(item.used),
            "drift": msgspec.to_builtins(item.drift),
        }
        for ordinal, item in enumerate(event.items, 1)
    ]
