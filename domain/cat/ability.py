"""Ability from responses: EAP, MAP, maximum likelihood and Warm's weighted likelihood, all people at once.

A missing response says nothing, whichever the method. Standard errors of ML, MAP and WLE use the expected
information I(θ) of the items answered, at the estimate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.cat.climbing import Slope, climb
from domain.cat.errors import InvalidGrid
from domain.cat.grid import DEFAULT_GRID, Grid
from domain.cat.items import Items
from domain.cat.types import Floats, Ints, as_responses

_SEARCH_STEP: Final = 0.1
"""Logits between the points of the first search, which finds the highest of several maxima."""

_AT_THE_END: Final = 1e-9
"""Logits from the end of a bracket within which a search has come to that end."""

_FINER: Final = 16
"""Parts of a step of the first search in the second, for those who have two hills of nearly one height."""

_NEARLY_AS_HIGH: Final = 0.5
"""Log-likelihood by which the first search may err on a hill: the weight of `wle` between steep items."""

_CELLS_AT_A_TIME: Final = 1 << 17
"""People are taken in portions of so many numbers: those of one step then stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class AbilityEstimate:
    """theta (n,) in logits, and its standard error se (n,)."""

    theta: Floats
    se: Floats


def posterior(items: Items, responses: ArrayLike, grid: Grid = DEFAULT_GRID) -> Floats:
    """(n, q): the probability of each grid point given each person's responses; rows sum to 1.

    p_j ∝ weight_j L(x_j)  [Bock1982]. Without any response: the grid's weights.

    Raises: InvalidResponse.

    >>> from domain.cat.items import LogisticItems
    >>> from domain.cat.grid import grid_of
    >>> posterior(LogisticItems.of(1.0, [0.0]), [[1]], grid_of([-1.0, 1.0], [1.0, 1.0])).round(4)
    array([[0.2689, 0.7311]])
    """
    given = as_responses(responses, items.categories)
    with np.errstate(divide="ignore"):  # a weight of 0 is a probability of 0
        logs = items.log_likelihood(given, grid.points) + np.log(grid.weights)
    logs -= logs.max(axis=1, keepdims=True)
    weights = np.exp(logs)
    shares: Floats = weights / weights.sum(axis=1, keepdims=True)
    return shares


def eap(items: Items, responses: ArrayLike, grid: Grid = DEFAULT_GRID) -> AbilityEstimate:
    """Expected a posteriori: mean and standard deviation of the posterior on the grid  [Bock1982].

    θ = Σ_j x_j p_j and se² = Σ_j (x_j - θ)² p_j. The prior is the grid, of any shape. Exists for every
    response pattern, all right and all wrong too; without any response it is the mean and standard
    deviation of the prior.

    A posterior narrower than the distance h of the points falls between them: θ and se are right to 0.1 % of
    se at se = 0.7 h, to 1 % at 0.6 h, to 7 % at 0.5 h, and below that they mean nothing. The default grid has
    h = 0.2, and is good down to se = 0.12; take a finer one for longer tests.

    Raises: InvalidResponse.

    >>> from domain.cat.items import LogisticItems
    >>> items = LogisticItems.of(1.0, [-1.0, 0.0, 1.0])
    >>> estimate = eap(items, [[1, 1, 0], [-1, -1, -1]])
    >>> estimate.theta.round(4), estimate.se.round(4)
    (array([0.3154, 0.    ]), array([0.7956, 1.    ]))
    """
    given = as_responses(responses, items.categories)

    def score(rows: Ints) -> AbilityEstimate:
        weights = posterior(items, given[rows], grid)
        theta = weights @ grid.points
        spread = np.einsum("nq,nq->n", weights, (grid.points - theta[:, np.newaxis]) ** 2)
        return AbilityEstimate(theta, np.sqrt(spread))

    return _in_portions(score, len(given), len(grid) + given.shape[1])


def ml(items: Items, responses: ArrayLike, low: float = -6.0, high: float = 6.0) -> AbilityEstimate:
    """Maximum likelihood within [low, high], se = 1 / √I(θ)  [Birnbaum1968].

    Where the likelihood still rises at a bound (all right, all wrong, and patterns of the 3PL that no
    ability explains) there is no maximum: θ is that bound and se is infinite. Without any response θ is 0
    (or the bound nearest to it) and se infinite. Of several maxima, which the 3PL and 4PL may have
    [Samejima1973], the highest is taken, found by a search in steps of 0.1 logits.

    Raises: InvalidResponse; InvalidGrid where not low < high.

    >>> from domain.cat.items import LogisticItems
    >>> items = LogisticItems.of(1.0, [-1.0, 0.0, 1.0])
    >>> estimate = ml(items, [[1, 1, 0], [1, 1, 1]])
    >>> estimate.theta.round(4), estimate.se.round(4)
    (array([0.8029, 6.    ]), array([1.31,  inf]))
    """

    def estimate(search: _Search) -> AbilityEstimate:
        theta = search.top(search.height(), search.slope)
        theta[~search.answered.any(axis=1)] = min(max(0.0, low), high)
        informed = search.information_at(theta)
        informed[search.leans_on_bound(theta)] = 0.0
        return AbilityEstimate(theta, _standard_error(informed))

    return _search_each(estimate, items, responses, low, high)


def map_(  # noqa: PLR0913 - the prior and the bounds have two numbers each
    items: Items,
    responses: ArrayLike,
    mean: float = 0.0,
    sd: float = 1.0,
    *,
    low: float = -6.0,
    high: float = 6.0,
) -> AbilityEstimate:
    """The mode of the posterior under a normal prior, within [low, high], se = 1 / √(I(θ) + 1/sd²).

    Maximises log L(θ) - (θ - mean)² / (2 sd²)  [Samejima1969]. Exists for every response pattern; without
    any response it is the prior's mean and standard deviation. Of several maxima the highest is taken. A mode
    beyond a bound gives the bound.

    Raises: InvalidResponse; InvalidGrid where not low < high or sd <= 0.

    >>> from domain.cat.items import LogisticItems
    >>> items = LogisticItems.of(1.0, [-1.0, 0.0, 1.0])
    >>> estimate = map_(items, [[1, 1, 0], [-1, -1, -1]])
    >>> estimate.theta.round(4), estimate.se.round(4)
    (array([0.3048, 0.    ]), array([0.7823, 1.    ]))
    """
    if not sd > 0:
        raise InvalidGrid(f"a prior with sd {sd}")

    def estimate(search: _Search) -> AbilityEstimate:
        def slope(theta: Floats, rows: Ints) -> tuple[Floats, Floats]:
            rise, bend = search.slope(theta, rows)
            return rise - (theta - mean) / sd**2, bend - 1 / sd**2

        height = search.height() - ((search.points - mean) / sd) ** 2 / 2
        theta = search.top(height, slope)
        return AbilityEstimate(theta, _standard_error(search.information_at(theta) + 1 / sd**2))

    return _search_each(estimate, items, responses, low, high)


def wle(items: Items, responses: ArrayLike, low: float = -6.0, high: float = 6.0) -> AbilityEstimate:
    """Warm's weighted likelihood within [low, high], se = 1 / √I(θ)  [Warm1989].

    The root of (log L)' + J / (2 I), where J = Σ_i Σ_k P_ik' P_ik'' / P_ik, which takes away the bias of
    first order that maximum likelihood has. Without guessing J is I', and the root is the mode under
    Jeffreys' prior; with an asymptote [Magis2012], and for graded items [Magis2015], it is not: this is
    Warm's estimate. Finite for all right and all wrong, unless it lies beyond a bound: then the bound. Of
    several roots that one is taken where the weighted likelihood is highest. Without any response θ is 0 (or
    the bound nearest to it) and se infinite.

    Raises: InvalidResponse; InvalidGrid where not low < high.

    >>> from domain.cat.items import LogisticItems
    >>> items = LogisticItems.of(1.0, [-1.0, 0.0, 1.0])
    >>> estimate = wle(items, [[1, 1, 0], [1, 1, 1]])
    >>> estimate.theta.round(4), estimate.se.round(4)
    (array([0.638 , 2.2947]), array([1.2863, 1.8684]))
    """

    def estimate(search: _Search) -> AbilityEstimate:
        pull = search.warm_pull(search.points)  # (n, q)
        log_weight = np.zeros_like(pull)
        log_weight[:, 1:] = np.cumsum((pull[:, 1:] + pull[:, :-1]) / 2 * np.diff(search.points), axis=1)
        height = search.height() + log_weight
        left, _, right = search.bracket(height)
        people = np.arange(len(height))
        pull_bend = (pull[people, right] - pull[people, left]) / (search.points[right] - search.points[left])

        def slope(theta: Floats, rows: Ints) -> tuple[Floats, Floats]:
            rise, bend = search.slope(theta, rows)
            return rise + search.warm_pull_at(theta, rows), bend + pull_bend[rows]

        theta = search.top(height, slope)
        theta[~search.answered.any(axis=1)] = min(max(0.0, low), high)
        return AbilityEstimate(theta, _standard_error(search.information_at(theta)))

    return _search_each(estimate, items, responses, low, high)


class _Search:
    """The likelihoods of some people over a range of ability: from afar on points, and anywhere exactly."""

    def __init__(self, items: Items, given: Ints, points: Floats) -> None:
        self.items, self.given, self.points = items, given, points
        self.answered = given >= 0
        self.unsure = np.zeros(len(given), dtype=np.bool_)  # whose top may be another hill's

    def height(self) -> Floats:
        return self.items.log_likelihood(self.given, self.points)

    def slope(self, theta: Floats, rows: Ints) -> tuple[Floats, Floats]:
        """(r,) twice: first and second derivative of the log-likelihood of these people."""
        at = self.items.response_derivatives(self.given[rows], theta)
        return at.first.sum(axis=1), at.second.sum(axis=1)

    def bracket(self, height: Floats) -> tuple[Ints, Ints, Ints]:
        """The highest point of each row (n, q), with the ones before and after it.

        Of two hills the higher must win though both tops lie between points: each top is raised to that of
        the parabola through it and its neighbours.
        """
        raised = _raised(height)
        best = np.argmax(raised, axis=1)
        return np.maximum(best - 1, 0), best, np.minimum(best + 1, len(self.points) - 1)

    def top(self, height: Floats, slope: Slope) -> Floats:
        left, best, right = self.bracket(height)
        self.unsure = _several_tops(height)
        theta = climb(slope, self.points[best], self.points[left], self.points[right])
        return self._off_the_plain(theta, slope, self.points[left], self.points[right])

    def _off_the_plain(self, theta: Floats, slope: Slope, left: Floats, right: Floats) -> Floats:
        """On from where a search ended at an end of its bracket and it still goes uphill.

        So it does where the height is the same to the last digit for some way: its first point is no top.
        """
        first, last = self.points[0], self.points[-1]
        for rising, end in ((1.0, right), (-1.0, left)):
            bound = last if rising > 0 else first
            rows = np.flatnonzero((np.abs(theta - end) < _AT_THE_END) & (end != bound))
            if rows.size:
                rows = rows[slope(theta[rows], rows)[0] * rising > 0]
            if rows.size:
                start = np.full(rows.size, bound)
                low, high = (theta[rows], start) if rising > 0 else (start, theta[rows])
                theta[rows] = climb(_of(slope, rows), start, low, high)
        return theta

    def information_at(self, theta: Floats) -> Floats:
        """(n,): expected information of the items that each person answered, at the person's own θ."""
        information: Floats = (self.items.information(theta) * self.answered).sum(axis=1)
        return information

    def leans_on_bound(self, theta: Floats) -> NDArray[np.bool_]:
        """(n,): whether the likelihood still rises beyond the range."""
        rise, _ = self.slope(theta, np.arange(len(theta)))
        leans = ((theta == self.points[0]) & (rise < 0)) | ((theta == self.points[-1]) & (rise > 0))
        return np.asarray(leans, dtype=np.bool_)

    def warm_pull(self, points: Floats) -> Floats:
        """(n, q): J / (2 I) over each person's items, at points common to all."""
        information, skew = self.items.information_and_skew(points)
        answered = self.answered.astype(np.float64)
        return _half_ratio(answered @ skew.T, answered @ information.T)

    def warm_pull_at(self, theta: Floats, rows: Ints) -> Floats:
        """(r,): J / (2 I) of these people, each at their own θ."""
        information, skew = self.items.information_and_skew(theta)
        answered = self.answered[rows]
        return _half_ratio((skew * answered).sum(axis=1), (information * answered).sum(axis=1))


def _of(slope: Slope, people: Ints) -> Slope:
    return lambda theta, rows: slope(theta, people[rows])


def _raised(height: Floats) -> Floats:
    left, middle, right = height[:, :-2], height[:, 1:-1], height[:, 2:]
    bend = 2 * middle - left - right
    tops = (middle >= left) & (middle >= right) & (bend > 0)
    raised = height.copy()
    raised[:, 1:-1] += np.divide((right - left) ** 2, 8 * bend, out=np.zeros_like(bend), where=tops)
    return raised


def _several_tops(height: Floats) -> NDArray[np.bool_]:
    """(n,): whether another hill is nearly as high as the highest. The ends are tops of hills too."""
    rises = np.diff(height, axis=1) > 0
    tops = np.empty(height.shape, dtype=np.bool_)
    tops[:, 0], tops[:, -1] = ~rises[:, 0], rises[:, -1]
    tops[:, 1:-1] = rises[:, :-1] & ~rises[:, 1:]
    high = height > height.max(axis=1, keepdims=True) - _NEARLY_AS_HIGH
    return np.asarray((tops & high).sum(axis=1) > 1)


def _half_ratio(above: Floats, below: Floats) -> Floats:
    """Half of the quotient, 0 where nothing is known."""
    return np.divide(above, 2 * below, out=np.zeros_like(above), where=below > 0)


def _standard_error(information: Floats) -> Floats:
    with np.errstate(divide="ignore"):  # no information: infinite
        return np.asarray(1.0 / np.sqrt(information))


def _search_each(
    estimate: Callable[[_Search], AbilityEstimate],
    items: Items,
    responses: ArrayLike,
    low: float,
    high: float,
) -> AbilityEstimate:
    if not (np.isfinite([low, high]).all() and low < high):
        raise InvalidGrid(f"abilities from {low} to {high}")
    given = as_responses(responses, items.categories)
    steps = int(np.ceil((high - low) / _SEARCH_STEP))
    unsure = np.zeros(len(given), dtype=np.bool_)

    def searched(rows: Ints, steps: int) -> AbilityEstimate:
        search = _Search(items, given[rows], np.linspace(low, high, 1 + steps))
        found = estimate(search)
        unsure[rows] = search.unsure
        return found

    widest = given.shape[1] * int(items.categories.max(initial=2))
    first = _in_portions(lambda rows: searched(rows, steps), len(given), widest + steps)
    again = np.flatnonzero(unsure)
    if again.size:
        finer = steps * _FINER
        each = (widest + finer) // _FINER
        second = _in_portions(lambda rows: searched(again[rows], finer), again.size, each)
        first.theta[again], first.se[again] = second.theta, second.se
    return first


def _in_portions(score: Callable[[Ints], AbilityEstimate], people: int, cells_each: int) -> AbilityEstimate:
    size = max(1, _CELLS_AT_A_TIME // cells_each)
    parts = [score(np.arange(first, min(first + size, people))) for first in range(0, people, size)]
    if not parts:
        return AbilityEstimate(np.zeros(0), np.zeros(0))
    return AbilityEstimate(
        np.concatenate([part.theta for part in parts]), np.concatenate([part.se for part in parts])
    )
