"""The top of many hills at once: a safeguarded Newton search, each hill in its own bracket."""

from collections.abc import Callable
from typing import Final

import numpy as np

from domain.cat.types import Floats, Ints

Slope = Callable[[Floats, Ints], tuple[Floats, Floats]]
"""Given positions (r,) and which hills they are on (r,), the slopes (r,) and the curvatures (r,) there."""

_CLOSE_ENOUGH: Final = 1e-13
_MOST_STEPS: Final = 200


def climb(slope: Slope, start: Floats, low: Floats, high: Floats) -> Floats:
    """Where each slope falls through 0 between its `low` and `high` (n,), sought from `start` (n,).

    Newton's step θ - s/s' where it stays inside the bracket and is at most half the step before; else the
    bracket is halved. So it ends wherever the slope's sign is right, and doubles its digits near the top.
    The curvature may be approximate: it decides how fast, not where; only, steps of 1e-13 end the search, and
    with a curvature ten times too large the top is then ten such steps away. Where the slope points out of
    the bracket at its end, that end is returned.

    >>> climb(lambda at, hill: (2.0 - at**3, -3 * at**2), np.array([1.0]), np.array([0.0]), np.array([4.0]))
    array([1.25992105])
    """
    theta, low, high = start.copy(), low.copy(), high.copy()
    before = high - low
    moving = np.arange(len(theta))
    for _ in range(_MOST_STEPS):
        if moving.size == 0:
            break
        here = theta[moving]
        rise, bend = slope(here, moving)
        low[moving] = np.where(rise >= 0, here, low[moving])
        high[moving] = np.where(rise <= 0, here, high[moving])
        with np.errstate(over="ignore"):  # hardly any curvature: a step to infinity, which is not trusted
            newton = here - np.divide(rise, bend, out=np.full_like(rise, np.inf), where=bend < 0)
        trusted = (newton >= low[moving]) & (newton <= high[moving])
        trusted &= np.abs(newton - here) <= before[moving] / 2
        step = np.where(trusted, newton, (low[moving] + high[moving]) / 2) - here
        theta[moving] = here + step
        before[moving] = np.abs(step)
        moving = moving[np.abs(step) > _CLOSE_ENOUGH * np.maximum(1.0, np.abs(here))]
    return theta
