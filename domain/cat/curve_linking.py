"""The search behind the curve methods of linking: least squares, then Newton to the last digits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import least_squares

from domain.cat.errors import InvalidItem
from domain.cat.grid import Grid
from domain.cat.items import Items
from domain.cat.rescaling import difficulties
from domain.cat.types import Floats, Ints

Curves = Callable[[Items, Floats], tuple[Floats, Floats]]
"""The curves that are compared, (q, ·), and their slopes by θ, at q points."""


def item_curves(items: Items, points: Floats) -> tuple[Floats, Floats]:
    """Category probabilities, scaled so that a sum of squares is a mean over all categories of all items."""
    curves = items.category_probabilities(points)
    slopes = curves * items.log_derivatives(points).first
    scale = float(items.categories.sum()) ** -0.5
    return scale * curves.reshape(len(points), -1), scale * slopes.reshape(len(points), -1)


def score_curve(items: Items, points: Floats) -> tuple[Floats, Floats]:
    """The expected score on the whole test, (q, 1)."""
    curves = items.category_probabilities(points)
    slopes = curves * items.log_derivatives(points).first
    scores = np.arange(curves.shape[-1], dtype=np.float64)
    return (curves @ scores).sum(axis=1)[:, np.newaxis], (slopes @ scores).sum(axis=1)[:, np.newaxis]


@dataclass(frozen=True)
class Minimum:
    """The constants found, the criterion there, and whether Newton's steps came to rest."""

    scale: float
    shift: float
    value: float
    converged: bool


@dataclass(frozen=True)
class Criterion:
    """The sum of squares of a curve method, as a function of x = (log A, B + A m).

    m is the middle of the from-scale. log A keeps A above 0; counting B from the middle keeps the two
    parameters apart, whatever the origin of the from-scale.
    """

    curves: Curves
    from_items: Items
    to_items: Items
    grid: Grid
    from_grid: Grid | None

    def minimum(self, scale: float, shift: float, *, fixed_scale: bool) -> Minimum:
        """The minimum near (scale, shift)."""
        middle = self.middle
        first = np.array([np.log(scale), shift + scale * middle])
        free = np.array([1] if fixed_scale else [0, 1])

        def whole(part: Floats) -> Floats:
            x = first.copy()
            x[free] = part
            return x

        found = least_squares(
            lambda part: self.residuals(whole(part), middle)[0],
            first[free],
            jac=lambda part: self.residuals(whole(part), middle)[1][:, free],
        )
        x, converged = self._polished(whole(np.asarray(found.x)), free, middle)
        best = float(np.exp(x[0]))
        return Minimum(
            scale=best,
            shift=float(x[1] - best * middle),
            value=float(np.sum(self.residuals(x, middle)[0] ** 2)),
            converged=converged,
        )

    @property
    def middle(self) -> float:
        """m, the mean difficulty of the from-items."""
        return _middle(self.from_items)

    def gradient_at(self, scale: float, shift: float, middle: float) -> Floats:
        """(2,): half the derivatives of the criterion by x = (log A, B + A m) at these constants."""
        return self._gradient(np.array([np.log(scale), shift + scale * middle]), middle)

    def curvature_at(self, scale: float, shift: float) -> tuple[Floats, Floats]:
        """The derivatives (2, 2) of `gradient_at` by x, and those of (A, B) by x."""
        middle = self.middle
        x = np.array([np.log(scale), shift + scale * middle])
        bend = np.stack([self._bend(x, at, middle) for at in (0, 1)], axis=1)
        return bend, np.array([[scale, 0.0], [-scale * middle, 1.0]])

    def residuals(self, x: Floats, middle: float) -> tuple[Floats, Floats]:
        """Weighted differences of the curves (r,), and their derivatives (r, 2) by x."""
        scale, shift = np.exp(x[0]), x[1]
        beyond = (self.grid.points - shift) / scale
        there, _ = self.curves(self.to_items, self.grid.points)
        here, slopes = self.curves(self.from_items, beyond + middle)
        values, by_x = _weighted(self.grid, there - here, slopes * beyond[:, np.newaxis], slopes / scale)
        if self.from_grid is None:
            return values, by_x
        beyond = self.from_grid.points - middle
        here, _ = self.curves(self.from_items, self.from_grid.points)
        there, slopes = self.curves(self.to_items, scale * beyond + shift)
        by_scale = -slopes * scale * beyond[:, np.newaxis]
        more_values, more_by_x = _weighted(self.from_grid, here - there, by_scale, -slopes)
        return np.concatenate([values, more_values]), np.concatenate([by_x, more_by_x])

    def _polished(self, x: Floats, free: Ints, middle: float) -> tuple[Floats, bool]:
        """Newton's steps on the gradient: by the value alone half of the digits would be left open."""
        for _ in range(_NEWTON_STEPS):
            curvature = np.stack([self._bend(x, int(at), middle)[free] for at in free], axis=1)
            if np.linalg.eigvalsh(curvature)[0] <= _LEVEL:
                return x, False
            step = np.linalg.solve(curvature, self._gradient(x, middle)[free])
            if np.abs(step).max() > _FAR:
                return x, False
            x = x.copy()
            x[free] -= step
            if np.abs(step).max() < _NEAR:
                return x, True
        return x, False

    def _bend(self, x: Floats, at: int, middle: float) -> Floats:
        ahead, behind = x.copy(), x.copy()
        ahead[at] += _STEP
        behind[at] -= _STEP
        return (self._gradient(ahead, middle) - self._gradient(behind, middle)) / (2 * _STEP)

    def _gradient(self, x: Floats, middle: float) -> Floats:
        values, by_x = self.residuals(x, middle)
        gradient: Floats = by_x.T @ values
        return gradient


_NEWTON_STEPS: Final = 50
_NEAR: Final = 1e-12
_FAR: Final = 1.0
"""A step of a whole logit after the search by least squares: there is no minimum nearby."""
_STEP: Final = 1e-5
_LEVEL: Final = 1e-12
"""A criterion that bends less over a logit is level: the weights see none of the curves' slopes."""


def _weighted(grid: Grid, difference: Floats, by_scale: Floats, by_shift: Floats) -> tuple[Floats, Floats]:
    root = np.sqrt(grid.weights)[:, np.newaxis]
    by_x = np.stack([(root * by_scale).ravel(), (root * by_shift).ravel()], axis=1)
    return (root * difference).ravel(), by_x


def _middle(items: Items) -> float:
    try:
        return float(difficulties(items).mean())
    except InvalidItem:  # nominal items have no difficulties; any origin will do
        return 0.0
