"""What a sample of mutants says of all of them."""

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path

_Z = 1.959963984540054
"""95 %, both sides."""


@dataclass(frozen=True)
class Sampled:
    """Of the `population` mutants of a module, `killed` of the `tried` died."""

    module: str
    population: int
    tried: int
    killed: int

    @property
    def share(self) -> float:
        return self.killed / self.tried

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval (1927), narrowed as the sample takes up the population."""
        n, p = self.tried, self.share
        if n == self.population:
            return p, p
        z2 = _Z**2 * (self.population - n) / max(self.population - 1, 1)
        centre = (p + z2 / (2 * n)) / (1 + z2 / n)
        reach = math.sqrt(z2) / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        return centre - reach, centre + reach


def in_total(samples: list[Sampled]) -> tuple[float, float, float]:
    """Share killed of all mutants, and its 95 % interval, by stratified sampling (Cochran 1977, 5.3).

    A module whose whole sample died is not thought certain: for its variance one that died and one that
    lived are added.
    """
    whole = sum(sample.population for sample in samples)
    share = sum(sample.population * sample.share for sample in samples) / whole
    variance = 0.0
    for sample in samples:
        smoothed = (sample.killed + 1) / (sample.tried + 2)
        left = 1 - sample.tried / sample.population
        variance += (sample.population / whole) ** 2 * left * smoothed * (1 - smoothed) / sample.tried
    reach = _Z * math.sqrt(variance)
    return share, max(share - reach, 0.0), min(share + reach, 1.0)


def judged_equivalent(path: Path) -> dict[str, str]:
    """Key of each mutant that no test could tell from the original, and why."""
    told = tomllib.loads(path.read_text(encoding="utf-8"))
    return {entry["key"]: entry["why"] for entry in told.get("mutant", [])}
