"""DIF of items with more than two categories: Mantel's test, and Mantel and Haenszel's generalised."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc

from domain.cat.dif.groups import Flags, matching_score, sample_of, strata_of
from domain.cat.dif.purification import once, purified, suspicion
from domain.cat.types import Floats, Ints


@dataclass(frozen=True, eq=False)
class PolytomousDif:
    """One entry for each of m items.

    mantel, mantel_p: chi-square with 1 degree of freedom, for a shift of the mean score. generalized,
    generalized_df, generalized_p: chi-square with (categories in use - 1) degrees of freedom, for any
    difference. smd, smd_se: the focal group's mean less that of the reference group's equals, in points
    of the item; negative: harder for the focal group. effect: smd over the standard deviation of the item's
    score in both groups together. effect_class: AA negligible, BB moderate, CC large, - unknown. nan and -
    where nothing can be compared.
    anchor, rounds, settled: as in `MantelHaenszel`.
    """

    mantel: Floats
    mantel_p: Floats
    generalized: Floats
    generalized_df: Ints
    generalized_p: Floats
    smd: Floats
    smd_se: Floats
    effect: Floats
    effect_class: tuple[str, ...]
    anchor: Flags
    rounds: int
    settled: bool


def polytomous_dif(  # noqa: PLR0913 - each option is a choice of the analyst, given by name
    responses: ArrayLike,
    group: ArrayLike,
    *,
    matching: ArrayLike | None = None,
    purify: bool = False,
    significance: float = 0.05,
    max_rounds: int = 20,
) -> PolytomousDif:
    """DIF of every item from counts n_gks of group g, category k, stratum s of equal matching score.

    Mantel's test [Mantel1963] [Zwick1993]: with F_s = Σ_k k n_Fks, χ² = (Σ F - E)² / Σ V, where E and V are
    the mean and variance of F_s if the group did not matter (hypergeometric). The generalised test
    [Somes1986] [Zwick1993] does so with the vector of counts. For two categories both are the
    Mantel-Haenszel test without correction.

    smd = Σ_s w_s (mean_Fs - mean_Rs), w_s the share of the focal group in the stratum [Dorans1991], over
    strata with both groups; its error by [Zwick1996]. Classes: AA where Mantel's test is not significant at
    5 % or |effect| <= 0.17, CC where |effect| > 0.25, BB between [Zwick1997].

    responses: (n, m), 0 to K - 1 or MISSING; the other arguments as in `mantel_haenszel`; purification is
    by Mantel's test.

    Raises: InvalidResponse, InvalidGroup.

    >>> responses = np.array([[2, 1], [1, 1], [2, 0], [1, 2], [1, 2], [0, 2], [1, 1], [0, 2]])
    >>> found = polytomous_dif(responses, [0, 0, 0, 0, 1, 1, 1, 1])
    >>> found.mantel.round(4), found.smd.round(4)
    (array([2.8285, 2.8285]), array([-1.,  1.]))
    """
    sample = sample_of(responses, group)
    items = sample.responses.shape[1]

    def test(anchor: Flags) -> tuple[PolytomousDif, Floats]:
        found = _statistics(sample.counts(matching_score(sample, anchor), ~anchor))
        return found, suspicion(found.mantel_p, found.mantel, significance)

    if matching is not None:
        none = np.zeros(items, dtype=np.bool_)
        found = _statistics(sample.counts(strata_of(matching, len(sample.responses)), none))
        return replace(found, anchor=none)
    outcome = purified(test, items, max_rounds=max_rounds) if purify else once(test, items)
    return replace(outcome.result, anchor=outcome.anchor, rounds=outcome.rounds, settled=outcome.settled)


MODERATE: Final = 0.17
LARGE: Final = 0.25


def _statistics(table: Floats) -> PolytomousDif:
    """From counts (2, K, s, m): group, category, stratum, item."""
    points = np.arange(table.shape[1], dtype=np.float64)
    both = table.sum(axis=0)
    people = table.sum(axis=1)
    total = people.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):  # nan says that there is nothing to compare
        share = np.where(total > 0, people[1] / total, 0.0)
        factor = np.where(total > 1, people[0] * people[1] / (total**2 * (total - 1)), 0.0)
        surplus = table[1] - share * both
        covariance = _covariance(both, total, factor)
        shift = np.einsum("k,ksm->m", points, surplus)
        spread = np.einsum("k,smkl,l->sm", points, covariance, points)
        mantel = np.where(spread.sum(axis=0) > 0, shift**2 / spread.sum(axis=0), np.nan)
        smd, smd_se = _standardized(table, people, points, spread)
        effect = smd / _score_sd(both.sum(axis=1), points)
    generalized, degrees = _quadratic(surplus.sum(axis=1).T, covariance.sum(axis=0))
    mantel_p = chdtrc(1, mantel)
    items = table.shape[3]
    return PolytomousDif(
        mantel=mantel,
        mantel_p=mantel_p,
        generalized=generalized,
        generalized_df=degrees,
        generalized_p=chdtrc(degrees, generalized),
        smd=smd,
        smd_se=smd_se,
        effect=effect,
        effect_class=_classes(mantel_p, effect),
        anchor=np.ones(items, dtype=np.bool_),
        rounds=1,
        settled=True,
    )


def _covariance(both: Floats, total: Floats, factor: Floats) -> Floats:
    """(s, m, K, K): of the focal group's counts, given the margins."""
    counts = np.moveaxis(both, 0, -1)
    diagonal = (total * factor)[..., np.newaxis, np.newaxis] * counts[..., np.newaxis] * np.eye(len(both))
    covariance: Floats = diagonal - factor[..., np.newaxis, np.newaxis] * (
        counts[..., :, np.newaxis] * counts[..., np.newaxis, :]
    )
    return covariance


def _quadratic(surplus: Floats, covariance: Floats) -> tuple[Floats, Ints]:
    """(m,) d' V⁺ d and the rank of V: one less than the categories in use."""
    scale = np.trace(covariance, axis1=1, axis2=2)
    inverse = np.linalg.pinv(covariance, rcond=_SINGULAR, hermitian=True)
    degrees = np.linalg.matrix_rank(covariance, tol=_SINGULAR * scale, hermitian=True)
    value = np.einsum("mk,mkl,ml->m", surplus, inverse, surplus)
    return np.where(degrees > 0, value, np.nan), degrees.astype(np.int64)


_SINGULAR: Final = 1e-10


def _standardized(table: Floats, people: Floats, points: Floats, spread: Floats) -> tuple[Floats, Floats]:
    comparable = (people > 0).all(axis=0)
    means = np.where(comparable, np.einsum("k,gksm->gsm", points, table) / people, 0.0)
    weight = np.where(comparable, people[1], 0.0)
    weight = weight / weight.sum(axis=0)
    each = np.where(comparable, weight * (1 / people[0] + 1 / people[1]), 0.0)
    smd = (weight * (means[1] - means[0])).sum(axis=0)
    return smd, np.sqrt((each**2 * spread).sum(axis=0))


def _score_sd(counts: Floats, points: Floats) -> Floats:
    """(m,): from counts (K, m)."""
    mean = points @ counts / counts.sum(axis=0)
    sd: Floats = np.sqrt((counts * (points[:, np.newaxis] - mean) ** 2).sum(axis=0) / counts.sum(axis=0))
    return sd


def _classes(p_value: Floats, effect: Floats) -> tuple[str, ...]:
    classes = np.where(np.abs(effect) > LARGE, "CC", "BB")
    classes[(p_value >= 0.05) | (np.abs(effect) <= MODERATE)] = "AA"
    classes[np.isnan(p_value + effect)] = "-"
    return tuple(str(each) for each in classes)
