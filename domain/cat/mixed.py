"""Several kinds of items in one bank, in the order of its file."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from domain.cat.category_model import CategoryModel, LogDerivatives, as_index
from domain.cat.errors import InvalidItem
from domain.cat.logistic import LogisticItems
from domain.cat.polytomous import GradedItems, NominalItems, PartialCreditItems
from domain.cat.types import Floats, Ints, as_theta

Kind = LogisticItems | GradedItems | PartialCreditItems | NominalItems


@dataclass(frozen=True, eq=False)
class MixedItems(CategoryModel):
    """A bank of unidimensional items of several kinds: `parts`, and for each its `rows` in the bank.

    All arrays are in the order of the bank; K is the largest number of categories. Indexing with an array of
    ints (or a slice or mask) gives a sub-bank in that order.

    Raises: InvalidItem with the first row of the bank that no part or more than one part claims (row -1:
    parts and rows do not fit).

    >>> right_or_wrong = LogisticItems.of([1.0, 1.2], [0.0, 0.5])
    >>> graded = GradedItems(a=[1.5], b=[[-1.0, 1.0]])
    >>> bank = MixedItems((right_or_wrong, graded), rows=(np.array([0, 2]), np.array([1])))
    >>> bank.categories
    array([2, 3, 2])
    >>> bank[[1]].category_probabilities(0.0).round(4)
    array([[[0.1824, 0.6351, 0.1824]]])
    """

    parts: Sequence[Kind]
    rows: Sequence[Ints]
    _categories: Ints = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rows = tuple(np.asarray(each, dtype=np.int64) for each in self.rows)
        if not rows or [len(each) for each in rows] != [len(part) for part in self.parts]:
            raise InvalidItem(-1, "each part of a mixed bank needs one row for each of its items")
        claimed = np.concatenate(rows)
        uses = np.bincount(claimed[claimed >= 0], minlength=len(claimed))
        if (claimed < 0).any() or len(uses) != len(claimed) or (uses != 1).any():
            at = int(np.argmax(uses != 1)) if (uses != 1).any() else -1
            raise InvalidItem(at, "a row of a mixed bank belongs to exactly one part")
        categories = np.empty(len(claimed), dtype=np.int64)
        for part, own in zip(self.parts, rows, strict=True):
            categories[own] = part.categories
        object.__setattr__(self, "parts", tuple(self.parts))
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "_categories", categories)

    def __getitem__(self, rows: ArrayLike | slice) -> Self:
        chosen = np.arange(len(self))[as_index(rows)]
        parts, places = [], []
        for part, own in zip(self.parts, self.rows, strict=True):
            inside = np.full(len(self), -1)
            inside[own] = np.arange(len(own))
            found = np.flatnonzero(inside[chosen] >= 0)
            if found.size:
                parts.append(part[inside[chosen[found]]])
                places.append(found)
        return type(self)(parts, places)

    @property
    def categories(self) -> Ints:
        return self._categories

    def log_category_probabilities(self, theta: ArrayLike) -> Floats:
        """(n, m, K): log P_k(θ), -inf in the padding."""
        return self._gathered(theta, -np.inf, [part.log_category_probabilities(theta) for part in self.parts])

    def log_derivatives(self, theta: ArrayLike) -> LogDerivatives:
        """(n, m, K) each, 0 in the padding."""
        found = [part.log_derivatives(theta) for part in self.parts]
        return LogDerivatives(
            self._gathered(theta, 0.0, [each.first for each in found]),
            self._gathered(theta, 0.0, [each.second for each in found]),
        )

    def _gathered(self, theta: ArrayLike, padding: float, by_part: Sequence[Floats]) -> Floats:
        """What the parts say, in the order of the bank; a part may be wider or narrower than the bank."""
        width = int(self.categories.max())
        filled = np.full((as_theta(theta).size, len(self), width), padding)
        for values, own in zip(by_part, self.rows, strict=True):
            filled[:, own, : values.shape[-1]] = values[..., :width]
        return filled
