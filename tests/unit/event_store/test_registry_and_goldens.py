"""What is stored stays readable: the registry and the stored form of every event type are pinned.

A failing test here means that stored events would be read or written in another way than before.
Where that is meant (a new type, a new version with its upcaster), write the pins anew with

    UPDATE_GOLDENS=1 .venv/bin/pytest tests/unit/event_store

and look at what changed. The golden file of an older version stays for good.
"""

import os
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain.event_types import EVENT_CLASSES, EVENTS
from domain.events import Event, Retention
from domain.identifiers import CATEGORIES
from infra.event_store.codec import EventCodec, PlainPersonalCodec
from tests.support.recorded_examples import EXAMPLES, stored_name_of

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
REGISTRY = GOLDEN / "registry.json"
GOLDEN_EVENTS = GOLDEN / "events"

CODEC = EventCodec(EVENTS, PlainPersonalCodec())
UPDATE = os.environ.get("UPDATE_GOLDENS") == "1"


def pinned_or_updated(path: Path, now: bytes) -> bytes:
    """What is pinned in the file; with UPDATE_GOLDENS=1 the file is written first."""
    if UPDATE:
        assert not os.environ.get("CI"), "goldens are written by hand and read by CI"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(now)
    assert path.is_file(), f"{path.name} is missing: see the top of {Path(__file__).name}"
    return path.read_bytes()


def readable(stored: bytes) -> bytes:
    return msgspec.json.format(stored, indent=2) + b"\n"


def compact(golden: bytes) -> bytes:
    return msgspec.json.format(golden, indent=-1)


def registry_now() -> bytes:
    types = {
        cls.type_.stored_name: {
            "version": cls.type_.version,
            "retention": cls.type_.retention.value,
            "subject": cls.type_.subject,
            "personal": ["/".join(path) for path in cls.type_.personal],
        }
        for cls in EVENTS
    }
    return readable(msgspec.json.encode(dict(sorted(types.items()))))


def declared_event_classes(base: type[Event] = Event) -> set[type[Event]]:
    found = set(base.__subclasses__())
    # Tests declare events of their own.
    return {cls for cls in found if cls.__module__.startswith("domain.")}.union(
        *(declared_event_classes(cls) for cls in found)
    )


def test_the_registry_is_as_pinned():
    assert pinned_or_updated(REGISTRY, registry_now()).decode() == registry_now().decode()


def test_every_event_class_is_in_the_registry():
    assert declared_event_classes() == set(EVENT_CLASSES)


@pytest.mark.parametrize("cls", EVENT_CLASSES, ids=lambda cls: cls.__name__)
def test_every_event_class_says_itself_how_it_is_stored(cls):
    assert "type_" in vars(cls), "a declaration is not inherited"
    category, _, event_name = cls.type_.name.partition(".")
    assert category in CATEGORIES
    assert event_name.isidentifier()
    assert event_name == event_name.lower()
    assert isinstance(cls.type_.retention, Retention)
    assert EVENTS.resolve(cls.type_.stored_name) == (cls, cls.type_.version)


def test_every_type_and_every_version_of_it_has_a_golden():
    needed = {f"{cls.type_.name}.v{version}" for cls in EVENTS for version in range(1, cls.type_.version + 1)}

    assert {stored_name_of(example) for example in EXAMPLES} == needed


def test_there_is_no_golden_that_nobody_compares():
    assert {path.stem for path in GOLDEN_EVENTS.iterdir()} <= set(EXAMPLES)


def parts(document: bytes) -> tuple[bytes, bytes]:
    """The two that the log stores apart, to the byte."""
    raw = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
    return bytes(raw["meta"]), bytes(raw["data"])


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_golden_is_read_as_what_was_recorded(example):
    recorded = EXAMPLES[example]
    written = CODEC.encode(recorded)
    document = b'{"meta":%b,"data":%b}' % (written.meta, written.payload)
    golden = pinned_or_updated(GOLDEN_EVENTS / f"{example}.json", readable(document))

    for meta, payload in (parts(golden), parts(compact(golden))):
        read = CODEC.decode(recorded.stream_id, recorded.version, stored_name_of(example), meta, payload)
        assert read == recorded


NEWEST = [
    name for name, recorded in EXAMPLES.items() if stored_name_of(name) == recorded.event.type_.stored_name
]


@pytest.mark.parametrize("example", NEWEST)
def test_what_is_recorded_today_is_stored_as_the_golden_to_the_byte(example):
    stored = CODEC.encode(EXAMPLES[example])

    assert stored.type == stored_name_of(example)
    golden = compact((GOLDEN_EVENTS / f"{example}.json").read_bytes())
    assert (stored.meta, stored.payload) == parts(golden)


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_stored_event_is_its_metadata_and_its_own_fields(example):
    recorded = EXAMPLES[example]
    stored = msgspec.json.decode((GOLDEN_EVENTS / f"{example}.json").read_bytes())

    assert list(stored) == ["meta", "data"]
    assert list(stored["meta"]) == [
        "event_id",
        "actor",
        "zone_id",
        "org_id",
        "correlation_id",
        "causation_id",
        "recorded_at",
    ]
    assert recorded.schema_version == recorded.event.type_.version
    assert recorded.category == recorded.event.type_.category


def emptiness(value: Any, where: str) -> list[str]:
    """The places in an example that say nothing: empty, or as the default has it."""
    match value:
        case msgspec.Struct():
            found = []
            for field in msgspec.structs.fields(value):
                inner = getattr(value, field.name)
                if inner == field.default:
                    found.append(f"{where}.{field.name} has its default")
                found += emptiness(inner, f"{where}.{field.name}")
            return found
        case dict() | tuple() | list() if value:
            members = value.values() if isinstance(value, dict) else value
            return [
                each for index, inner in enumerate(members) for each in emptiness(inner, f"{where}[{index}]")
            ]
        case bool() | int() | float() | Enum():
            return []
        case _:
            return [] if value else [f"{where} is empty"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_leaves_no_field_empty(example):
    # Most requests are not traced, and then nothing is stored; a test of its own looks at those that are.
    found = [place for place in emptiness(EXAMPLES[example], example) if ".metadata.trace " not in place]
    assert found == []


def tags_in(annotation: Any) -> set[str]:
    """Every kind of tagged struct that the types of the events allow."""
    types = msgspec.inspect.multi_type_info(annotation)
    found: set[str] = set()
    waiting: list[Any] = list(types)
    seen: set[type] = set()
    while waiting:
        each = waiting.pop()
        if isinstance(each, msgspec.inspect.StructType):
            if each.cls in seen:
                continue
            seen.add(each.cls)
            if each.tag is not None:
                found.add(str(each.tag))
            waiting += [field.type for field in each.fields]
        elif isinstance(each, msgspec.inspect.UnionType):
            waiting += each.types
        else:
            waiting += [
                getattr(each, name) for name in ("item_type", "key_type", "value_type") if hasattr(each, name)
            ]
            waiting += getattr(each, "item_types", ())
    return found


@pytest.mark.parametrize("cls", EVENT_CLASSES, ids=lambda cls: cls.__name__)
def test_each_kind_that_an_event_may_hold_has_a_golden(cls):
    stored = "".join(
        (GOLDEN_EVENTS / f"{name}.json").read_text(encoding="utf-8")
        for name, recorded in EXAMPLES.items()
        if type(recorded.event) is cls
    )

    assert {tag for tag in tags_in([cls]) if f'"kind": "{tag}"' not in stored} == set()


def test_the_kinds_are_really_looked_for():
    assert tags_in(EVENT_CLASSES) == {
        "multiple_choice",
        "multiple_response",
        "numeric",
        "short_text",
        "options",
        "number",
        "text",
        "randomesque",
        "progressive",
        "proportional",
        "sympson_hetter",
        "area_count",
        "enemies",
        "testlet",
    }
