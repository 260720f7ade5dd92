"""Several abilities at once without a prior: maximum likelihood, and Warm's weighted likelihood."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.cat.errors import InvalidGrid
from domain.cat.items import MultidimensionalItems
from domain.cat.multidimensional_ability import MultidimensionalEstimate, multidimensional_map
from domain.cat.types import Floats, Ints, as_responses

_CLOSE_ENOUGH: Final = 1e-11
_MOST_STEPS: Final = 300
_MOST_HALVINGS: Final = 30
_LONGEST_STEP: Final = 2.0
_RIDGE: Final = 1e-12
_SPANNED: Final = 1e-10
_STEEP: Final = 1e-3
_START_SD: Final = 2.0
"""The search begins at the mode under so wide a prior: never far off, and there for every pattern."""

Flags = NDArray[np.bool_]


def multidimensional_ml(
    items: MultidimensionalItems, responses: ArrayLike, low: float = -6.0, high: float = 6.0
) -> MultidimensionalEstimate:
    """Maximum likelihood with every ability within [low, high], and I(θ)⁻¹ there  [Segall1996].

    Where the likelihood still rises at a bound (all right, all wrong, and all patterns that a plane parts
    into right and wrong) there is no maximum: θ is the best point within the bounds, and its errors are
    infinite. Where the items answered do not measure every dimension θ is NaN, and the errors are infinite.
    For the 2PL it is the one maximum; with guessing one near the mode under N(0, 4) priors, which need not be
    the only one.

    Raises: InvalidResponse; InvalidGrid where not low < high.

    >>> items = MultidimensionalItems([[1.0, 0.0]] * 3 + [[0.0, 1.0]] * 3, [1.0, 0.0, -1.0] * 2, [0.0] * 6)
    >>> found = multidimensional_ml(items, [[1, 1, 0, 1, 0, 0]])
    >>> found.theta.round(4), found.se.round(2)
    (array([[ 0.8029, -0.8029]]), array([[1.31, 1.31]]))
    """

    def rise(people: _People, theta: Floats, rows: Ints, information: Floats) -> Floats:
        del information
        return people.gradient(theta, rows)

    def worse(people: _People, theta: Floats, moved: Floats, rows: Ints) -> Flags:
        now = people.height(theta, rows)
        return np.asarray(people.height(moved, rows) < now - 1e-12 * np.maximum(1.0, np.abs(now)))

    people = _People.of(items, responses, low, high)
    found, active = _climbed(people, rise, worse)
    return people.estimate(found, lost=np.asarray(active.any(axis=1)))


def multidimensional_wle(
    items: MultidimensionalItems, responses: ArrayLike, low: float = -6.0, high: float = 6.0
) -> MultidimensionalEstimate:
    """Warm's weighted likelihood with every ability within [low, high], and I(θ)⁻¹  [Firth1993] [Wang2015].

    The root of ∂ log L / ∂θ + ½ Σ_i J_i (a_iᵀ I⁻¹ a_i) a_i with J = P' P'' / (P (1 - P)), slopes by a·θ,
    which takes the bias of first order from maximum likelihood. In one dimension that is `wle`; for the 2PL
    the root is the mode under Jeffreys' prior √det I. Exists for all right and all wrong, unless it lies
    beyond a bound: then the bound. Where the items answered do not measure every dimension θ is NaN, and the
    errors are infinite. With guessing it is one root of perhaps several.

    Raises: InvalidResponse; InvalidGrid where not low < high.

    >>> items = MultidimensionalItems([[1.0, 0.0]] * 3 + [[0.0, 1.0]] * 3, [1.0, 0.0, -1.0] * 2, [0.0] * 6)
    >>> multidimensional_wle(items, [[1, 1, 0, 1, 1, 1]]).theta.round(3)
    array([[0.638, 2.295]])
    """

    def rise(people: _People, theta: Floats, rows: Ints, information: Floats) -> Floats:
        return people.gradient(theta, rows) + people.pull(theta, rows, information)

    def worse(people: _People, theta: Floats, moved: Floats, rows: Ints) -> Flags:
        """There is nothing that it climbs, with guessing; but the steps that are left must become shorter."""

        def left(at: Floats) -> Floats:
            information = people.information(at, rows)
            score = rise(people, at, rows, information)
            return np.asarray(np.abs(_solved(information, score)).max(axis=1))

        return np.asarray(left(moved) > left(theta))

    people = _People.of(items, responses, low, high)
    found, _ = _climbed(people, rise, worse)
    return people.estimate(found, lost=np.zeros(len(found.theta), dtype=np.bool_))


@dataclass(frozen=True, eq=False)
class _Found:
    theta: Floats
    converged: Flags


@dataclass(frozen=True, eq=False)
class _People:
    """The likelihoods of some people: given (n, m); spanned (n,): do their items measure every dimension?"""

    items: MultidimensionalItems
    given: Ints
    low: float
    high: float
    spanned: Flags

    @classmethod
    def of(cls, items: MultidimensionalItems, responses: ArrayLike, low: float, high: float) -> "_People":
        if not (np.isfinite([low, high]).all() and low < high):
            raise InvalidGrid(f"abilities from {low} to {high}")
        given = as_responses(responses, items.categories)
        squares = np.einsum("nm,md,me->nde", (given >= 0).astype(np.float64), items.a, items.a)
        spread = np.linalg.eigvalsh(squares)
        return cls(items, given, low, high, np.asarray(spread[:, 0] > _SPANNED * spread[:, -1]))

    def height(self, theta: Floats, rows: Ints) -> Floats:
        wrong, right = self.items.log_correct(theta)
        given = self.given[rows]
        total: Floats = np.where(given == 1, right, np.where(given == 0, wrong, 0.0)).sum(axis=1)
        return total

    def gradient(self, theta: Floats, rows: Ints) -> Floats:
        first, _ = self.items.response_slopes(self.given[rows], theta)
        gradient: Floats = first @ self.items.a
        return gradient

    def information(self, theta: Floats, rows: Ints) -> Floats:
        weight = self.items.information_weight(theta) * (self.given[rows] >= 0)
        information: Floats = np.einsum("nm,md,me->nde", weight, self.items.a, self.items.a)
        return information

    def bend(self, theta: Floats, rows: Ints, information: Floats) -> Floats:
        """The observed information where it is positive definite, for Newton's steps; else the expected."""
        _, second = self.items.response_slopes(self.given[rows], theta)
        observed = -np.einsum("nm,md,me->nde", second, self.items.a, self.items.a)
        lowest = np.linalg.eigvalsh(observed)[:, 0]
        steep = lowest > _STEEP * np.trace(information, axis1=1, axis2=2)
        return np.where(steep[:, np.newaxis, np.newaxis], observed, information)

    def pull(self, theta: Floats, rows: Ints, information: Floats) -> Floats:
        """(r, D): ½ Σ_i J_i (a_iᵀ I⁻¹ a_i) a_i over each person's items."""
        _, skew = self.items.information_weight_and_skew(theta)
        a = self.items.a
        inverse = np.linalg.inv(_ridged(information))
        shares = np.einsum("md,nde,me->nm", a, inverse, a)
        pull: Floats = (skew * shares * (self.given[rows] >= 0)) @ a / 2
        return pull

    def estimate(self, found: _Found, lost: Flags) -> MultidimensionalEstimate:
        everyone = np.arange(len(self.given))
        theta = np.where(self.spanned[:, np.newaxis], found.theta, np.nan)
        known = self.spanned & ~lost
        covariance = np.full((len(theta), self.items.dimensions, self.items.dimensions), np.inf)
        covariance[known] = np.linalg.inv(_ridged(self.information(found.theta, everyone)[known]))
        return MultidimensionalEstimate(theta, covariance, found.converged & self.spanned)


Rise = Callable[[_People, Floats, Ints, Floats], Floats]
Worse = Callable[[_People, Floats, Floats, Ints], Flags]


def _climbed(people: _People, rise: Rise, worse: Worse) -> tuple[_Found, Flags]:
    """Scoring steps within the bounds, halved while `worse`; and which abilities (n, D) are held back."""
    dimensions = people.items.dimensions
    start = multidimensional_map(people.items, people.given, _START_SD**2 * np.eye(dimensions)).theta
    theta = np.clip(start, people.low, people.high)
    held = np.zeros(theta.shape, dtype=np.bool_)
    moving = np.flatnonzero(people.spanned)
    for _ in range(_MOST_STEPS):
        if moving.size == 0:
            break
        here = theta[moving]
        information = people.information(here, moving)
        score = rise(people, here, moving, information)
        step, held[moving] = _step_within(people, here, score, people.bend(here, moving, information))
        moved = _shortened(people, worse, here, step, moving)
        theta[moving] = moved
        moving = moving[np.abs(moved - here).max(axis=1) > _CLOSE_ENOUGH]
    rested = people.spanned.copy()
    rested[moving] = False
    return _Found(theta, rested), held


def _step_within(people: _People, here: Floats, score: Floats, information: Floats) -> tuple[Floats, Flags]:
    """A scoring step in the abilities that no bound holds back, and those that one does.

    One that is at a bound and would go beyond it stays, and the step of the others is found again.
    """
    top, bottom = here >= people.high, here <= people.low
    held = (top & (score > 0)) | (bottom & (score < 0))
    blocked = held.copy()
    step = np.zeros_like(here)
    for _ in range(here.shape[1] + 1):
        free = ~blocked
        matrix = information * (free[:, :, np.newaxis] & free[:, np.newaxis, :])
        own = np.arange(here.shape[1])
        matrix[:, own, own] += blocked
        step = _solved(matrix, np.where(free, score, 0.0))
        beyond = ((top & (step > 0)) | (bottom & (step < 0))) & free
        if not beyond.any():
            break
        blocked |= beyond
    return step * _reach(people, here, step), held


def _reach(people: _People, here: Floats, step: Floats) -> Floats:
    """(r, 1): how much of a step stays within the bounds and is not too long. Its direction is kept."""
    room = np.where(step > 0, people.high - here, here - people.low)
    size = np.abs(step)
    ratio = np.divide(np.minimum(room, _LONGEST_STEP), size, out=np.ones_like(size), where=size > 0)
    reach: Floats = np.minimum(ratio.min(axis=1, keepdims=True), 1.0)
    return reach


def _shortened(people: _People, worse: Worse, here: Floats, step: Floats, rows: Ints) -> Floats:
    part = np.ones((len(here), 1))
    moved = _at_a_bound(people, here + step)
    for _ in range(_MOST_HALVINGS):
        falls = worse(people, here, moved, rows)
        if not falls.any():
            break
        part[falls] /= 2
        moved = _at_a_bound(people, here + part * step)
    return moved


def _at_a_bound(people: _People, theta: Floats) -> Floats:
    """What is at a bound but for rounding is there exactly."""
    theta = np.where(theta > people.high - _CLOSE_ENOUGH, people.high, theta)
    return np.where(theta < people.low + _CLOSE_ENOUGH, people.low, theta)


def _ridged(information: Floats) -> Floats:
    """Far from all items there is next to no information, and in doubles perhaps not in every direction."""
    size = np.trace(information, axis1=1, axis2=2)[:, np.newaxis, np.newaxis]
    ridged: Floats = information + (_RIDGE * size + 1e-200) * np.eye(information.shape[1])
    return ridged


def _solved(information: Floats, score: Floats) -> Floats:
    solution = np.linalg.solve(_ridged(information), score[..., np.newaxis])[..., 0]
    return np.asarray(solution, dtype=np.float64)
