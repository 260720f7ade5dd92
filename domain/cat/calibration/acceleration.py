"""Anderson acceleration of a monotone fixed-point iteration such as EM, with a safeguard.

EM climbs surely and slowly: near the top each step is a constant fraction of the one before. Anderson's
method [WalkerNi2011] [HendersonVaradhan2019] looks at the last few steps, finds the combination of them in
which the steps cancel, and goes there. Where that would lose height it falls back to the plain step, and to
shorter ones.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from domain.cat.types import Floats

_MEMORY: Final = 6
_MAY_LOSE: Final = 0.01
"""Log-likelihood that a step may lose: a little, or the method is held back where it is about to win."""
_RIDGE: Final = 1e-10
_SHORTEST: Final = 1 / 64


Watching = Callable[[int, float], None]
"""Told of each step that counted: how many evaluations there were, and the largest part of the next step."""


def watch_nothing(evaluations: int, change: float) -> None:
    """For those who need no progress."""


@dataclass(frozen=True, eq=False)
class Ascent:
    """Where the climb ended: point (p,), its height, evaluations used, the last step's largest part."""

    point: Floats
    height: float
    evaluations: int
    last_change: float
    converged: bool


def ascend(  # noqa: PLR0913 - two functions, a start, and when to stop
    evaluate: Callable[[Floats], tuple[float, Floats]],
    start: Floats,
    within: Callable[[Floats], Floats],
    *,
    tolerance: float,
    max_evaluations: int,
    watching: Watching = watch_nothing,
) -> Ascent:
    """Iterates x → F(x) until no part of F(x) - x is larger than `tolerance`.

    evaluate(x) gives the height at x and F(x); `within` pulls a point back into the allowed region. The point
    returned is one that was evaluated, so that height and point belong together.

    >>> halfway = lambda x: (-float(((x - 3) ** 2).sum()), (x + 3) / 2)
    >>> top = ascend(halfway, np.zeros(1), lambda x: x, tolerance=1e-8, max_evaluations=50)
    >>> top.point.round(6), top.converged
    (array([3.]), True)
    """
    height, image = evaluate(start)
    points, steps, evaluations = [start], [image - start], 1
    watching(evaluations, _size(steps[-1]))
    while _size(steps[-1]) > tolerance and evaluations < max_evaluations:
        share = 1.0
        point = within(points[-1] + steps[-1] if len(points) == 1 else _combined(points, steps))
        now, image = evaluate(point)
        evaluations += 1
        combined = len(points) > 1
        while (
            not now >= height - _MAY_LOSE  # not a number is lost too
            and share > _SHORTEST
            and evaluations < max_evaluations
        ):
            share, combined = (share, False) if combined else (share / 2, False)
            point = within(points[-1] + share * steps[-1])
            now, image = evaluate(point)
            points, steps = points[-1:], steps[-1:]
            evaluations += 1
        if not np.isfinite(now):
            break
        height = now
        points, steps = [*points, point][-_MEMORY:], [*steps, image - point][-_MEMORY:]
        watching(evaluations, _size(steps[-1]))
    last_change = _size(steps[-1])
    return Ascent(points[-1], height, evaluations, last_change, last_change <= tolerance)


def _combined(points: list[Floats], steps: list[Floats]) -> Floats:
    moved, changed = np.diff(points, axis=0), np.diff(steps, axis=0)
    products = changed @ changed.T
    products[np.diag_indices_from(products)] += _RIDGE * np.trace(products) + np.finfo(np.float64).tiny
    weights = np.linalg.solve(products, changed @ steps[-1])
    combined: Floats = points[-1] + steps[-1] - weights @ (moved + changed)
    return combined


def _size(step: Floats) -> float:
    return float(np.abs(step).max()) if step.size else 0.0
