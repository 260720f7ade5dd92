"""The distribution of the sum score with each item left out."""

import numpy as np

from domain.cat.types import Floats, Ints


def rest_score_distributions(probabilities: Floats, categories: Ints) -> list[Floats]:
    """For each of the m items, P(sum of the other scores = s | ability): each (q, S_i + 1)  [Lord1984].

    `probabilities` (q, m, K) are those of the categories at q abilities, `categories` (m,) their numbers.
    The items are halved again and again: what lies outside a half is added once for all items in it. That
    is m·log2(m) additions instead of m², and no division, which loses all digits where an item is nearly
    certain.

    >>> rest_score_distributions(np.full((1, 2, 2), 0.5), np.array([2, 2]))
    [array([[0.5, 0.5]]), array([[0.5, 0.5]])]
    """
    nothing = np.ones((len(probabilities), 1))  # of no items the score 0 is certain
    return _rest(nothing, probabilities, categories, range(len(categories)))


def _rest(outside: Floats, probabilities: Floats, categories: Ints, inside: range) -> list[Floats]:
    if len(inside) <= 1:
        return [outside] * len(inside)
    half = len(inside) // 2
    left, right = inside[:half], inside[half:]
    return [
        *_rest(_with_items(outside, probabilities, categories, right), probabilities, categories, left),
        *_rest(_with_items(outside, probabilities, categories, left), probabilities, categories, right),
    ]


def _with_items(distribution: Floats, probabilities: Floats, categories: Ints, added: range) -> Floats:
    for item in added:
        count = int(categories[item])
        scores = distribution.shape[1]
        longer = np.zeros((len(distribution), scores + count - 1))
        for category in range(count):
            longer[:, category : category + scores] += distribution * probabilities[:, item, category, None]
        distribution = longer
    return distribution
