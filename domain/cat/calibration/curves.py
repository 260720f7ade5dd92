"""Item models as the calibration sees them: unbounded parameters, log probabilities, and their derivatives.

Every parameter may be any real number, so that a step may go anywhere and an item stays an item: log a, the
logits of the asymptotes (the 4PL's must be kept apart), the logarithms of the gaps between thresholds.
Lines are in slope-intercept form, a θ + t, whose parameters are less entangled than a and b.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, log_softmax, logit

from domain.cat.items import GradedItems, LogisticItems, NominalItems, PartialCreditItems
from domain.cat.types import Floats, Ints

_LINE_LIMIT = 300.0
"""Beyond it a logistic curve is 0 or 1 by 130 digits; within it nothing underflows."""


@dataclass(frozen=True, eq=False)
class Traces:
    """logs (m, K, q): log P_k at the points; scores (m, K, p, q): its derivatives; 0 in the padding."""

    logs: Floats
    scores: Floats


class Curves(Protocol):
    """A model of m items with p unbounded parameters each, x (m, p)."""

    def start(self, shares: Floats, slopes: Floats) -> Floats:
        """(m, p) from the shares (m, K) of the categories and a first guess (m,) of the slopes."""
        ...

    def traces(self, x: Floats, points: Floats) -> Traces: ...

    def items(self, x: Floats) -> LogisticItems | GradedItems | PartialCreditItems | NominalItems: ...

    def natural(self, x: Floats) -> dict[str, Floats]:
        """The parameters as the items name them, by the names of the items' fields, (m,) or (m, columns)."""
        ...

    @property
    def size(self) -> int:
        """How many parameters an item has, p."""
        ...


@dataclass(frozen=True)
class LogisticCurves:
    """x = (log a, t[, logit c[, logit d]]): P = c + (d - c) Ψ(a θ + t), b = -t / a."""

    size: int

    def start(self, shares: Floats, slopes: Floats) -> Floats:
        guess = (0.15, 0.95)[: self.size - 2]
        lower = guess[0] if guess else 0.0
        upper = guess[1] if len(guess) > 1 else 1.0
        share = np.clip((shares[:, 1] - lower) / (upper - lower), 0.02, 0.98)
        x = np.empty((len(shares), self.size))
        x[:, 0] = np.log(slopes)
        x[:, 1] = logit(share) * np.sqrt(1 + slopes**2 / 2.89)
        x[:, 2:] = logit(np.array(guess))
        return x

    def traces(self, x: Floats, points: Floats) -> Traces:
        slope = np.exp(x[:, :1]) * points
        line = np.clip(slope + x[:, 1:2], -_LINE_LIMIT, _LINE_LIMIT)
        up, down = expit(line), expit(-line)
        lower, upper = self._asymptotes(x)
        gap = upper - lower
        right, wrong = lower + gap * up, (1 - upper) + gap * down
        steep = gap * up * down
        change = np.empty((len(x), self.size, points.size))
        change[:, 0], change[:, 1] = steep * slope, steep
        if self.size > 2:
            change[:, 2] = lower * (1 - lower) * down
        if self.size > 3:
            change[:, 3] = upper * (1 - upper) * up
        logs = np.stack((np.log(wrong), np.log(right)), axis=1)
        scores = np.stack((-change / wrong[:, np.newaxis], change / right[:, np.newaxis]), axis=1)
        return Traces(logs, scores)

    def items(self, x: Floats) -> LogisticItems:
        return LogisticItems.of(**self.natural(x))

    def natural(self, x: Floats) -> dict[str, Floats]:
        slopes = np.exp(x[:, 0])
        found = {"a": slopes, "b": -x[:, 1] / slopes}
        if self.size > 2:
            found["c"] = expit(x[:, 2])
        if self.size > 3:
            found["d"] = expit(x[:, 3])
        return found

    def _asymptotes(self, x: Floats) -> tuple[Floats | float, Floats | float]:
        lower: Floats | float = expit(x[:, 2:3]) if self.size > 2 else 0.0
        upper: Floats | float = expit(x[:, 3:4]) if self.size > 3 else 1.0
        return lower, upper


@dataclass(frozen=True, eq=False)
class GradedCurves:
    """x = (log a, t_1, log(t_1 - t_2), log(t_2 - t_3), …): P(X >= k) = Ψ(a θ + t_k), b_k = -t_k / a."""

    categories: Ints

    @property
    def size(self) -> int:
        return int(self.categories.max())

    def start(self, shares: Floats, slopes: Floats) -> Floats:
        above = np.clip(1 - np.cumsum(shares, axis=1)[:, :-1], 0.005, 0.995)
        lines = logit(above) * np.sqrt(1 + slopes**2 / 2.89)[:, np.newaxis]
        gaps = np.log(np.maximum(-np.diff(lines, axis=1), 0.05))
        return np.column_stack((np.log(slopes), lines[:, 0], gaps))

    def traces(self, x: Floats, points: Floats) -> Traces:
        widest, slope = self.size, np.exp(x[:, :1]) * points
        starts = self._intercepts(x)
        line = np.full((len(x), widest + 1, points.size), -np.inf)
        line[:, 0] = np.inf
        line[:, 1:-1] = np.clip(slope[:, np.newaxis] + starts[..., np.newaxis], -_LINE_LIMIT, _LINE_LIMIT)
        line[:, 1:-1][self._padding()[:, 1:]] = -np.inf
        up, down = expit(line), expit(-line)
        gap = np.full((len(x), widest), np.inf)
        gap[:, 1:-1] = np.exp(x[:, 2:])
        real = ~self._padding()
        last = np.arange(widest) == self.categories[:, np.newaxis] - 1
        gap[last | ~real] = np.inf
        logs = log_expit(line[:, :-1]) + log_expit(-line[:, 1:]) + np.log(-np.expm1(-gap))[..., np.newaxis]
        # d log P_k by the line above is Ψ(-x_k) + w, by the line below -Ψ(x_{k+1}) - w, w = 1 / (e^gap - 1).
        with np.errstate(over="ignore"):
            share = (1 / np.expm1(gap))[..., np.newaxis]
        by_upper, by_lower = down[:, :-1] + share, -up[:, 1:] - share
        scores = np.zeros((len(x), widest, widest, points.size))
        scores[:, :, 0] = (by_upper + by_lower) * slope[:, np.newaxis]
        scores[:, 0, 1], scores[:, 1:, 1] = by_lower[:, 0], (by_upper + by_lower)[:, 1:]
        for at in range(2, widest):  # parameter `at` lowers every line from number `at` on
            width = np.exp(x[:, at, np.newaxis])
            scores[:, at - 1, at] = -by_lower[:, at - 1] * width
            scores[:, at:, at] = -(by_upper + by_lower)[:, at:] * width[:, np.newaxis]
        logs[~real], scores[~real] = 0.0, 0.0
        return Traces(logs, scores)

    def items(self, x: Floats) -> GradedItems:
        return GradedItems(**self.natural(x))

    def natural(self, x: Floats) -> dict[str, Floats]:
        slopes = np.exp(x[:, 0])
        thresholds = -self._intercepts(x) / slopes[:, np.newaxis]
        return {"a": slopes, "b": np.where(self._padding()[:, 1:], np.nan, thresholds)}

    def _intercepts(self, x: Floats) -> Floats:
        intercepts: Floats = x[:, 1:2] - np.cumsum(
            np.column_stack((np.zeros(len(x)), np.exp(x[:, 2:]))), axis=1
        )
        return intercepts

    def _padding(self) -> NDArray[np.bool_]:
        return np.arange(self.size) >= self.categories[:, np.newaxis]


@dataclass(frozen=True, eq=False)
class PartialCreditCurves:
    """x = (log a, t_1, …): log P_k = k a θ + t_k less a constant, t_0 = 0; b_k = (t_{k-1} - t_k) / a."""

    categories: Ints

    @property
    def size(self) -> int:
        return int(self.categories.max())

    def start(self, shares: Floats, slopes: Floats) -> Floats:
        safe = np.maximum(shares, 0.005)
        return np.column_stack((np.log(slopes), np.log(safe[:, 1:] / safe[:, :1])))

    def traces(self, x: Floats, points: Floats) -> Traces:
        ranks = np.arange(self.size)
        by_slope = np.exp(x[:, :1, np.newaxis]) * ranks[:, np.newaxis] * points
        logs, probabilities = _divided(by_slope, x[:, 1:], self.categories)
        scores = np.empty((len(x), self.size, self.size, points.size))
        scores[:, :, 0] = by_slope - (probabilities * by_slope).sum(axis=1, keepdims=True)
        scores[:, :, 1:] = _by_intercept(probabilities)
        return _without_padding(logs, scores, self.categories)

    def items(self, x: Floats) -> PartialCreditItems:
        return PartialCreditItems(**self.natural(x))

    def natural(self, x: Floats) -> dict[str, Floats]:
        slopes = np.exp(x[:, 0])
        steps = -np.diff(x[:, 1:], axis=1, prepend=0.0) / slopes[:, np.newaxis]
        padding = np.arange(1, self.size) >= self.categories[:, np.newaxis]
        return {"a": slopes, "b": np.where(padding, np.nan, steps)}


@dataclass(frozen=True, eq=False)
class RatingScaleCurves:
    """x = (log a, u, v_1, …, v_{K-2}): log P_k = k (a θ + u) + v_k less a constant, v_0 = v_{K-1} = 0.

    a and v are common to all items: b_ik = -u_i / a + (v_{k-1} - v_k) / a, location and step; steps sum to 0.
    """

    categories: Ints

    @property
    def size(self) -> int:
        return int(self.categories.max())

    def start(self, shares: Floats, slopes: Floats) -> Floats:
        logs = np.log(np.maximum(shares, 0.005))
        logs -= logs[:, :1]
        each = logs[:, -1:] / (self.size - 1)
        common = (logs - each * np.arange(self.size))[:, 1:-1].mean(axis=0)
        return np.column_stack((np.log(slopes), each, np.broadcast_to(common, (len(shares), common.size))))

    def traces(self, x: Floats, points: Floats) -> Traces:
        inner = PartialCreditCurves(self.categories).traces(self._partial_credit(x), points)
        ranks = np.arange(1, self.size)[:, np.newaxis]
        by_location = (inner.scores[:, :, 1:] * ranks).sum(axis=2, keepdims=True)
        return Traces(
            inner.logs,
            np.concatenate((inner.scores[:, :, :1], by_location, inner.scores[:, :, 1:-1]), axis=2),
        )

    def items(self, x: Floats) -> PartialCreditItems:
        return PartialCreditItems(**self.natural(x))

    def natural(self, x: Floats) -> dict[str, Floats]:
        return PartialCreditCurves(self.categories).natural(self._partial_credit(x))

    def _partial_credit(self, x: Floats) -> Floats:
        sums = x[:, 1:2] * np.arange(1, self.size)
        sums[:, :-1] += x[:, 2:]
        return np.column_stack((x[:, 0], sums))


@dataclass(frozen=True, eq=False)
class NominalCurves:
    """x = (s_1, …, s_{K-1}, t_1, …, t_{K-1}): log P_k = s_k θ + t_k less a constant, s_0 = t_0 = 0."""

    categories: Ints

    @property
    def size(self) -> int:
        return 2 * int(self.categories.max()) - 2

    def start(self, shares: Floats, slopes: Floats) -> Floats:
        safe = np.maximum(shares, 0.005)
        ranks = np.arange(1, shares.shape[1])
        return np.column_stack(
            (slopes[:, np.newaxis] * ranks / ranks.max(), np.log(safe[:, 1:] / safe[:, :1]))
        )

    def traces(self, x: Floats, points: Floats) -> Traces:
        half = self.size // 2
        line = np.zeros((len(x), half + 1, points.size))
        line[:, 1:] = x[:, :half, np.newaxis] * points
        logs, probabilities = _divided(line, x[:, half:], self.categories)
        by_intercept = _by_intercept(probabilities)
        scores = np.concatenate((by_intercept * points, by_intercept), axis=2)
        return _without_padding(logs, scores, self.categories)

    def items(self, x: Floats) -> NominalItems:
        return NominalItems(**self.natural(x))

    def natural(self, x: Floats) -> dict[str, Floats]:
        half = self.size // 2
        padding = np.arange(half + 1) >= self.categories[:, np.newaxis]
        both = (np.column_stack((np.zeros(len(x)), part)) for part in (x[:, :half], x[:, half:]))
        slopes, intercepts = (np.where(padding, np.nan, each) for each in both)
        return {"slopes": slopes, "intercepts": intercepts}


def _divided(lines: Floats, intercepts: Floats, categories: Ints) -> tuple[Floats, Floats]:
    """Both log P and P (m, K, q), P proportional to e^(line + intercept), 0 in the padding."""
    lines = lines.copy()
    lines[:, 1:] += intercepts[..., np.newaxis]
    lines[np.arange(lines.shape[1]) >= categories[:, np.newaxis]] = -np.inf
    logs: Floats = log_softmax(lines, axis=1)
    return logs, np.exp(logs)


def _by_intercept(probabilities: Floats) -> Floats:
    """(m, K, K - 1, q): d log P_k / d t_j = [k = j] - P_j."""
    widest = probabilities.shape[1]
    scores = np.repeat(-probabilities[:, np.newaxis, 1:], widest, axis=1)
    inner = np.arange(1, widest)
    scores[:, inner, inner - 1] += 1.0
    return scores


def _without_padding(logs: Floats, scores: Floats, categories: Ints) -> Traces:
    padding = np.arange(logs.shape[1]) >= categories[:, np.newaxis]
    logs[padding], scores[padding] = 0.0, 0.0
    return Traces(logs, scores)
