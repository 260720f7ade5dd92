"""What the author of an adaptive exam decides: how items are chosen, and when the test ends.

Everything here is data: `domain.cat.live` acts upon it. Scale: logits, logistic metric, D = 1.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

import msgspec

from domain.identifiers import StreamId, category_of

MAX_POOL = 2_000
"""Items of an adaptive exam. The published event repeats them all with their parameters."""

MAX_POOL_WEIGHED = 500
"""For rules that weigh every answer to every item, or every ability against the estimate.

With 2,000 items such a step was measured at 50 to 80 ms, with 500 at 1 to 4 ms; everybody else waits for it.
"""

MAX_LENGTH = 200

Selection = Literal[
    "maximum_information", "posterior_weighted", "maximum_expected_information", "kullback_leibler"
]

Fault: TypeAlias = tuple[str, str, str]
"""Pointer, code, detail."""


class Randomesque(msgspec.Struct, frozen=True, tag_field="kind", tag="randomesque"):
    """One of the `among` best items, each as likely."""

    among: int = 5


class Progressive(msgspec.Struct, frozen=True, tag_field="kind", tag="progressive"):
    """Chance first, information later; the larger `acceleration`, the longer chance rules."""

    acceleration: float = 1.0


class Proportional(msgspec.Struct, frozen=True, tag_field="kind", tag="proportional"):
    """An item is as likely as a power of its information, which grows with the test."""

    acceleration: float = 1.0


class SympsonHetter(msgspec.Struct, frozen=True, tag_field="kind", tag="sympson_hetter"):
    """An item that is chosen is given with a probability of its own, in the order of the exam's items.

    They come from `domain.cat.sympson_hetter.exposure_parameters`.
    """

    probabilities: tuple[float, ...]


ExposureControl: TypeAlias = Randomesque | Progressive | Proportional | SympsonHetter


class AreaShare(msgspec.Struct, frozen=True):
    """The part of a test that a content area is to have, in any unit."""

    area: str
    share: float


class AreaCount(msgspec.Struct, frozen=True, tag_field="kind", tag="area_count"):
    """From `low` to `high` items of a content area in a whole test (None: no upper limit)."""

    area: str
    low: int = 0
    high: int | None = None


class Enemies(msgspec.Struct, frozen=True, tag_field="kind", tag="enemies"):
    """At most one of these items in a test: one gives another's answer away."""

    items: tuple[StreamId, ...]


class Testlet(msgspec.Struct, frozen=True, tag_field="kind", tag="testlet"):
    """Items that share a stimulus: all or none, or from `low` to `high` of them; they come together."""

    items: tuple[StreamId, ...]
    low: int | None = None
    high: int | None = None


Constraint: TypeAlias = AreaCount | Enemies | Testlet


class Classification(msgspec.Struct, frozen=True, kw_only=True):
    """Ends the test once the examinee is known to lie above or below each cut score.

    `probability_ratio` (Wald's test) uses `half_width`, `alpha` and `beta`; `confidence_interval` uses
    `confidence`.
    """

    cuts: tuple[float, ...]
    method: Literal["probability_ratio", "confidence_interval"] = "confidence_interval"
    confidence: float = 0.95
    half_width: float = 0.25
    alpha: float = 0.05
    beta: float = 0.05


class CarryOver(msgspec.Struct, frozen=True, kw_only=True):
    """The prior of an examinee who has a scored attempt at `exam_id`, not older than `max_age_days`.

    Its mean is the ability found there, its variance that of the estimate plus `drift_sd`², as people
    change. Both exams must be on one scale.
    """

    exam_id: StreamId
    max_age_days: int = 365
    drift_sd: float = 0.5


class PretestPlan(msgspec.Struct, frozen=True, kw_only=True):
    """So many items without parameters, hidden at chance positions between these two (from 1)."""

    items: int
    first_position: int = 3
    last_position: int = 10


class AdaptiveRules(msgspec.Struct, frozen=True, kw_only=True):
    """An adaptive test. The defaults are SE < 0.3 or 50 items, maximum information, a prior of N(0, 1).

    With `constraints` each item is taken from a shadow test of `max_items` items that meets them all, and a
    test ends before `max_items` only where the items given meet them too.
    `shows_key`: whether examinees see key and explanation of their items once results are released; as a
    rule a bank is to be used again.
    """

    selection: Selection = "maximum_information"
    exposure: ExposureControl | None = None
    shares: tuple[AreaShare, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    stop_se: float | None = 0.3
    min_items: int = 1
    max_items: int = 50
    min_information: float | None = None
    classification: Classification | None = None
    prior_mean: float = 0.0
    prior_sd: float = 1.0
    carry_over: CarryOver | None = None
    pretest: PretestPlan | None = None
    shows_key: bool = False


class PooledItem(msgspec.Struct, frozen=True):
    """What is pinned of an item beside its version: parameters (None: a pretest item) and content area."""

    area: str
    parameters: tuple[float, float, float, float] | None
    """a, b, c, d."""


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """The items of an adaptive exam in their order, as they were when it was published.

    All are of one bank, and so on one scale. `bank_version` counts the decisions by which parameters of
    the bank were changed.
    """

    bank_id: StreamId
    bank_version: int
    items: tuple[PooledItem, ...]


def faults_in_rules(rules: AdaptiveRules, item_ids: Sequence[StreamId]) -> Iterator[Fault]:
    """What is wrong with the rules themselves; pointers are relative to them."""
    yield from _faults_in_length(rules, len(item_ids))
    weighs = rules.selection in ("maximum_expected_information", "kullback_leibler")
    if weighs and len(item_ids) > MAX_POOL_WEIGHED:
        yield "/selection", "pool-too-large", f"This rule takes at most {MAX_POOL_WEIGHED} items."
    yield from _faults_in_numbers(rules)
    yield from _faults_in_exposure(rules, len(item_ids))
    yield from _faults_in_content(rules, set(item_ids))
    if rules.classification is not None:
        yield from _faults_in_classification(rules.classification)
    if rules.pretest is not None:
        yield from _faults_in_pretest(rules.pretest)


def faults_in_pool(rules: AdaptiveRules, pool: Pool) -> Iterator[Fault]:
    """What the items cannot give: to be asked once their parameters are known."""
    operational = sum(each.parameters is not None for each in pool.items)
    wanted = max(rules.min_items, rules.max_items if rules.constraints else 1)
    if operational < wanted:
        detail = f"{operational} of the items have parameters and {wanted} are needed."
        yield "/items", "too-few-items", detail
    areas = {each.area for each in pool.items if each.parameters is not None}
    for index, share in enumerate(rules.shares):
        if share.area not in areas:
            yield f"/adaptive/shares/{index}/area", "unknown-area", "No item of this area has parameters."
    if rules.shares:
        for area in sorted(areas - {each.area for each in rules.shares}):
            yield "/adaptive/shares", "area-without-share", f"The area {area} has items and no share."
    pretest = len(pool.items) - operational
    if rules.pretest is not None and pretest < rules.pretest.items:
        detail = f"{rules.pretest.items} pretest items are wanted and {pretest} have no parameters."
        yield "/adaptive/pretest/items", "too-few-items", detail


def _faults_in_length(rules: AdaptiveRules, items: int) -> Iterator[Fault]:
    if not 1 <= rules.max_items <= MAX_LENGTH:
        yield "/max_items", "number-of-items", f"A test has 1 to {MAX_LENGTH} items."
    if not 1 <= rules.min_items <= rules.max_items:
        yield "/min_items", "number-of-items", "At least 1 item, and no more than max_items."
    if items < rules.min_items:
        yield "/min_items", "too-few-items", f"The exam has {items} items."


def _faults_in_numbers(rules: AdaptiveRules) -> Iterator[Fault]:
    if rules.stop_se is not None and not (math.isfinite(rules.stop_se) and 0 < rules.stop_se < 10):
        yield "/stop_se", "standard-error", "The standard error is above 0 and below 10 logits."
    if rules.min_information is not None and not (
        math.isfinite(rules.min_information) and rules.min_information >= 0
    ):
        yield "/min_information", "information", "Information is 0 or more."
    if not (math.isfinite(rules.prior_mean) and abs(rules.prior_mean) <= 4):
        yield "/prior_mean", "prior", "The mean of the prior lies between -4 and 4 logits."
    if not (math.isfinite(rules.prior_sd) and 0.2 <= rules.prior_sd <= 3):
        yield "/prior_sd", "prior", "The standard deviation of the prior lies between 0.2 and 3 logits."
    carried = rules.carry_over
    if carried is None:
        return
    if category_of(carried.exam_id) != "exam":
        yield "/carry_over/exam_id", "unknown-exam", "There is no such exam."
    if not 1 <= carried.max_age_days <= 3660:
        yield "/carry_over/max_age_days", "age", "Use 1 to 3660 days."
    if not (math.isfinite(carried.drift_sd) and 0 <= carried.drift_sd <= 3):
        yield "/carry_over/drift_sd", "drift", "The drift lies between 0 and 3 logits."


def _faults_in_exposure(rules: AdaptiveRules, items: int) -> Iterator[Fault]:
    match rules.exposure:
        case Randomesque(among) if not 1 <= among <= 100:
            yield "/exposure/among", "number-of-items", "Choose among 1 to 100 items."
        case Progressive(acceleration) | Proportional(acceleration) if not (
            math.isfinite(acceleration) and 0 <= acceleration <= 10
        ):
            yield "/exposure/acceleration", "acceleration", "The acceleration lies between 0 and 10."
        case SympsonHetter(probabilities):
            if len(probabilities) != items:
                yield "/exposure/probabilities", "one-an-item", "Give one probability for each item."
            for index, each in enumerate(probabilities):
                if not 0 <= each <= 1:
                    yield f"/exposure/probabilities/{index}", "probability", "It lies between 0 and 1."
        case _:
            pass


def _faults_in_content(rules: AdaptiveRules, known: set[StreamId]) -> Iterator[Fault]:
    if rules.shares and rules.constraints:
        yield "/shares", "shares-and-constraints", "Shares and constraints are two ways: use one of them."
    areas = [each.area for each in rules.shares]
    for index, share in enumerate(rules.shares):
        if not (math.isfinite(share.share) and share.share >= 0):
            yield f"/shares/{index}/share", "share", "A share is 0 or more."
        if share.area in areas[:index]:
            yield f"/shares/{index}/area", "duplicate-area", "This area has a share already."
    if areas and not sum(each.share for each in rules.shares if each.share > 0) > 0:
        yield "/shares", "share", "One share at least is above 0."
    for index, constraint in enumerate(rules.constraints):
        yield from _faults_in_constraint(f"/constraints/{index}", constraint, known)


def _faults_in_constraint(pointer: str, constraint: Constraint, known: set[StreamId]) -> Iterator[Fault]:
    match constraint:
        case AreaCount(low=low, high=high):
            if low < 0 or (high is not None and high < low):
                yield pointer, "limits", "The limits are whole numbers, the lower one first."
        case Enemies(items=items) | Testlet(items=items):
            if len(items) < 2:
                yield f"{pointer}/items", "number-of-items", "Name two items at least."
            for index, item_id in enumerate(items):
                if item_id not in known:
                    yield f"{pointer}/items/{index}", "unknown-item", "The exam has no such item."
                if item_id in items[:index]:
                    yield f"{pointer}/items/{index}", "duplicate-item", "This item is named twice."
            if isinstance(constraint, Testlet):
                low = 1 if constraint.low is None else constraint.low
                most = len(items) if constraint.high is None else constraint.high
                if not 1 <= low <= most <= len(items):
                    yield pointer, "limits", "The limits lie between 1 and the number of items."


def _faults_in_classification(rule: Classification) -> Iterator[Fault]:
    cuts = rule.cuts
    if not cuts or not all(map(math.isfinite, cuts)) or any(b <= a for a, b in pairwise(cuts)):
        yield "/classification/cuts", "cut-scores", "Cut scores are finite and ascend."
    if not 0 < rule.confidence < 1:
        yield "/classification/confidence", "confidence", "The confidence lies between 0 and 1."
    if not (math.isfinite(rule.half_width) and 0 < rule.half_width <= 3):
        yield "/classification/half_width", "half-width", "It is above 0 and at most 3 logits."
    for name, value in (("alpha", rule.alpha), ("beta", rule.beta)):
        if not 0 < value < 0.5:
            yield f"/classification/{name}", "error-rate", "It lies between 0 and 0.5."


def _faults_in_pretest(plan: PretestPlan) -> Iterator[Fault]:
    if not 1 <= plan.first_position <= plan.last_position <= MAX_LENGTH:
        yield "/pretest/first_position", "positions", f"Positions ascend, from 1 to {MAX_LENGTH}."
    elif not 1 <= plan.items <= plan.last_position - plan.first_position + 1:
        yield "/pretest/items", "number-of-items", "There are fewer positions than pretest items."
