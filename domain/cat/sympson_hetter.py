"""Exposure control by Sympson and Hetter: an item that is chosen is given with a probability of its own.

The probabilities are found by simulation, so that no item is given to more than a share `r_max` of a
population of examinees  [Sympson1985].
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from domain.cat.choice import Choice, Rule, Standing, ranked
from domain.cat.errors import InvalidItem, TooFewItems
from domain.cat.items import Items
from domain.cat.types import Floats

__all__ = ["ExposureParameters", "SympsonHetter", "exposure_parameters", "multinomial_shares"]


def multinomial_shares(probabilities: Floats) -> Floats:
    """(k,): how likely each of k items, best first, is to be the one that is given  [Stocking1998].

    The first is given with its probability K_1, else the second with K_2, and so on, given that one of them
    is: K_r Π_{s<r} (1 - K_s), divided by their sum. All K of 0: the first is given.

    >>> multinomial_shares(np.array([0.5, 1.0, 0.3]))
    array([0.5, 0.5, 0. ])
    """
    reached = np.concatenate([[1.0], np.cumprod(1.0 - probabilities)[:-1]])
    shares: Floats = probabilities * reached
    total = shares.sum()
    if total == 0:
        shares = np.zeros(probabilities.size)
        shares[0] = total = 1.0
    normed: Floats = shares / total
    return normed


@dataclass(frozen=True, eq=False)
class SympsonHetter:
    """Passes an item over with probability 1 - K_j, then takes the next best.

    probabilities: (m,), the K_j of `exposure_parameters`. One number is drawn for each item given; those
    passed over are in `Choice.passed_over`, and are held back from this examinee from then on by whoever
    keeps the `Standing` (`lockstep.by_rule` does). For a limit at each ability see
    `sympson_hetter_by_ability`.

    Raises: InvalidItem with the first row whose probability is not in [0, 1].

    >>> from domain.cat.items import LogisticItems
    >>> from domain.cat.selection import MaximumInformation
    >>> rule = SympsonHetter(MaximumInformation(), np.array([0.0, 1.0, 1.0]))
    >>> choice = rule(LogisticItems.of(1.0, [0.0, 0.4, 2.0]), Standing.at(0.0, 3), np.random.default_rng(0))
    >>> choice.item, choice.passed_over
    (1, array([0]))
    """

    of: Rule
    probabilities: Floats

    def __post_init__(self) -> None:
        outside = ~((self.probabilities >= 0) & (self.probabilities <= 1))
        if outside.any():
            row = int(np.argmax(outside))
            raise InvalidItem(row, f"an exposure parameter of {self.probabilities[row]}")

    def __call__(self, bank: Items, standing: Standing, rng: np.random.Generator) -> Choice:
        return self.decide(self.of(bank, standing, rng).criterion, float(rng.random()))

    def decide(self, criterion: Floats, draw: float) -> Choice:
        """The choice that the number drawn makes."""
        order = ranked(criterion)
        cumulated = np.cumsum(multinomial_shares(self.probabilities[order]))
        at = min(int(np.searchsorted(cumulated, draw * cumulated[-1], side="right")), order.size - 1)
        return Choice(int(order[at]), criterion, order, draw, passed_over=order[:at])


@dataclass(frozen=True, eq=False)
class ExposureParameters:
    """What the simulations found.

    probabilities: (m,), the K_j. given: (m,), the share of examinees who were given each item with these.
    converged: whether none was given more often than `r_max` plus the tolerance.
    """

    probabilities: Floats
    given: Floats
    iterations: int
    converged: bool


def exposure_parameters(  # noqa: PLR0913 - each is a choice of its own
    simulate: Callable[[Floats], tuple[Floats, Floats]],
    bank_size: int,
    length: int,
    *,
    r_max: float = 0.2,
    tolerance: float = 0.02,
    most_iterations: int = 50,
) -> ExposureParameters:
    """Sympson and Hetter's iterations  [Sympson1985].

    `simulate` is given the K (m,) and answers with two shares (m,) of simulated examinees: those for whom
    each item was chosen (given or passed over), P(S), and those who were given it, P(A). Then

        K_j = r_max / P(S_j)  where P(S_j) > r_max,  else 1,

    and the `length` largest are set to 1, so that a whole test can always be given. It starts with all at 1
    and stops once every P(A_j) <= r_max + tolerance, the tolerance being the sampling error of the
    simulation: √(r (1 - r) / n) is 0.013 for r = 0.2 and n = 1,000.

    Raises: TooFewItems where r_max cannot be kept, as r_max · bank_size < length; InvalidItem where r_max
    is not in (0, 1].

    >>> def everybody_likes_the_first(k):
    ...     return np.array([1.0, 1 - k[0], 0.0]), np.array([k[0], 1 - k[0], 0.0])
    >>> exposure_parameters(everybody_likes_the_first, 3, length=1, r_max=0.5).probabilities
    array([0.5, 1. , 1. ])
    """
    if not 0 < r_max <= 1:
        raise InvalidItem(-1, f"a largest exposure of {r_max}")
    if r_max * bank_size < length:
        raise TooFewItems(bank_size, int(np.ceil(length / r_max)))
    probabilities = np.ones(bank_size)
    given, iterations, converged = np.zeros(bank_size), 0, False
    while iterations < most_iterations:
        chosen, given = simulate(probabilities)
        iterations += 1
        converged = bool(given.max() <= r_max + tolerance)
        if converged or iterations == most_iterations:
            break  # what is told of the exposure is of these probabilities
        probabilities = np.minimum(1.0, r_max / np.maximum(chosen, r_max))
        probabilities[np.argsort(-probabilities, kind="stable")[:length]] = 1.0
    return ExposureParameters(probabilities, given, iterations, converged)
