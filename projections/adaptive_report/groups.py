"""Outcomes and DIF of an adaptive exam by group: whoever asks says who is in which."""

from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np

from domain.cat.dif.adaptive import adaptive_mantel_haenszel
from domain.cat.logistic import LogisticItems
from domain.cat.outcomes import LEAST_SHOWN, Difference, GroupOutcome, Outcomes, outcomes_by_group
from domain.cat.types import MISSING, Ints
from projections.adaptive_report import queries
from projections.adaptive_report.report import Pool
from projections.adaptive_report.tally import Portion
from projections.queries import Connection, many

CELLS_AT_ONCE: Final = 20_000_000
"""Of the table of responses that DIF is looked for in: 160 MB. What is beyond it is left out."""

LEAST_RESPONSES: Final = 20
"""From each of two groups: with fewer an item is not compared."""


class GroupDifference(msgspec.Struct, frozen=True, kw_only=True):
    """Group less everybody else; `at_equal_ability` with its standard error and p value."""

    raw: float | None
    at_equal_ability: float | None
    se: float | None
    p_value: float | None


class GroupFigures(msgspec.Struct, frozen=True, kw_only=True):
    """See `domain.cat.outcomes.GroupOutcome`."""

    group: str
    attempts: int
    mean_theta: float
    sd_theta: float | None
    mean_length: float
    mean_se: float
    shrinkage: float
    shrinkage_size: float
    stop_reasons: dict[str, int]
    length_difference: GroupDifference
    se_difference: GroupDifference


class ItemDif(msgspec.Struct, frozen=True, kw_only=True):
    """Mantel-Haenszel among people of equal ability; `delta` below 0: harder for the group."""

    item_id: str
    code: str | None
    ets_class: str
    delta: float
    p_value: float


class GroupDif(msgspec.Struct, frozen=True, kw_only=True):
    """Items that work differently (class B or C), the largest difference first, of those compared."""

    group: str
    reference: str
    attempts: int
    compared: int
    items: list[ItemDif]


class GroupReport(msgspec.Struct, frozen=True, kw_only=True):
    """`hidden`: groups of fewer than `least_shown`. `without_group`: attempts of people in no group."""

    least_shown: int
    hidden: int
    without_group: int
    groups: list[GroupFigures]
    dif: list[GroupDif]


async def organizations(connection: Connection, exam_id: str) -> dict[str, str]:
    """The organisation of each examinee who has one."""
    found = await many(
        connection,
        """
        SELECT DISTINCT p.user_id, p.org_id
        FROM read.attempts a JOIN read.people p ON p.user_id = a.examinee_id
        WHERE a.exam_id = %s AND p.org_id IS NOT NULL
        """,
        [exam_id],
    )
    return {row["user_id"]: row["org_id"] for row in found}


async def group_report(
    connection: Connection, exam_id: str, group_of: Mapping[str, str], *, least_shown: int = LEAST_SHOWN
) -> GroupReport:
    """Each examinee counts once, with the first scored attempt; `group_of` names groups by examinee id."""
    pool = Pool(await queries.pool(connection, exam_id))
    first = _FirstAttempts(pool, group_of)
    async for portion in queries.portions(connection, exam_id):
        first.add(portion)
    outcomes = first.outcomes()
    found = outcomes_by_group(outcomes, first.groups, least_shown=least_shown)
    return GroupReport(
        least_shown=least_shown,
        hidden=found.hidden,
        without_group=first.without_group,
        groups=[_figures(each) for each in found.groups],
        dif=_dif(pool, first, [each.group for each in found.groups]),
    )


class _FirstAttempts:
    """Those of people in a group, with their right and wrong answers."""

    def __init__(self, pool: Pool, group_of: Mapping[str, str]) -> None:
        self._pool = pool
        self._group_of = group_of
        self._at: dict[str, int] = {}
        self._attempt_ids: list[str] = []
        self._rows: list[tuple[float, float, int, float, float, str]] = []
        self.groups: list[str] = []
        self.answers: list[tuple[Ints, Ints]] = []
        self.without_group = 0

    def add(self, portion: Portion) -> None:
        ends = np.cumsum(portion.steps)
        for number, examinee in enumerate(portion.examinee_ids):
            group = self._group_of.get(examinee)
            if group is None:
                self.without_group += 1
                continue
            attempt_id = portion.attempt_ids[number]
            at = self._at.setdefault(examinee, len(self._rows))
            if at < len(self._rows) and self._attempt_ids[at] < attempt_id:
                continue  # ids are ordered by time: the earlier one stays
            row = (
                float(portion.theta[number]),
                float(portion.se[number]),
                int(portion.length[number]),
                float(portion.prior_mean[number]),
                float(portion.prior_sd[number]),
                portion.stop_reasons[number],
            )
            part = slice(int(ends[number] - portion.steps[number]), int(ends[number]))
            answers = portion.answers[part]
            rows = self._pool.bank_rows[portion.ordinals[part] - 1]
            counted = (rows >= 0) & (answers != MISSING)
            kept = rows[counted], answers[counted]
            if at == len(self._rows):
                self._rows.append(row)
                self._attempt_ids.append(attempt_id)
                self.groups.append(group)
                self.answers.append(kept)
            else:
                self._rows[at], self._attempt_ids[at], self.answers[at] = row, attempt_id, kept

    def outcomes(self) -> Outcomes:
        columns = list(zip(*self._rows, strict=True)) or [()] * 6
        theta, se, length, mean, sd = (np.array(each, dtype=np.float64) for each in columns[:5])
        return Outcomes(theta, se, length.astype(np.int64), mean, sd, tuple(map(str, columns[5])))


def _dif(pool: Pool, first: _FirstAttempts, shown: list[str]) -> list[GroupDif]:
    """Each group against the largest."""
    if pool.items is None or len(shown) < 2:
        return []
    most = CELLS_AT_ONCE // len(pool.items)
    found = []
    for group in shown[1:]:
        people = [n for n, each in enumerate(first.groups) if each in {shown[0], group}][:most]
        focal = np.array([first.groups[n] == group for n in people], dtype=np.int64)
        if focal.all() or not focal.any():
            continue  # one of the two lies beyond the table
        responses = np.full((len(people), len(pool.items)), MISSING, dtype=np.int64)
        for row, n in enumerate(people):
            rows, answers = first.answers[n]
            responses[row, rows] = answers
        found.append(_compared(pool.items, pool, responses, focal, (group, shown[0])))
    return found


def _compared(
    items: LogisticItems, pool: Pool, responses: Ints, focal: Ints, names: tuple[str, str]
) -> GroupDif:
    given = responses != MISSING
    enough = np.minimum(given[focal == 1].sum(axis=0), given[focal == 0].sum(axis=0)) >= LEAST_RESPONSES
    group, reference = names
    if not enough.any():
        return GroupDif(group=group, reference=reference, attempts=len(focal), compared=0, items=[])
    test = adaptive_mantel_haenszel(items, responses, focal)
    known = [row for row in pool.rows if row["parameters"] is not None]
    order = np.argsort(-np.abs(np.where(np.isfinite(test.delta), test.delta, 0.0)), kind="stable")
    return GroupDif(
        group=group,
        reference=reference,
        attempts=len(focal),
        compared=int((enough & np.isfinite(test.delta)).sum()),
        items=[
            ItemDif(
                item_id=known[row]["item_id"],
                code=known[row]["code"],
                ets_class=test.ets_class[row],
                delta=float(test.delta[row]),
                p_value=float(test.p_value[row]),
            )
            for row in order.tolist()
            if enough[row] and test.ets_class[row] in {"B", "C"} and np.isfinite(test.delta[row])
        ],
    )


def _figures(outcome: GroupOutcome) -> GroupFigures:
    return GroupFigures(
        group=outcome.group,
        attempts=outcome.count,
        mean_theta=outcome.mean_theta,
        sd_theta=_defined(outcome.sd_theta),
        mean_length=outcome.mean_length,
        mean_se=outcome.mean_se,
        shrinkage=outcome.shrinkage,
        shrinkage_size=outcome.shrinkage_size,
        stop_reasons=outcome.stop_reasons,
        length_difference=_difference(outcome.length_difference),
        se_difference=_difference(outcome.se_difference),
    )


def _difference(found: Difference) -> GroupDifference:
    return GroupDifference(
        raw=_defined(found.raw),
        at_equal_ability=_defined(found.at_equal_ability),
        se=_defined(found.se),
        p_value=_defined(found.p_value),
    )


def _defined(value: float) -> float | None:
    return value if np.isfinite(value) else None
