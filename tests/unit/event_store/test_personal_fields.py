"""Personal values: declared in the types, found wherever they stand, and sealed before they are stored."""

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from domain.event_types import EVENT_CLASSES, EVENTS
from domain.events import Event, EventRegistry, RecordedEvent, Retention, event_type
from domain.personal import Personal, PersonalMarker, personal_paths, replace_at
from domain.policies.decisions import AccessDecided
from domain.subscriptions.events import SubscriptionCancelled
from domain.users.events import PasskeyRegistered, UserDeactivated
from infra.event_store import codec as codec_module
from infra.event_store.codec import EventCodec, OversizedEvent, PlainPersonalCodec
from tests.support.exam_parts import STUDENT
from tests.support.recorded_examples import EXAMPLES, METADATA

ALWAYS_PERSONAL = {
    "email",
    "display_name",
    "full_name",
    "external_ref",
    "country",
    "birth_date",
    "phone",
    "address",
    "guardian_name",
    "ip_address",
    "payment_ref",
}
"""A field of one of these names says something about a person. So does free text: `text`, a string."""

SAID_OF_A_PERSON = {
    (AccessDecided, "request"),
    (SubscriptionCancelled, "reason"),
    (UserDeactivated, "reason"),
    (PasskeyRegistered, "name"),
}
"""What somebody typed about a person, in a field whose name says nothing of the kind elsewhere."""

SECRET_WORDS = {"password", "passwd", "pwd", "secret", "hash", "salt", "digest", "token", "pin", "otp"}
KEYED_HASHES = {"email_hash", "subject_hash"}
"""Made with a key that is not in the log: they are there to be compared, and cannot be turned back."""

WITH_PERSONAL_VALUES = [name for name, recorded in EXAMPLES.items() if recorded.event.type_.personal]


class SealingCodec:
    """Makes personal values unreadable and remembers for whom; opens only for the same person."""

    def __init__(self):
        self.subjects = set()
        self.sealed = 0

    def seal(self, subject_id, value):
        self.subjects.add(subject_id)
        self.sealed += 1
        return f"sealed|{subject_id}|{msgspec.json.encode(value).decode()[::-1]}"

    def open(self, subject_id, sealed):
        mark, subject, reversed_ = sealed.split("|", 2)
        assert (mark, subject) == ("sealed", subject_id)
        return msgspec.json.decode(reversed_[::-1])


def personal_values(value: Any) -> list[str]:
    """The personal values in an event, by the names of their fields alone and not by any mark."""
    found: list[str] = []
    if isinstance(value, msgspec.Struct):
        for field in msgspec.structs.fields(value):
            inner = getattr(value, field.name)
            free_text = field.name == "text" and isinstance(inner, str)
            said = (type(value), field.name) in SAID_OF_A_PERSON
            if inner is not None and (field.name in ALWAYS_PERSONAL or free_text or said):
                found.append(inner)
            else:
                found += personal_values(inner)
    elif isinstance(value, tuple | list):
        for inner in value:
            found += personal_values(inner)
    return found


def walk(annotation: Any, marked: bool = False):
    """Every field that can stand in a value of this type: struct, name, type without marks, marked or not."""
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        yield from walk(inner, marked or any(isinstance(mark, PersonalMarker) for mark in marks))
    elif isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        for name, hint in get_type_hints(annotation, include_extras=True).items():
            if name in annotation.__struct_fields__:
                is_marked = marked or (
                    get_origin(hint) is Annotated
                    and any(isinstance(mark, PersonalMarker) for mark in get_args(hint)[1:])
                )
                yield (
                    annotation,
                    name,
                    get_args(hint)[0] if get_origin(hint) is Annotated else hint,
                    is_marked,
                )
                yield from walk(hint, marked)
    elif get_origin(annotation) is not Literal:
        for member in get_args(annotation):
            yield from walk(member, marked)


def unmarked_personal_fields(event_class) -> list[str]:
    return [
        f"{struct.__name__}.{name}"
        for struct, name, type_, marked in walk(event_class)
        if not marked
        and (
            name in ALWAYS_PERSONAL
            or (name == "text" and is_string(type_))
            or (struct, name) in SAID_OF_A_PERSON
        )
    ]


def is_string(annotation: Any) -> bool:
    """True for text as somebody typed it; item texts in several languages are no strings."""
    union = get_origin(annotation) in (Union, types.UnionType)
    return annotation is str or (union and any(is_string(member) for member in get_args(annotation)))


def secret_fields(event_class) -> list[str]:
    return [
        f"{struct.__name__}.{name}"
        for struct, name, _, _ in walk(event_class)
        if SECRET_WORDS & set(name.split("_")) and name not in KEYED_HASHES
    ]


@pytest.mark.parametrize("cls", EVENT_CLASSES, ids=lambda cls: cls.__name__)
def test_what_describes_a_person_is_always_marked_as_personal(cls):
    assert unmarked_personal_fields(cls) == []


@pytest.mark.parametrize("cls", EVENT_CLASSES, ids=lambda cls: cls.__name__)
def test_no_event_has_a_field_for_a_password_or_its_hash(cls):
    assert secret_fields(cls) == []


class Note(msgspec.Struct, frozen=True):
    text: str | None


class Letter(msgspec.Struct, frozen=True):
    notes: tuple[Note, ...]
    email: str | None
    password_hash: str


class Careful(msgspec.Struct, frozen=True):
    text: Personal[str]
    email: Personal[str | None]
    title: dict[str, str]


def test_a_forgotten_mark_and_a_planted_secret_are_seen():
    planted = msgspec.defstruct(
        "Planted", [("letter", Letter | None)], bases=(Event,), frozen=True, kw_only=True
    )
    careful = msgspec.defstruct("Kept", [("careful", Careful)], bases=(Event,), frozen=True, kw_only=True)

    assert unmarked_personal_fields(planted) == ["Note.text", "Letter.email"]
    assert secret_fields(planted) == ["Letter.password_hash"]
    assert unmarked_personal_fields(careful) == []


# -- where personal values stand ---------------------------------------------------------------------------


class Person(msgspec.Struct, frozen=True):
    name: Personal[str]
    age: int


class Robot(msgspec.Struct, frozen=True, tag=True):
    model: str


class Renamed(msgspec.Struct, frozen=True, rename="camel"):
    first_name: Personal[str]


class Twice(msgspec.Struct, frozen=True):
    one: Person
    two: Person | None


@pytest.mark.parametrize(
    ("annotation", "paths"),
    [
        (str, ()),
        (Personal[str], (("field",),)),
        (Personal[str | None], (("field",),)),
        (Personal[str] | None, (("field",),)),
        (Union[None, Personal[str]], (("field",),)),  # noqa: UP007 - the older spelling is a type of its own
        (Annotated[str, msgspec.Meta(min_length=1)], ()),
        (Annotated[Personal[str], msgspec.Meta(description="x")], (("field",),)),
        (Personal[Person], (("field",),)),
        (Person, (("field", "name"),)),
        (Person | None, (("field", "name"),)),
        (Person | Robot, (("field", "name"),)),
        (Robot, ()),
        (tuple[Person, ...], (("field", "*", "name"),)),
        (tuple[Person | Robot, ...], (("field", "*", "name"),)),
        (list[Person | None], (("field", "*", "name"),)),
        (tuple[Personal[str], ...], (("field", "*"),)),
        (tuple[tuple[Person, ...], ...] | None, (("field", "*", "*", "name"),)),
        (Twice, (("field", "one", "name"), ("field", "two", "name"))),
        (Renamed, (("field", "firstName"),)),
        (dict[str, str], ()),
        (dict[Literal["ko", "en"], str], ()),
    ],
)
def test_a_personal_value_is_found_wherever_it_stands(annotation, paths):
    struct = msgspec.defstruct("Made", [("field", annotation)])

    assert personal_paths(struct) == paths


@pytest.mark.parametrize(
    "annotation",
    [dict[str, Personal[str]], dict[str, Person], frozenset[Personal[str]], tuple[dict[str, Person], ...]],
)
def test_a_personal_value_where_no_path_leads_is_refused_when_it_is_declared(annotation):
    with pytest.raises(TypeError, match=r"field.*: personal values cannot stand in"):
        personal_paths(msgspec.defstruct("Made", [("field", annotation)]))


@pytest.mark.parametrize(
    ("data", "path", "changed"),
    [
        ({"a": "x"}, ("a",), {"a": "X"}),
        ({"a": None}, ("a",), {"a": None}),
        ({}, ("a",), {}),
        ({"a": {"b": "x", "c": "y"}}, ("a", "b"), {"a": {"b": "X", "c": "y"}}),
        ({"a": "x"}, ("a", "b"), {"a": "x"}),
        ({"a": None}, ("a", "b"), {"a": None}),
        ({"a": ["x", None, "y"]}, ("a", "*"), {"a": ["X", None, "Y"]}),
        ({"a": ("x", "y")}, ("a", "*"), {"a": ["X", "Y"]}),
        ({"a": []}, ("a", "*"), {"a": []}),
        ({"a": 5}, ("a", "*"), {"a": 5}),
        (
            {"a": [{"b": "x"}, {"c": "y"}, None, "z"]},
            ("a", "*", "b"),
            {"a": [{"b": "X"}, {"c": "y"}, None, "z"]},
        ),
        ({"a": [["x"], []]}, ("a", "*", "*"), {"a": [["X"], []]}),
    ],
)
def test_values_are_replaced_at_a_path_and_nowhere_else(data, path, changed):
    replace_at(data, path, str.upper)

    assert data == changed


def read_again(codec, stored):
    return codec.decode(stored.stream_id, stored.version, stored.type, stored.meta, stored.payload)


# -- sealing -----------------------------------------------------------------------------------------------


def test_there_is_an_example_for_every_type_with_personal_values():
    assert {type(EXAMPLES[name].event) for name in WITH_PERSONAL_VALUES} == {
        cls for cls in EVENTS if cls.type_.personal
    }


@pytest.mark.parametrize("example", WITH_PERSONAL_VALUES)
def test_no_personal_value_is_stored_as_it_is_and_each_is_read_again(example):
    recorded = EXAMPLES[example]
    sealing = SealingCodec()
    codec = EventCodec(EVENTS, sealing)

    stored = codec.encode(recorded)

    values = personal_values(recorded.event)
    assert [value for value in values if value.encode() in stored.payload + stored.meta] == []
    assert stored.payload.count(b"sealed|") == sealing.sealed == len(values)
    assert read_again(codec, stored) == recorded


@pytest.mark.parametrize("cls", [cls for cls in EVENTS if cls.type_.personal], ids=lambda cls: cls.__name__)
def test_at_least_one_example_of_each_personal_type_holds_a_personal_value(cls):
    assert any(
        personal_values(recorded.event) for recorded in EXAMPLES.values() if type(recorded.event) is cls
    )


@pytest.mark.parametrize("example", WITH_PERSONAL_VALUES)
def test_a_value_is_sealed_for_the_person_whom_it_describes(example):
    recorded = EXAMPLES[example]
    sealing = SealingCodec()
    EventCodec(EVENTS, sealing).encode(recorded)

    subject = recorded.event.type_.subject
    person = recorded.stream_id if subject == "stream" else getattr(recorded.event, subject)
    assert sealing.subjects == ({person} if personal_values(recorded.event) else set())


@pytest.mark.parametrize("example", [name for name in EXAMPLES if name not in WITH_PERSONAL_VALUES])
def test_what_has_no_personal_value_is_stored_the_same_with_and_without_sealing(example):
    recorded = EXAMPLES[example]
    sealing = SealingCodec()

    assert EventCodec(EVENTS, sealing).encode(recorded) == EventCodec(EVENTS, PlainPersonalCodec()).encode(
        recorded
    )
    assert sealing.sealed == 0
    assert personal_values(recorded.event) == []


def test_what_is_not_there_is_not_sealed():
    registered = EXAMPLES["user.registered.v1"]
    without = msgspec.structs.replace(
        registered.event, email=None, external_ref=None, country=None, birth_date=None
    )
    sealing = SealingCodec()
    codec = EventCodec(EVENTS, sealing)

    stored = codec.encode(RecordedEvent(registered.stream_id, 1, METADATA, without))

    assert sealing.sealed == 1
    assert msgspec.json.decode(stored.payload)["email"] is None
    assert read_again(codec, stored).event == without


def test_encoding_leaves_the_event_itself_as_it_is():
    recorded = EXAMPLES["attempt.scored.v1"]
    before = msgspec.json.encode(recorded)

    EventCodec(EVENTS, SealingCodec()).encode(recorded)

    assert msgspec.json.encode(recorded) == before


@event_type("user.befriended", retention=Retention.STATE, subject="stream")
class Befriended(Event, frozen=True, kw_only=True):
    nicknames: tuple[Personal[str], ...]
    friends: tuple[Person | None, ...]
    best: Personal[Person | None] = None


def test_lists_and_whole_structs_are_sealed_too():
    sealing = SealingCodec()
    codec = EventCodec(EventRegistry([Befriended]), sealing)
    event = Befriended(
        nicknames=("땅콩", "호두"), friends=(Person("서연", 15), None), best=Person("지우", 16)
    )
    recorded = RecordedEvent(STUDENT, 1, METADATA, event)

    stored = codec.encode(recorded)

    assert sealing.sealed == 4
    assert [name for name in ("땅콩", "호두", "서연", "지우") if name.encode() in stored.payload] == []
    assert read_again(codec, stored) == recorded


def test_an_event_that_is_too_large_is_refused_before_it_is_stored(monkeypatch):
    recorded = EXAMPLES["attempt.scored.v1"]
    codec = EventCodec(EVENTS, PlainPersonalCodec())
    stored = codec.encode(recorded)
    size_bytes = len(stored.meta) + len(stored.payload)

    monkeypatch.setattr(codec_module, "MAX_EVENT_BYTES", size_bytes)
    codec.encode(recorded)
    monkeypatch.setattr(codec_module, "MAX_EVENT_BYTES", size_bytes - 1)
    with pytest.raises(OversizedEvent) as refusal:
        codec.encode(recorded)

    assert refusal.value.data() == {"event_type": "attempt.scored", "size_bytes": size_bytes}
