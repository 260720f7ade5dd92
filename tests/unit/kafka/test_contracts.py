"""What counts as a broken promise to the consumers of an event."""

import json
from typing import ClassVar, Literal

import msgspec
import pytest

from domain.events import Event, Retention, event_type
from domain.personal import Personal
from infra.cli.contracts import write
from infra.kafka.contracts import broken_promises, contract


class Round(msgspec.Struct, tag="round", tag_field="kind"):
    radius: int


class Square(msgspec.Struct, tag="square", tag_field="kind"):
    side: int


class Inner(msgspec.Struct):
    deep: str


class Before(Event, frozen=True, kw_only=True):
    name: str
    colour: Literal["red", "green"]
    count: int | None
    shape: Round | None
    inner: tuple[Inner, ...]
    note: str = ""


def now(**changed: object) -> dict:
    """The contract of the event after some of its fields got other types; `...` takes a field away."""
    fields = {
        field.name: (field.name, field.type, field.default)
        if field.default is not msgspec.NODEFAULT
        else (field.name, field.type)
        for field in msgspec.structs.fields(Before)
    }
    for name, type_ in changed.items():
        if type_ is ...:
            del fields[name]
        else:
            fields[name] = (name, *type_) if isinstance(type_, tuple) else (name, type_)
    cls = msgspec.defstruct("Event", list(fields.values()), bases=(Event,), frozen=True, kw_only=True)
    return contract(event_type("attempt.tried", retention=Retention.STATE)(cls))


WAS = now()


def test_what_stays_as_it_is_breaks_nothing():
    assert broken_promises(WAS, now()) == []


@pytest.mark.parametrize(
    "gained",
    [
        {"more": (str, "")},
        {"colour": Literal["red", "green", "blue"]},
        {"shape": Round | Square | None},
    ],
    ids=["an optional field", "a value of an enumeration", "a kind of a tagged union"],
)
def test_a_type_may_gain(gained):
    assert broken_promises(WAS, now(**gained)) == []


class Wider(msgspec.Struct):
    deep: str
    deeper: int


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"note": ...}, "note is gone"),
        ({"name": ...}, "name is gone"),
        ({"more": str}, "more is required now"),
        ({"name": (str, "")}, "name may be absent now"),
        ({"name": int}, "name has another type"),
        ({"name": str | None}, "name was string and is not now"),
        ({"colour": Literal["red"]}, "colour can no longer be green"),
        ({"count": int}, "count was one of several"),
        ({"count": int | str | None}, "count can be string now"),
        ({"shape": Square | None}, "shape can no longer be kind round"),
        ({"inner": tuple[str, ...]}, "inner/* has another type"),
        ({"inner": tuple[Wider, ...]}, "inner/*/deeper is required now"),
    ],
)
def test_whatever_else_changes_is_told(changed, told):
    assert any(told in each for each in broken_promises(WAS, now(**changed)))


class Person(Event, frozen=True, kw_only=True):
    type_: ClassVar
    name: Personal[str]


def test_a_contract_says_which_values_are_personal():
    event_type("user.named", retention=Retention.STATE, subject="stream")(Person)

    assert contract(Person)["x-personal"] == ["data/name"]


def test_a_contract_that_breaks_a_promise_is_not_written(tmp_path):
    assert write(tmp_path, {"attempt.tried.v1": WAS}) == []

    refused = write(tmp_path, {"attempt.tried.v1": now(note=...)})

    assert refused == ["attempt.tried.v1: value/data/note is gone"]
    assert json.loads((tmp_path / "attempt.tried.v1.json").read_text()) == WAS


def test_a_contract_that_only_gains_is_written(tmp_path):
    write(tmp_path, {"attempt.tried.v1": WAS})

    assert write(tmp_path, {"attempt.tried.v1": now(more=(str, ""))}) == []

    assert "more" in (tmp_path / "attempt.tried.v1.json").read_text()
