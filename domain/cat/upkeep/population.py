"""How ability is distributed among the examinees of each group, as their responses tell."""

from typing import Final

import numpy as np

from domain.cat.calibration.population import Population
from domain.cat.grid import DEFAULT_GRID
from domain.cat.types import Floats, Ints

SMALLEST_GROUP: Final = 100
"""A smaller group is taken to be as all the others together: it could not tell its own spread."""

_ROUNDS: Final = 200
_TOLERANCE: Final = 1e-4


def normal_populations(log_likelihood: Floats, groups: Ints) -> Floats:
    """(n, q): log weights of a normal distribution for each examinee's group, mean and sd by EM [Bock1981].

    log_likelihood: (n, q) of each examinee's responses at the points of the default grid. Estimated, as a
    prior that fits nobody would be taken for a fault of the items given first.

    >>> evidence = -2 * (DEFAULT_GRID.points - np.repeat([[1.0], [2.0]], 100, axis=0)) ** 2
    >>> found = np.exp(normal_populations(evidence, np.zeros(200, dtype=np.int64))[0])
    >>> round(float(found @ DEFAULT_GRID.points), 2)
    1.5
    """
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    pooled = _normal(likelihood)
    found = np.repeat(pooled[np.newaxis], len(groups), axis=0)
    sizes = np.bincount(groups)
    if np.count_nonzero(sizes) > 1:
        for group in np.flatnonzero(sizes >= SMALLEST_GROUP):
            found[groups == group] = _normal(likelihood[groups == group])
    return found


def _normal(likelihood: Floats) -> Floats:
    population = Population(DEFAULT_GRID.points, np.log(DEFAULT_GRID.weights), (True, True))
    tilt = np.zeros(2)
    before = population.moments(tilt)
    for _ in range(_ROUNDS):
        weights = np.exp(population.tilted(tilt))
        marginal = likelihood @ weights
        people = weights * (likelihood.T @ (1 / marginal))
        tilt = population.step(tilt, people)
        now = population.moments(tilt)
        if max(abs(now[0] - before[0]), abs(now[1] - before[1])) < _TOLERANCE:
            break
        before = now
    return population.tilted(tilt)
