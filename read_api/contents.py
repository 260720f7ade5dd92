"""Items as they are shown: to examinees without their key, to staff with it."""

from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, Field

from domain.languages import Language, LocalizedText, in_language

ItemKind = Literal["multiple_choice", "multiple_response", "numeric", "short_text"]


class TextShown(BaseModel):
    language: Language = Field(description="Another than the one asked for where there is no such text.")
    text: str


class OptionShown(BaseModel):
    id: str = Field(examples=["3"])
    text: str


class ItemOption(BaseModel):
    id: str = Field(examples=["3"])
    text: LocalizedText


class ChosenOptionsShown(BaseModel):
    """Of a multiple choice or multiple response item."""

    options: list[str] = Field(examples=[["3"]])


class NumberShown(BaseModel):
    value: str = Field(examples=["12.5"])


class GivenTextShown(BaseModel):
    text: str


ResponseShown: TypeAlias = ChosenOptionsShown | NumberShown | GivenTextShown


class OptionsKey(BaseModel):
    options: list[str] = Field(examples=[["3"]])


class NumberKey(BaseModel):
    """Right is every number within `tolerance` of `value`."""

    value: str = Field(examples=["12.5"])
    tolerance: str = Field(examples=["0.01"])


class AcceptedTexts(BaseModel):
    """Right is every one of `accepted`."""

    accepted: list[str] = Field(examples=[["photosynthesis"]])
    case_sensitive: bool


KeyShown: TypeAlias = OptionsKey | NumberKey | AcceptedTexts


class ItemParametersShown(BaseModel):
    """Item response theory parameters on the logistic metric (D = 1)."""

    a: float
    b: float
    c: float
    d: float


def text_shown(text: LocalizedText, wanted: Language) -> TextShown:
    language, words = in_language(text, wanted)
    return TextShown(language=language, text=words)


def options_shown(options: list[dict[str, Any]] | None, language: Language) -> list[OptionShown] | None:
    """Every option has a text in each language of the stem."""
    if options is None:
        return None
    return [OptionShown(id=each["id"], text=in_language(each["text"], language)[1]) for each in options]


def response_shown(response: dict[str, Any] | None) -> ResponseShown | None:
    match response:
        case {"kind": "options", "options": options}:
            return ChosenOptionsShown(options=options)
        case {"kind": "number", "value": value}:
            return NumberShown(value=value)
        case {"kind": "text", "text": text}:
            return GivenTextShown(text=text)
        case _:
            return None


def key_shown(key: dict[str, Any]) -> KeyShown:
    match key:
        case {"options": options}:
            return OptionsKey(options=options)
        case {"value": value, "tolerance": tolerance}:
            return NumberKey(value=value, tolerance=tolerance)
        case _:
            return AcceptedTexts(**key)
