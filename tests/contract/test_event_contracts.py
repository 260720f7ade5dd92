"""What consumers of the relayed events were promised is kept: the JSON Schemas in docs/contracts/events.

Where a test fails because an event type is new or has gained something, `make contracts` writes them anew.
"""

import json

import pytest
from jsonschema import Draft202012Validator

from domain.event_types import EVENTS
from infra.cli.contracts import FOLDER, rendered
from infra.kafka.contracts import broken_promises, contracts
from tests.support.postgres import CHECKOUT
from tests.support.recorded_examples import EXAMPLES, stored_name_of

CONTRACTS = CHECKOUT / FOLDER
GOLDEN_EVENTS = CHECKOUT / "tests" / "golden" / "events"
NOW = contracts(EVENTS)


def committed(stored_name: str) -> dict:
    path = CONTRACTS / f"{stored_name}.json"
    assert path.is_file(), f"{stored_name} has no contract: run `make contracts`"
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_version_of_every_event_has_a_contract_and_there_are_no_others():
    expected = {
        f"{cls.type_.name}.v{version}" for cls in EVENTS for version in range(1, cls.type_.version + 1)
    }

    assert {path.stem for path in CONTRACTS.iterdir()} == expected


@pytest.mark.parametrize("name", NOW)
def test_no_promise_of_the_committed_contract_is_broken(name):
    assert broken_promises(committed(name), NOW[name]) == []


@pytest.mark.parametrize("name", NOW)
def test_the_committed_contract_is_that_of_the_event_class(name):
    path = CONTRACTS / f"{name}.json"

    assert path.read_text(encoding="utf-8") == rendered(NOW[name]), "run `make contracts`"


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_golden_event_fulfils_the_contract_of_its_type(example):
    validator = Draft202012Validator(committed(stored_name_of(example)))
    value = json.loads((GOLDEN_EVENTS / f"{example}.json").read_text(encoding="utf-8"))

    assert list(validator.iter_errors(value)) == []


@pytest.mark.parametrize("name", NOW)
def test_a_contract_is_a_sound_schema_that_refuses_an_event_of_no_fields(name):
    Draft202012Validator.check_schema(NOW[name])

    meta = json.loads(next(GOLDEN_EVENTS.glob(f"{name}*.json")).read_text(encoding="utf-8"))["meta"]
    needs = NOW[name]["$defs"][NOW[name]["properties"]["data"]["$ref"].rpartition("/")[2]].get("required")
    assert Draft202012Validator(NOW[name]).is_valid({"meta": meta, "data": {}}) is not bool(needs)
