"""S-X2: does an item's curve hold at every sum score?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc

from domain.cat.errors import TooFewItems
from domain.cat.fit.pooling import pool_categories, pool_groups, pool_tails
from domain.cat.fit.rest_scores import rest_score_distributions
from domain.cat.fit.scores import complete_responses
from domain.cat.grid import DEFAULT_GRID, Grid
from domain.cat.items import Items
from domain.cat.types import Floats, Ints


@dataclass(frozen=True, eq=False)
class ItemFit:
    """S-X2 of each item.

    Attributes:
        statistic: (m,); infinite where something happened that the model excludes.
        degrees_of_freedom: (m,); 0 where more parameters were estimated than there are cells.
        p_value: (m,) upper tail of the chi-square; NaN without degrees of freedom.
        examinees: how many answered every item, and so entered.
    """

    statistic: Floats
    degrees_of_freedom: Ints
    p_value: Floats
    examinees: int


def s_x2(
    items: Items,
    responses: ArrayLike,
    *,
    parameters: int | Ints,
    grid: Grid = DEFAULT_GRID,
    minimum_expected: float = 1.0,
) -> ItemFit:
    """S-X2 of [OrlandoThissen2000], for polytomous items as generalised by [KangChen2008].

    Among the N_s examinees with sum score s, O of them in category z of item i, the model expects

        E_siz = N_s · Σ_q w_q P_iz(x_q) P(rest score = s - z | x_q) / Σ_q w_q P(score = s | x_q),

    and S-X2_i = Σ (O - E)² / E over scores s and categories z, with as many degrees of freedom as cells
    less score groups less estimated parameters. The lowest and the highest score are left out: they leave
    an item no choice. Examinees with a missing response are left out, for they have no sum score.

    Sparse cells are pooled until each expects `minimum_expected` examinees. Items with two categories pool
    score groups, from both ends towards the middle, then any that is left into its smaller neighbour.
    Items with more pool the ends in which not every category is possible into the next group, then
    neighbouring categories within a group. (Type I errors depend on this choice: [RangerBrauer2022].)

    Args:
        items: m items in file order; one ability dimension.
        responses: (n, m).
        parameters: how many parameters of each item were estimated from these very responses: 0 for a
            bank that was calibrated elsewhere, 2 for the 2PL, 3 for the 3PL; one number or (m,). With
            estimated parameters the chi-square is an approximation, for sparse tests a liberal one.
        grid: the distribution of ability in the population.
        minimum_expected: 0 pools nothing but impossible categories.

    Raises: TooFewItems for fewer than two items; InvalidResponse for an unknown category, or where no
        examinee answered every item.

    >>> from domain.cat.items import LogisticItems
    >>> items = LogisticItems.of([1.0, 1.0, 1.0], [-1.0, 0.0, 1.0])
    >>> guttman = np.repeat([[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]], 25, axis=0)
    >>> s_x2(items, guttman, parameters=0).degrees_of_freedom
    array([2, 2, 2])
    """
    if len(items) < 2:
        raise TooFewItems(len(items), 2)
    given = complete_responses(items, responses)
    probabilities = items.category_probabilities(grid.points)
    rest = rest_score_distributions(probabilities, items.categories)
    examinees = np.bincount(given.sum(axis=1), minlength=int((items.categories - 1).sum()) + 1)
    charged = np.broadcast_to(np.asarray(parameters, dtype=np.int64), (len(items),))

    statistics = np.empty(len(items))
    degrees = np.empty(len(items), dtype=np.int64)
    for item, count in enumerate(items.categories):
        joint = _joint(probabilities[:, item, :count], rest[item], grid.weights)
        expected = examinees[:, None] * _shares(joint)
        observed = _observed(given, item, joint.shape)
        statistics[item], cells = _pearson(observed, expected, minimum_expected)
        degrees[item] = max(cells - int(charged[item]), 0)
    p_values = np.where(degrees > 0, chdtrc(np.maximum(degrees, 1), statistics), np.nan)
    return ItemFit(statistics, degrees, p_values, len(given))


def _joint(probabilities: Floats, rest: Floats, weights: Floats) -> Floats:
    """P(sum score = s, category = z): (S + 1, K)."""
    count = probabilities.shape[1]
    joint = np.zeros((rest.shape[1] + count - 1, count))
    for category in range(count):
        joint[category : category + rest.shape[1], category] = (weights * probabilities[:, category]) @ rest
    return joint


def _shares(joint: Floats) -> Floats:
    """P(category = z | sum score = s); 0 throughout for a score that cannot be."""
    total = joint.sum(axis=1, keepdims=True)
    shares: Floats = np.divide(joint, total, out=np.zeros_like(joint), where=total > 0)
    return shares


def _observed(given: Ints, item: int, shape: tuple[int, ...]) -> Floats:
    counts = np.zeros(shape)
    np.add.at(counts, (given.sum(axis=1), given[:, item]), 1.0)
    return counts


def _pearson(observed: Floats, expected: Floats, minimum: float) -> tuple[float, int]:
    """The statistic and the number of cells less that of score groups, after pooling."""
    observed, expected = pool_tails(observed[1:-1], expected[1:-1])
    if observed.shape[1] == 2:
        tables = [pool_groups(observed, expected, minimum)]
    else:
        tables = [pool_categories(*row, minimum) for row in zip(observed, expected, strict=True)]
    statistic, free = 0.0, 0
    for seen, due in tables:
        possible = due > 0
        free += int((possible.sum(axis=-1) - 1).clip(min=0).sum())
        statistic += float(((seen - due)[possible] ** 2 / due[possible]).sum())
        if (seen[~possible] > 0).any():
            statistic = np.inf
    return statistic, free
