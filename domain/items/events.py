"""What happens to item banks and their items."""

from domain.events import Event, Retention, event_type
from domain.identifiers import StreamId
from domain.items.calibration import (
    CalibratedItem,
    CalibrationFigures,
    CalibrationRules,
    CalibrationWindow,
    DriftFinding,
    PromotedItem,
)
from domain.items.content import ItemContent


@event_type("item_bank.created", retention=Retention.STATE)
class ItemBankCreated(Event, frozen=True, kw_only=True):
    name: str
    description: str = ""


@event_type("item_bank.calibration_rules_set", retention=Retention.STATE)
class CalibrationRulesSet(Event, frozen=True, kw_only=True):
    """By which rules the bank's items are judged from now on."""

    rules: CalibrationRules


@event_type("item_bank.calibrated", retention=Retention.STATE)
class BankCalibrated(Event, frozen=True, kw_only=True):
    """What live responses say of the bank's items, and what is proposed; nothing changes by that.

    `bank_version` is the bank's at that time; `items` are those that were looked at.
    """

    calibration_id: str
    bank_version: int
    window: CalibrationWindow
    figures: CalibrationFigures
    rules: CalibrationRules
    items: tuple[CalibratedItem, ...]


@event_type("item_bank.drift_found", retention=Retention.STATE)
class DriftFound(Event, frozen=True, kw_only=True):
    """An alarm: these items do not work any more as they did, which no earlier alarm has told."""

    calibration_id: str
    items: tuple[DriftFinding, ...]


@event_type("item_bank.parameters_promoted", retention=Retention.STATE)
class ParametersPromoted(Event, frozen=True, kw_only=True):
    """A decision: exams that are published from now on use these parameters.

    `bank_version` counts such decisions; before the first it is 1.
    """

    calibration_id: str
    items: tuple[PromotedItem, ...]
    reason: str
    automatic: bool
    bank_version: int


@event_type("item.created", retention=Retention.STATE)
class ItemCreated(Event, frozen=True, kw_only=True):
    """Version 1 of an item. `code` is its author's name for it, unique in the bank."""

    bank_id: StreamId
    code: str
    content: ItemContent


@event_type("item.revised", retention=Retention.STATE)
class ItemRevised(Event, frozen=True, kw_only=True):
    """A new version of an item; the older ones stay as they are, and forms keep what they pinned."""

    bank_id: StreamId
    code: str
    item_version: int
    content: ItemContent
