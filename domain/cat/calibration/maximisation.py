"""The M-step: one step of Fisher scoring for every item at once, on the expected counts."""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from domain.cat.calibration.curves import Curves, Traces
from domain.cat.calibration.expectation import Expected
from domain.cat.calibration.priors import Priors
from domain.cat.types import Floats, Ints

_LONGEST_STEP: Final = 1.5
"""Far from the top a step may be wild; no parameter goes further at once."""

_LOWEST_LOG_A: Final = float(np.log(0.01))
_HIGHEST_LOG_A: Final = float(np.log(20.0))
_FARTHEST: Final = 30.0
_FARTHEST_ASYMPTOTE: Final = 9.0
"""Logits: an asymptote within 0.0001 of 0 or 1."""
_FROM_THE_MIDDLE: Final = 0.02
_RIDGE: Final = 1e-9
_MOST_HALVINGS: Final = 20
_ROUNDING: Final = 1e-13


@dataclass(frozen=True, eq=False)
class Layout:
    """Where each item's parameters (m, p) stand in the vector of all; items may share one, -1 is fixed.

    fixed: (m, p) the values of those at -1. slopes: parameter 0 is log a. logistic: parameters 2 and 3 are
    the logits of asymptotes.
    """

    index: Ints
    fixed: Floats
    slopes: bool
    logistic: bool
    shared: bool = field(init=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        free = self.index[self.index >= 0]
        object.__setattr__(self, "size", int(free.max()) + 1 if free.size else 0)
        object.__setattr__(self, "shared", free.size != self.size)

    def items(self, vector: Floats) -> Floats:
        """(m, p) from the vector of all free parameters."""
        return np.where(self.index >= 0, vector[np.maximum(self.index, 0)], self.fixed)

    def vector(self, x: Floats) -> Floats:
        """The vector from (m, p); a shared parameter becomes the mean of what the items say."""
        free = self.index >= 0
        sums = np.bincount(self.index[free], weights=x[free], minlength=self.size)
        return sums / np.bincount(self.index[free], minlength=self.size)

    def within_bounds(self, vector: Floats) -> Floats:
        low, high = self._bounds()
        return np.clip(vector, low, high)

    def at_bound(self, vector: Floats) -> NDArray[np.bool_]:
        """(m,): items with a parameter at the end of its range: the likelihood has no maximum inside."""
        low, high = self._bounds()
        ends = (vector <= low) | (vector >= high)
        touched: NDArray[np.bool_] = (ends[np.maximum(self.index, 0)] & (self.index >= 0)).any(axis=1)
        return touched

    def _bounds(self) -> tuple[Floats, Floats]:
        low, high = np.full(self.size, -_FARTHEST), np.full(self.size, _FARTHEST)
        if self.slopes:
            own = self.index[:, 0][self.index[:, 0] >= 0]
            low[own], high[own] = _LOWEST_LOG_A, _HIGHEST_LOG_A
        if self.logistic:
            own = self.index[:, 2:][self.index[:, 2:] >= 0]
            low[own], high[own] = -_FARTHEST_ASYMPTOTE, _FARTHEST_ASYMPTOTE
        if self.logistic and self.index.shape[1] > 3:
            # Kept apart, so that c stays below d.
            high[self.index[:, 2]], low[self.index[:, 3]] = -_FROM_THE_MIDDLE, _FROM_THE_MIDDLE
        return low, high


@dataclass(frozen=True, eq=False)
class ItemStep:
    """The function that the M-step climbs, for one model."""

    curves: Curves
    layout: Layout
    priors: Priors
    points: Floats

    def traces(self, vector: Floats) -> Traces:
        return self.curves.traces(self.layout.items(vector), self.points)

    def step(self, vector: Floats, traces: Traces, expected: Expected) -> Floats:
        """The vector after one step of Fisher scoring from where `traces` were taken.

        A step that would lead an item downhill is halved until it does not; so EM never loses height.
        """
        gradient, information = self._slope_and_bend(vector, traces, expected)
        layout = self.layout
        if layout.shared:
            change = _shortened(self._shared_step(gradient, information))
        else:
            change = layout.vector(_shortened(_solved(information, gradient[..., np.newaxis])[..., 0]))
        before = self._heights(vector, traces, expected)
        for _ in range(_MOST_HALVINGS):
            after = layout.within_bounds(vector + change)
            lower = self._heights(after, self.traces(after), expected) < before - _ROUNDING * np.abs(before)
            if not lower.any():
                return after
            worse = layout.index[lower]
            change[worse[worse >= 0]] /= 2
        change[worse[worse >= 0]] = 0.0
        return layout.within_bounds(vector + change)

    def log_prior(self, vector: Floats) -> float:
        """The sum of the priors' log densities at the items."""
        return float(self._log_priors(vector).sum())

    def prior_bend(self, vector: Floats) -> Floats:
        """(m, p): minus the second derivatives of the log priors."""
        x = self.layout.items(vector)
        bends: Floats = np.zeros(x.shape)
        for column, (_, prior) in self._prior_columns().items():
            bends[:, column] = prior.slope_and_bend(x[:, column])[1]
        return bends

    def slope(self, x: Floats, expected: Expected) -> Floats:
        """(m, p): the gradient at parameters (m, p), priors included."""
        scores = self.curves.traces(x, self.points).scores
        gradient: Floats = np.einsum("mkpq,mkq->mp", scores, expected.counts)
        for column, (_, prior) in self._prior_columns().items():
            gradient[:, column] += prior.slope_and_bend(x[:, column])[0]
        return gradient

    def _heights(self, vector: Floats, traces: Traces, expected: Expected) -> Floats:
        """(m,): each item's part of the M-step's function; the whole of it where items share a parameter."""
        own: Floats = (expected.counts * traces.logs).sum(axis=(1, 2)) + self._log_priors(vector)
        return np.full(own.size, own.sum()) if self.layout.shared else own

    def _log_priors(self, vector: Floats) -> Floats:
        x = self.layout.items(vector)
        total: Floats = np.zeros(len(x))
        natural = self.curves.natural(x)
        for name, prior in self._prior_columns().values():
            total = total + np.asarray(prior.log_density(natural[name]), dtype=np.float64)
        return total

    def _slope_and_bend(self, vector: Floats, traces: Traces, expected: Expected) -> tuple[Floats, Floats]:
        """(m, p) gradient and (m, p, p) expected information of the complete data, priors included."""
        scores = traces.scores
        items, width, size, q = scores.shape
        flat = scores.transpose(0, 2, 1, 3).reshape(items, size, width * q)
        gradient = (flat @ expected.counts.reshape(items, width * q, 1))[..., 0]
        weights = (np.exp(traces.logs) * expected.counts.sum(axis=1, keepdims=True)).reshape(
            items, 1, width * q
        )
        information = (flat * weights) @ flat.transpose(0, 2, 1)
        x = self.layout.items(vector)
        diagonal = np.zeros(x.shape)
        for column, (_, prior) in self._prior_columns().items():
            slope, diagonal[:, column] = prior.slope_and_bend(x[:, column])
            gradient[:, column] += slope
        own = np.arange(size)
        information[:, own, own] += diagonal
        # What is fixed, or is padding, must not move, and a flat direction must not stop the others.
        free = self.layout.index >= 0
        gradient = np.where(free, gradient, 0.0)
        information = np.where(free[:, :, np.newaxis] & free[:, np.newaxis, :], information, 0.0)
        information[:, own, own] += np.where(free, _RIDGE * (information[:, own, own] + 1.0), 1.0)
        return gradient, information

    def _shared_step(self, gradient: Floats, information: Floats) -> Floats:
        layout = self.layout
        spare = np.where(layout.index >= 0, layout.index, layout.size)
        total = np.zeros(layout.size + 1)
        np.add.at(total, spare, gradient)
        bends = np.zeros((layout.size + 1, layout.size + 1))
        np.add.at(bends, (spare[:, :, np.newaxis], spare[:, np.newaxis, :]), information)
        return _solved(bends[:-1, :-1], total[:-1])

    def _prior_columns(self) -> dict[int, tuple[str, Any]]:
        named = {0: ("a", self.priors.a), 2: ("c", self.priors.c), 3: ("d", self.priors.d)}
        return {column: (name, prior) for column, (name, prior) in named.items() if prior is not None}


def _shortened(change: Floats) -> Floats:
    """Rows with no part beyond the longest step. Scaled as a whole: another way may lead downhill."""
    farthest = np.abs(change).max(axis=-1, keepdims=True, initial=0.0)
    scaled: Floats = change / np.maximum(farthest / _LONGEST_STEP, 1.0)
    return scaled


def _solved(matrix: Floats, right: Floats) -> Floats:
    solution: Floats = np.asarray(np.linalg.solve(matrix, right), dtype=np.float64)
    return solution
