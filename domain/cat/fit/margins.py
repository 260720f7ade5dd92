"""Means of item scores and of their products by pairs: what M2 compares.

The margins are in one order everywhere: E(x_1) … E(x_m), then E(x_i x_j) for i < j, row by row; s = m +
m (m - 1) / 2 of them. Abilities are the q points of a grid with their weights; `mean` and `variance` (q, m)
are those of the item scores at each point, and items are independent given ability.
"""

import numpy as np

from domain.cat.fit.score_slopes import Slopes
from domain.cat.types import Floats


def observed_margins(scores: Floats) -> Floats:
    """(s,): of the scores (n, m) of n examinees.

    >>> observed_margins(np.array([[1.0, 0.0], [1.0, 1.0]]))
    array([1. , 0.5, 0.5])
    """
    first, second = np.triu_indices(scores.shape[1], k=1)
    return np.concatenate([scores.mean(axis=0), (scores.T @ scores)[first, second] / len(scores)])


def expected_margins(mean: Floats, weights: Floats) -> Floats:
    """(s,): of the model.

    >>> expected_margins(np.array([[0.2, 0.4], [0.6, 0.8]]), np.array([0.5, 0.5])).round(2)
    array([0.4 , 0.6 , 0.28])
    """
    margins: Floats = weights @ _given_ability(mean)
    return margins


def margin_covariance(mean: Floats, variance: Floats, weights: Floats) -> Floats:
    """Ξ (s, s): covariance of x_1 … x_m, x_i x_j of one examinee under the model.

    The covariance of the margins given ability, averaged over ability, and that of the means given ability.
    """
    return _within(mean, variance, weights) + _between(mean, weights)


def margin_slopes(slopes: Slopes, equal: set[str], mean: Floats, weights: Floats) -> Floats:
    """Δ (s, t): how each margin moves with each parameter.

    `slopes` are those of the expected scores (see `expected_score_slopes`); each array makes a column for
    each item, or one for all of them where the parameter's name is in `equal`.
    """
    items = mean.shape[1]
    first, second = np.triu_indices(items, k=1)
    rows = np.arange(len(first))
    columns = [np.zeros((items + len(first), 0))]
    for name, parts in slopes.items():
        for slope in parts:
            products = (slope * weights[:, None]).T @ mean  # [i, j]: E(∂x_i · x_j)
            by_pair = np.zeros((len(first), items))
            by_pair[rows, first] = products[first, second]
            by_pair[rows, second] = products[second, first]
            block = np.vstack([np.diag(weights @ slope), by_pair])
            columns.append(block.sum(axis=1, keepdims=True) if name in equal else block)
    return np.hstack(columns)


def _given_ability(mean: Floats) -> Floats:
    """(q, s)."""
    first, second = np.triu_indices(mean.shape[1], k=1)
    return np.hstack([mean, mean[:, first] * mean[:, second]])


def _between(mean: Floats, weights: Floats) -> Floats:
    margins = _given_ability(mean)
    centred = margins - weights @ margins
    covariance: Floats = (centred * weights[:, None]).T @ centred
    return covariance


def _within(mean: Floats, variance: Floats, weights: Floats) -> Floats:
    """The mean, over abilities, of the covariance given ability.

    Two margins with one item i in common covary by Var(x_i) times the means of their other items (1 where
    there is none); so each item adds an outer product. A product x_i x_j with itself has three terms,
    V_i μ_j² + V_j μ_i² + V_i V_j, of which the outer products of i and j give two.
    """
    items = mean.shape[1]
    first, second = np.triu_indices(items, k=1)
    covariance = np.zeros((items + len(first),) * 2)
    for item in range(items):
        pairs = np.flatnonzero((first == item) | (second == item))
        others = first[pairs] + second[pairs] - item
        factors = np.hstack([np.ones((len(mean), 1)), mean[:, others]])
        at = np.concatenate([[item], items + pairs])
        covariance[np.ix_(at, at)] += factors.T @ (factors * (weights * variance[:, item])[:, None])
    both = np.arange(items, len(covariance))
    covariance[both, both] += weights @ (variance[:, first] * variance[:, second])
    return covariance
