"""A zone's life: what is asked for before it is turned on, and what is left when it is turned off."""

from datetime import timedelta

import msgspec
import pytest

from commands.kinds import ZONE
from domain.zones.definitions import Check, Prerequisite, ZoneDefinition
from domain.zones.events import (
    CheckOutcome,
    PrerequisiteAttested,
    ZoneActivated,
    ZoneConfigured,
    ZoneDeactivated,
)
from domain.zones.zone import (
    OPEN_FROM_START,
    Active,
    Attestation,
    Inactive,
    PrerequisiteIsChecked,
    PrerequisiteNotFound,
    Unconfigured,
    ZoneNotReady,
    ZoneReasonRequired,
    activate,
    attest,
    configure,
    deactivate,
    is_active,
)
from tests.support.exam_parts import NOON, uuid7
from tests.support.given import fold, given

TITLES = {"ko": "무엇", "en": "Something"}
CLOSED = ZoneDefinition(
    zone_id="skillprep",
    uuid=uuid7(0x20E),
    domain="skillprep.example",
    names={"ko": "자격증", "en": "Certificates"},
    languages=("ko", "en"),
    features=("certificates",),
    prerequisites=(
        Prerequisite("items", TITLES, Check("published_items", 500)),
        Prerequisite("stable", TITLES),
        Prerequisite("partner", TITLES),
    ),
)
OPEN = msgspec.structs.replace(CLOSED, zone_id="univprep", open_from_start=True)
LATER = NOON + timedelta(days=3)
ENOUGH = (CheckOutcome("items", "published_items", 500, 500),)
TOO_FEW = (CheckOutcome("items", "published_items", 500, 499),)
CONFIGURED = ZoneConfigured(definition=CLOSED)
OPENED = ZoneActivated(origin="first_start", reason=OPEN_FROM_START, activated_at=NOON)


def attested(prerequisite, evidence="report 7", by="operator-1"):
    return PrerequisiteAttested(
        prerequisite=prerequisite, evidence=evidence, attested_by=by, attested_at=NOON
    )


READY = (CONFIGURED, attested("stable"), attested("partner"))
ACTIVATED = ZoneActivated(
    origin="order", reason="ready", activated_at=NOON, checks=ENOUGH, attested=("stable", "partner")
)
DEACTIVATED = ZoneDeactivated(reason="errors", deactivated_at=LATER)


def test_a_zone_of_which_nothing_is_recorded_is_as_the_data_has_it():
    assert is_active(Unconfigured(), OPEN)
    assert not is_active(Unconfigured(), CLOSED)


def test_the_first_start_records_a_zone_that_is_open_from_then_on():
    after = given(ZONE).when(configure, OPEN, NOON).then(ZoneConfigured(definition=OPEN), OPENED)

    assert after.state == Active(definition=OPEN, since=NOON, reason=OPEN_FROM_START)
    after.when(configure, OPEN, LATER).then_nothing()


def test_any_other_zone_is_recorded_as_not_active():
    after = given(ZONE).when(configure, CLOSED, NOON).then(CONFIGURED)

    assert after.state == Inactive(definition=CLOSED)
    assert not is_active(after.state, CLOSED)


def test_what_the_data_says_anew_is_recorded_with_the_next_order():
    renamed = msgspec.structs.replace(CLOSED, names={"ko": "기술", "en": "Skills"})

    given(ZONE, CONFIGURED).when(attest, renamed, "stable", "report 7", "operator-1", NOON).then(
        ZoneConfigured(definition=renamed), attested("stable")
    )


def test_somebody_stands_for_what_cannot_be_checked():
    after = given(ZONE).when(attest, CLOSED, "stable", "report 7", "operator-1", NOON)

    state = after.then(CONFIGURED, attested("stable")).state
    assert state.attestations == {"stable": Attestation("operator-1", "report 7", NOON)}


def test_the_same_attestation_a_second_time_changes_nothing():
    given(ZONE, *READY).when(attest, CLOSED, "stable", "report 7", "operator-1", LATER).then_nothing()


def test_other_evidence_replaces_the_earlier():
    newer = PrerequisiteAttested(
        prerequisite="stable", evidence="report 8", attested_by="operator-1", attested_at=LATER
    )
    given(ZONE, *READY).when(attest, CLOSED, "stable", "report 8", "operator-1", LATER).then(newer)


def test_nobodys_word_replaces_what_the_system_counts():
    given(ZONE).when(attest, CLOSED, "items", "I counted", "operator-1", NOON).then_refused(
        PrerequisiteIsChecked, prerequisite="items"
    )


def test_what_nobody_asks_for_cannot_be_attested():
    given(ZONE).when(attest, CLOSED, "other", "report 7", "operator-1", NOON).then_refused(
        PrerequisiteNotFound, prerequisite="other"
    )


def test_a_zone_is_turned_on_when_nothing_is_missing():
    after = given(ZONE, *READY).when(activate, CLOSED, ENOUGH, "ready", NOON).then(ACTIVATED)

    assert is_active(after.state, CLOSED)
    assert (after.state.since, after.state.reason) == (NOON, "ready")


@pytest.mark.parametrize(
    ("facts", "counted", "missing"),
    [
        ((CONFIGURED,), ENOUGH, ["stable", "partner"]),
        ((CONFIGURED, attested("stable")), ENOUGH, ["partner"]),
        (READY, TOO_FEW, ["items"]),
        (READY, (), ["items"]),
        ((), TOO_FEW, ["items", "stable", "partner"]),
    ],
)
def test_the_refusal_names_each_prerequisite_that_is_missing(facts, counted, missing):
    decided = given(ZONE, *facts).when(activate, CLOSED, counted, "ready", NOON)

    decided.then_refused(ZoneNotReady, zone_id="skillprep")
    assert [each["prerequisite"] for each in decided.refusal.data()["missing"]] == missing


def test_the_refusal_says_how_much_was_counted_and_how_much_is_asked_for():
    decided = given(ZONE, *READY).when(activate, CLOSED, TOO_FEW, "ready", NOON)

    [missing] = decided.refusal.missing
    assert (missing["kind"], missing["measure"], missing["found"], missing["at_least"]) == (
        "checked",
        "published_items",
        499,
        500,
    )


def test_a_zone_that_is_on_is_not_turned_on_again():
    given(ZONE, *READY, ACTIVATED).when(activate, CLOSED, (), "again", LATER).then_nothing()


def test_a_zone_that_is_open_from_the_start_is_recorded_as_such_however_it_is_touched_first():
    given(ZONE).when(activate, OPEN, (), "please", NOON).then(ZoneConfigured(definition=OPEN), OPENED)
    given(ZONE).when(deactivate, OPEN, "errors", NOON).then(
        ZoneConfigured(definition=OPEN), OPENED, ZoneDeactivated(reason="errors", deactivated_at=NOON)
    )


def test_turning_off_says_why_and_attestations_count_no_longer():
    after = given(ZONE, *READY, ACTIVATED).when(deactivate, CLOSED, "errors", LATER).then(DEACTIVATED)

    assert after.state == Inactive(definition=CLOSED, since=LATER, reason="errors")
    after.when(activate, CLOSED, ENOUGH, "again", LATER).then_refused(ZoneNotReady)


def test_a_zone_that_is_open_from_the_start_and_turned_off_stays_off():
    off = fold(ZONE, (ZoneConfigured(definition=OPEN), OPENED, DEACTIVATED))

    assert not is_active(off, OPEN)
    assert configure(off, OPEN, LATER) == []


def test_turning_off_what_is_off_changes_nothing():
    given(ZONE, CONFIGURED).when(deactivate, CLOSED, "errors", LATER).then_nothing()


@pytest.mark.parametrize("words", ["", "  \n"])
def test_every_order_needs_words(words):
    given(ZONE).when(attest, CLOSED, "stable", words, "operator-1", NOON).then_refused(ZoneReasonRequired)
    given(ZONE, *READY).when(activate, CLOSED, ENOUGH, words, NOON).then_refused(ZoneReasonRequired)
    given(ZONE, *READY, ACTIVATED).when(deactivate, CLOSED, words, NOON).then_refused(ZoneReasonRequired)


def test_an_attestation_of_what_is_checked_from_now_on_is_gone():
    checked = msgspec.structs.replace(
        CLOSED, prerequisites=(Prerequisite("stable", TITLES, Check("tested_people", 5)),)
    )
    state = fold(ZONE, (*READY, ZoneConfigured(definition=checked)))

    assert state.attestations == {}
    assert state.definition == checked
