"""Priors on item parameters, each a density in the parameter's own metric, as in R's mirt."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from domain.cat.errors import InvalidItem
from domain.cat.types import Floats


@dataclass(frozen=True)
class LogNormal:
    """A discrimination a whose logarithm is normal: log p(a) = -log a - (log a - mean)² / (2 sd²) + constant.

    Raises: InvalidItem where sd <= 0 or a number is not finite.

    >>> LogNormal(0.0, 0.5).log_density(np.array([1.0])).round(4)
    array([-0.2258])
    """

    mean: float
    sd: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.mean) and np.isfinite(self.sd) and self.sd > 0):
            raise InvalidItem(-1, f"a lognormal prior with mean {self.mean} and sd {self.sd}")

    def log_density(self, a: Floats) -> Floats:
        """The values log p(a), same shape as a > 0."""
        log_a = np.log(a)
        spread: Floats = (log_a - self.mean) ** 2 / (2 * self.sd**2)
        return -log_a - spread - float(np.log(self.sd * np.sqrt(2 * np.pi)))

    def slope_and_bend(self, log_a: Floats) -> tuple[Floats, Floats]:
        """First derivative of log p(a), and minus the second, by log a."""
        return -1.0 - (log_a - self.mean) / self.sd**2, np.full_like(log_a, 1 / self.sd**2)


@dataclass(frozen=True)
class Beta:
    """An asymptote c in (0, 1): log p(c) = (alpha - 1) log c + (beta - 1) log(1 - c) + constant.

    Mode at (alpha - 1) / (alpha + beta - 2): 0.2 for beta(5, 17).

    Raises: InvalidItem where alpha or beta is below 1 (the density then has a pole, and no mode inside).

    >>> Beta(5.0, 17.0).log_density(np.array([0.2])).round(4)
    array([1.5222])
    """

    alpha: float
    beta: float

    def __post_init__(self) -> None:
        if not (1 <= self.alpha < np.inf and 1 <= self.beta < np.inf):
            raise InvalidItem(-1, f"a beta prior with alpha {self.alpha} and beta {self.beta}")

    def log_density(self, c: Floats) -> Floats:
        """The values log p(c), same shape as 0 < c < 1."""
        from scipy.special import betaln

        inner: Floats = (self.alpha - 1) * np.log(c) + (self.beta - 1) * np.log1p(-c)
        return inner - float(betaln(self.alpha, self.beta))

    def slope_and_bend(self, logit_c: Floats) -> tuple[Floats, Floats]:
        """First derivative of log p(c), and minus the second, by logit c."""
        from scipy.special import expit

        c = expit(logit_c)
        weight = self.alpha + self.beta - 2
        return self.alpha - 1 - weight * c, weight * c * (1 - c)


@dataclass(frozen=True)
class Priors:
    """What is assumed of each item's a, c and d before any answer is seen; None: nothing.

    >>> Priors.usual("3pl")
    Priors(a=None, c=Beta(alpha=5.0, beta=17.0), d=None)
    >>> Priors.usual("2pl") == Priors()
    True
    """

    a: LogNormal | None = None
    c: Beta | None = None
    d: Beta | None = None

    @classmethod
    def usual(cls, model: str) -> Self:
        """What a calibration assumes if it is told nothing.

        beta(5, 17) on c for the 3PL; for the 4PL beta(17, 5) on d too, and lognormal(0, 0.5) on a, without
        which a steep curve between two free asymptotes fits noise. Nothing for the other models.
        """
        return {"3pl": cls(c=GUESSING), "4pl": cls(a=LogNormal(0.0, 0.5), c=GUESSING, d=SLIPPING)}.get(
            model, cls()
        )


GUESSING: Final = Beta(5.0, 17.0)
SLIPPING: Final = Beta(17.0, 5.0)
