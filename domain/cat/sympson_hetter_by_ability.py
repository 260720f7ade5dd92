"""Sympson and Hetter's exposure control at each ability: no item for nearly all of those who are alike.

A limit over the whole population lets an item be given to everybody at the ability where it is best, if few
are there. So each level of ability has exposure parameters of its own  [Stocking1998].
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from domain.cat.choice import Bools, Choice, Rule, Standing
from domain.cat.errors import InvalidGrid, InvalidItem
from domain.cat.items import Items
from domain.cat.lockstep import Limits, administer, by_rule
from domain.cat.maximum_information import NO_ITEM
from domain.cat.session import AdaptiveBank
from domain.cat.simulation import draw_responses
from domain.cat.sympson_hetter import SympsonHetter, exposure_parameters
from domain.cat.types import Floats, Ints

__all__ = [
    "ConditionalExposureParameters",
    "ConditionalSympsonHetter",
    "conditional_exposure_parameters",
    "exposures",
]


@dataclass(frozen=True, eq=False)
class ConditionalSympsonHetter:
    """`SympsonHetter` with the probabilities of the level that is nearest to the estimate  [Stocking1998].

    levels: (l,), abilities, ascending. probabilities: (l, m), the K of `conditional_exposure_parameters`.

    Raises: InvalidGrid where the levels do not ascend; InvalidItem (with the first row whose probability is
    not in [0, 1], or -1 where the shapes do not fit).

    >>> from domain.cat.items import LogisticItems
    >>> from domain.cat.selection import MaximumInformation
    >>> of_levels = np.array([[0.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    >>> rule = ConditionalSympsonHetter(MaximumInformation(), np.array([-1.0, 1.0]), of_levels)
    >>> bank, rng = LogisticItems.of(1.0, [0.0, 0.4, 2.0]), np.random.default_rng(0)
    >>> [rule(bank, Standing.at(theta, 3), rng).item for theta in (-0.1, 0.1)]
    [1, 0]
    """

    of: Rule
    levels: Floats
    probabilities: Floats

    def __post_init__(self) -> None:
        _ascending(self.levels)
        if self.probabilities.ndim != 2 or len(self.probabilities) != self.levels.size:
            shape = self.probabilities.shape
            raise InvalidItem(-1, f"exposure parameters of shape {shape} for {self.levels.size} levels")
        for each in self.probabilities:
            SympsonHetter(self.of, each)  # refuses what is no probability

    def __call__(self, bank: Items, standing: Standing, rng: np.random.Generator) -> Choice:
        criterion = self.of(bank, standing, rng).criterion
        return self.decide(criterion, float(rng.random()), standing.theta)

    def decide(self, criterion: Floats, draw: float, theta: float) -> Choice:
        """The choice that the number drawn makes, at this estimate."""
        level = int(np.argmin(np.abs(self.levels - theta)))
        return SympsonHetter(self.of, self.probabilities[level]).decide(criterion, draw)


@dataclass(frozen=True, eq=False)
class ConditionalExposureParameters:
    """What the simulations found, by level and item (l, m); otherwise as `ExposureParameters`.

    iterations, converged: (l,), of each level.
    """

    levels: Floats
    probabilities: Floats
    given: Floats
    iterations: Ints
    converged: Bools


def conditional_exposure_parameters(  # noqa: PLR0913 - each is a choice of its own
    simulate: Callable[[float, Floats], tuple[Floats, Floats]],
    levels: ArrayLike,
    bank_size: int,
    length: int,
    *,
    r_max: float = 0.2,
    tolerance: float = 0.02,
    most_iterations: int = 50,
) -> ConditionalExposureParameters:
    """Sympson and Hetter's iterations at each level of ability  [Stocking1998].

    `simulate` is given a level and the K (m,) of that level, and answers with the shares (m,) of examinees of
    that true ability for whom each item was chosen, P(S | level), and to whom it was given, P(A | level);
    `exposures` makes such shares. Each level is then an `exposure_parameters` of its own.

    In the simulations an examinee's level is known; in a test it is that of the estimate. Until the estimate
    is near the truth the parameters of another level rule, so the limit is kept less closely than at a known
    level: look at it with `ConditionalSympsonHetter` and `exposures`.

    Raises: InvalidGrid where the levels do not ascend; TooFewItems and InvalidItem as
    `exposure_parameters` does.

    >>> def everybody_likes_the_first(level, k):
    ...     return np.array([1.0, 1 - k[0]]), np.array([k[0], 1 - k[0]])
    >>> conditional_exposure_parameters(everybody_likes_the_first, [-1.0, 1.0], 2, 1, r_max=0.5).probabilities
    array([[0.5, 1. ],
           [0.5, 1. ]])
    """
    at = _ascending(levels)
    found = [
        exposure_parameters(
            partial(simulate, float(level)),
            bank_size,
            length,
            r_max=r_max,
            tolerance=tolerance,
            most_iterations=most_iterations,
        )
        for level in at
    ]
    return ConditionalExposureParameters(
        levels=at,
        probabilities=np.stack([each.probabilities for each in found]),
        given=np.stack([each.given for each in found]),
        iterations=np.array([each.iterations for each in found]),
        converged=np.array([each.converged for each in found]),
    )


def exposures(
    bank: AdaptiveBank, rule: Rule, theta: ArrayLike, limits: Limits, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """P(S) and P(A), (m,) each, in adaptive tests of examinees of true ability theta (n,).

    The share of them for whom each item was chosen by the rule (given, or passed over), and of those who were
    given it. Give the abilities of one level for `conditional_exposure_parameters`, of a population for
    `exposure_parameters`.

    Raises: TooFewItems, as `administer` does.

    >>> from domain.cat.items import LogisticItems
    >>> from domain.cat.selection import MaximumInformation
    >>> bank = AdaptiveBank(LogisticItems.of(1.0, [-1.0, 0.0, 1.0]))
    >>> never_the_middle = SympsonHetter(MaximumInformation(), np.array([1.0, 0.0, 1.0]))
    >>> one_item, rng = Limits(max_items=1), np.random.default_rng(1)
    >>> chosen, given = exposures(bank, never_the_middle, [0.0] * 9, one_item, rng)
    >>> chosen[1], given[1]
    (np.float64(1.0), np.float64(0.0))
    """
    people = np.atleast_1d(np.asarray(theta, dtype=np.float64))
    responses = draw_responses(bank.items, people, rng)
    choices = by_rule(rule, bank.items, rng.spawn(people.size))
    paths = administer(bank, responses, limits, choosing=choices)
    given = np.zeros((people.size, len(bank)), dtype=bool)
    rows, steps = np.nonzero(paths.items != NO_ITEM)
    given[rows, paths.items[rows, steps]] = True
    chosen = given.copy()
    for examinee, items in choices.passed_over.items():
        chosen[examinee, items] = True
    return chosen.mean(axis=0), given.mean(axis=0)


def _ascending(levels: ArrayLike) -> Floats:
    values = np.atleast_1d(np.asarray(levels, dtype=np.float64))
    if values.ndim != 1 or not values.size or not np.isfinite(values).all() or (np.diff(values) <= 0).any():
        raise InvalidGrid("the levels of ability are not finite and ascending")
    return values
