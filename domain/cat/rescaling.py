"""What a linear change of the ability scale does to each kind of item: θ' = A θ + B."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar, cast

import numpy as np

from domain.cat.errors import InvalidItem
from domain.cat.items import GradedItems, Items, LogisticItems, MixedItems, NominalItems, PartialCreditItems
from domain.cat.types import Floats

BankT = TypeVar("BankT", bound=Items)


def rescaled(items: BankT, scale: float, shift: float) -> BankT:
    """The bank whose probabilities at scale · θ + shift are those that it had at θ.

    a' = a / scale, b' = scale · b + shift, asymptotes stay; for nominal items slopes' = slopes / scale,
    intercepts' = intercepts - slopes' · shift.

    Raises: InvalidItem where the bank's kind has no single ability.

    >>> rescaled(LogisticItems.of(1.2, [0.0, 1.0]), 2.0, -1.0).b
    array([-1.,  1.])
    """
    match items:
        case LogisticItems() | GradedItems() | PartialCreditItems():
            return cast(BankT, replace(items, a=items.a / scale, b=scale * items.b + shift))
        case NominalItems():
            slopes = items.slopes / scale
            return cast(BankT, replace(items, slopes=slopes, intercepts=items.intercepts - slopes * shift))
        case MixedItems():
            parts = [rescaled(part, scale, shift) for part in items.parts]
            return cast(BankT, MixedItems(parts, items.rows))
        case _:
            raise InvalidItem(-1, f"{type(items).__name__} cannot be put on another scale")


def discriminations(items: Items) -> Floats:
    """(m,): the a of every item.

    Raises: InvalidItem for a kind without.

    >>> discriminations(LogisticItems.of([1.2, 0.8], 0.0))
    array([1.2, 0.8])
    """
    match items:
        case LogisticItems() | GradedItems() | PartialCreditItems():
            return items.a
        case MixedItems():
            return _by_row(items, discriminations)
        case _:
            raise InvalidItem(-1, f"{type(items).__name__} have no discrimination parameter")


def difficulties(items: Items) -> Floats:
    """Every b of the bank: one of an item scored right or wrong, each threshold or step of others.

    Raises: InvalidItem for a kind without.

    >>> difficulties(GradedItems([1.0, 1.0], [[-1.0, 1.0], [0.5, np.nan]]))
    array([-1. ,  1. ,  0.5])
    """
    match items:
        case LogisticItems():
            return items.b
        case GradedItems() | PartialCreditItems():
            thresholds: Floats = items.b[np.isfinite(items.b)]
            return thresholds
        case MixedItems():
            return np.concatenate([difficulties(part) for part in items.parts])
        case _:
            raise InvalidItem(-1, f"{type(items).__name__} have no difficulty parameter")


def locations(items: Items) -> Floats:
    """(m,): b, or the mean of an item's thresholds or steps.

    Raises: InvalidItem for a kind without.

    >>> locations(GradedItems([1.0, 1.0], [[-1.0, 2.0], [0.5, np.nan]]))
    array([0.5, 0.5])
    """
    match items:
        case LogisticItems():
            return items.b
        case GradedItems() | PartialCreditItems():
            return np.asarray(np.nanmean(items.b, axis=1))
        case MixedItems():
            return _by_row(items, locations)
        case _:
            raise InvalidItem(-1, f"{type(items).__name__} have no difficulty parameter")


def _by_row(items: MixedItems, parameter: Callable[[Items], Floats]) -> Floats:
    values = np.empty(len(items))
    for part, rows in zip(items.parts, items.rows, strict=True):
        values[rows] = parameter(part)
    return values
