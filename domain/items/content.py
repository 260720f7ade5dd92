"""What an item is made of: four kinds, each with its own key, texts in several languages."""

import math
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import TypeAlias

import msgspec

from domain.languages import LANGUAGES, LocalizedText

DECIMAL_PATTERN = r"[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?"
_DECIMAL = re.compile(DECIMAL_PATTERN)

MAX_OPTIONS = 20
MAX_POINTS = 1000


class Option(msgspec.Struct, frozen=True):
    """One answer to choose; `id` is what a response names and what the key holds."""

    id: str
    text: LocalizedText


class ChoiceKey(msgspec.Struct, frozen=True):
    options: tuple[str, ...]


class NumericKey(msgspec.Struct, frozen=True):
    """Right is every number within `tolerance` of `value`; both are decimal strings."""

    value: str
    tolerance: str = "0"


class TextKey(msgspec.Struct, frozen=True):
    """Right is every one of `accepted`, compared as `domain.items.scoring` says."""

    accepted: tuple[str, ...]
    case_sensitive: bool = False


class ItemParameters(msgspec.Struct, frozen=True):
    """Item response theory parameters on the logistic metric (D = 1)."""

    a: float
    b: float
    c: float = 0.0
    d: float = 1.0


class _Item(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    content_area: str
    stem: LocalizedText
    points: int = 1
    explanation: LocalizedText | None = None
    irt: ItemParameters | None = None


class MultipleChoice(_Item, frozen=True, kw_only=True, tag="multiple_choice"):
    options: tuple[Option, ...]
    key: ChoiceKey


class MultipleResponse(_Item, frozen=True, kw_only=True, tag="multiple_response"):
    options: tuple[Option, ...]
    key: ChoiceKey


class Numeric(_Item, frozen=True, kw_only=True, tag="numeric"):
    key: NumericKey


class ShortText(_Item, frozen=True, kw_only=True, tag="short_text"):
    key: TextKey


ItemContent: TypeAlias = MultipleChoice | MultipleResponse | Numeric | ShortText


class ContentFault(msgspec.Struct, frozen=True):
    """What is wrong with an item, and where: `pointer` is a JSON pointer into its content."""

    pointer: str
    code: str
    detail: str


def is_decimal(text: str) -> bool:
    return _DECIMAL.fullmatch(text) is not None


def faults_in(content: ItemContent) -> list[ContentFault]:
    """Everything that makes the content unusable, not the first thing alone."""
    return [
        *_faults_in_frame(content),
        *_faults_in_texts(content),
        *_faults_in_kind(content),
        *_faults_in_parameters(content.irt),
    ]


def _faults_in_frame(content: ItemContent) -> Iterator[ContentFault]:
    if not content.content_area.strip():
        yield ContentFault("/content_area", "no-content-area", "Name the content area.")
    if not 1 <= content.points <= MAX_POINTS:
        yield ContentFault("/points", "points", f"An item is worth 1 to {MAX_POINTS} points.")


def _faults_in_texts(content: ItemContent) -> Iterator[ContentFault]:
    if not content.stem:
        yield ContentFault("/stem", "no-language", "The stem needs a text in at least one language.")
    texts = {"/stem": content.stem, "/explanation": content.explanation or {}}
    if isinstance(content, MultipleChoice | MultipleResponse):
        for index, option in enumerate(content.options):
            texts[f"/options/{index}/text"] = option.text
            for language in content.stem:
                if language not in option.text:
                    yield ContentFault(
                        f"/options/{index}/text", "language-missing", f"The option lacks {language}."
                    )
    for pointer, text in texts.items():
        for language, words in text.items():
            if language not in LANGUAGES:
                yield ContentFault(f"{pointer}/{language}", "unknown-language", "Use ko, en, ja or zh.")
            elif not words.strip():
                yield ContentFault(f"{pointer}/{language}", "empty-text", "The text is empty.")


def _faults_in_kind(content: ItemContent) -> Iterator[ContentFault]:
    match content:
        case MultipleChoice():
            yield from _faults_in_options(content.options, content.key)
            if len(content.key.options) != 1:
                yield ContentFault("/key/options", "one-key", "A multiple choice item has exactly one key.")
        case MultipleResponse():
            yield from _faults_in_options(content.options, content.key)
            if not content.key.options:
                yield ContentFault("/key/options", "no-key", "Name at least one right option.")
        case Numeric():
            yield from _faults_in_number(content.key)
        case ShortText():
            yield from _faults_in_accepted(content.key)


def _faults_in_number(key: NumericKey) -> Iterator[ContentFault]:
    if not is_decimal(key.value):
        yield ContentFault("/key/value", "not-a-decimal", "The key is not a decimal number.")
    if not is_decimal(key.tolerance) or Decimal(key.tolerance) < 0:
        yield ContentFault("/key/tolerance", "not-a-tolerance", "Use a decimal number of 0 or more.")


def _faults_in_accepted(key: TextKey) -> Iterator[ContentFault]:
    if not key.accepted:
        yield ContentFault("/key/accepted", "no-key", "Name at least one accepted answer.")
    for index, accepted in enumerate(key.accepted):
        if not accepted.strip():
            yield ContentFault(f"/key/accepted/{index}", "empty-text", "The answer is empty.")


def _faults_in_options(options: tuple[Option, ...], key: ChoiceKey) -> Iterator[ContentFault]:
    ids = [option.id for option in options]
    if not 2 <= len(ids) <= MAX_OPTIONS:
        yield ContentFault("/options", "number-of-options", f"Give 2 to {MAX_OPTIONS} options.")
    for index, option_id in enumerate(ids):
        if option_id in ids[:index]:
            yield ContentFault(f"/options/{index}/id", "duplicate-option", "This option id is taken.")
    for index, keyed in enumerate(key.options):
        if keyed not in ids:
            yield ContentFault(f"/key/options/{index}", "unknown-option", "The key names no option.")
        if keyed in key.options[:index]:
            yield ContentFault(f"/key/options/{index}", "duplicate-option", "The key names this twice.")


def _faults_in_parameters(irt: ItemParameters | None) -> Iterator[ContentFault]:
    if irt is None:
        return
    if not all(math.isfinite(value) for value in (irt.a, irt.b, irt.c, irt.d)):
        yield ContentFault("/irt", "not-finite", "Parameters are finite numbers.")
        return
    if irt.a <= 0:
        yield ContentFault("/irt/a", "discrimination", "The discrimination a is above 0.")
    if not 0 <= irt.c < irt.d <= 1:
        yield ContentFault("/irt/c", "asymptotes", "The asymptotes satisfy 0 <= c < d <= 1.")
