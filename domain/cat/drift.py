"""Drift: which items of a bank are no longer what they were when they were calibrated again?"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from domain.cat.dif.groups import Flags
from domain.cat.dif.purification import once, purified
from domain.cat.grid import DEFAULT_GRID, Grid
from domain.cat.items import Items
from domain.cat.linking import Linking, Method, link, refuse_unpaired
from domain.cat.rescaling import discriminations, locations
from domain.cat.types import Floats


@dataclass(frozen=True, eq=False)
class AnchorDrift:
    """One entry for each of m anchor items, the new calibration put on the old scale.

    displacement: b_new - b_old (mean of thresholds or steps), logits; slope_change: log a_new - log a_old;
    displacement_z, slope_z: their robust z. area: Σ w |S_new - S_old|, rmsd: √(Σ w (S_new - S_old)²), with
    S the expected score over K - 1, so that both lie between 0 and 1; rmsd² is the D² of [Stocking1983].
    drifted: the items flagged. linking: from the new scale to the old. anchor: the items it rests on.
    rounds, settled: how often it was linked, and whether the flags stood still.
    """

    displacement: Floats
    displacement_z: Floats
    slope_change: Floats
    slope_z: Floats
    area: Floats
    rmsd: Floats
    drifted: Flags
    linking: Linking
    anchor: Flags
    rounds: int
    settled: bool


def anchor_drift(  # noqa: PLR0913 - each option is a choice of the analyst, given by name
    old: Items,
    new: Items,
    *,
    method: Method = "stocking_lord",
    grid: Grid = DEFAULT_GRID,
    z_limit: float = 2.7,
    rmsd_limit: float = 0.05,
    purify: bool = True,
    max_rounds: int = 20,
) -> AnchorDrift:
    """Compares two calibrations of the same items, row by row.

    Flagged is an item that is both out of line with the others (a robust z of the difficulty or of the log
    slope beyond ± `z_limit`) and changed enough to matter (rmsd >= `rmsd_limit`: 0.05 is five percent right
    more or less). 2.7 is the limit of [Liu2023]; [Huynh2010] took 1.645, by which one in ten stable items is
    out of line. purify: flagged items leave the linking and it is found again, at most `max_rounds` times.

    `grid`: abilities on the old scale that weigh the differences.

    Raises: InvalidItem where the two do not match or the kind has no a and b; as the linking does.

    >>> from domain.cat.logistic import LogisticItems
    >>> old = LogisticItems.of(1.2, np.linspace(-2, 2, 9))
    >>> moved = LogisticItems.of(old.a, old.b + 0.6 * (np.arange(9) == 4))
    >>> found = anchor_drift(old, Linking(1.1, 0.3).items(moved))
    >>> np.flatnonzero(found.drifted), found.displacement[4].round(6), round(1 / found.linking.A, 6)
    (array([4]), np.float64(0.6), 1.1)
    """
    refuse_unpaired(new, old)

    def test(anchor: Flags) -> tuple[AnchorDrift, Floats]:
        rows = np.flatnonzero(anchor)
        linking = link(method, new[rows], old[rows])
        found = _compared(old, new, linking, grid)
        out_of_line = np.maximum(np.abs(found.displacement_z), np.abs(found.slope_z)) > z_limit
        drifted = out_of_line & (found.rmsd >= rmsd_limit)
        return replace(found, drifted=drifted), np.where(drifted, found.rmsd, 0.0)

    outcome = purified(test, len(old), max_rounds=max_rounds) if purify else once(test, len(old))
    return replace(outcome.result, anchor=outcome.anchor, rounds=outcome.rounds, settled=outcome.settled)


def robust_z(values: Floats) -> Floats:
    """(x - median) / (0.74 IQR), which a few outliers do not move [Huynh2010].

    0.74 IQR is the standard deviation of a normal variable. Where more than half are equal (IQR 0), those
    are 0 and every other is infinite.

    >>> robust_z(np.array([0.0, 1.0, 2.0, 3.0, 14.8]))
    array([-1.35135135, -0.67567568,  0.        ,  0.67567568,  8.64864865])
    """
    distance = values - np.median(values)
    low, high = np.quantile(values, [0.25, 0.75])
    scale = 0.74 * (high - low)
    if scale <= _ROUNDING * (1 + np.abs(values).max()):
        return np.where(
            np.abs(distance) <= _ROUNDING * (1 + np.abs(values)), 0.0, np.copysign(np.inf, distance)
        )
    z: Floats = distance / scale
    return z


_ROUNDING: Final = 1e-9
"""Differences of parameters below this are of the linking's arithmetic, not of the items."""


def _compared(old: Items, new: Items, linking: Linking, grid: Grid) -> AnchorDrift:
    """Everything but the flags, which are set by the limits, and the anchor."""
    moved = linking.items(new)
    displacement = locations(moved) - locations(old)
    slope_change = np.log(discriminations(moved) / discriminations(old))
    difference = moved.expected_scores(grid.points) - old.expected_scores(grid.points)
    difference /= old.categories - 1
    none = np.zeros(len(old), dtype=np.bool_)
    return AnchorDrift(
        displacement=displacement,
        displacement_z=robust_z(displacement),
        slope_change=slope_change,
        slope_z=robust_z(slope_change),
        area=grid.weights @ np.abs(difference),
        rmsd=np.sqrt(grid.weights @ difference**2),
        drifted=none,
        linking=linking,
        anchor=~none,
        rounds=1,
        settled=True,
    )
