"""DIF of items with several categories: sums written apart, the case of two, planted DIF and none."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from domain.cat.dif.mantel_haenszel import mantel_haenszel
from domain.cat.dif.polytomous import polytomous_dif
from domain.cat.items import PartialCreditItems
from domain.cat.types import MISSING

# Zwick & Thayer 1996, table 2 (as in Rasch Measurement Transactions 10:3): low and high performers.
LOW = ((13, 5, 7), (5, 14, 4))  # reference, focal
HIGH = ((28, 54, 98), (1, 2, 10))


def people(strata):
    rows = [
        (rating, group, stratum)
        for stratum, table in enumerate(strata)
        for group, counts in enumerate(table)
        for rating, count in enumerate(counts)
        for _ in range(count)
    ]
    rating, group, stratum = np.array(rows).T
    return rating[:, np.newaxis], group, stratum


def test_zwick_and_thayers_ratings_are_summed_exactly():
    """The formulas of Mantel and of Dorans and Schmitt in fractions."""
    observed = expected = variance = smd = smd_variance = Fraction(0)
    focal_total = sum(LOW[1]) + sum(HIGH[1])
    for reference, focal in (LOW, HIGH):
        both = [r + f for r, f in zip(reference, focal, strict=True)]
        n_r, n_f, n = sum(reference), sum(focal), sum(both)
        score = sum(k * c for k, c in enumerate(both))
        squares = sum(k * k * c for k, c in enumerate(both))
        own = sum(k * c for k, c in enumerate(focal))
        observed += own
        expected += Fraction(n_f * score, n)
        spread = Fraction(n_r * n_f * (n * squares - score**2), n**2 * (n - 1))
        variance += spread
        weight = Fraction(n_f, focal_total)
        smd += weight * (Fraction(own, n_f) - Fraction(sum(k * c for k, c in enumerate(reference)), n_r))
        smd_variance += weight**2 * (Fraction(1, n_f) + Fraction(1, n_r)) ** 2 * spread
    rating, group, stratum = people((LOW, HIGH))
    found = polytomous_dif(rating, group, matching=stratum)
    assert found.mantel[0] == pytest.approx(float((observed - expected) ** 2 / variance), rel=1e-12)
    assert found.smd[0] == pytest.approx(float(smd), rel=1e-12)
    assert found.smd_se[0] == pytest.approx(float(smd_variance) ** 0.5, rel=1e-12)
    assert found.smd[0] > 0  # both focal groups were rated higher


def simulated(seed, *, people_each=300, items=8, categories=4, harder=0.0, missing=0.0):
    rng = np.random.default_rng(seed)
    group = np.repeat([0, 1], people_each)
    steps = np.linspace(-1, 1, categories - 1) + np.linspace(-1, 1, items)[:, np.newaxis]
    moved = steps + harder * (np.arange(items) == 0)[:, np.newaxis]
    ability = rng.normal(size=group.size)
    reference, focal = (
        PartialCreditItems(np.ones(items), b).category_probabilities(ability) for b in (steps, moved)
    )
    shares = np.where((group == 1)[:, np.newaxis, np.newaxis], focal, reference).cumsum(axis=2)
    responses = np.minimum((rng.random((group.size, items, 1)) > shares).sum(axis=2), categories - 1)
    return np.where(rng.random(responses.shape) < missing, MISSING, responses), group


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), missing=st.sampled_from([0.0, 0.2]))
def test_with_two_categories_all_tests_are_mantel_and_haenszels_without_correction(seed, missing):
    responses, group = simulated(seed, people_each=100, items=5, categories=2, missing=missing)
    several, two = polytomous_dif(responses, group), mantel_haenszel(responses, group, correction=False)
    np.testing.assert_allclose(several.mantel, two.chi_square, rtol=1e-9)
    np.testing.assert_allclose(several.generalized, two.chi_square, rtol=1e-9)
    assert several.generalized_df.tolist() == [1] * 5


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), missing=st.sampled_from([0.0, 0.2]))
def test_the_generalised_test_is_that_of_the_vector_of_counts(seed, missing):
    """Without the last category, as Zwick, Donoghue and Grima write it, stratum by stratum."""
    responses, group = simulated(seed, people_each=150, items=4, categories=3, missing=missing)
    score = np.where(responses == MISSING, 0, responses).sum(axis=1)
    found = polytomous_dif(responses, group)
    for item in range(4):
        surplus, covariance = np.zeros(2), np.zeros((2, 2))
        for level in np.unique(score):
            here = (score == level) & (responses[:, item] != MISSING)
            counts = np.array(
                [[np.sum(here & (group == g) & (responses[:, item] == k)) for k in (0, 1)] for g in (0, 1)]
            )
            n, n_f = here.sum(), (here & (group == 1)).sum()
            if n < 2:
                continue
            both = counts.sum(axis=0)
            surplus += counts[1] - n_f * both / n
            covariance += n_f * (n - n_f) * (n * np.diag(both) - np.outer(both, both)) / (n**2 * (n - 1))
        statistic = surplus @ np.linalg.solve(covariance, surplus)
        assert found.generalized[item] == pytest.approx(statistic, rel=1e-8)
        assert found.generalized_df[item] == 2


def test_a_harder_item_is_found_and_purified_away():
    responses, group = simulated(1, people_each=800, harder=0.9)
    found = polytomous_dif(responses, group, purify=True)
    assert found.effect_class[0] == "CC"
    assert found.smd[0] < 0
    assert not found.anchor[0]
    assert found.anchor[1:].sum() >= 6
    assert found.settled


def test_without_dif_five_percent_are_found_at_five_percent():
    """Forty data sets of eight items; the bounds hold all but one in a thousand binomial draws."""
    found = [polytomous_dif(*simulated(seed)) for seed in range(40)]
    low, high = binom.ppf([0.0005, 0.9995], 320, 0.05)
    for name in ("mantel_p", "generalized_p"):
        assert low <= sum((getattr(each, name) < 0.05).sum() for each in found) <= high, name


def test_where_nothing_can_be_compared_no_class_is_given():
    responses = np.array([[2, 0], [2, 1], [2, 2], [2, 1]])
    found = polytomous_dif(responses, [0, 1, 0, 1])
    assert found.effect_class[0] == "-"
    assert np.isnan(found.mantel[0])
    assert np.isnan(found.generalized[0])
    assert found.generalized_df[0] == 0
