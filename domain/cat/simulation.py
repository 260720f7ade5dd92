"""Simulated examinees, and how good the tests are that they got."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from domain.cat.category_model import CategoryModel
from domain.cat.curves import logistic_pair
from domain.cat.exposure import Exposure
from domain.cat.lockstep import (
    Answering,
    Estimating,
    Limits,
    Paths,
    Ruling,
    Telling,
    administer_answering,
    join_paths,
    tell_nobody,
)
from domain.cat.logistic import LogisticItems
from domain.cat.maximum_information import NO_ITEM, Choosing
from domain.cat.session import AdaptiveBank
from domain.cat.types import Floats, Ints

NORMAL_95: Final = 1.959963984540054
"""Half the width of a 95 % interval, in standard errors."""

ABILITY_EDGES: Final = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""Where examinees are parted by true ability; the outer groups are open."""

_ANSWERS_AT_ONCE: Final = 2_000_000


@dataclass(frozen=True, eq=False)
class Simulation:
    """`true_theta` (n,) of the examinees drawn, and their `paths`."""

    true_theta: Floats
    paths: Paths


@dataclass(frozen=True)
class Accuracy:
    """How near the estimates come to the truth, in a group of `count` examinees.

    bias = mean(estimate - truth); rmse = sqrt(mean((estimate - truth)²)); coverage: the share whose truth
    lies within 1.96 standard errors of the estimate. NaN in an empty group. Abilities `low` <= θ < `high`.
    """

    low: float
    high: float
    count: int
    mean_length: float
    mean_se: float
    bias: float
    rmse: float
    coverage: float


@dataclass(frozen=True, eq=False)
class Use:
    """How the bank was used.

    `exposure` (m,): the share of examinees who got each item. `overlap`: the share of items that two
    examinees have in common on average [Chen2003]; NaN for fewer than two examinees.
    """

    mean_length: float
    mean_se: float
    exposure: Floats
    overlap: float

    @property
    def unused(self) -> float:
        """The share of items that nobody got."""
        return float((self.exposure == 0).mean())


def simulate(  # noqa: PLR0913 - each is a choice of its own
    bank: AdaptiveBank,
    count: int,
    rng: np.random.Generator,
    limits: Limits | None = None,
    *,
    mean: float = 0.0,
    sd: float = 1.0,
    start: float = 0.0,
    choosing: Choosing | Ruling | None = None,
    estimating: Estimating | None = None,
    tell: Telling = tell_nobody,
) -> Simulation:
    """Draws `count` examinees from N(mean, sd²), with an answer to every item, and gives each a test.

    What somebody would answer to an item does not depend on when it is given, so that rules of choice can
    be compared on the same answers: the same `rng` gives the same people. See `administer` for the rest.

    Raises: TooFewItems, as `administer` does.

    >>> from domain.cat.logistic import LogisticItems
    >>> bank = AdaptiveBank(LogisticItems.of(2.0, np.linspace(-2, 2, 41)))
    >>> done = simulate(bank, 100, np.random.default_rng(1))
    >>> bool(done.paths.counts.mean() < 20), bool((done.paths.se < 0.3).mean() > 0.9)
    (True, True)
    """
    true_theta = rng.normal(mean, sd, size=count)
    step = max(1, _ANSWERS_AT_ONCE // len(bank))
    parts: list[Paths] = []
    for begin in range(0, count, step):
        theta = true_theta[begin : begin + step]
        parts.append(
            administer_answering(
                bank,
                np.zeros((len(theta), len(bank)), dtype=bool),
                _answering(bank.items, theta, rng),
                limits,
                start=start,
                choosing=_shifted(choosing, begin),
                estimating=estimating,
                tell=lambda done, _, begin=begin: tell(begin + done, count),  # type: ignore[misc]
            )
        )
    return Simulation(true_theta, join_paths(parts))


def _shifted(choosing: Choosing | Ruling | None, by: int) -> Choosing | Ruling | None:
    """A rule for one examinee at a time counts all examinees, not those of a portion."""
    if choosing is None or not callable(choosing):
        return choosing
    return lambda examinee, standing: choosing(by + examinee, standing)


def _answering(items: CategoryModel, theta: Floats, rng: np.random.Generator) -> Answering:
    """The answers that `draw_responses` would draw; of logistic items only those asked for are worked out."""
    if not isinstance(items, LogisticItems):
        drawn = draw_responses(items, theta, rng)
        return lambda rows, chosen: drawn[rows, chosen]
    uniform = rng.uniform(size=(len(theta), len(items)))

    def answer(rows: Ints, chosen: Ints) -> Ints:
        upper, _ = logistic_pair(items.a[chosen] * (theta[rows] - items.b[chosen]))
        correct = items.c[chosen] + (items.d[chosen] - items.c[chosen]) * upper
        return (uniform[rows, chosen] < correct).astype(np.int64)

    return answer


def draw_responses(items: CategoryModel, theta: Floats, rng: np.random.Generator) -> Ints:
    """One response (n, m) of each examinee to each item, drawn by the model.

    With u uniform on [0, 1), the category is the largest k for which u < P(X >= k): for an item scored
    right or wrong, right where u < P.

    >>> from domain.cat.logistic import LogisticItems
    >>> items = LogisticItems.of(1.0, [-20.0, 20.0])
    >>> draw_responses(items, np.zeros(2), np.random.default_rng(1))
    array([[1, 0],
           [1, 0]])
    """
    drawn = np.zeros((len(theta), len(items)), dtype=np.int64)
    step = max(1, _ANSWERS_AT_ONCE // max(1, len(items) * int(items.categories.max(initial=2))))
    for begin in range(0, len(theta), step):
        chances = items.category_probabilities(theta[begin : begin + step])
        uniform = rng.uniform(size=chances.shape[:2])
        reached = np.zeros(chances.shape[:2])
        for category in range(chances.shape[2] - 1, 0, -1):
            reached += chances[:, :, category]
            drawn[begin : begin + step] += uniform < reached
    return drawn


def accuracy(simulation: Simulation, edges: tuple[float, ...] = ABILITY_EDGES) -> tuple[Accuracy, ...]:
    """How accurate the estimates are: of all first, then of each group by true ability.

    >>> from domain.cat.logistic import LogisticItems
    >>> bank = AdaptiveBank(LogisticItems.of(2.0, np.linspace(-2, 2, 41)))
    >>> found = accuracy(simulate(bank, 200, np.random.default_rng(1)))
    >>> len(found), found[0].count, sum(group.count for group in found[1:])
    (7, 200, 200)
    """
    bounds = (-np.inf, *edges, np.inf)
    groups = [(-np.inf, np.inf), *pairwise(bounds)]
    return tuple(_accuracy_of(simulation, low, high) for low, high in groups)


def use_of_bank(paths: Paths, items: int) -> Use:
    """How a bank of so many `items` was used.

    >>> from domain.cat.logistic import LogisticItems
    >>> bank = AdaptiveBank(LogisticItems.of(1.0, [-1.0, 0.0, 1.0]))
    >>> from domain.cat.lockstep import administer
    >>> used = use_of_bank(administer(bank, [[1, 1, 0], [0, 0, 0]], Limits(max_items=2)), 3)
    >>> used.exposure, used.overlap
    (array([0.5, 1. , 0.5]), 0.5)
    """
    used = Exposure.of([path[path != NO_ITEM] for path in paths.items], items)
    if not paths.counts.size:
        return Use(float("nan"), float("nan"), used.rates, used.overlap)
    return Use(float(paths.counts.mean()), float(paths.se.mean()), used.rates, used.overlap)


def _accuracy_of(simulation: Simulation, low: float, high: float) -> Accuracy:
    truth, paths = simulation.true_theta, simulation.paths
    here = (truth >= low) & (truth < high)
    count = int(here.sum())
    if not count:
        nothing = float("nan")
        return Accuracy(low, high, 0, nothing, nothing, nothing, nothing, nothing)
    error, se = paths.theta[here] - truth[here], paths.se[here]
    return Accuracy(
        low,
        high,
        count,
        mean_length=float(paths.counts[here].mean()),
        mean_se=float(se.mean()),
        bias=float(error.mean()),
        rmse=float(np.sqrt((error**2).mean())),
        coverage=float((np.abs(error) <= NORMAL_95 * se).mean()),
    )
