"""The distribution of ability that a calibration assumes, or estimates."""

from dataclasses import dataclass

import numpy as np

from domain.cat.types import Floats


@dataclass(frozen=True, eq=False)
class Population:
    """The distribution of ability on the points: the grid's own, or one bent from it by two numbers.

    weight ∝ grid's weight · exp(tilt_1 x + tilt_2 x²), x the distance from the grid's mean: from a normal
    grid, the normals of every mean and sd. free: which of the two numbers are estimated; tilt_2 alone leaves
    the mean of a symmetric grid where it is.
    """

    points: Floats
    log_weights: Floats
    free: tuple[bool, bool]

    @property
    def size(self) -> int:
        return sum(self.free)

    def tilted(self, tilt: Floats) -> Floats:
        """(q,) log weights."""
        bent = self.log_weights + tilt @ self._powers()
        highest = float(bent.max())
        logs: Floats = bent - (highest + np.log(np.exp(bent - highest).sum()))
        return logs

    def step(self, tilt: Floats, people: Floats) -> Floats:
        """The tilt whose moments are those of the people expected at each point (Newton, always uphill)."""
        if not self.size:
            return tilt
        powers = self._powers()
        seen = powers @ people / people.sum()
        for _ in range(20):
            weights = np.exp(self.tilted(tilt))
            mean = powers @ weights
            centred = powers - mean[:, np.newaxis]
            change = np.linalg.solve((centred * weights) @ centred.T, seen - mean)
            height, now = float(tilt @ seen) + self._normaliser(tilt), tilt
            for halving in range(30):
                now = tilt + change / 2**halving
                if float(now @ seen) + self._normaliser(now) >= height:
                    break
            tilt = now
            if np.abs(change).max() < 1e-12:
                break
        return tilt

    def moments(self, tilt: Floats) -> tuple[float, float]:
        """Mean and standard deviation."""
        weights = np.exp(self.tilted(tilt))
        mean = float(weights @ self.points)
        return mean, float(np.sqrt(weights @ (self.points - mean) ** 2))

    def scores(self, tilt: Floats) -> Floats:
        """(size, q): d log weight / d tilt."""
        powers = self._powers()
        scores: Floats = powers - (powers @ np.exp(self.tilted(tilt)))[:, np.newaxis]
        return scores

    def _powers(self) -> Floats:
        weights = np.exp(self.log_weights - self.log_weights.max())
        distance = self.points - weights @ self.points / weights.sum()
        powers: Floats = np.stack((distance, distance**2))[np.array(self.free)]
        return powers

    def _normaliser(self, tilt: Floats) -> float:
        bent = self.log_weights + tilt @ self._powers()
        highest = float(bent.max())
        return -highest - float(np.log(np.exp(bent - highest).sum()))
