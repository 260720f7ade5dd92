"""The Mantel-Haenszel test of items scored right or wrong, and the classes of ETS.

In each stratum of people with the same matching score, for the item studied:

                right   wrong   all
    reference     A       B     n_R
    focal         C       D     n_F
    both         m_1     m_0     T
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc, ndtri

from domain.cat.dif.groups import Flags, matching_score, refuse_more_than_two, sample_of, strata_of
from domain.cat.dif.purification import Purified, once, purified, suspicion
from domain.cat.types import Floats, Ints

DELTA: Final = -2.35
"""MH D-DIF = -2.35 ln(odds ratio) puts the log odds ratio on ETS's scale of difficulty [Holland1988]."""


@dataclass(frozen=True, eq=False)
class MantelHaenszel:
    """One entry for each of m items.

    chi_square, p_value: 1 degree of freedom. odds_ratio: above 1 where the reference group does better
    among equals; log_odds_se: standard error of its logarithm. delta, delta_se: MH D-DIF and its standard
    error; negative: harder for the focal group. ets_class: A negligible, B moderate, C large, - unknown.
    strata: how many carried information. Where none did (nobody to compare, all right, all wrong),
    statistics are nan and the class is -; where one group alone erred, the odds ratio is 0 or inf.

    anchor: the items of the matching score (all of them, or what purification left; none of them where
    `matching` was given); rounds, settled: of the purification.
    """

    chi_square: Floats
    p_value: Floats
    odds_ratio: Floats
    log_odds_se: Floats
    delta: Floats
    delta_se: Floats
    ets_class: tuple[str, ...]
    strata: Ints
    anchor: Flags
    rounds: int
    settled: bool


def mantel_haenszel(  # noqa: PLR0913 - each option is a choice of the analyst, given by name
    responses: ArrayLike,
    group: ArrayLike,
    *,
    correction: bool = True,
    matching: ArrayLike | None = None,
    purify: bool = False,
    significance: float = 0.05,
    max_rounds: int = 20,
) -> MantelHaenszel:
    """DIF of every item by Mantel and Haenszel [Mantel1959] [Holland1988].

        χ² = (|Σ A - Σ n_R m_1 / T| - ½)² / Σ n_R n_F m_1 m_0 / (T² (T - 1))
        odds ratio = Σ (A D / T) / Σ (B C / T)
        Var(ln odds ratio) by [Robins1986]

    The ½ is the correction for continuity; it is left out with correction=False. It is subtracted as it
    stands in the formula, also where the difference is below ½.

    Classes [Zwick2012]: A where χ² is not significant at 5 % or |delta| < 1; C where |delta| >= 1.5 and
    |delta| is above 1 significantly (one-sided, 5 %: |delta| - 1.645 se > 1); B otherwise.

    responses: (n, m), 0, 1 or MISSING. group: (n,), 0 reference, 1 focal. People are matched on their
    number right, the studied item included [Holland1988]; a missing response adds nothing to it. Where many
    are missing (adaptive tests), match on ability: see `adaptive`.

    matching: (n,) labels of strata (numbers or texts), to be used instead of the score. purify: items
    with p < `significance` leave the score (but for their own test) and the test is repeated until the set
    stands still, at most `max_rounds` times; half of the items stay in any case, see `purification`.

    Raises: InvalidResponse, InvalidGroup.

    >>> responses = np.array([[1, 1], [1, 0], [0, 1], [1, 0], [0, 1], [0, 1], [1, 0], [0, 1]])
    >>> found = mantel_haenszel(responses, [0, 0, 0, 0, 1, 1, 1, 1], correction=False)
    >>> found.chi_square.round(4), found.odds_ratio.round(4)
    (array([1.0417, 1.0417]), array([6.    , 0.1667]))
    """
    sample = sample_of(responses, group)
    refuse_more_than_two(sample)
    items = sample.responses.shape[1]

    def test(anchor: Flags) -> tuple[_Statistics, Floats]:
        table = sample.counts(matching_score(sample, anchor), ~anchor)
        statistics = _statistics(table, correction=correction)
        return statistics, suspicion(statistics.p_value, statistics.chi_square, significance)

    if matching is not None:
        none = np.zeros(items, dtype=np.bool_)
        table = sample.counts(strata_of(matching, len(sample.responses)), none)
        return _found(Purified(_statistics(table, correction=correction), none, rounds=1, settled=True))
    if not purify:
        return _found(once(test, items))
    return _found(purified(test, items, max_rounds=max_rounds))


def ets_classes(p_value: Floats, delta: Floats, delta_se: Floats) -> tuple[str, ...]:
    """A, B or C of each item by the rule in `mantel_haenszel`; - where a number is not finite.

    >>> ets_classes(np.array([0.2, 0.01, 0.01]), np.array([-1.9, -1.9, -1.2]), np.array([0.5, 0.5, 0.1]))
    ('A', 'C', 'B')
    """
    size = np.abs(delta)
    classes = np.full(size.shape, "B")
    classes[(size >= 1.5) & (size - ndtri(0.95) * delta_se > 1)] = "C"
    classes[(p_value >= 0.05) | (size < 1)] = "A"
    classes[~np.isfinite(p_value + delta + delta_se)] = "-"
    return tuple(str(each) for each in classes)


@dataclass(frozen=True, eq=False)
class _Statistics:
    chi_square: Floats
    p_value: Floats
    odds_ratio: Floats
    log_odds_se: Floats
    strata: Ints


def _statistics(table: Floats, *, correction: bool) -> _Statistics:
    """From counts (2, 2, s, m): group, wrong or right, stratum, item."""
    (b, a), (d, c) = table
    reference, focal, right, wrong = a + b, c + d, a + c, b + d
    total = reference + focal
    with np.errstate(divide="ignore", invalid="ignore"):  # nan says that there is nothing to compare
        expected = np.where(total > 0, reference * right / total, 0.0)
        variance = np.where(total > 1, reference * focal * right * wrong / (total**2 * (total - 1)), 0.0)
        difference = np.abs((a - expected).sum(axis=0))
        spread = variance.sum(axis=0)
        chi_square = np.where(spread > 0, (difference - (0.5 if correction else 0.0)) ** 2 / spread, np.nan)
        agree = np.where(total > 0, (a + d) / total, 0.0)  # P and Q of the paper, R and S below
        differ = np.where(total > 0, (b + c) / total, 0.0)
        up = np.where(total > 0, a * d / total, 0.0)
        down = np.where(total > 0, b * c / total, 0.0)
        ups, downs = up.sum(axis=0), down.sum(axis=0)
        log_odds_variance = (
            (agree * up).sum(axis=0) / (2 * ups**2)
            + (agree * down + differ * up).sum(axis=0) / (2 * ups * downs)
            + (differ * down).sum(axis=0) / (2 * downs**2)
        )
        odds_ratio = ups / downs
    return _Statistics(
        chi_square=chi_square,
        p_value=chdtrc(1, chi_square),
        odds_ratio=odds_ratio,
        log_odds_se=np.sqrt(log_odds_variance),
        strata=(variance > 0).sum(axis=0),
    )


def _found(purified_test: Purified[_Statistics]) -> MantelHaenszel:
    statistics = purified_test.result
    with np.errstate(divide="ignore"):  # nobody of one group erred where it counts: the delta is infinite
        delta = DELTA * np.log(statistics.odds_ratio)
    delta_se = abs(DELTA) * statistics.log_odds_se
    return MantelHaenszel(
        chi_square=statistics.chi_square,
        p_value=statistics.p_value,
        odds_ratio=statistics.odds_ratio,
        log_odds_se=statistics.log_odds_se,
        delta=delta,
        delta_se=delta_se,
        ets_class=ets_classes(statistics.p_value, delta, delta_se),
        strata=statistics.strata,
        anchor=purified_test.anchor,
        rounds=purified_test.rounds,
        settled=purified_test.settled,
    )
