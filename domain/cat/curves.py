"""The logistic curve Ψ between two asymptotes, its complement and their slopes, exact on both sides.

P(x) = c + (d - c) Ψ(x) and Q(x) = 1 - P(x), Ψ(x) = 1 / (1 + e^-x). Everything is finite and right at any
finite x: nothing is got by subtracting from 1, and quotients such as Ψ / P, which is 1 / d where c = 0, do
not become 0 / 0 where Ψ underflows.
"""

from dataclasses import dataclass

import numpy as np

from domain.cat.types import Floats

_TINY = 1e-300
"""What Ψ counts as, as a factor of a quotient, where it underflows."""


def logistic_pair(x: Floats) -> tuple[Floats, Floats]:
    """Ψ(x) and Ψ(-x) = 1 - Ψ(x), any shape, for one exponential.

    The complement is not got by subtraction, which would lose all digits from x = 37 on. The exponential
    is of -|x| and cannot overflow; beyond ±745 the smaller of the two is 0.

    >>> logistic_pair(np.array([0.0, -1000.0]))
    (array([0.5, 0. ]), array([0.5, 1. ]))
    """
    decay = np.exp(-np.abs(x))
    larger = 1.0 / (1.0 + decay)
    smaller = decay * larger
    positive = x >= 0
    return np.where(positive, larger, smaller), np.where(positive, smaller, larger)


def log_logistic(x: Floats) -> Floats:
    """The logarithm of Ψ(x), any shape; 0 at inf, -inf at -inf.

    >>> log_logistic(np.array([-1000.0, 1000.0]))
    array([-1000.,     0.])
    """
    logs: Floats = np.minimum(x, 0.0) - np.log1p(np.exp(-np.abs(x)))
    return logs


@dataclass(frozen=True, eq=False)
class BetweenAsymptotes:
    """Right or wrong with P(x) = c + (d - c) Ψ(x); x is (…, m), c and d are (m,), 0 <= c < d <= 1.

    >>> curve = BetweenAsymptotes(np.array([[0.0]]), np.array([0.2]), np.array([1.0]))
    >>> curve.right, curve.wrong
    (array([[0.6]]), array([[0.4]]))
    """

    x: Floats
    c: Floats
    d: Floats

    @property
    def right(self) -> Floats:
        return self.c + (self.d - self.c) * logistic_pair(self.x)[0]

    @property
    def wrong(self) -> Floats:
        return (1 - self.d) + (self.d - self.c) * logistic_pair(self.x)[1]

    def logs(self) -> tuple[Floats, Floats]:
        """The logarithms of Q and P: -1000 and not -inf at x = ±1000 where there is no asymptote."""
        upper, lower = logistic_pair(self.x)
        return (
            _log_mixture(1 - self.d, 1 - self.c, (lower, upper), log_logistic(-self.x)),
            _log_mixture(self.c, self.d, (upper, lower), log_logistic(self.x)),
        )

    def information(self) -> Floats:
        """P'² / (P Q) by x, as (d - c)² · Ψ (1 - Ψ) · (Ψ / P) · ((1 - Ψ) / Q), whose factors stay finite."""
        return self._information(*logistic_pair(self.x))

    def information_and_skew(self) -> tuple[Floats, Floats]:
        """P'² / (P Q) and P' P'' / (P Q) by x: the second is 1 - 2Ψ times the first."""
        upper, lower = logistic_pair(self.x)
        information = self._information(upper, lower)
        return information, (lower - upper) * information

    def _information(self, upper: Floats, lower: Floats) -> Floats:
        span = self.d - self.c
        kept_upper, kept_lower = np.maximum(upper, _TINY), np.maximum(lower, _TINY)
        right = kept_upper / (self.c + span * kept_upper)
        wrong = kept_lower / ((1 - self.d) + span * kept_lower)
        information: Floats = span**2 * (upper * lower) * (right * wrong)
        return information

    def slopes(self) -> tuple[Floats, Floats, Floats, Floats]:
        """(log Q)', (log P)', (log Q)'' and (log P)'' by x.

        (log P)' = (d - c) (1 - Ψ) Ψ / P and (log P)'' = (log P)' (c (1 - Ψ) / P - Ψ);
        (log Q)' = -(d - c) Ψ (1 - Ψ) / Q and (log Q)'' = (log Q)' ((1 - Ψ) - (1 - d) Ψ / Q).
        """
        upper, lower = logistic_pair(self.x)
        span = self.d - self.c
        kept_upper, kept_lower = np.maximum(upper, _TINY), np.maximum(lower, _TINY)
        right = self.c + span * kept_upper
        wrong = (1 - self.d) + span * kept_lower
        log_right = span * lower * (kept_upper / right)
        log_wrong = -span * upper * (kept_lower / wrong)
        return (
            log_wrong,
            log_right,
            log_wrong * (lower - (1 - self.d) * upper / wrong),
            log_right * (self.c * lower / right - upper),
        )


def _log_mixture(floor: Floats, ceiling: Floats, pair: tuple[Floats, Floats], log_curve: Floats) -> Floats:
    """log(floor + (ceiling - floor) curve), `pair` being the curve and its complement.

    Where the floor is 0 it is log(ceiling) + log(curve); in the upper half log(ceiling) + log(1 - what is
    missing), so that it does not become log(ceiling) while something is.
    """
    curve, complement = pair
    mixed = floor + (ceiling - floor) * curve
    missing = (ceiling - floor) / ceiling * complement
    with_floor = np.log(mixed, out=np.zeros_like(mixed), where=mixed > 0)
    near_ceiling = np.log(ceiling) + np.log1p(-np.minimum(missing, 0.5))
    return np.where(
        floor == 0, np.log(ceiling) + log_curve, np.where(missing < 0.5, near_ceiling, with_floor)
    )
