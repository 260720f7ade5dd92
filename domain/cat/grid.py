"""A distribution of ability on a grid of points: the prior of an examinee, a calibration's population."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from domain.cat.errors import InvalidGrid
from domain.cat.types import Floats


@dataclass(frozen=True, eq=False)
class Grid:
    """Points (q,) on the ability scale (logits), ascending, and their weights (q,), which sum to 1.

    Raises: InvalidGrid where shapes differ, a number is not finite, points do not ascend, a weight is
    negative, or the weights do not sum to 1 (to 1e-9; they are then scaled to do so exactly).

    >>> Grid(np.array([-1.0, 0.0, 1.0]), np.array([0.25, 0.5, 0.25])).mean
    0.0
    """

    points: Floats
    weights: Floats

    def __post_init__(self) -> None:
        points, weights = (np.array(each, dtype=np.float64) for each in (self.points, self.weights))
        if points.ndim != 1 or points.shape != weights.shape or points.size == 0:
            raise InvalidGrid(f"points of shape {points.shape} with weights of shape {weights.shape}")
        if not (np.isfinite(points).all() and np.isfinite(weights).all()):
            raise InvalidGrid("a point or a weight is not finite")
        if (np.diff(points) <= 0).any():
            raise InvalidGrid("the points do not ascend")
        if (weights < 0).any():
            raise InvalidGrid("a weight is negative")
        total = float(weights.sum())
        if abs(total - 1.0) > 1e-9:
            raise InvalidGrid(f"the weights sum to {total}")
        for name, values in (("points", points), ("weights", weights / total)):
            values.setflags(write=False)
            object.__setattr__(self, name, values)

    def __len__(self) -> int:
        return self.points.size

    @property
    def mean(self) -> float:
        return float(self.weights @ self.points)

    @property
    def sd(self) -> float:
        return float(np.sqrt(self.weights @ (self.points - self.mean) ** 2))


def grid_of(points: ArrayLike, density: Callable[[Floats], Floats] | ArrayLike) -> Grid:
    """A grid whose weights are proportional to `density` at the points (a function or its values (q,)).

    weight_j = density(x_j) / Σ density(x_i): right for points that are equally spaced. Any prior can be
    given so: skewed, of two groups, or the posterior of an earlier test.

    Raises: InvalidGrid as `Grid` does, and where the density is zero everywhere.

    >>> grid_of([-1.0, 0.0, 1.0], np.array([1.0, 2.0, 1.0])).weights
    array([0.25, 0.5 , 0.25])
    """
    at = np.asarray(points, dtype=np.float64)
    values = np.asarray(density(at) if callable(density) else density, dtype=np.float64)
    total = float(values.sum())
    if not (np.isfinite(total) and total > 0):
        raise InvalidGrid(f"the density sums to {total}")
    return Grid(at, values / total)


def normal_grid(
    count: int = 61, low: float = -6.0, high: float = 6.0, mean: float = 0.0, sd: float = 1.0
) -> Grid:
    """`count` equally spaced points from `low` to `high` with normal weights that sum to 1.

    weight_j ∝ exp(-(x_j - mean)² / (2 sd²)), the rectangular quadrature of [Bock1981]. The defaults are
    the project's: 61 points on [-6, 6] for N(0, 1).

    Raises: InvalidGrid where count < 2, low >= high, sd <= 0, or one of them is not finite.

    >>> len(DEFAULT_GRID), DEFAULT_GRID.points[[0, 30, 60]]
    (61, array([-6.,  0.,  6.]))
    """
    if count < 2 or not (np.isfinite([low, high, mean, sd]).all() and low < high and sd > 0):
        raise InvalidGrid(f"{count} points from {low} to {high} for mean {mean} and sd {sd}")
    points = np.linspace(low, high, count)
    distance = ((points - mean) / sd) ** 2 / 2
    return grid_of(points, np.exp(distance.min() - distance))  # the nearest point counts 1: no underflow


DEFAULT_GRID: Final = normal_grid()
"""61 points on [-6, 6], N(0, 1)."""
