"""Logistic regression of many items at once: one design for all, Newton's method (IRLS), separation told."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from domain.cat.curves import logistic_pair
from domain.cat.dif.groups import Flags
from domain.cat.types import Floats, Ints


@dataclass(frozen=True, eq=False)
class BinomialFit:
    """One regression for each of m items, with p coefficients.

    coefficients: (m, p). covariance: (m, p, p), the inverse of the information. log_likelihood: (m,), of
    the single responses (no binomial coefficients). separated: (m,): a line parts right from wrong without
    error, so that some coefficient grows without end; the log-likelihood is at its limit all the same.
    estimable: (m,): False where the data do not determine the coefficients at all (one group absent, one
    level of the score, all right or all wrong); numbers are nan there. converged: (m,).
    """

    coefficients: Floats
    covariance: Floats
    log_likelihood: Floats
    separated: Flags
    estimable: Flags
    converged: Flags


def fit_binomial(design: Floats, right: Floats, trials: Floats) -> BinomialFit:
    """Maximises Σ_q right log P + (trials - right) log(1 - P), logit P = design β, for each item.

    design: (q, p), one row for each cell. right, trials: (q, m), how many right answers among how many
    in the cell. The columns of the design should be of like size.

    >>> cells = np.array([[1.0, 0.0], [1.0, 1.0]])
    >>> fit = fit_binomial(cells, np.array([[1.0], [3.0]]), np.array([[4.0], [4.0]]))
    >>> fit.coefficients.round(6)  # logit 1/4 = -log 3, logit 3/4 = log 3
    array([[-1.098612,  2.197225]])
    """
    cells = _Cells(design, right, trials)
    estimable = cells.estimable()
    beta = np.zeros((right.shape[1], design.shape[1]))
    value = cells.log_likelihood(beta)
    active, separated = estimable.copy(), np.zeros_like(estimable)
    for _ in range(_STEPS):
        rows = np.flatnonzero(active)
        if rows.size == 0:
            break
        part = cells.of(rows)
        moved, reached = part.improved(beta[rows], value[rows])
        change = np.max(np.abs(design @ (moved - beta[rows]).T) * (part.trials > 0), axis=0)
        still = reached - value[rows] <= _FLAT * (1 + np.abs(reached))
        beta[rows], value[rows] = moved, reached
        separated[rows[still & (change > _GROWING)]] = True
        active[rows[still & ((change < _AT_REST) | (change > _GROWING))]] = False
    unknown = separated | ~estimable
    information = cells.information(beta)
    information[unknown] = np.eye(design.shape[1])
    covariance = np.asarray(np.linalg.inv(information), dtype=np.float64)
    covariance[unknown] = np.nan
    beta[~estimable], value[~estimable] = np.nan, np.nan
    return BinomialFit(beta, covariance, value, separated, estimable, converged=estimable & ~active)


_STEPS: Final = 100
_HALVINGS: Final = 30
_FLAT: Final = 1e-13
_AT_REST: Final = 1e-6
"""Newton's steps shrink as squares: after one of 1e-6 logits the next is below 1e-11."""
_GROWING: Final = 0.1
"""Under separation each step adds about one logit for ever, while the log-likelihood stands still."""
_SINGULAR: Final = 1e-11


@dataclass(frozen=True, eq=False)
class _Cells:
    """design (q, p); right and trials (q, m)."""

    design: Floats
    right: Floats
    trials: Floats

    def of(self, items: Ints) -> "_Cells":
        return _Cells(self.design, self.right[:, items], self.trials[:, items])

    def estimable(self) -> Flags:
        """(m,): whether the cells with anybody in them span the coefficients, and both answers occur."""
        spread = np.linalg.eigvalsh(self._squares((self.trials > 0).astype(np.float64)))
        both = (self.right.sum(axis=0) > 0) & ((self.trials - self.right).sum(axis=0) > 0)
        return np.asarray(both & (spread[:, 0] > _SINGULAR * spread[:, -1]))

    def log_likelihood(self, beta: Floats) -> Floats:
        """(m,): Σ right log Ψ(x) + wrong log Ψ(-x), with log Ψ(x) = -log(1 + e^-x)."""
        line = self.design @ beta.T
        wrong = self.trials - self.right
        total: Floats = -(self.right * np.logaddexp(0, -line) + wrong * np.logaddexp(0, line)).sum(axis=0)
        return total

    def information(self, beta: Floats) -> Floats:
        """(m, p, p): Σ trials P (1 - P) x x'."""
        upper, lower = logistic_pair(self.design @ beta.T)
        return self._squares(self.trials * upper * lower)

    def improved(self, beta: Floats, value: Floats) -> tuple[Floats, Floats]:
        """After Newton's step, halved for those items where it overshot; and the log-likelihood there."""
        step = self._newton_step(beta)
        size = np.ones((len(beta), 1))
        for _ in range(_HALVINGS):
            moved = beta + size * step
            reached = self.log_likelihood(moved)
            worse = reached < value - _FLAT * (1 + np.abs(value))
            if not worse.any():
                break
            size[worse] /= 2
        return moved, np.maximum(reached, value)

    def _newton_step(self, beta: Floats) -> Floats:
        probability, _ = logistic_pair(self.design @ beta.T)
        gradient = (self.design.T @ (self.right - self.trials * probability)).T
        information = self.information(beta)
        size = np.trace(information, axis1=1, axis2=2)[:, np.newaxis, np.newaxis]
        information += _SINGULAR * size * np.eye(beta.shape[1])  # under separation it fades to nothing
        step = np.linalg.solve(information, gradient[:, :, np.newaxis])[:, :, 0]
        return np.asarray(step, dtype=np.float64)

    def _squares(self, weights: Floats) -> Floats:
        """(m, p, p): Σ_q w_q x_q x_q'."""
        p = self.design.shape[1]
        products = (self.design[:, :, np.newaxis] * self.design[:, np.newaxis, :]).reshape(-1, p * p)
        squares: Floats = (weights.T @ products).reshape(-1, p, p)
        return squares
