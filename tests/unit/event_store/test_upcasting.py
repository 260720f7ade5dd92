"""Old events in a new system: upcasting, and what cannot be read at all.

The type here is made up: `user.moved` told a street and a house number (v1), then one line (v2), and
tells a country beside it today (v3).
"""

import msgspec
import pytest

from domain.events import (
    Event,
    EventRegistry,
    FutureSchemaVersion,
    Retention,
    UndecodableEvent,
    UnknownEventType,
    event_type,
)
from domain.personal import Personal
from infra.event_store.codec import EventCodec, PlainPersonalCodec
from tests.support.exam_parts import STUDENT
from tests.support.recorded_examples import METADATA


def in_one_line(data):
    return {"line": f"{data['street']} {data['house']}", "note": data["note"]}


def with_a_country(data):
    return {**data, "country": "KR"}


@event_type(
    "user.moved",
    retention=Retention.STATE,
    version=3,
    subject="stream",
    upcasters={1: in_one_line, 2: with_a_country},
)
class Moved(Event, frozen=True, kw_only=True):
    line: str
    country: str
    note: Personal[str]


@event_type(
    "user.waved",
    retention=Retention.STATE,
    version=2,
    upcasters={1: lambda data: {"hands": data["hand_count"]}},
)
class Waved(Event, frozen=True, kw_only=True):
    hands: int


REGISTRY = EventRegistry([Moved, Waved])


class ReversingCodec:
    def seal(self, subject_id, value):
        return f"{subject_id}:{value[::-1]}"

    def open(self, subject_id, sealed):
        assert sealed.startswith(f"{subject_id}:")
        return sealed.removeprefix(f"{subject_id}:")[::-1]


META = msgspec.json.encode(METADATA)


def decoded(stored_name, data, personal=None):
    codec = EventCodec(REGISTRY, personal or PlainPersonalCodec())
    return codec.decode(STUDENT, 1, stored_name, META, msgspec.json.encode(data))


@pytest.mark.parametrize(
    ("stored_name", "data"),
    [
        ("user.moved.v1", {"street": "Main", "house": "12", "note": "yes"}),
        ("user.moved.v2", {"line": "Main 12", "note": "yes"}),
        ("user.moved.v3", {"line": "Main 12", "note": "yes", "country": "KR"}),
    ],
)
def test_every_version_that_was_ever_written_is_read_as_todays(stored_name, data):
    recorded = decoded(stored_name, data)

    assert recorded.event == Moved(line="Main 12", country="KR", note="yes")
    assert recorded.metadata == METADATA
    assert (recorded.stream_id, recorded.version, recorded.schema_version) == (STUDENT, 1, 3)


def test_what_is_read_from_an_old_version_is_written_in_todays():
    codec = EventCodec(REGISTRY, PlainPersonalCodec())
    recorded = decoded("user.moved.v1", {"street": "Main", "house": "12", "note": "yes"})

    stored = codec.encode(recorded)

    assert stored.type == "user.moved.v3"
    assert codec.decode(STUDENT, 1, stored.type, stored.meta, stored.payload) == recorded


def test_a_type_with_nothing_personal_is_upcast_as_well():
    assert decoded("user.waved.v1", {"hand_count": 2}).event == Waved(hands=2)
    assert decoded("user.waved.v2", {"hands": 1}).event == Waved(hands=1)


def test_a_personal_value_is_opened_before_an_old_version_is_upcast():
    sealed = f"{STUDENT}:sey"

    for stored_name, data in (
        ("user.moved.v1", {"street": "Main", "house": "12", "note": sealed}),
        ("user.moved.v2", {"line": "Main 12", "note": sealed}),
    ):
        assert decoded(stored_name, data, ReversingCodec()).event.note == "yes"


@pytest.mark.parametrize(
    ("version", "upcasters"),
    [
        (2, {}),
        (3, {1: in_one_line}),
        (3, {2: with_a_country}),
        (3, {1: in_one_line, 3: with_a_country}),
        (2, {1: in_one_line, 2: with_a_country}),
        (1, {1: in_one_line}),
        (2, {0: in_one_line, 1: in_one_line}),
    ],
)
def test_a_version_without_exactly_the_steps_before_it_is_refused_when_it_is_declared(version, upcasters):
    with pytest.raises(
        TypeError, match=r"user\.jumped: version \d needs an upcaster for each version before it"
    ):

        @event_type("user.jumped", retention=Retention.STATE, version=version, upcasters=upcasters)
        class Jumped(Event, frozen=True, kw_only=True):
            height: int


def test_personal_fields_without_a_subject_are_refused_when_they_are_declared():
    with pytest.raises(TypeError, match="personal fields and the subject"):

        @event_type("user.named", retention=Retention.STATE)
        class Named(Event, frozen=True, kw_only=True):
            name: Personal[str]


def test_a_subject_without_personal_fields_is_refused_when_it_is_declared():
    with pytest.raises(TypeError, match="personal fields and the subject"):

        @event_type("user.counted", retention=Retention.STATE, subject="stream")
        class Counted(Event, frozen=True, kw_only=True):
            number: int


def test_two_classes_of_one_stored_name_are_refused():
    @event_type("user.waved", retention=Retention.STATE, version=1)
    class WavedAgain(Event, frozen=True, kw_only=True):
        hands: int

    with pytest.raises(TypeError, match=r"two event classes are stored as user\.waved"):
        EventRegistry([Waved, WavedAgain])


@pytest.mark.parametrize(
    "stored_name",
    [
        *("", "v1", ".v1", "moved.v1", "user.jumped.v1", "user.moved", "user.moved.1", "user.moved.V1"),
        *("user.moved.v", "user.moved.v0", "user.moved.v-1", "user.moved.vx", "user.moved.v1.5"),
    ],
)
def test_an_unknown_type_is_named(stored_name):
    with pytest.raises(UnknownEventType) as refusal:
        decoded(stored_name, {})

    assert refusal.value.data()["stored_name"] == stored_name


@pytest.mark.parametrize(("stored_name", "newest"), [("user.moved.v4", 3), ("user.waved.v40", 2)])
def test_an_event_from_the_future_is_refused_and_not_guessed_at(stored_name, newest):
    with pytest.raises(FutureSchemaVersion) as refusal:
        decoded(stored_name, {"line": "Main 12", "note": "yes", "country": "KR", "hands": 2})

    assert refusal.value.data()["newest_known"] == newest


MOVED = {"line": "Main 12", "note": "yes", "country": "KR"}


@pytest.mark.parametrize(
    ("stored_name", "data"),
    [
        ("user.moved.v3", {**MOVED, "country": 82}),
        ("user.moved.v3", {"line": "Main 12", "note": "yes"}),
        ("user.moved.v3", {**MOVED, "note": None}),
        ("user.moved.v3", []),
        ("user.moved.v3", None),
        ("user.moved.v3", "Main 12"),
        ("user.moved.v1", {"street": "Main", "note": "yes"}),
        ("user.moved.v1", ["Main", "12"]),
        ("user.waved.v2", {"hands": "two"}),
        ("user.waved.v2", []),
        ("user.waved.v1", {}),
        ("user.waved.v1", 2),
        ("user.waved.v1", {"hand_count": "two"}),
    ],
)
def test_data_that_does_not_fit_its_type_is_undecodable_and_says_where_it_stands(stored_name, data):
    with pytest.raises(UndecodableEvent) as refusal:
        decoded(stored_name, data)

    assert refusal.value.data()["stored_name"] == stored_name
    assert refusal.value.data()["stream_id"] == STUDENT
    assert refusal.value.data()["version"] == 1
    assert refusal.value.data()["reason"]


@pytest.mark.parametrize("stored_name", ["user.moved.v3", "user.waved.v2", "user.waved.v1"])
@pytest.mark.parametrize(
    ("meta", "payload"),
    [
        (META, b""),
        (META, b"{"),
        (META, b"null"),
        (META, b"[]"),
        (META, b"{}"),
        (META, b'{"note": "\xff", "line": "x", "country": "KR", "hands": "\xff"}'),
        (b"", b'{"hands": 1}'),
        (b"{}", b'{"hands": 1}'),
        (b'"\xff"', b'{"hands": 1}'),
        (META[:-1], b'{"hands": 1}'),
        (META.replace(b"user", b"\xff"), b'{"hands": 1}'),
    ],
)
def test_bytes_that_are_no_stored_event_are_undecodable(stored_name, meta, payload):
    codec = EventCodec(REGISTRY, PlainPersonalCodec())

    with pytest.raises(UndecodableEvent) as refusal:
        codec.decode(STUDENT, 4, stored_name, meta, payload)

    assert (refusal.value.data()["stream_id"], refusal.value.data()["version"]) == (STUDENT, 4)
