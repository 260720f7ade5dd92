"""DIF by logistic regression of each item on the matching score, the group, and both together."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc

from domain.cat.dif.binomial_regression import BinomialFit, fit_binomial
from domain.cat.dif.groups import (
    Flags,
    Sample,
    matching_numbers,
    matching_score,
    refuse_more_than_two,
    sample_of,
)
from domain.cat.dif.purification import Purified, once, purified, suspicion
from domain.cat.types import Floats

Kind = Literal["uniform", "nonuniform", "both"]


@dataclass(frozen=True, eq=False)
class LogisticTest:
    """One comparison of two nested regressions, for each of m items.

    chi_square: twice the difference of their log-likelihoods; p_value: with `degrees_of_freedom`.
    r_squared_change: difference of their Nagelkerke R². zumbo_thomas, jodoin_gierl: A negligible,
    B moderate, C large by the limits of the one and the other, - where it cannot be said.
    """

    chi_square: Floats
    degrees_of_freedom: int
    p_value: Floats
    r_squared_change: Floats
    zumbo_thomas: tuple[str, ...]
    jodoin_gierl: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class LogisticDif:
    """The three tests, and what lies behind them.

    uniform: does the group shift the item (1 degree of freedom)? nonuniform: does the effect of the group
    depend on the score (1)? both: either of the two (2).

    coefficients, standard_errors: (m, 4) of the full regression: intercept, score, group, score x group,
    on the scale of the score as it is. separated: (m,): some regression has coefficients that grow without
    end (right and wrong are parted without error): its chi-square and R² are at their limit, its
    coefficients are as large as they were when they no longer mattered, standard errors are nan.
    estimable: (m,): False where there is nothing to compare; its numbers are nan. converged: (m,).
    anchor, rounds, settled: of the purification, as in `MantelHaenszel`.
    """

    uniform: LogisticTest
    nonuniform: LogisticTest
    both: LogisticTest
    coefficients: Floats
    standard_errors: Floats
    separated: Flags
    estimable: Flags
    converged: Flags
    anchor: Flags
    rounds: int
    settled: bool

    def test(self, kind: Kind) -> LogisticTest:
        """The test of that name."""
        tests: dict[Kind, LogisticTest] = {
            "uniform": self.uniform,
            "nonuniform": self.nonuniform,
            "both": self.both,
        }
        return tests[kind]


def logistic_dif(  # noqa: PLR0913 - each option is a choice of the analyst, given by name
    responses: ArrayLike,
    group: ArrayLike,
    *,
    matching: ArrayLike | None = None,
    purify: bool = False,
    kind: Kind = "both",
    significance: float = 0.05,
    max_rounds: int = 20,
) -> LogisticDif:
    """DIF of every item by comparing three regressions [Swaminathan1990].

        1: logit P = β0 + β1 x      2: … + β2 g      3: … + β3 x g

    with x the matching score and g = 1 for the focal group: uniform DIF is 2 against 1, non-uniform
    3 against 2, both 3 against 1, each by the likelihood-ratio chi-square.

    Effect size: difference of R² = (1 - (L0 / L)^(2/n)) / (1 - L0^(2/n)) [Nagelkerke1991], n the responses
    to the item, L0 the likelihood with the intercept alone. Classes: A where the test is not significant
    (p >= `significance`) or the difference is below the lower limit, C from the upper limit on, B between;
    limits 0.13 and 0.26 [Zumbo1997], 0.035 and 0.07 [Jodoin2001].

    responses: (n, m), 0, 1 or MISSING. group: (n,), 0 reference, 1 focal. matching: (n,) numbers instead of
    the number right (which includes the studied item; a missing response adds nothing to it). purify: items
    with p < `significance` in the test `kind` leave the score, as in `mantel_haenszel`.

    Raises: InvalidResponse, InvalidGroup.

    >>> rng = np.random.default_rng(1)
    >>> ability, group = rng.normal(size=2000), np.repeat([0, 1], 1000)
    >>> harder = np.outer(group, [1.5, 0, 0, 0, 0, 0, 0, 0])
    >>> right = rng.random((2000, 8)) < 1 / (1 + np.exp(harder - ability[:, np.newaxis]))
    >>> found = logistic_dif(right, group, kind="uniform", purify=True)
    >>> found.uniform.jodoin_gierl[0], bool(found.uniform.p_value[0] < 1e-6), bool(found.anchor[0])
    ('B', True, False)
    """
    sample = sample_of(responses, group)
    refuse_more_than_two(sample)
    items = sample.responses.shape[1]

    def test(anchor: Flags) -> tuple[_Comparison, Floats]:
        found = _by_score(sample, anchor)
        return found, suspicion(found.p_value(kind), found.chi_square(kind), significance)

    if matching is not None:
        none = np.zeros(items, dtype=np.bool_)
        found = _by_value(sample, matching_numbers(matching, len(sample.responses)))
        return _result(Purified(found, none, rounds=1, settled=True), significance)
    if not purify:
        return _result(once(test, items), significance)
    return _result(purified(test, items, max_rounds=max_rounds), significance)


ZUMBO_THOMAS: Final = (0.13, 0.26)
JODOIN_GIERL: Final = (0.035, 0.07)


def effect_classes(
    p_value: Floats, r_squared_change: Floats, limits: tuple[float, float], significance: float = 0.05
) -> tuple[str, ...]:
    """A, B or C of each item by the rule in `logistic_dif`; - where a number is nan.

    >>> effect_classes(np.array([0.2, 0.01, 0.01]), np.array([0.5, 0.05, 0.08]), JODOIN_GIERL)
    ('A', 'B', 'C')
    """
    classes = np.where(r_squared_change >= limits[1], "C", "B")
    classes[(p_value >= significance) | (r_squared_change < limits[0])] = "A"
    classes[np.isnan(p_value + r_squared_change)] = "-"
    return tuple(str(each) for each in classes)


@dataclass(frozen=True, eq=False)
class _Comparison:
    """The four fits, from the intercept alone to the full one, and the change of scale of the score."""

    fits: tuple[BinomialFit, BinomialFit, BinomialFit, BinomialFit]
    responses: Floats
    middle: float
    spread: float

    def chi_square(self, kind: Kind) -> Floats:
        small, large, _ = _COMPARED[kind]
        gain = self.fits[large].log_likelihood - self.fits[small].log_likelihood
        return 2 * np.maximum(gain, 0.0)  # nested: below 0 is rounding

    def p_value(self, kind: Kind) -> Floats:
        tail: Floats = chdtrc(_COMPARED[kind][2], self.chi_square(kind))
        return tail

    def r_squared_change(self, kind: Kind) -> Floats:
        small, large, _ = _COMPARED[kind]
        return self._r_squared(large) - self._r_squared(small)

    def _r_squared(self, fit: int) -> Floats:
        base = self.fits[0].log_likelihood
        share = 2 / np.maximum(self.responses, 1)
        explained = -np.expm1(share * (base - self.fits[fit].log_likelihood))
        r_squared: Floats = explained / -np.expm1(share * base)
        return r_squared


_COMPARED: Final[dict[Kind, tuple[int, int, int]]] = {
    "uniform": (1, 2, 1),
    "nonuniform": (2, 3, 1),
    "both": (1, 3, 2),
}
"""Which fit is held against which, and the degrees of freedom."""


def _by_score(sample: Sample, anchor: Flags) -> _Comparison:
    """One cell for each group and score: the same likelihood as one for each person, with far fewer rows."""
    table = sample.counts(matching_score(sample, anchor), ~anchor)
    levels = np.arange(table.shape[2], dtype=np.float64)
    wrong, right = (table[:, category].reshape(-1, table.shape[3]) for category in (0, 1))
    return _compared(np.tile(levels, 2), np.repeat([0.0, 1.0], len(levels)), right, right + wrong)


def _by_value(sample: Sample, values: Floats) -> _Comparison:
    right = (sample.responses == 1).astype(np.float64)
    return _compared(values, sample.focal.astype(np.float64), right, sample.given.astype(np.float64))


def _compared(score: Floats, focal: Floats, right: Floats, trials: Floats) -> _Comparison:
    people = trials.sum(axis=1)
    middle = float(np.average(score, weights=people)) if people.sum() > 0 else 0.0
    spread = float(np.sqrt(np.average((score - middle) ** 2, weights=people))) if people.sum() > 0 else 0.0
    spread = spread or 1.0
    x = (score - middle) / spread  # so that the columns of the design are of like size
    design = np.column_stack([np.ones_like(x), x, focal, x * focal])
    full, shifted, plain, base = (
        fit_binomial(design[:, :columns], right, trials) for columns in (4, 3, 2, 1)
    )
    return _Comparison((base, plain, shifted, full), trials.sum(axis=0), middle, spread)


def _result(purified_test: Purified[_Comparison], significance: float) -> LogisticDif:
    found = purified_test.result
    coefficients, errors = _unscaled(found)
    return LogisticDif(
        uniform=_test(found, "uniform", significance),
        nonuniform=_test(found, "nonuniform", significance),
        both=_test(found, "both", significance),
        coefficients=coefficients,
        standard_errors=errors,
        separated=np.logical_or.reduce([fit.separated for fit in found.fits]),
        estimable=found.fits[2].estimable,
        converged=np.logical_and.reduce([fit.converged | ~fit.estimable for fit in found.fits]),
        anchor=purified_test.anchor,
        rounds=purified_test.rounds,
        settled=purified_test.settled,
    )


def _test(found: _Comparison, kind: Kind, significance: float) -> LogisticTest:
    p_value, change = found.p_value(kind), found.r_squared_change(kind)
    return LogisticTest(
        chi_square=found.chi_square(kind),
        degrees_of_freedom=_COMPARED[kind][2],
        p_value=p_value,
        r_squared_change=change,
        zumbo_thomas=effect_classes(p_value, change, ZUMBO_THOMAS, significance),
        jodoin_gierl=effect_classes(p_value, change, JODOIN_GIERL, significance),
    )


def _unscaled(found: _Comparison) -> tuple[Floats, Floats]:
    """Coefficients and their standard errors for the score as it is: β = T β*, T'ΣT likewise."""
    full = found.fits[3]
    up, down = -found.middle / found.spread, 1 / found.spread
    change = np.array([[1, up, 0, 0], [0, down, 0, 0], [0, 0, 1, up], [0, 0, 0, down]])
    variances = np.einsum("ij,mjk,ik->mi", change, full.covariance, change)
    return full.coefficients @ change.T, np.sqrt(variances)
