"""Which item measures best now: rules without chance. Those with it are in `domain.cat.exposure`.

Each rule is a small frozen object, called with the bank, the examinee's `Standing` and a generator (which
the rules of this module do not touch), and answers with a `Choice`. A tie goes to the lowest row. Scale:
logits, logistic metric, D = 1. All raise TooFewItems where no item is left.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from domain.cat.choice import Bools, Choice, Standing, best
from domain.cat.errors import InvalidItem
from domain.cat.items import Items, LogisticItems, MultidimensionalItems
from domain.cat.types import MISSING, Floats, Ints

__all__ = [
    "AStratified",
    "DOptimality",
    "KullbackLeibler",
    "MaximumExpectedInformation",
    "MaximumInformation",
    "PosteriorWeightedInformation",
    "kullback_leibler",
]

_BLOCK = 32  # items evaluated together, each at its own abilities
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(21)


@dataclass(frozen=True)
class MaximumInformation:
    """Fisher information at the estimate, I_j(θ̂)  [Lord1980].

    >>> bank = LogisticItems.of(1.0, [-2.0, 0.4, 2.0])
    >>> MaximumInformation()(bank, Standing.at(0.0, 3), np.random.default_rng(0)).item
    1
    """

    def __call__(self, bank: Items, standing: Standing, rng: np.random.Generator) -> Choice:
        del rng
        return best(bank.information(standing.theta)[0], standing.left)


@dataclass(frozen=True)
class PosteriorWeightedInformation:
    """Information averaged over the posterior, Σ_q w_q I_j(x_q)  [vanderLinden1998b].

    With no response given it weighs by the prior. It does not trust an early estimate as maximum
    information does. `Standing.points` and `posterior` are used, the estimate is not.

    >>> bank = LogisticItems.of([1.0, 1.0], [0.5, 3.0])
    >>> points, posterior = np.array([-1.0, 1.0]), np.array([0.1, 0.9])
    >>> standing = Standing(0.8, points, posterior, np.array([], int), np.array([True, True]))
    >>> PosteriorWeightedInformation()(bank, standing, np.random.default_rng(0)).criterion.round(4)
    array([0.2264, 0.0963])
    """

    def __call__(self, bank: Items, standing: Standing, rng: np.random.Generator) -> Choice:
        del rng
        return best(standing.posterior @ bank.information(standing.points), standing.left)


@dataclass(frozen=True)
class MaximumExpectedInformation:
    """Information at the estimate after the item's answer: Σ_k P(k | data) I_j(θ̂_k)  [vanderLinden1998b].

    θ̂_k is the EAP estimate after response k to item j, and P(k | data) = Σ_q w_q P_jk(x_q) how likely that
    response is. kind: expected information, or observed information of the response k itself.

    >>> bank = LogisticItems.of([1.0, 2.0], [0.0, 0.0])
    >>> points, posterior = np.array([-1.0, 0.0, 1.0]), np.array([0.25, 0.5, 0.25])
    >>> standing = Standing(0.0, points, posterior, np.array([], int), np.array([True, True]))
    >>> MaximumExpectedInformation()(bank, standing, np.random.default_rng(0)).criterion.round(4)
    array([0.2467, 0.8679])
    """

    kind: Literal["expected", "observed"] = "expected"

    def __call__(self, bank: Items, standing: Standing, rng: np.random.Generator) -> Choice:
        del rng
        criterion = np.full(len(bank), -np.inf)
        left = np.flatnonzero(standing.left)
        for start in range(0, left.size, _BLOCK):
            rows = left[start : start + _BLOCK]
            criterion[rows] = self._expected(bank[rows], standing)
        return best(criterion, standing.left)

    def _expected(self, items: Items, standing: Standing) -> Floats:
        # (q, m, K): posterior times the probability of each response.
        joint = standing.posterior[:, np.newaxis, np.newaxis] * items.category_probabilities(standing.points)
        likely = joint.sum(axis=0)
        # In the padding nothing is likely: any ability will do there.
        moments = np.einsum("q,qmk->mk", standing.points, joint)
        after = np.divide(moments, likely, out=np.zeros_like(likely), where=likely > 0)
        own = np.arange(len(items))
        total = np.zeros(len(items))
        for category in range(likely.shape[1]):
            if self.kind == "expected":
                information = items.information(after[:, category])[own, own]
            else:
                chosen = np.full((own.size, own.size), MISSING)
                chosen[own, own] = np.where(items.categories > category, category, MISSING)
                information = items.observed_information(chosen, after[:, category])[own, own]
            total += likely[:, category] * information
        return total


@dataclass(frozen=True)
class KullbackLeibler:
    """How well the item tells the estimate from abilities around it: ∫ KL_j(θ̂ ‖ θ) w(θ) dθ  [Chang1996].

    With `width` c: over θ̂ ± δ, δ = c / √n after n items (n = 1 before the first), w = 1: global
    information, which is wide while the estimate is unsure; as δ → 0 it ranks as information does. With
    `width` None: over the posterior, w its weights.

    >>> bank = LogisticItems.of([1.0, 2.0], [0.0, 1.5])
    >>> KullbackLeibler()(bank, Standing.at(0.0, 2), np.random.default_rng(0)).item
    1
    >>> KullbackLeibler(width=0.5)(bank, Standing.at(0.0, 2), np.random.default_rng(0)).item
    0
    """

    width: float | None = 3.0

    def __call__(self, bank: Items, standing: Standing, rng: np.random.Generator) -> Choice:
        del rng
        if self.width is None:
            divergence = kullback_leibler(bank, standing.theta, standing.points)
            return best(standing.posterior @ divergence, standing.left)
        reach = self.width / np.sqrt(max(standing.given.size, 1))
        divergence = kullback_leibler(bank, standing.theta, standing.theta + reach * _NODES)
        return best(reach * (_WEIGHTS @ divergence), standing.left)


def kullback_leibler(bank: Items, at: float, theta: ArrayLike) -> Floats:
    """(n, m): KL_j(at ‖ θ) = Σ_k P_jk(at) log(P_jk(at) / P_jk(θ)), in nats; 0 where θ is `at`  [Chang1996].

    >>> kullback_leibler(LogisticItems.of(1.0, [0.0]), 0.0, [0.0, 1.0]).round(6)
    array([[0.      ],
           [0.120115]])
    """
    here, there = bank.category_probabilities(at), bank.category_probabilities(theta)
    # An ability so far off that a probability underflows is told apart as well as can be.
    least = np.finfo(np.float64).tiny
    divergence: Floats = (here * np.log(np.maximum(here, least) / np.maximum(there, least))).sum(axis=2)
    return np.maximum(divergence, 0.0)


@dataclass(frozen=True, eq=False)
class AStratified:
    """Items of low discrimination first, the sharp ones when the estimate is good  [Chang1999].

    Within a stratum of items of like a the one with the smallest |θ̂ - b|; criterion: -|θ̂ - b|.
    stratum: (m,) of each item, 0 for those used first. Stage k of K lasts length / K items; where the
    stratum of a stage has no item left, the next above it is used, then those below.

    >>> bank = LogisticItems.of([0.5, 0.6, 1.5, 1.6], [0.0, 2.0, 0.1, 2.0])
    >>> rule = AStratified.of(bank, strata=2, length=2)
    >>> [rule(bank, Standing.at(0.0, 4, given), np.random.default_rng(0)).item for given in ([], [0])]
    [0, 2]
    """

    stratum: Ints
    strata: int
    length: int

    @classmethod
    def of(cls, bank: LogisticItems, strata: int, length: int, *, blocked: bool = False) -> "AStratified":
        """Strata of equal size by a.

        blocked: by a within blocks of items of like b, so that each stratum has all difficulties [Chang2001].

        Raises: InvalidItem where there are fewer items than strata, or the length is not at least 1.
        """
        size = len(bank)
        if not 1 <= strata <= size or length < 1:
            raise InvalidItem(-1, f"{strata} strata of {size} items for a test of {length}")
        stratum = np.empty(size, dtype=np.int64)
        if blocked:
            by_b = np.argsort(bank.b, kind="stable")
            for start in range(0, size, strata):
                block = by_b[start : start + strata]
                order = block[np.argsort(bank.a[block], kind="stable")]
                stratum[order] = np.arange(order.size) * strata // order.size
        else:
            stratum[np.argsort(bank.a, kind="stable")] = np.arange(size) * strata // size
        stratum.setflags(write=False)
        return cls(stratum, strata, length)

    def __call__(self, bank: LogisticItems, standing: Standing, rng: np.random.Generator) -> Choice:
        del rng
        stage = min(standing.given.size * self.strata // self.length, self.strata - 1)
        in_stage = standing.left
        for stratum in (*range(stage, self.strata), *range(stage - 1, -1, -1)):
            in_stage = standing.left & (self.stratum == stratum)
            if in_stage.any():
                break
        return best(-np.abs(standing.theta - bank.b), in_stage)


@dataclass(frozen=True, eq=False)
class DOptimality:
    """Several abilities: the item that makes the posterior's volume smallest  [Segall1996].

    criterion: log det(Σ⁻¹ + Σ_given I(θ̂) + I_j(θ̂)) less the same without item j, which for information of
    rank one, w a aᵀ, is log(1 + w aᵀ M⁻¹ a). precision: (D, D), the inverse of the prior's covariance Σ;
    zeros where there is no prior and the items given span all dimensions.

    Raises: InvalidItem where the matrix M of what is known is singular, or of another size.

    >>> bank = MultidimensionalItems([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0], [0.0, 0.0])
    >>> DOptimality(np.eye(2)).choose(bank, [0.0, 0.0], given=[0, 0], left=np.array([True, True])).item
    1
    """

    precision: Floats = field(default_factory=lambda: np.eye(1))

    def choose(self, bank: MultidimensionalItems, theta: ArrayLike, given: ArrayLike, left: Bools) -> Choice:
        """theta: (D,) the estimate; given: rows given; left: (m,) which may be chosen."""
        weight = bank.information_weight(np.atleast_2d(np.asarray(theta, dtype=np.float64)))[0]
        rows = np.asarray(given, dtype=np.int64)
        if self.precision.shape != (bank.dimensions, bank.dimensions):
            raise InvalidItem(
                -1, f"a precision of shape {self.precision.shape}, {bank.dimensions} dimensions"
            )
        known = self.precision + (bank.a[rows].T * weight[rows]) @ bank.a[rows]
        if np.linalg.matrix_rank(known) < bank.dimensions:
            raise InvalidItem(-1, "prior and items given do not say anything of every dimension")
        gain = weight * np.einsum("md,md->m", bank.a, np.linalg.solve(known, bank.a.T).T)
        return best(np.log1p(gain), left)
