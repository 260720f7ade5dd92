"""What adaptive attempts find, as it is shown."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, Field

HALF_WIDTH_IN_SE: Final = 1.959964
"""Of an interval that holds 95 % of a normal distribution."""


class AbilityShown(BaseModel):
    theta: float = Field(description="Ability in logits.", examples=[0.42])
    se: float = Field(description="Its standard error, in logits.", examples=[0.29])
    low: float = Field(description="Where the 95 % interval begins: theta - 1.96 se.")
    high: float = Field(description="Where it ends: theta + 1.96 se.")
    items_counted: int = Field(description="Responses that it rests on.")
    stop_reason: str | None = Field(
        description="Why the test ended: the engine's reason, or who handed it in. Null while it runs.",
        examples=["se"],
    )
    category: int | None = Field(
        description="Where the exam classifies: how many of its cut scores lie below, as far as is known."
    )


class AbilitySummary(BaseModel):
    """Over the scored attempts at an adaptive exam."""

    mean_theta: float | None
    sd_theta: float | None = Field(description="Of a sample: divisor n - 1. Null for fewer than two.")
    mean_se: float | None
    mean_items: float | None = Field(description="Mean number of items that counted.")


class StepShown(BaseModel):
    """One item of an adaptive test, as the engine saw it."""

    step: int = Field(description="From 1.")
    item_id: str
    item_version: int
    pretest: bool = Field(description="A pretest item does not count.")
    presented_at: datetime
    theta_before: float = Field(description="Ability at which it was chosen.")
    responded_at: datetime | None
    is_right: bool | None = Field(description="Null until the engine has taken notice of the response.")
    theta: float | None = Field(description="Ability after the response.")
    se: float | None


def ability_shown(row: Mapping[str, Any] | None) -> AbilityShown | None:
    """From a row with `theta`, `se` and so on; None where there is none that the asker may see."""
    if row is None or row["theta"] is None:
        return None
    theta, se = row["theta"], row["se"]
    return AbilityShown(
        theta=theta,
        se=se,
        low=theta - HALF_WIDTH_IN_SE * se,
        high=theta + HALF_WIDTH_IN_SE * se,
        items_counted=row["items_counted"],
        stop_reason=row["stop_reason"],
        category=row["category"],
    )
