"""The zones that ship: data that says all of each, and is refused where it contradicts itself."""

import json

import msgspec
import pytest

from domain.identifiers import category_of
from domain.zones import ZONES, ZoneId
from domain.zones.definitions import DEFINITIONS, UnusableZones, decoded
from tests.support.postgres import CHECKOUT

FILE = CHECKOUT / "domain" / "zones" / "zones.json"


def shipped():
    return json.loads(FILE.read_bytes())


def refused(zones):
    with pytest.raises(UnusableZones) as refusal:
        decoded(json.dumps(zones).encode())
    return str(refusal.value)


def test_all_nine_zones_ship():
    assert ZONES == (
        "univprep",
        "skillprep",
        "collegeprep",
        "mediprep",
        "majorprep",
        "mpcstudy",
        "mediaprep",
        "kzone",
        "kzone_ai",
    )


def test_one_zone_alone_is_open_from_the_first_start():
    assert [each.zone_id for each in DEFINITIONS.values() if each.open_from_start] == ["univprep"]


@pytest.mark.parametrize("zone", DEFINITIONS.values(), ids=lambda each: each.zone_id)
def test_a_zone_has_a_stream_of_its_own_and_is_told_in_korean_and_english(zone):
    assert category_of(zone.stream_id) == "zone"
    assert {"ko", "en"} <= zone.names.keys()
    assert all({"ko", "en"} <= each.titles.keys() for each in zone.prerequisites)


# Streams are found by these for good: another uuid would be another zone without a past.
def test_the_streams_of_the_zones_never_change():
    tails = [each.uuid.rpartition("-")[2] for each in DEFINITIONS.values()]
    assert tails == [
        "7130fd7a1141",
        "71315db2dba9",
        "7132f9eb63ae",
        "7133e08d7ea7",
        "71343cfd9acf",
        "71357c8841b7",
        "71360130f1ea",
        "71375e358e05",
        "7138f2ae1797",
    ]


def test_ids_of_zones_are_those_of_the_data_wherever_one_is_decoded():
    assert msgspec.convert("kzone_ai", ZoneId) == "kzone_ai"
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert("nowhere", ZoneId)


def test_one_more_zone_is_one_more_entry():
    more = {**shipped()[0], "zone_id": "japan", "uuid": "01a20aef-a385-710c-b53a-7139f2ae1797"}
    assert [*decoded(json.dumps([*shipped(), more]).encode())] == [*ZONES, "japan"]


def test_a_misspelt_word_is_seen():
    zones = shipped()
    zones[0]["open_from_strat"] = True
    assert "no zone can say" in refused(zones)


def test_two_zones_cannot_share_an_id_or_a_stream():
    zones = shipped()
    assert "same" in refused([*zones, zones[0]])
    zones[1]["uuid"] = zones[0]["uuid"]
    assert "same" in refused(zones)


def test_two_prerequisites_of_a_zone_cannot_share_an_id():
    zones = shipped()
    zones[0]["prerequisites"] *= 2
    assert "two prerequisites of univprep" in refused(zones)


def test_a_check_asks_about_a_zone_that_exists():
    zones = shipped()
    check = {"measure": "days_active", "at_least": 1, "of_zone": "nowhere"}
    zones[1]["prerequisites"][0]["check"] = check
    assert "does not exist" in refused(zones)


def test_a_name_in_one_language_is_not_enough():
    zones = shipped()
    del zones[4]["names"]["ko"]
    assert "majorprep" in refused(zones)


@pytest.mark.parametrize(
    ("field", "value"),
    [("zone_id", "Univ Prep"), ("uuid", "17"), ("languages", []), ("languages", ["tlh"])],
)
def test_a_value_that_does_not_fit_is_refused(field, value):
    zones = shipped()
    zones[0][field] = value
    assert "$[0]" in refused(zones)


@pytest.mark.parametrize("at_least", [0, -1, "many"])
def test_a_check_asks_for_something(at_least):
    zones = shipped()
    zones[0]["prerequisites"][0]["check"]["at_least"] = at_least
    assert "at_least" in refused(zones)
