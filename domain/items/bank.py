"""An item bank: its scale, what calibrations found, and which parameters its exams are to use."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeAlias, assert_never

import msgspec

from domain.errors import IllegalState, Malformed, NotFound
from domain.events import Event
from domain.identifiers import StreamId
from domain.items.calibration import (
    CalibratedItem,
    CalibrationRules,
    DriftFinding,
    PromotedItem,
    faults_in_rules,
)
from domain.items.content import ItemParameters
from domain.items.events import (
    BankCalibrated,
    CalibrationRulesSet,
    DriftFound,
    ItemBankCreated,
    ParametersPromoted,
)

FIRST_VERSION = 1


class NoBank(msgspec.Struct, frozen=True):
    pass


class Finding(msgspec.Struct, frozen=True):
    """What a calibration offers of one item: parameters to promote, if any."""

    item_id: StreamId
    item_version: int
    parameters: ItemParameters | None
    proposed: bool


class LastCalibration(msgspec.Struct, frozen=True):
    calibration_id: str
    to: datetime
    """The last response that it knew had come in by then."""
    items: tuple[Finding, ...]


class Bank(msgspec.Struct, frozen=True, kw_only=True):
    """`bank_version` counts the decisions that changed parameters; `alarms` are drifts told already."""

    name: str
    bank_version: int = FIRST_VERSION
    rules: CalibrationRules = CalibrationRules()
    promoted: tuple[PromotedItem, ...] = ()
    calibration: LastCalibration | None = None
    alarms: tuple[DriftFinding, ...] = ()

    def parameters_of(self) -> dict[tuple[StreamId, int], ItemParameters]:
        """What was promoted, by item and version. Other items have what their authors gave them."""
        return {(each.item_id, each.item_version): each.parameters for each in self.promoted}


BankState: TypeAlias = NoBank | Bank


class ItemBankNotFound(NotFound):
    code = "item-bank-not-found"
    title = "There is no such item bank"


class ItemBankExists(IllegalState):
    code = "item-bank-exists"
    title = "This item bank exists already"


class CalibrationNotFound(NotFound):
    code = "calibration-not-found"
    title = "There is no such calibration of this item bank"


class CalibrationSuperseded(IllegalState):
    """Carries `newest`: decisions rest on the newest calibration."""

    code = "calibration-superseded"
    title = "The item bank was calibrated again since"


class NothingToPromote(Malformed):
    """Carries `errors`, one for each item that the calibration has no parameters for."""

    code = "nothing-to-promote"
    title = "The calibration has no parameters for these items"


class UnusableRules(Malformed):
    """Carries `errors`, a list of pointer, code and detail."""

    code = "unusable-calibration-rules"
    title = "These rules of calibration cannot be used"


def evolve_bank(state: BankState, event: Event) -> BankState:
    match event:
        case ItemBankCreated():
            return Bank(name=event.name)
        case BankCalibrated() | CalibrationRulesSet() | DriftFound() | ParametersPromoted():
            return _changed(state, event) if isinstance(state, Bank) else state
        case _:
            return state


def create_bank(state: BankState, name: str, description: str) -> list[Event]:
    match state:
        case NoBank():
            return [ItemBankCreated(name=name, description=description)]
        case Bank():
            raise ItemBankExists
        case _:
            assert_never(state)


def set_rules(state: BankState, rules: CalibrationRules) -> list[Event]:
    """Raises `UnusableRules`, `ItemBankNotFound`."""
    faults = [
        {"pointer": pointer, "code": code, "detail": detail}
        for pointer, code, detail in faults_in_rules(rules)
    ]
    if faults:
        raise UnusableRules(errors=faults)
    return [] if _made(state).rules == rules else [CalibrationRulesSet(rules=rules)]


def record_calibration(state: BankState, calibration: BankCalibrated) -> list[Event]:
    """The calibration, and an alarm for each drift that was not told yet. Raises `ItemBankNotFound`."""
    told = {_finding_key(each) for each in _made(state).alarms}
    alarms = tuple(each for each in _drifts(calibration.items) if _finding_key(each) not in told)
    events: list[Event] = [calibration]
    if alarms:
        events.append(DriftFound(calibration_id=calibration.calibration_id, items=alarms))
    return events


def promote(
    state: BankState, calibration_id: str, item_ids: Sequence[StreamId], reason: str, *, automatic: bool
) -> list[Event]:
    """Gives items the parameters that the newest calibration found for them; nothing where they have them.

    A person may promote against a proposal. Raises `CalibrationSuperseded`, `CalibrationNotFound`,
    `NothingToPromote`, `ItemBankNotFound`.
    """
    bank = _made(state)
    found = bank.calibration
    if found is None:
        raise CalibrationNotFound
    if found.calibration_id != calibration_id:
        raise CalibrationSuperseded(newest=found.calibration_id)
    offered = {each.item_id: each for each in found.items if each.parameters is not None}
    faults = [
        {"pointer": f"/item_ids/{index}", "code": "no-parameters", "detail": "No parameters were estimated."}
        for index, item_id in enumerate(item_ids)
        if item_id not in offered
    ]
    if faults:
        raise NothingToPromote(errors=faults)
    has = bank.parameters_of()
    items = []
    for item_id in dict.fromkeys(item_ids):
        finding = offered[item_id]
        assert finding.parameters is not None
        if has.get((item_id, finding.item_version)) != finding.parameters:
            items.append(PromotedItem(item_id, finding.item_version, finding.parameters))
    if not items:
        return []
    return [
        ParametersPromoted(
            calibration_id=calibration_id,
            items=tuple(items),
            reason=reason,
            automatic=automatic,
            bank_version=bank.bank_version + 1,
        )
    ]


def proposed_by(state: BankState) -> tuple[StreamId, ...]:
    """Items that the newest calibration proposes to promote."""
    found = state.calibration if isinstance(state, Bank) else None
    return () if found is None else tuple(each.item_id for each in found.items if each.proposed)


def _changed(
    bank: Bank, event: BankCalibrated | CalibrationRulesSet | DriftFound | ParametersPromoted
) -> Bank:
    match event:
        case CalibrationRulesSet():
            return msgspec.structs.replace(bank, rules=event.rules)
        case BankCalibrated():
            return msgspec.structs.replace(bank, calibration=_last(event))
        case DriftFound():
            return msgspec.structs.replace(bank, alarms=(*bank.alarms, *event.items))
        case ParametersPromoted():
            changed = {(each.item_id, each.item_version) for each in event.items}
            kept = (each for each in bank.promoted if (each.item_id, each.item_version) not in changed)
            promoted = (*kept, *event.items)
            return msgspec.structs.replace(bank, promoted=promoted, bank_version=event.bank_version)
        case _:
            assert_never(event)


def _made(state: BankState) -> Bank:
    if isinstance(state, NoBank):
        raise ItemBankNotFound
    return state


def _last(event: BankCalibrated) -> LastCalibration:
    # Of each item the version that was looked at most recently: newer ones have higher numbers.
    newest: dict[StreamId, CalibratedItem] = {}
    for item in event.items:
        held = newest.get(item.item_id)
        better = held is None or (item.item_version, item.parameters is not None) > (
            held.item_version,
            held.parameters is not None,
        )
        if better:
            newest[item.item_id] = item
    return LastCalibration(
        event.calibration_id,
        event.window.to,
        tuple(
            Finding(each.item_id, each.item_version, each.parameters, each.proposal == "promote")
            for each in newest.values()
        ),
    )


def _drifts(items: Iterable[CalibratedItem]) -> Iterable[DriftFinding]:
    for item in items:
        if "drift" in item.flags and item.used is not None and item.drift is not None:
            yield DriftFinding(
                item_id=item.item_id,
                item_version=item.item_version,
                used=item.used,
                responses=item.responses,
                drift=item.drift,
            )


def _finding_key(finding: DriftFinding) -> tuple[StreamId, int, ItemParameters]:
    return finding.item_id, finding.item_version, finding.used
