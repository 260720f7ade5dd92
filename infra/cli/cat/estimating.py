"""The prior and the methods of estimating ability, as the command line names them."""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from domain.cat.ability import AbilityEstimate, eap, map_, ml, wle
from domain.cat.category_model import CategoryModel
from domain.cat.grid import Grid, normal_grid
from domain.cat.lockstep import Telling, tell_nobody
from domain.cat.types import Floats, Ints
from infra.cli.cat.options import Estimate, refusals_told

EXAMINEES_AT_ONCE: Final = 2_000


@dataclass(frozen=True)
class Prior:
    """N(mean, sd²), on a grid of so many points from `low` to `high`, where abilities are looked for."""

    mean: float = 0.0
    sd: float = 1.0
    points: int = 61
    low: float = -6.0
    high: float = 6.0

    def grid(self) -> Grid:
        """Raises CommandError where the numbers make no grid."""
        with refusals_told():
            return normal_grid(self.points, self.low, self.high, self.mean, self.sd)


class Estimator(Protocol):
    """Responses (n, m) to abilities and standard errors, each (n,); tells how far it has come."""

    def __call__(self, responses: Ints, tell: Telling = tell_nobody) -> tuple[Floats, Floats]: ...


def estimator(method: Estimate, items: CategoryModel, prior: Prior) -> Estimator:
    """Each looks between the ends of the prior's grid."""
    grid, low, high = prior.grid(), prior.low, prior.high

    def estimate(responses: Ints) -> AbilityEstimate:
        match method:
            case "eap":
                return eap(items, responses, grid)
            case "map":
                return map_(items, responses, prior.mean, prior.sd, low=low, high=high)
            case "ml":
                return ml(items, responses, low, high)
            case "wle":
                return wle(items, responses, low, high)

    def in_portions(responses: Ints, tell: Telling = tell_nobody) -> tuple[Floats, Floats]:
        theta, se = np.empty(len(responses)), np.empty(len(responses))
        for begin in range(0, len(responses), EXAMINEES_AT_ONCE):
            end = min(begin + EXAMINEES_AT_ONCE, len(responses))
            found = estimate(responses[begin:end])
            theta[begin:end], se[begin:end] = found.theta, found.se
            tell(end, len(responses))
        return theta, se

    return in_portions
