"""The bilingual sample exam that ships with the project.

The data file has the format that the item-bank import takes as JSON, so `sample_exam_json()` can be
posted as it is; `load_sample_exam()` gives the same content as typed values.
"""

from decimal import Decimal
from importlib import resources
from typing import Annotated, Literal

import msgspec

Text = Annotated[str, msgspec.Meta(min_length=1)]
OptionId = Literal["1", "2", "3", "4", "5"]
ContentArea = Literal["reading", "mathematics", "science"]


class LocalizedText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ko: Text
    en: Text


class SampleOption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: OptionId
    text: LocalizedText


class ChoiceKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    options: Annotated[tuple[OptionId, ...], msgspec.Meta(min_length=1)]


class NumericKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An answer is right when it is at most `tolerance` away from `value`."""

    value: Decimal
    tolerance: Decimal


class TextKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    accepted: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]
    case_sensitive: bool


class _Item(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    code: Text
    content_area: ContentArea
    points: Annotated[int, msgspec.Meta(ge=1)]
    stem: LocalizedText
    explanation: LocalizedText
    # Never calibrated: nobody has answered these items yet, and made-up parameters would be worse than none.
    irt: None

    @property
    def kind(self) -> str:
        return str(self.__struct_config__.tag)


class _ChoiceItem(_Item, frozen=True, kw_only=True):
    options: Annotated[tuple[SampleOption, ...], msgspec.Meta(min_length=2, max_length=5)]
    key: ChoiceKey


class MultipleChoiceItem(_ChoiceItem, frozen=True, kw_only=True, tag="multiple_choice"):
    """Exactly one option is right."""


class MultipleResponseItem(_ChoiceItem, frozen=True, kw_only=True, tag="multiple_response"):
    """One or more options are right, and all of them have to be chosen."""


class NumericItem(_Item, frozen=True, kw_only=True, tag="numeric"):
    key: NumericKey


class ShortTextItem(_Item, frozen=True, kw_only=True, tag="short_text"):
    key: TextKey


SampleItem = MultipleChoiceItem | MultipleResponseItem | NumericItem | ShortTextItem


class SampleExam(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: LocalizedText
    description: LocalizedText
    time_limit_s: Annotated[int, msgspec.Meta(ge=1)]
    items: Annotated[tuple[SampleItem, ...], msgspec.Meta(min_length=1)]


def sample_exam_json() -> bytes:
    """The data file as it is: UTF-8 JSON, ready for the item-bank import."""
    return (resources.files("infra.sample") / "data" / "sample_exam.json").read_bytes()


def load_sample_exam() -> SampleExam:
    """The sample exam as typed values.

    Raises msgspec.ValidationError if the data file does not have the shape above.
    """
    return msgspec.json.decode(sample_exam_json(), type=SampleExam)
