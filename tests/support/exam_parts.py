"""Ids, items and a form to examine with; every part can be changed by name."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from domain.exams.events import Blueprint, FormItem
from domain.exams.form import Form, PinnedItem
from domain.identifiers import stream_id
from domain.items.content import (
    ChoiceKey,
    ItemContent,
    MultipleChoice,
    MultipleResponse,
    Numeric,
    NumericKey,
    Option,
    ShortText,
    TextKey,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def uuid7(number: int) -> str:
    return f"019cabcd-0000-7000-8000-{number:012x}"


STUDENT = stream_id("user", uuid7(1))
OTHER_STUDENT = stream_id("user", uuid7(2))
TEACHER = stream_id("user", uuid7(3))
SCHOOL = stream_id("organization", uuid7(4))
OTHER_SCHOOL = stream_id("organization", uuid7(5))
EXAM_ID = stream_id("exam", uuid7(6))
BANK_ID = stream_id("item_bank", uuid7(7))
CHOICE_ID, CHOICES_ID, NUMBER_ID, TEXT_ID, UNKNOWN_ITEM_ID = (
    stream_id("item", uuid7(number)) for number in range(10, 15)
)


def options(*ids: str) -> tuple[Option, ...]:
    return tuple(Option(each, {"ko": f"보기 {each}", "en": f"Option {each}"}) for each in ids)


def choice(**changes: Any) -> MultipleChoice:
    """A multiple choice item of four options; the second is right."""
    content = MultipleChoice(
        content_area="reading",
        stem={"ko": "어느 것입니까?", "en": "Which one?"},
        options=options("1", "2", "3", "4"),
        key=ChoiceKey(("2",)),
    )
    return msgspec.structs.replace(content, **changes)


def choices(**changes: Any) -> MultipleResponse:
    """A multiple response item of four options; the first and the third are right."""
    content = MultipleResponse(
        content_area="reading",
        stem={"ko": "모두 고르시오.", "en": "Choose all."},
        points=2,
        options=options("1", "2", "3", "4"),
        key=ChoiceKey(("1", "3")),
    )
    return msgspec.structs.replace(content, **changes)


def numeric(value: str = "12.5", tolerance: str = "0", **changes: Any) -> Numeric:
    content = Numeric(
        content_area="mathematics", stem={"en": "How much?"}, points=3, key=NumericKey(value, tolerance)
    )
    return msgspec.structs.replace(content, **changes)


def short_text(*accepted: str, case_sensitive: bool = False, **changes: Any) -> ShortText:
    content = ShortText(
        content_area="geography",
        stem={"ko": "수도는?"},
        points=4,
        key=TextKey(accepted or ("서울",), case_sensitive),
    )
    return msgspec.structs.replace(content, **changes)


CONTENTS: dict[str, ItemContent] = {
    CHOICE_ID: choice(),
    CHOICES_ID: choices(),
    NUMBER_ID: numeric(),
    TEXT_ID: short_text(),
}
"""One item of each kind, in the order of the form."""

FORM = Form([PinnedItem(item_id, 1, content) for item_id, content in CONTENTS.items()])


def blueprint(**changes: Any) -> Blueprint:
    plain = Blueprint(
        title={"ko": "모의고사", "en": "Mock exam"}, items=tuple(FormItem(item_id, 1) for item_id in CONTENTS)
    )
    return msgspec.structs.replace(plain, **changes)


def full_width(text: str) -> str:
    """ASCII letters and digits as East Asian keyboards also write them."""
    return "".join(chr(ord(character) + 0xFEE0) for character in text)
