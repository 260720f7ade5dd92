"""Ability from the sum of the item scores alone, for tests that are scored by a table."""

from dataclasses import dataclass

import numpy as np

from domain.cat.grid import DEFAULT_GRID, Grid
from domain.cat.items import Items
from domain.cat.types import Floats, Ints


@dataclass(frozen=True, eq=False)
class SumScoreTable:
    """One row for each sum score 0 … S (S + 1 of them), categories scored 0 to K - 1.

    score: (S + 1,); theta and se: (S + 1,), posterior mean and standard deviation in logits; probability:
    (S + 1,), how often the score is to be expected in the population of the grid, summing to 1.
    `table.theta[sums]` scores people.
    """

    score: Ints
    theta: Floats
    se: Floats
    probability: Floats


def sum_score_probabilities(items: Items, grid: Grid = DEFAULT_GRID) -> Floats:
    """(S + 1, q): P(sum = s | x_j), by the recursion of [Lord1984], for polytomous items [Thissen1995].

    With item after item, P(s) becomes Σ_k P(s - k) P_k. Columns sum to 1.

    >>> from domain.cat.grid import grid_of
    >>> from domain.cat.items import LogisticItems
    >>> two_even_chances = LogisticItems.of(1.0, [0.0, 0.0])
    >>> sum_score_probabilities(two_even_chances, grid_of([0.0], [1.0])).ravel()
    array([0.25, 0.5 , 0.25])
    """
    by_item = items.category_probabilities(grid.points)
    counts = items.categories
    sums = np.zeros((1 + int((counts - 1).sum()), len(grid)))
    sums[0] = 1.0
    reached = 0
    for item, count in enumerate(counts):
        before = sums[: reached + 1].copy()
        sums[: reached + 1] = 0.0
        for category in range(count):
            sums[category : category + reached + 1] += before * by_item[:, item, category]
        reached += int(count) - 1
    return sums


def eap_from_sum_scores(items: Items, grid: Grid = DEFAULT_GRID) -> SumScoreTable:
    """Expected a posteriori for each sum score  [Thissen1995].

    θ_s = Σ_j x_j p_j with p_j ∝ weight_j P(sum = s | x_j). Everybody must have answered all items: a sum over
    fewer means something else. A score that no grid point makes possible in floating point (hundreds of
    very easy items, all missed) has probability 0 and NaN for θ and se.

    >>> from domain.cat.items import LogisticItems
    >>> table = eap_from_sum_scores(LogisticItems.of(1.0, [-1.0, 0.0, 1.0]))
    >>> table.theta.round(4)
    array([-0.9593, -0.3154,  0.3154,  0.9593])
    """
    joint = sum_score_probabilities(items, grid) * grid.weights
    probability = joint.sum(axis=1)
    with np.errstate(invalid="ignore"):
        shares = joint / probability[:, np.newaxis]
    theta = shares @ grid.points
    variance = (shares * (grid.points - theta[:, np.newaxis]) ** 2).sum(axis=1)
    return SumScoreTable(np.arange(len(theta), dtype=np.int64), theta, np.sqrt(variance), probability)
