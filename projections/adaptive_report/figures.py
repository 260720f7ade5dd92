"""What the report of an adaptive exam says: numbers alone, those that are not defined are None."""

from typing import Final, Literal

import msgspec

Gap = Literal["precision", "fresh_items"]
"""`precision`: no test of the allowed length is precise enough there. `fresh_items`: one is, but not without
items that too many people have seen."""


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What a good test of this kind reaches by simulation, to hold a report against."""

    conditions: str
    mean_length: float
    rmse: float
    bias: float
    coverage: float


REFERENCE: Final = Reference(
    conditions="500 3PL items, abilities from N(0, 1), maximum information, EAP, SE < 0.3 or 50 items",
    mean_length=19.0,
    rmse=0.29,
    bias=0.0,
    coverage=0.945,
)


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """`sd` has divisor n - 1."""

    mean: float | None
    sd: float | None
    low: float | None
    median: float | None
    high: float | None


class LengthCount(msgspec.Struct, frozen=True):
    items: int
    attempts: int


class AbilityBin(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts that ended with `low` <= theta < `high` (None: open), and what the pool can do there.

    Attributes:
        point: the ability at which the pool is looked at; the middle of the bin.
        items_given: different items that somebody here was given.
        information_used: mean test information of what these people were given, each at their own ability.
        information_of_pool: of all items with parameters, at `point`.
        best_se: what the best test of max_items items would end with at `point`.
        items_needed: items that it takes at least for the standard error to be reached; None: not with all.
        fresh_items_needed: the same from items alone that are within the exposure limit.
    """

    low: float | None
    high: float | None
    point: float
    attempts: int
    mean_length: float | None
    mean_se: float | None
    items_given: int
    information_used: float | None
    information_of_pool: float
    best_se: float
    items_needed: int | None
    fresh_items_needed: int | None
    gap: Gap | None


class ItemUse(msgspec.Struct, frozen=True, kw_only=True):
    """How an item of the pool was used. Parameters are None where it is a pretest item.

    Attributes:
        given: attempts in which it was presented.
        exposure: their share.
        right: share of right answers; `expected_right`: what the parameters say at the final estimates.
        mean_theta: of those who were given it.
        by_ability: `given` in each bin of the report.
    """

    ordinal: int
    item_id: str
    item_version: int
    code: str | None
    area: str | None
    a: float | None
    b: float | None
    c: float | None
    d: float | None
    given: int
    exposure: float
    right: float | None
    expected_right: float | None
    mean_theta: float | None
    median_s: float | None
    slow_s: float | None
    by_ability: list[int]


class UnusualAttempt(msgspec.Struct, frozen=True, kw_only=True):
    attempt_id: str
    examinee_id: str
    lz_star: float
    theta: float
    items: int


class PersonFit(msgspec.Struct, frozen=True, kw_only=True):
    """lz* of the attempts: `flagged` lie below `limit`, as `nominal_share` would by chance at most."""

    attempts: int
    mean: float | None
    sd: float | None
    limit: float
    nominal_share: float
    flagged: int
    most_unusual: list[UnusualAttempt]


class AdaptiveReport(msgspec.Struct, frozen=True, kw_only=True):
    """All scored attempts at one adaptive exam.

    Attributes:
        expected_rmse: √(mean SE²), which the root mean square error of the estimates is if the model holds.
        reliability: s² / (s² + mean SE²), s² the variance of the estimates.
        shrinkage: mean size of what the prior added to an estimate (logits); `shrinkage_at_extremes`: of
            those whose estimate lies two prior standard deviations or more from its mean.
        overlap: mean share of items that two attempts have in common.
        attempts_in_gaps: attempts that ended in a bin with a gap.
    """

    exam_id: str
    bank_id: str | None
    bank_version: int | None
    pool_size: int
    pretest_items: int
    stop_se: float | None
    max_items: int
    prior_sd: float
    attempts: int
    attempts_open: int
    theta: Spread
    length: Spread
    se: Spread
    duration_s: Spread
    share_below_stop_se: float | None
    expected_rmse: float | None
    reliability: float | None
    shrinkage: float | None
    shrinkage_at_extremes: float | None
    lengths: list[LengthCount]
    stop_reasons: dict[str, int]
    overlap: float | None
    highest_exposure: float | None
    exposure_limit: float
    overexposed: int
    never_given: int
    attempts_in_gaps: int
    by_ability: list[AbilityBin]
    items: list[ItemUse]
    person_fit: PersonFit
    reference: Reference = REFERENCE
