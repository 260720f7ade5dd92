"""The rules of an adaptive exam as authors write them: `domain.exams.adaptive` says what they mean."""

from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, Field

from commands.api.bodies import ItemId, JsonBool, Number, WholeNumber
from domain.exams.adaptive import MAX_LENGTH, MAX_POOL, MAX_POOL_WEIGHED, AdaptiveRules, Selection
from domain.exams.events import Blueprint
from infra.http.text import RequestModel, SafeText, StreamId

Area = Annotated[str, SafeText(1, 100), Field(examples=["mathematics"])]
PoolItems = Annotated[list[ItemId], Field(min_length=2, max_length=MAX_POOL)]
Acceleration = Annotated[float, Number(ge=0, le=10)]
Probability = Annotated[float, Number(ge=0, le=1)]


class RandomesqueBody(RequestModel):
    """One of the `among` best items, each as likely."""

    kind: Literal["randomesque"]
    among: Annotated[int, WholeNumber(1, 100)] = 5


class ProgressiveBody(RequestModel):
    """Chance first, information later."""

    kind: Literal["progressive"]
    acceleration: Acceleration = 1.0


class ProportionalBody(RequestModel):
    """An item is as likely as a power of its information, which grows with the test."""

    kind: Literal["proportional"]
    acceleration: Acceleration = 1.0


class SympsonHetterBody(RequestModel):
    """An item that is chosen is given with a probability of its own, in the order of `items`."""

    kind: Literal["sympson_hetter"]
    probabilities: list[Probability] = Field(min_length=1, max_length=MAX_POOL)


ExposureBody = Annotated[
    RandomesqueBody | ProgressiveBody | ProportionalBody | SympsonHetterBody, Field(discriminator="kind")
]


class AreaShareBody(RequestModel):
    """The part of a test that a content area is to have, in any unit."""

    area: Area
    share: Annotated[float, Number(ge=0, le=1_000_000)]


class AreaCountBody(RequestModel):
    """From `low` to `high` items of a content area in a whole test."""

    kind: Literal["area_count"]
    area: Area
    low: Annotated[int, WholeNumber(0, MAX_LENGTH)] = 0
    high: Annotated[int, WholeNumber(0, MAX_LENGTH)] | None = None


class EnemiesBody(RequestModel):
    """At most one of these items in a test."""

    kind: Literal["enemies"]
    items: PoolItems


class TestletBody(RequestModel):
    """Items that come together: all or none of them, or from `low` to `high`."""

    kind: Literal["testlet"]
    items: PoolItems
    low: Annotated[int, WholeNumber(1, MAX_LENGTH)] | None = None
    high: Annotated[int, WholeNumber(1, MAX_LENGTH)] | None = None


ConstraintBody = Annotated[AreaCountBody | EnemiesBody | TestletBody, Field(discriminator="kind")]


class ClassificationBody(RequestModel):
    """Ends the test once the examinee is known to lie above or below each cut score."""

    cuts: list[Annotated[float, Number(ge=-6, le=6)]] = Field(
        min_length=1, max_length=20, description="In logits, ascending.", examples=[[-0.5, 0.8]]
    )
    method: Literal["probability_ratio", "confidence_interval"] = "confidence_interval"
    confidence: Annotated[float, Number(gt=0, lt=1)] = 0.95
    half_width: Annotated[float, Number(gt=0, le=3)] = 0.25
    alpha: Annotated[float, Number(gt=0, lt=0.5)] = 0.05
    beta: Annotated[float, Number(gt=0, lt=0.5)] = 0.05


class CarryOverBody(RequestModel):
    """An earlier ability as the prior: both exams draw on one bank, and so on one scale."""

    exam_id: Annotated[str, StreamId("exam")]
    max_age_days: Annotated[int, WholeNumber(1, 3_660)] = 365
    drift_sd: Annotated[float, Number(ge=0, le=3)] = 0.5


class PretestBody(RequestModel):
    """So many items without parameters, hidden at chance positions."""

    items: Annotated[int, WholeNumber(1, MAX_LENGTH)]
    first_position: Annotated[int, WholeNumber(1, MAX_LENGTH)] = 3
    last_position: Annotated[int, WholeNumber(1, MAX_LENGTH)] = 10


class AdaptiveBody(RequestModel):
    """How each examinee's own test is chosen from the items, and when it ends.

    The defaults: maximum information, until the standard error is below 0.3 or 50 items were given.
    """

    selection: Selection = Field(
        default="maximum_information",
        description=f"The last two take pools of up to {MAX_POOL_WEIGHED} items.",
    )
    exposure: ExposureBody | None = Field(default=None, description="How items are kept from wearing out.")
    shares: list[AreaShareBody] = Field(
        default_factory=list, max_length=100, description="Content balance; or use `constraints`."
    )
    constraints: list[ConstraintBody] = Field(
        default_factory=list,
        max_length=500,
        description="Every test of `max_items` items meets them all.",
    )
    stop_se: Annotated[float, Number(gt=0, lt=10)] | None = Field(
        default=0.3, description="The test ends below this standard error, in logits."
    )
    min_items: Annotated[int, WholeNumber(1, MAX_LENGTH)] = 1
    max_items: Annotated[int, WholeNumber(1, MAX_LENGTH)] = 50
    min_information: Annotated[float, Number(ge=0, le=1_000)] | None = Field(
        default=None, description="The test ends when no item tells as much."
    )
    classification: ClassificationBody | None = None
    prior_mean: Annotated[float, Number(ge=-4, le=4)] = 0.0
    prior_sd: Annotated[float, Number(ge=0.2, le=3)] = 1.0
    carry_over: CarryOverBody | None = None
    pretest: PretestBody | None = None
    shows_key: JsonBool = Field(
        default=False, description="Whether examinees see the key once results are released."
    )


class PoolState(BaseModel):
    """The pool as it was when the exam was published."""

    items: int
    pretest_items: int = Field(description="How many of them have no parameters yet.")
    bank_id: str
    bank_version: int


def rules_of(body: AdaptiveBody) -> AdaptiveRules:
    plain: dict[str, Any] = body.model_dump()
    return msgspec.convert(plain, AdaptiveRules)


def pool_state(blueprint: Blueprint) -> PoolState | None:
    """None while the exam is a draft, and for a form that everybody gets."""
    pool = blueprint.pool
    if pool is None:
        return None
    return PoolState(
        items=len(pool.items),
        pretest_items=sum(each.parameters is None for each in pool.items),
        bank_id=pool.bank_id,
        bank_version=pool.bank_version,
    )
