"""One adaptive test, step by step: what a response does to the posterior, and which item comes next.

Everything that does not depend on the examinee is worked out once, in `AdaptiveBank`; a step is then a
handful of operations on arrays of 61 numbers.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from domain.cat.category_model import CategoryModel
from domain.cat.errors import InvalidItem, InvalidResponse
from domain.cat.grid import DEFAULT_GRID, Grid
from domain.cat.logistic import LogisticItems
from domain.cat.maximum_information import Choosing, Flags, FullEvaluation, MostInformative
from domain.cat.types import Floats, Ints

_TOO_SMALL: Final = 1e-200
"""A likelihood below this is scaled up before it underflows."""
_SMALLEST_LOG: Final = -1e300
"""Stands for log 0 in the padding of items with fewer categories."""


@dataclass(frozen=True, eq=False, slots=True)
class Posterior:
    """What is known of one examinee.

    `log_density` (q,): log of prior times likelihood at the grid's points, up to a constant. `theta`: its
    mean, the EAP estimate [Bock1982]. `se`: its standard deviation.
    """

    log_density: Floats
    theta: float
    se: float


class AdaptiveBank:
    """A bank made ready for adaptive tests, live or simulated.

    The log-likelihood of every response to every item is tabulated at the points of `grid`, which is the
    prior too. Items are chosen by maximum information, exactly, unless `choosing` says otherwise.

    Raises: InvalidItem where the bank is empty.

    >>> bank = AdaptiveBank(LogisticItems.of([1.0, 1.5], [0.0, 0.5]))
    >>> given = np.array([False, False])
    >>> first = bank.choose(0.0, given)
    >>> after = bank.after(bank.prior, first, 1)
    >>> first, round(after.theta, 6), round(after.se, 6)
    (1, 0.675381, 0.838382)
    """

    def __init__(
        self, items: CategoryModel, grid: Grid = DEFAULT_GRID, choosing: Choosing | None = None
    ) -> None:
        if not len(items):
            raise InvalidItem(-1, "the bank is empty")
        self.items = items
        self.grid = grid
        logs = items.log_category_probabilities(grid.points)
        # (m, K, q): the row that a step needs is contiguous.
        self.log_likelihood: Floats = np.ascontiguousarray(np.maximum(logs, _SMALLEST_LOG).transpose(1, 2, 0))
        self._categories = items.categories.tolist()
        self._powers = np.ascontiguousarray(grid.points ** np.arange(3)[:, None])
        self.choosing = _best_rule(items, grid) if choosing is None else choosing
        with np.errstate(divide="ignore"):  # a weight of 0 stays 0
            log_weights = np.log(grid.weights)
        self.prior = Posterior(log_weights, grid.mean, grid.sd)

    def __len__(self) -> int:
        return len(self._categories)

    def after(self, before: Posterior, item: int, response: int) -> Posterior:
        """The posterior after one response; `before` is left as it is.

        Raises: InvalidResponse where the item has no such category; IndexError where there is no such item.
        """
        if item < 0:  # no item was left, and -1 is not the last one
            raise IndexError(item)
        if not 0 <= response < self._categories[item]:
            raise InvalidResponse(0, item, f"{response} is no category of this item")
        log_density = before.log_density + self.log_likelihood[item, response]
        mass, first, second = self._powers.dot(np.exp(log_density)).tolist()
        if mass < _TOO_SMALL:
            log_density -= log_density.max()
            mass, first, second = self._powers.dot(np.exp(log_density)).tolist()
        theta = first / mass
        return Posterior(log_density, theta, max(second / mass - theta * theta, 0.0) ** 0.5)

    def after_each(self, log_density: Floats, items: Ints, responses: Ints) -> tuple[Floats, Floats]:
        """As `after` for many: adds to `log_density` (n, q) in place; EAP and SE, each (n,).

        `items` and `responses` (n,) are taken as checked.
        """
        log_density += self.log_likelihood[items, responses]
        moments = np.exp(log_density) @ self._powers.T
        low = moments[:, 0] < _TOO_SMALL
        if low.any():
            log_density[low] -= log_density[low].max(axis=1, keepdims=True)
            moments[low] = np.exp(log_density[low]) @ self._powers.T
        theta = moments[:, 1] / moments[:, 0]
        return theta, np.sqrt(np.maximum(moments[:, 2] / moments[:, 0] - theta * theta, 0.0))

    def choose(self, theta: float, given: Flags) -> int:
        """The next item at `theta` among those not `given` (m,), or -1 where none is left."""
        return self.choosing.choose(theta, given)


def _best_rule(items: CategoryModel, grid: Grid) -> Choosing:
    if isinstance(items, LogisticItems):
        # An EAP estimate lies between the grid's ends.
        return MostInformative(items, float(grid.points[0]), float(grid.points[-1]))
    return FullEvaluation(items)
