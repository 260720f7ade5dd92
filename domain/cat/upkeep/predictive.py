"""How likely a response was, judged by what was known of the examinee without it.

For operational items that is what was known BEFORE the response. Later items of an adaptive test were chosen
in the light of it, so whoever looks at them, too, looks at the response itself: its residuals would not be
0 on average. Against the past alone they are (a martingale), however items were selected.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.cat.grid import DEFAULT_GRID
from domain.cat.items import LogisticItems
from domain.cat.types import Floats, Ints
from domain.cat.upkeep.sittings import Sittings


@dataclass(frozen=True, eq=False)
class Curves:
    """(m, q): the chance of a right answer at each point of the default grid, its logarithms, its slopes."""

    right: Floats
    log_right: Floats
    log_wrong: Floats
    by_a: Floats
    by_b: Floats

    @classmethod
    def of(cls, items: LogisticItems) -> "Curves":
        points = DEFAULT_GRID.points
        right = items.correct(points).T
        logs = items.log_category_probabilities(points)
        a, b, c, d = (each[:, np.newaxis] for each in (items.a, items.b, items.c, items.d))
        share = (right - c) / (d - c)
        steep = (d - c) * share * (1 - share)
        return cls(right, logs[:, :, 1].T, logs[:, :, 0].T, steep * (points - b), -steep * a)


@dataclass(frozen=True, eq=False)
class Given:
    """Responses that were given at one step of the tests, one entry for each of k examinees.

    people, items, right: who, which item, how. known: (k, q) weights of ability before the response.
    """

    people: Ints
    items: Ints
    right: NDArray[np.bool_]
    known: Floats


def evidence(sittings: Sittings, curves: Curves, counts: NDArray[np.bool_]) -> Floats:
    """(n, q): log-likelihood of all responses to the items that count (m,), at each point."""
    total = np.zeros((len(sittings), len(DEFAULT_GRID)))
    for people, items, right in _steps(sittings, len(counts)):
        counted = counts[items]
        total[people[counted]] += _logs(curves, items[counted], right[counted])
    return total


def as_given(
    sittings: Sittings, curves: Curves, counts: NDArray[np.bool_], log_weights: Floats
) -> Iterator[Given]:
    """Step by step, all responses to the items of the bank, with what was known before each.

    log_weights: (n, q) before the first response.
    """
    known = log_weights.copy()
    for people, items, right in _steps(sittings, len(counts)):
        yield Given(people, items, right, normalised(known[people]))
        counted = counts[items]
        known[people[counted]] += _logs(curves, items[counted], right[counted])


def normalised(log_weights: Floats) -> Floats:
    """(k, q): weights that sum to 1 in each row."""
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    shares: Floats = weights / weights.sum(axis=1, keepdims=True)
    return shares


def _steps(sittings: Sittings, bank_size: int) -> Iterator[tuple[Ints, Ints, NDArray[np.bool_]]]:
    """Responses to the first `bank_size` rows; the others are of pretest items and tell nothing."""
    for step in range(sittings.items.shape[1]):
        items = sittings.items[:, step]
        people = np.flatnonzero((items >= 0) & (items < bank_size))
        if people.size:
            yield people, items[people], sittings.right[people, step]


def _logs(curves: Curves, items: Ints, right: NDArray[np.bool_]) -> Floats:
    return np.where(right[:, np.newaxis], curves.log_right[items], curves.log_wrong[items])
