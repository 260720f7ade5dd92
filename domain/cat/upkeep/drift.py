"""Do operational items still follow the parameters with which they are used?"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from domain.cat.types import Floats, Ints
from domain.cat.upkeep.predictive import Curves, Given

_SINGULAR: Final = 1e-3
"""Correlation of the two directions beyond 1 - this: ability varied too little to tell a from b."""


@dataclass(frozen=True, eq=False)
class DriftScores:
    """One entry for each of m items; NaN where nobody answered.

    statistic, df, p_value: score test of "a and b are as they were" [Glas1998]. change_a, change_b: one
    Newton step from there. mean_residual: share right beyond the expected. change: root mean square
    difference of the chance of a right answer, over those who had the item, less what chance alone makes.
    """

    responses: Ints
    statistic: Floats
    df: Ints
    p_value: Floats
    mean_residual: Floats
    change_a: Floats
    change_b: Floats
    change: Floats


def drift_scores(given: Iterable[Given], curves: Curves) -> DriftScores:
    """Sums over all responses of each item, from `predictive.as_given`.

    With p the chance of a right answer by what was known before, and g its slope by (a, b):

        S = Σ (x - p) g / (p (1 - p))     V = Σ g g' / (p (1 - p))     statistic = S' V⁻¹ S, chi-squared

    on 2 degrees of freedom; on 1, for b alone, where the abilities of those who had the item were too much
    alike. The change is V⁻¹ S.
    """
    size = len(curves.right)
    count = np.zeros(size, dtype=np.int64)
    residual = np.zeros(size)
    score, information, squares = np.zeros((size, 2)), np.zeros((size, 2, 2)), np.zeros((size, 2, 2))
    for step in given:
        p = np.einsum("kq,kq->k", step.known, curves.right[step.items])
        slopes = np.stack(
            [np.einsum("kq,kq->k", step.known, each[step.items]) for each in (curves.by_a, curves.by_b)],
            axis=1,
        )
        left = step.right - p
        variance = p * (1 - p)
        outer = slopes[:, :, np.newaxis] * slopes[:, np.newaxis, :]
        np.add.at(count, step.items, 1)
        np.add.at(residual, step.items, left)
        np.add.at(score, step.items, slopes * (left / variance)[:, np.newaxis])
        np.add.at(information, step.items, outer / variance[:, np.newaxis, np.newaxis])
        np.add.at(squares, step.items, outer)
    return _tested(count, residual, score, information, squares)


def _tested(
    count: Ints, residual: Floats, score: Floats, information: Floats, squares: Floats
) -> DriftScores:
    from scipy.special import chdtrc

    size = len(count)
    statistic, p_value, change = (np.full(size, np.nan) for _ in range(3))
    step, df = np.full((size, 2), np.nan), np.zeros(size, dtype=np.int64)
    for item in np.flatnonzero(count):
        v = information[item]
        alike = v[0, 1] ** 2 > (1 - _SINGULAR) * v[0, 0] * v[1, 1]
        kept = np.array([1]) if alike else np.array([0, 1])
        inverse = np.linalg.inv(v[np.ix_(kept, kept)])
        moved = inverse @ score[item, kept]
        statistic[item] = score[item, kept] @ moved
        df[item] = len(kept)
        step[item] = 0.0
        step[item, kept] = moved
        mean_square = squares[item][np.ix_(kept, kept)] / count[item]
        # Even without drift the step is not 0: its expected square is left out.
        change[item] = np.sqrt(max(moved @ mean_square @ moved - np.trace(inverse @ mean_square), 0.0))
        p_value[item] = chdtrc(len(kept), statistic[item])
    with np.errstate(invalid="ignore"):
        mean_residual = residual / count
    return DriftScores(count, statistic, df, p_value, mean_residual, step[:, 0], step[:, 1], change)
