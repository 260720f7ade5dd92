"""What an examinee answers to an item."""

from typing import TypeAlias

import msgspec

from domain.errors import Malformed
from domain.items.content import ItemContent, MultipleChoice, MultipleResponse, Numeric, ShortText, is_decimal
from domain.personal import Personal

MAX_TEXT_LENGTH = 2000


class ChosenOptions(msgspec.Struct, frozen=True, tag_field="kind", tag="options", gc=False):
    options: tuple[str, ...]


class GivenNumber(msgspec.Struct, frozen=True, tag_field="kind", tag="number", gc=False):
    """The number as the examinee wrote it, a decimal string."""

    value: str


class GivenText(msgspec.Struct, frozen=True, tag_field="kind", tag="text", gc=False):
    """Free text; it may tell who wrote it, so it is personal."""

    text: Personal[str]


Response: TypeAlias = ChosenOptions | GivenNumber | GivenText


class ResponseDoesNotFit(Malformed):
    code = "response-does-not-fit"
    title = "The response does not fit the item"

    def __init__(self, reason: str, errors: list[dict[str, str]] | None = None) -> None:
        fault = {
            "pointer": "/response",
            "code": "does-not-fit",
            "detail": f"{reason[0].upper()}{reason[1:]}.",
        }
        super().__init__(reason=reason, errors=errors or [fault])

    def detail(self) -> str:
        return f"The response does not fit the item: {self.reason}."


def fitting(content: ItemContent, response: Response) -> Response:
    """The response in its normal form; raises `ResponseDoesNotFit` where it cannot answer the item.

    The normal form of chosen options is the order of the item's options.
    """
    match content, response:
        case MultipleChoice(), ChosenOptions():
            if len(response.options) != 1:
                raise ResponseDoesNotFit(reason="choose exactly one option")
            return _in_order(content, response)
        case MultipleResponse(), ChosenOptions():
            return _in_order(content, response)
        case Numeric(), GivenNumber():
            if not is_decimal(response.value):
                raise ResponseDoesNotFit(reason="give a decimal number such as -12.5")
            return response
        case ShortText(), GivenText():
            if not 1 <= len(response.text) <= MAX_TEXT_LENGTH:
                raise ResponseDoesNotFit(reason=f"give 1 to {MAX_TEXT_LENGTH} characters")
            return response
        case _:
            raise ResponseDoesNotFit(reason=f"it is not the answer to a {_kind(content)} item")


def _in_order(content: MultipleChoice | MultipleResponse, response: ChosenOptions) -> ChosenOptions:
    known = [option.id for option in content.options]
    if len(set(response.options)) != len(response.options):
        raise ResponseDoesNotFit(reason="an option is named twice")
    if not response.options:
        raise ResponseDoesNotFit(reason="choose at least one option, or send null to clear the answer")
    if not set(response.options) <= set(known):
        raise ResponseDoesNotFit(reason="an option of this item is expected")
    return ChosenOptions(tuple(option for option in known if option in response.options))


def _kind(content: ItemContent) -> str:
    return str(type(content).__struct_config__.tag).replace("_", " ")
