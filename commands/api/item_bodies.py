"""Items as clients write them."""

from typing import Annotated, Literal

import msgspec
from pydantic import Field

from commands.api.bodies import JsonBool, Number, WholeNumber
from domain.items.content import DECIMAL_PATTERN, MAX_POINTS, ItemContent
from domain.languages import Language
from infra.http.text import RequestModel, SafeText

Stem = Annotated[dict[Language, Annotated[str, SafeText(1, 10_000, multi_line=True)]], Field(min_length=1)]
OptionText = Annotated[
    dict[Language, Annotated[str, SafeText(1, 2_000, multi_line=True)]], Field(min_length=1)
]
OptionId = Annotated[str, Field(pattern="^[A-Za-z0-9._-]{1,20}$", examples=["3"])]
ItemCode = Annotated[str, Field(pattern="^[A-Za-z0-9._-]{1,64}$", examples=["math-01"])]
DecimalText = Annotated[str, Field(pattern=f"^{DECIMAL_PATTERN}$", max_length=62, examples=["12.5"])]


class OptionBody(RequestModel):
    id: OptionId
    text: OptionText


class ChoiceKeyBody(RequestModel):
    options: list[OptionId] = Field(min_length=1, max_length=20)


class NumericKeyBody(RequestModel):
    value: DecimalText
    tolerance: DecimalText = "0"


class TextKeyBody(RequestModel):
    accepted: list[Annotated[str, SafeText(1, 200)]] = Field(min_length=1, max_length=50)
    case_sensitive: JsonBool = False


class ParametersBody(RequestModel):
    """Item response theory parameters on the logistic metric."""

    a: Annotated[float, Number(gt=0, le=100)]
    b: Annotated[float, Number(ge=-100, le=100)]
    c: Annotated[float, Number(ge=0, lt=1)] = 0.0
    d: Annotated[float, Number(gt=0, le=1)] = 1.0


class _ItemBody(RequestModel):
    content_area: Annotated[str, SafeText(1, 100)] = Field(examples=["mathematics"])
    stem: Stem = Field(examples=[{"ko": "3 + 4는?", "en": "What is 3 + 4?"}])
    points: Annotated[int, WholeNumber(1, MAX_POINTS)] = 1
    explanation: Stem | None = None
    irt: ParametersBody | None = None


class MultipleChoiceBody(_ItemBody):
    kind: Literal["multiple_choice"]
    options: list[OptionBody] = Field(min_length=2, max_length=20)
    key: ChoiceKeyBody


class MultipleResponseBody(_ItemBody):
    kind: Literal["multiple_response"]
    options: list[OptionBody] = Field(min_length=2, max_length=20)
    key: ChoiceKeyBody


class NumericBody(_ItemBody):
    kind: Literal["numeric"]
    key: NumericKeyBody


class ShortTextBody(_ItemBody):
    kind: Literal["short_text"]
    key: TextKeyBody


ItemBody = Annotated[
    MultipleChoiceBody | MultipleResponseBody | NumericBody | ShortTextBody, Field(discriminator="kind")
]


def content_of(body: ItemBody) -> ItemContent:
    content: ItemContent = msgspec.convert(body.model_dump(exclude_none=True), ItemContent)
    return content
