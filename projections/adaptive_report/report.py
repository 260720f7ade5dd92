"""The report of an adaptive exam, made of its pool, its rules and what was counted of its attempts."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from domain.cat.coverage import NEVER, Coverage, coverage
from domain.cat.exposure import Exposure
from domain.cat.logistic import LogisticItems
from domain.cat.outcomes import drawn_to_the_mean
from domain.cat.quality import empirical_reliability
from domain.cat.types import Floats, Ints
from domain.exams.adaptive import AdaptiveRules
from projections.adaptive_report import queries
from projections.adaptive_report.figures import (
    AbilityBin,
    AdaptiveReport,
    Gap,
    ItemUse,
    LengthCount,
    PersonFit,
    Spread,
    UnusualAttempt,
)
from projections.adaptive_report.tally import EDGES, Endings, Tally
from projections.queries import Connection

EXPOSURE_LIMIT: Final = 0.25
FIT_LIMIT: Final = -2.326
"""Of a standard normal variable one in a hundred lies below."""
FIT_SHARE: Final = 0.01
_EXTREME_SDS: Final = 2.0

POINTS: Final = np.append(EDGES[0] - 0.25, EDGES + 0.25)
"""Where the pool is looked at: the middle of each bin, of the open ones as if they were as wide."""


class Pool:
    """The items of an exam as rows of `read.exam_items`, and those with parameters as a bank."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self.rows = rows
        known = [row["parameters"] for row in rows if row["parameters"] is not None]
        self.items = (
            LogisticItems.of(*(np.array([float(each[name]) for each in known]) for name in "abcd"))
            if known
            else None
        )
        has = np.array([row["parameters"] is not None for row in rows], dtype=bool)
        self.bank_rows: Ints = np.where(has, np.cumsum(has) - 1, -1).astype(np.int64)

    def part(self, chosen: Sequence[bool]) -> LogisticItems | None:
        """The items with parameters among those chosen of the whole pool."""
        rows = self.bank_rows[np.asarray(chosen, dtype=bool)]
        rows = rows[rows >= 0]
        return None if self.items is None or not rows.size else self.items[rows]


async def adaptive_report(
    connection: Connection, exam: dict[str, Any], *, exposure_limit: float = EXPOSURE_LIMIT
) -> AdaptiveReport:
    """`exam` as `queries.adaptive_exam` gives it, with rules: an adaptive one."""
    exam_id = exam["exam_id"]
    rules = msgspec.convert(exam["rules"], AdaptiveRules)
    pool = Pool(await queries.pool(connection, exam_id))
    tally = Tally(pool.items, pool.bank_rows)
    async for portion in queries.portions(connection, exam_id):
        await asyncio.to_thread(tally.add, portion)  # other requests must not wait for the arithmetic
    still_open = await queries.attempts_not_scored(connection, exam_id)
    return await asyncio.to_thread(_report, exam, rules, pool, tally, still_open, exposure_limit)


def _report(  # noqa: PLR0913, PLR0917 - all that was read, each once
    exam: Mapping[str, Any],
    rules: AdaptiveRules,
    pool: Pool,
    tally: Tally,
    still_open: int,
    exposure_limit: float,
) -> AdaptiveReport:
    endings = tally.endings()
    attempts = endings.theta.size
    used = Exposure.counted(tally.given.sum(axis=1).astype(np.float64), attempts)
    drawn = np.abs(drawn_to_the_mean(endings.theta, endings.se, endings.prior_mean, endings.prior_sd))
    extreme = np.abs(endings.theta - endings.prior_mean) >= _EXTREME_SDS * endings.prior_sd
    by_ability = _by_ability(rules, pool, tally, endings, used.rates <= exposure_limit)
    return AdaptiveReport(
        exam_id=exam["exam_id"],
        bank_id=exam["bank_id"],
        bank_version=exam["bank_version"],
        pool_size=len(pool.rows),
        pretest_items=int((pool.bank_rows < 0).sum()),
        stop_se=rules.stop_se,
        max_items=rules.max_items,
        prior_sd=rules.prior_sd,
        attempts=attempts,
        attempts_open=still_open,
        theta=_spread(endings.theta),
        length=_spread(endings.length.astype(np.float64)),
        se=_spread(endings.se),
        duration_s=_spread(endings.duration_s),
        share_below_stop_se=(
            _mean((endings.se < rules.stop_se).astype(np.float64)) if rules.stop_se is not None else None
        ),
        expected_rmse=_defined(np.sqrt((endings.se**2).mean())) if attempts else None,
        reliability=_defined(empirical_reliability(endings.theta, endings.se).of_posterior_means),
        shrinkage=_mean(drawn),
        shrinkage_at_extremes=_mean(drawn[extreme]),
        lengths=[
            LengthCount(items, count)
            for items, count in enumerate(np.bincount(endings.length.astype(np.int64)).tolist())
            if count
        ],
        stop_reasons=dict(tally.stop_reasons.most_common()),
        overlap=_defined(used.overlap),
        highest_exposure=float(used.rates.max(initial=0.0)) if attempts else None,
        exposure_limit=exposure_limit,
        overexposed=int((used.rates > exposure_limit).sum()),
        never_given=int(used.never_given.size),
        attempts_in_gaps=sum(each.attempts for each in by_ability if each.gap is not None),
        by_ability=by_ability,
        items=_items(pool, tally, used.rates),
        person_fit=_person_fit(tally, endings),
    )


def _by_ability(
    rules: AdaptiveRules,
    pool: Pool,
    tally: Tally,
    endings: Endings,
    fresh: np.ndarray[Any, np.dtype[np.bool_]],
) -> list[AbilityBin]:
    bins = endings.bins
    whole = _covered(pool.items, rules)
    rest = _covered(pool.part(fresh.tolist()), rules)
    lows: list[float | None] = [None, *EDGES.tolist()]
    highs: list[float | None] = [*EDGES.tolist(), None]
    found = []
    for number, (low, high) in enumerate(zip(lows, highs, strict=True)):
        here = bins == number
        found.append(
            AbilityBin(
                low=low,
                high=high,
                point=float(POINTS[number]),
                attempts=int(here.sum()),
                mean_length=_mean(endings.length[here].astype(np.float64)),
                mean_se=_mean(endings.se[here]),
                items_given=int((tally.given[:, number] > 0).sum()),
                information_used=_mean(endings.information[here]),
                information_of_pool=float(whole.information[number]),
                best_se=float(whole.se[number]),
                items_needed=_needed(whole, number, rules),
                fresh_items_needed=_needed(rest, number, rules),
                gap=_gap(whole.needed[number], rest.needed[number], rules),
            )
        )
    return found


def _covered(items: LogisticItems | None, rules: AdaptiveRules) -> Coverage:
    if items is None:
        nothing = np.zeros(POINTS.size)
        never = np.full(POINTS.size, NEVER)
        return Coverage(POINTS, nothing, nothing, nothing + rules.prior_sd, never)
    return coverage(items, POINTS, rules.max_items, rules.stop_se, rules.prior_sd)


def _needed(found: Coverage, number: int, rules: AdaptiveRules) -> int | None:
    needed = int(found.needed[number])
    return None if needed == NEVER or rules.stop_se is None else needed


def _gap(needed: int, of_fresh: int, rules: AdaptiveRules) -> Gap | None:
    if rules.stop_se is None:
        return None
    if needed == NEVER or needed > rules.max_items:
        return "precision"
    return "fresh_items" if of_fresh == NEVER or of_fresh > rules.max_items else None


def _items(pool: Pool, tally: Tally, rates: Floats) -> list[ItemUse]:
    given = tally.given.sum(axis=1)
    median_s, slow_s = tally.seconds(0.5, 0.9)
    found = []
    for place, row in enumerate(pool.rows):
        parameters = row["parameters"] or dict.fromkeys("abcd")
        answered = int(tally.answered[place])
        expected = answered and row["parameters"] is not None
        found.append(
            ItemUse(
                ordinal=row["ordinal"],
                item_id=row["item_id"],
                item_version=row["item_version"],
                code=row["code"],
                area=row["area"],
                **parameters,
                given=int(given[place]),
                exposure=float(rates[place]),
                right=int(tally.right[place]) / answered if answered else None,
                expected_right=float(tally.expected_right[place]) / answered if expected else None,
                mean_theta=float(tally.sum_theta[place]) / int(given[place]) if given[place] else None,
                median_s=_defined(median_s[place]),
                slow_s=_defined(slow_s[place]),
                by_ability=tally.given[place].tolist(),
            )
        )
    return found


def _person_fit(tally: Tally, endings: Endings) -> PersonFit:
    fit = endings.lz_star[np.isfinite(endings.lz_star)]
    return PersonFit(
        attempts=fit.size,
        mean=_mean(fit),
        sd=float(fit.std(ddof=1)) if fit.size > 1 else None,
        limit=FIT_LIMIT,
        nominal_share=FIT_SHARE,
        flagged=int((fit < FIT_LIMIT).sum()),
        most_unusual=[
            UnusualAttempt(
                attempt_id=each.attempt_id,
                examinee_id=each.examinee_id,
                lz_star=-each.minus_lz_star,
                theta=each.theta,
                items=each.items,
            )
            for each in tally.unusual()
            if -each.minus_lz_star < FIT_LIMIT
        ],
    )


def _spread(values: Floats) -> Spread:
    values = values[np.isfinite(values)]
    if not values.size:
        return Spread(mean=None, sd=None, low=None, median=None, high=None)
    return Spread(
        mean=float(values.mean()),
        sd=float(values.std(ddof=1)) if values.size > 1 else None,
        low=float(values.min()),
        median=float(np.median(values)),
        high=float(values.max()),
    )


def _mean(values: Floats) -> float | None:
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else None


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
