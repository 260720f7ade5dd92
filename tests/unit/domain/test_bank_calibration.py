"""Decisions upon a bank's parameters: what is proposed by which rule, what is promoted, what is alarming."""

from datetime import UTC, datetime

import msgspec
import pytest

from commands.kinds import ITEM_BANK
from domain.items.bank import (
    Bank,
    CalibrationNotFound,
    CalibrationSuperseded,
    ItemBankNotFound,
    NothingToPromote,
    UnusableRules,
    promote,
    proposed_by,
    record_calibration,
    set_rules,
)
from domain.items.calibration import CalibratedItem, CalibrationRules, ParameterErrors, proposal_for
from domain.items.content import ItemParameters
from domain.items.events import CalibrationRulesSet, DriftFound, ItemBankCreated, ParametersPromoted
from tests.support.exam_parts import CHOICE_ID, NUMBER_ID, TEXT_ID
from tests.support.given import fold, given
from tests.support.recorded_calibrations import CALIBRATED, DRIFT, FOUND, OPERATIONAL, USED

CREATED = ItemBankCreated(name="수학", description="")
RULES = CalibrationRules()
GOOD = CalibratedItem(
    item_id=NUMBER_ID,
    item_version=1,
    role="pretest",
    responses=400,
    right=200,
    parameters=ItemParameters(a=1.2, b=0.5),
    errors=ParameterErrors(0.1, 0.1, 0.0),
    proposal="wait",
    rule="not-judged",
)
SHOWN = msgspec.structs.replace(GOOD, proposal="promote", rule="meets-all-rules")
TOO_FEW = msgspec.structs.replace(GOOD, item_id=TEXT_ID, parameters=None, errors=None)
DRIFTS = msgspec.structs.replace(OPERATIONAL, item_id=CHOICE_ID)


def calibration(calibration_id, *items):
    return msgspec.structs.replace(CALIBRATED, calibration_id=calibration_id, items=items)


FIRST = calibration("one", DRIFTS, SHOWN, TOO_FEW)
SECOND = calibration("two", DRIFTS, SHOWN)


def promoted(bank_version, *items, calibration_id="one"):
    return ParametersPromoted(
        calibration_id=calibration_id, items=items, reason="good", automatic=False, bank_version=bank_version
    )


def bank_after(*events):
    state = fold(ITEM_BANK, (CREATED, *events))
    assert isinstance(state, Bank)
    return state


# -- proposals -------------------------------------------------------------------------------------


def judged(*, converged=True, flags=(), rules=RULES, **changes):
    item = msgspec.structs.replace(GOOD, flags=flags, **changes)
    found = proposal_for(item, rules, converged=converged)
    return found.proposal, found.rule


def parameters(a=1.2, b=0.5):
    return ItemParameters(a=a, b=b)


def test_an_item_that_meets_all_rules_is_proposed():
    assert judged() == ("promote", "meets-all-rules")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"parameters": None, "errors": None}, ("wait", "too-few-responses")),
        ({"converged": False}, ("wait", "not-converged")),
        ({"flags": ("at_bound",)}, ("wait", "no-maximum")),
        ({"errors": ParameterErrors(None, None, None)}, ("wait", "no-maximum")),
        ({"flags": ("misfit",)}, ("reject", "misfit")),
        ({"parameters": parameters(a=0.1)}, ("reject", "discrimination")),
        ({"parameters": parameters(a=0.3)}, ("wait", "discrimination")),
        ({"errors": ParameterErrors(0.1, 0.41, 0.0)}, ("wait", "standard-error-of-difficulty")),
        ({"errors": ParameterErrors(0.43, 0.1, 0.0)}, ("wait", "standard-error-of-discrimination")),
        ({"parameters": parameters(b=-4.1)}, ("reject", "difficulty")),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_the_rule_that_stands_against_an_item_is_named(changes, expected):
    assert judged(**changes) == expected


def test_an_operational_item_is_kept_unless_it_drifts():
    kept = {"role": "operational", "used": USED}

    assert judged(**kept) == ("keep", "too-few-responses")
    assert judged(**kept, drift=DRIFT) == ("keep", "no-drift")
    assert judged(**kept, drift=DRIFT, flags=("drift",)) == ("review", "drift")


# -- rules -----------------------------------------------------------------------------------------


def test_rules_are_set_and_setting_the_same_again_changes_nothing():
    rules = CalibrationRules(min_responses=300, promotes_automatically=True)

    after = given(ITEM_BANK, CREATED).when(set_rules, rules).then(CalibrationRulesSet(rules=rules))
    after.when(set_rules, rules).then()


def test_every_rule_that_cannot_be_meant_is_named():
    wrong = CalibrationRules(min_responses=10, error_rate=float("nan"), min_change=0.6)

    with pytest.raises(UnusableRules) as refused:
        set_rules(bank_after(), wrong)
    assert [each["pointer"] for each in refused.value.errors] == [
        "/min_responses",
        "/error_rate",
        "/min_change",
    ]


# -- calibrations and alarms -----------------------------------------------------------------------


def test_a_calibration_changes_no_parameters():
    state = bank_after(FIRST)

    assert state.bank_version == 1
    assert state.parameters_of() == {}
    assert proposed_by(state) == (NUMBER_ID,)


def test_a_drift_is_told_once_and_again_after_the_item_was_given_other_parameters():
    [recorded, alarm] = record_calibration(bank_after(), FIRST)
    assert recorded == FIRST
    assert isinstance(alarm, DriftFound)
    assert [each.item_id for each in alarm.items] == [CHOICE_ID]

    assert record_calibration(bank_after(FIRST, alarm), SECOND) == [SECOND]

    moved = msgspec.structs.replace(DRIFTS, used=FOUND)
    third = calibration("three", moved)
    [_, again] = record_calibration(bank_after(FIRST, alarm), third)
    assert again.items[0].used == FOUND


def test_where_nothing_drifts_there_is_no_alarm():
    assert record_calibration(bank_after(), calibration("one", SHOWN)) == [calibration("one", SHOWN)]


# -- promotion -------------------------------------------------------------------------------------


def test_a_promotion_gives_an_item_the_parameters_found_and_raises_the_banks_version():
    [event] = promote(bank_after(FIRST), "one", [NUMBER_ID], "good", automatic=False)

    assert event.bank_version == 2
    assert [(each.item_id, each.item_version) for each in event.items] == [(NUMBER_ID, 1)]
    state = bank_after(FIRST, event)
    assert state.bank_version == 2
    assert state.parameters_of() == {(NUMBER_ID, 1): GOOD.parameters}


def test_an_operational_item_that_drifts_may_take_what_was_found_anew():
    [event] = promote(bank_after(FIRST), "one", [CHOICE_ID], "it is easier now", automatic=False)

    assert event.items[0].parameters == DRIFTS.parameters


def test_promoting_again_changes_nothing_and_an_item_named_twice_is_promoted_once():
    [event] = promote(bank_after(FIRST), "one", [NUMBER_ID, NUMBER_ID], "good", automatic=True)

    assert len(event.items) == 1
    assert event.automatic
    assert promote(bank_after(FIRST, event), "one", [NUMBER_ID], "again", automatic=False) == []


def test_later_parameters_take_the_place_of_earlier_ones_of_the_same_version_alone():
    newer = msgspec.structs.replace(SHOWN, item_version=2, parameters=parameters(a=1.5))
    [first] = promote(bank_after(FIRST), "one", [NUMBER_ID], "good", automatic=False)
    later = calibration("two", newer)
    [second] = promote(bank_after(FIRST, first, later), "two", [NUMBER_ID], "better", automatic=False)

    state = bank_after(FIRST, first, later, second)
    assert state.parameters_of() == {
        (NUMBER_ID, 1): GOOD.parameters,
        (NUMBER_ID, 2): parameters(a=1.5),
    }
    assert state.bank_version == 3


def test_of_an_item_in_two_versions_the_newer_one_is_offered():
    newer = msgspec.structs.replace(SHOWN, item_version=2, parameters=parameters(a=1.5))

    for items in ((SHOWN, newer), (newer, SHOWN)):
        [event] = promote(bank_after(calibration("one", *items)), "one", [NUMBER_ID], "", automatic=False)
        assert event.items[0].item_version == 2


def test_what_has_no_parameters_cannot_be_promoted_and_each_is_named():
    with pytest.raises(NothingToPromote) as refused:
        promote(bank_after(FIRST), "one", [NUMBER_ID, TEXT_ID, "item-unknown"], "good", automatic=False)
    assert [each["pointer"] for each in refused.value.errors] == ["/item_ids/1", "/item_ids/2"]


def test_decisions_rest_on_the_newest_calibration():
    with pytest.raises(CalibrationNotFound):
        promote(bank_after(), "one", [NUMBER_ID], "good", automatic=False)
    with pytest.raises(CalibrationSuperseded) as refused:
        promote(bank_after(FIRST, SECOND), "one", [NUMBER_ID], "good", automatic=False)
    assert refused.value.newest == "two"


def test_nothing_is_decided_upon_a_bank_that_does_not_exist():
    nothing = ITEM_BANK.initial
    for decide in (
        lambda: set_rules(nothing, CalibrationRules(min_responses=300)),
        lambda: record_calibration(nothing, FIRST),
        lambda: promote(nothing, "one", [NUMBER_ID], "good", automatic=False),
    ):
        with pytest.raises(ItemBankNotFound):
            decide()
    assert proposed_by(nothing) == ()
    assert fold(ITEM_BANK, (FIRST, promoted(2))) == nothing


def test_the_state_says_how_far_the_calibration_had_seen():
    assert bank_after(FIRST).calibration.to == datetime(2026, 3, 9, 18, 30, tzinfo=UTC)


def test_a_banks_state_survives_being_kept_as_a_snapshot():
    [alarm] = [each for each in record_calibration(bank_after(), FIRST) if isinstance(each, DriftFound)]
    [promotion] = promote(bank_after(FIRST, alarm), "one", [NUMBER_ID], "good", automatic=False)
    state = bank_after(CalibrationRulesSet(rules=RULES), FIRST, alarm, promotion)

    assert ITEM_BANK.states == (Bank,)
    assert msgspec.json.decode(msgspec.json.encode(state), type=Bank) == state
