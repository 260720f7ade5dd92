"""How items' expected scores move with their parameters."""

from collections.abc import Sequence

import numpy as np

from domain.cat.curves import logistic_pair
from domain.cat.errors import InvalidItem
from domain.cat.items import GradedItems, Items, LogisticItems, MixedItems, PartialCreditItems
from domain.cat.types import Floats

Slopes = dict[str, list[Floats]]


def expected_score_slopes(items: Items, points: Floats, names: Sequence[str]) -> Slopes:
    """∂E(x_i | ability) / ∂(parameter of item i), by parameter name, at the points (q,).

    Each name has one array (q, m) where an item has one such parameter, and one per column where it has
    several (thresholds, steps). An item that has no such parameter has 0. Exact.

    With Ψ the logistic curve, Ψ' = Ψ (1 - Ψ) and E the expected score:
    logistic items: E = c + (d - c) Ψ(a (θ - b));
    graded items: E = Σ_k Ψ(a (θ - b_k));
    partial credit: ∂E/∂η_k = P_k (k - E) for the line η_k = a (kθ - b_1 - … - b_k) of category k.

    Raises: InvalidItem where no item has a parameter of that name, or for items of other kinds.

    >>> slopes = expected_score_slopes(LogisticItems.of([2.0], [0.0]), np.array([0.0]), ["b"])
    >>> slopes["b"][0]
    array([[-0.5]])
    """
    if not names:
        return {}
    known = _slopes(items, points)
    for name in names:
        if name not in known:
            raise InvalidItem(-1, f"there is no parameter {name} among {', '.join(known)}")
    return {name: known[name] for name in names}


def _slopes(items: Items, points: Floats) -> Slopes:
    match items:
        case LogisticItems():
            return _logistic(items, points)
        case GradedItems():
            return _graded(items, points)
        case PartialCreditItems():
            return _partial_credit(items, points)
        case MixedItems():
            return _mixed(items, points)
        case _:
            raise InvalidItem(-1, f"the expected scores of {type(items).__name__} have no known derivatives")


def _logistic(items: LogisticItems, points: Floats) -> Slopes:
    distance = points[:, None] - items.b
    upper, lower = logistic_pair(items.a * distance)
    steep = (items.d - items.c) * upper * lower
    return {"a": [steep * distance], "b": [-steep * items.a], "c": [lower], "d": [upper]}


def _graded(items: GradedItems, points: Floats) -> Slopes:
    distance = points[:, None, None] - items.b
    upper, lower = logistic_pair(items.a[:, None] * distance)
    steep = upper * lower
    by_threshold = np.nan_to_num(-items.a[:, None] * steep)  # NaN: no such threshold
    return {
        "a": [np.nansum(steep * distance, axis=2)],
        "b": [by_threshold[:, :, column] for column in range(items.b.shape[1])],
    }


def _partial_credit(items: PartialCreditItems, points: Floats) -> Slopes:
    probabilities = items.category_probabilities(points)
    ranks = np.arange(probabilities.shape[2], dtype=np.float64)
    mean = (probabilities @ ranks)[:, :, None]
    by_line = probabilities * (ranks - mean)
    steps = np.nan_to_num(items.b)
    distance = ranks * points[:, None, None] - np.pad(np.cumsum(steps, axis=1), ((0, 0), (1, 0)))
    return {
        "a": [(by_line * distance).sum(axis=2)],
        "b": [-items.a * by_line[:, :, step:].sum(axis=2) for step in range(1, len(ranks))],
    }


def _mixed(items: MixedItems, points: Floats) -> Slopes:
    found: Slopes = {}
    for part, rows in zip(items.parts, items.rows, strict=True):
        for name, columns in _slopes(part, points).items():
            gathered = found.setdefault(name, [])
            while len(gathered) < len(columns):
                gathered.append(np.zeros((len(points), len(items))))
            for whole, column in zip(gathered, columns, strict=False):
                whole[:, rows] = column
    return found
