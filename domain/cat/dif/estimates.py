"""Item parameters of two groups with their uncertainty, put on one scale before they are compared."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from domain.cat.dif.groups import Flags
from domain.cat.dif.purification import Purified, once, purified
from domain.cat.errors import InvalidItem
from domain.cat.linking import Linking, Method, link
from domain.cat.logistic import LogisticItems
from domain.cat.types import Floats

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, eq=False)
class ItemEstimates:
    """A calibration of m items and the covariances (m, p, p) of their parameters' estimates.

    p says which were estimated: 1: b; 2: a and b; 3: a, b and c; 4: a, b, c and d, in this order. A
    covariance with nan makes that item's statistics nan.

    Raises: InvalidItem where the shape does not fit.

    >>> ItemEstimates(LogisticItems.of(1.0, [0.0, 1.0]), np.full((2, 1, 1), 0.01)).parameters
    array([[0.],
           [1.]])
    """

    items: LogisticItems
    covariances: Floats

    def __post_init__(self) -> None:
        shape = np.shape(self.covariances)
        if len(shape) != 3 or shape[0] != len(self.items) or shape[1] != shape[2] or not 1 <= shape[1] <= 4:
            raise InvalidItem(-1, f"covariances of shape {shape} for {len(self.items)} items")

    @property
    def parameters(self) -> Floats:
        """(m, p): the estimated parameters, in the order of the covariances."""
        items = self.items
        columns = [items.b] if self.covariances.shape[1] == 1 else [items.a, items.b, items.c, items.d]
        return np.stack(columns[: self.covariances.shape[1]], axis=1)

    def on(self, linking: Linking) -> "ItemEstimates":
        """The same on the linking's to-scale: a / A and A b + B; A and B are taken as known without error."""
        change = np.ones(self.covariances.shape[1])
        change[:2] = [linking.A] if change.size == 1 else [1 / linking.A, linking.A]
        return ItemEstimates(linking.items(self.items), self.covariances * np.outer(change, change))


@dataclass(frozen=True, eq=False)
class Linked:
    """How the focal group's parameters came onto the reference group's scale."""

    linking: Linking
    anchor: Flags
    rounds: int
    settled: bool


def compared(
    test: Callable[[ItemEstimates, ItemEstimates], tuple[ResultT, Floats]],
    reference: ItemEstimates,
    focal: ItemEstimates,
    linking: Linking | Method | None,
    *,
    max_rounds: int | None,
) -> tuple[ResultT, Linked]:
    """`test` on one scale; with rounds to purify in, the linking is found again without the flagged items.

    linking: constants from the focal to the reference scale; or the method to find them by, which leaves out
    items whose covariance is not known; or None where the parameters are on one scale already.

    Raises: InvalidItem where the two do not match, and as the linking does.
    """
    if len(reference.items) != len(focal.items) or reference.covariances.shape != focal.covariances.shape:
        raise InvalidItem(-1, "the two groups' estimates are not of the same items and parameters")

    known = np.isfinite(reference.covariances + focal.covariances).all(axis=(1, 2))

    def linked_test(anchor: Flags) -> tuple[tuple[ResultT, Linking], Floats]:
        found = _linking(linking, focal.items[anchor & known], reference.items[anchor & known])
        result, suspicion = test(reference, focal.on(found))
        return (result, found), suspicion

    items = len(reference.items)
    outcome: Purified[tuple[ResultT, Linking]] = (
        once(linked_test, items)
        if max_rounds is None
        else purified(linked_test, items, max_rounds=max_rounds)
    )
    result, constants = outcome.result
    return result, Linked(constants, outcome.anchor, outcome.rounds, outcome.settled)


def _linking(linking: Linking | Method | None, focal: LogisticItems, reference: LogisticItems) -> Linking:
    if linking is None:
        return Linking(1.0, 0.0)
    return linking if isinstance(linking, Linking) else link(linking, focal, reference)
