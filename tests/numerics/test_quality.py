"""Information, standard errors, reliability and classification: published values, identities, simulation."""

from fractions import Fraction

import mirt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from domain.cat.ability import eap, ml
from domain.cat.errors import InvalidGrid, InvalidResponse, TooFewItems
from domain.cat.grid import DEFAULT_GRID, grid_of, normal_grid
from domain.cat.items import GradedItems, LogisticItems
from domain.cat.quality import (
    classification_quality,
    coefficient_alpha,
    conditional_score_sem,
    conditional_sem,
    empirical_reliability,
    marginal_reliability,
    total_information,
)
from domain.cat.types import MISSING
from projections.item_analysis.statistics import ExamSums, ItemSums, cronbach_alpha
from tests.support.responding import answers


@pytest.fixture
def graded():
    rng = np.random.default_rng(1)
    return GradedItems(a=rng.uniform(0.8, 1.6, 8), b=np.sort(rng.normal(size=(8, 3)), axis=1))


def sums_of(scores):
    """What the read models keep of a table of scores."""
    totals = scores.sum(axis=1)
    return ExamSums(
        n=len(scores),
        max_score=int(scores.shape[1] * scores.max()),
        sum_score=int(totals.sum()),
        sum_score_squared=int((totals**2).sum()),
        distribution={int(score): int((totals == score).sum()) for score in np.unique(totals)},
        items=[
            ItemSums(
                ordinal=at + 1,
                item_id=f"item-{at}",
                item_version=1,
                max_score=int(scores.max()),
                n=len(scores),
                answered=len(scores),
                sum_item=int(column.sum()),
                sum_item_squared=int((column**2).sum()),
                sum_item_times_total=int((column * totals).sum()),
            )
            for at, column in enumerate(scores.T)
        ],
    )


def test_alpha_of_lsat7_is_the_published_one(lsat7):
    # R mirt, itemstats(expand.table(LSAT7)): 0.453.
    assert coefficient_alpha(LogisticItems.of(1.0, np.zeros(5)), lsat7) == pytest.approx(0.4534, abs=5e-5)


def test_alpha_of_sat12_is_the_published_one(sat12):
    no_answer_is_wrong = np.maximum(sat12, 0)
    assert coefficient_alpha(LogisticItems.of(1.0, np.zeros(32)), no_answer_is_wrong) == pytest.approx(
        0.798, abs=5e-4
    )


@given(st.integers(0, 2**32 - 1))
def test_alpha_is_the_very_number_of_the_classical_item_analysis(seed):
    rng = np.random.default_rng(seed)
    scores = np.clip(rng.integers(0, 2, (12, 1)) + rng.integers(0, 3, (12, 4)), 0, 3)
    four_categories = GradedItems(a=np.ones(4), b=np.tile([-1.0, 0.0, 1.0], (4, 1)))
    found, classical = coefficient_alpha(four_categories, scores), cronbach_alpha(sums_of(scores))
    # Both are worked out in whole numbers and rounded once, at the end.
    assert np.isnan(found) if classical is None else found == classical


def test_alpha_leaves_out_who_did_not_answer_everything(lsat7):
    items = LogisticItems.of(1.0, np.zeros(5))
    holed = np.vstack([lsat7, [[1, MISSING, 0, 1, 0]] * 50])
    assert coefficient_alpha(items, holed) == coefficient_alpha(items, lsat7)


def test_alpha_needs_two_items_and_different_sums():
    with pytest.raises(TooFewItems):
        coefficient_alpha(LogisticItems.of(1.0, [0.0]), [[1], [0]])
    assert np.isnan(coefficient_alpha(LogisticItems.of(1.0, [0.0, 0.0]), [[1, 0], [0, 1]]))


def test_information_of_a_test_is_minus_the_expected_curvature_of_its_log_likelihood(graded):
    theta, step = 0.3, 1e-3
    curve = graded.log_category_probabilities([theta - step, theta, theta + step])
    curvature = (curve[0] - 2 * curve[1] + curve[2]) / step**2
    expected = -(graded.category_probabilities([theta])[0] * curvature).sum()
    # The second difference is good to 1e-6 or so: step² from the curve, 1e-16 / step² from rounding.
    assert total_information(graded, [theta]) == pytest.approx([expected], rel=1e-6)


def test_the_standard_error_is_what_ml_estimates_spread_by():
    rng = np.random.default_rng(2)
    items = LogisticItems.of(1.5, np.linspace(-2, 2, 200))
    estimates = ml(items, answers(items, np.full(2000, 0.4), rng)).theta
    # The standard deviation of 2,000 has a standard error of 1.6 %.
    assert conditional_sem(items, [0.4])[0] == pytest.approx(estimates.std(), rel=0.05)


def test_where_the_test_tells_nothing_the_standard_error_is_infinite():
    assert conditional_sem(LogisticItems.of(50.0, [0.0]), [100.0]).tolist() == [np.inf]


def test_the_standard_error_of_the_sum_score_is_what_sum_scores_spread_by(graded):
    rng = np.random.default_rng(3)
    sums = answers(graded, np.full(20_000, -0.5), rng).sum(axis=1)
    assert conditional_score_sem(graded, [-0.5])[0] == pytest.approx(sums.std(), rel=0.02)  # error 0.5 %


def test_marginal_reliability_is_that_of_pypi_mirt():
    rng = np.random.default_rng(4)
    items = LogisticItems.of(rng.uniform(0.8, 2, 20), rng.normal(size=20))
    model = mirt.TwoParameterLogistic(n_items=20)
    model.set_parameters(discrimination=items.a, difficulty=items.b)
    # They halve the weights of the two end points, which hold 1e-8 of the population.
    assert marginal_reliability(items).of_posterior_means == pytest.approx(mirt.marginal_rxx(model), abs=1e-7)


def test_marginal_reliability_is_the_integral_it_stands_for():
    items = LogisticItems.of(1.3, np.linspace(-1, 1, 5))
    found = marginal_reliability(items)

    def information(x):
        return total_information(items, [x])[0]

    share, _ = quad(lambda x: norm.pdf(x) * information(x) / (information(x) + 1), -6, 6)
    error, _ = quad(lambda x: norm.pdf(x) / information(x), -6, 6)
    # 61 points integrate smooth functions times the normal density to 1e-6 or so; what lies beyond ±6 is
    # 1e-9 of the population in both, and both leave it out.
    assert found.of_posterior_means == pytest.approx(share, abs=1e-6)
    assert found.of_unbiased_estimates == pytest.approx(1 - error, abs=1e-4)


def test_marginal_reliability_follows_the_spread_of_the_population():
    items = LogisticItems.of(1.5, np.linspace(-3, 3, 30))
    narrow, wide = (marginal_reliability(items, normal_grid(sd=sd)) for sd in (0.5, 1.5))
    assert narrow.of_posterior_means < wide.of_posterior_means
    assert narrow.of_unbiased_estimates < wide.of_unbiased_estimates


def test_points_that_nobody_stands_on_do_not_count():
    items = LogisticItems.of(60.0, [0.0, 0.0])
    grid = grid_of([-0.01, 0.0, 0.01, 100.0], [1.0, 1.0, 1.0, 0.0])
    assert np.isfinite(marginal_reliability(items, grid).of_unbiased_estimates)


def test_empirical_reliability_is_that_of_pypi_mirt(lsat7, lsat7_items):
    model = mirt.TwoParameterLogistic(n_items=5)
    model.set_parameters(discrimination=lsat7_items.a, difficulty=lsat7_items.b)
    estimate = eap(lsat7_items, lsat7)
    theirs = mirt.empirical_rxx(model, estimate.theta, "posterior_variance", estimate.se)
    found = empirical_reliability(estimate.theta, estimate.se)
    assert found.of_posterior_means == pytest.approx(theirs, rel=1e-12)


def test_each_definition_of_empirical_reliability_finds_the_truth_for_its_estimator():
    rng = np.random.default_rng(5)
    items = LogisticItems.of(1.2, np.linspace(-2, 2, 60))
    theta = rng.normal(size=5000)
    responses = answers(items, theta, rng)
    posterior, likelihood = eap(items, responses), ml(items, responses)
    inside = np.abs(likelihood.theta) < 6
    by_eap = empirical_reliability(posterior.theta, posterior.se).of_posterior_means
    by_ml = empirical_reliability(likelihood.theta[inside], likelihood.se[inside]).of_unbiased_estimates
    # Reliability is the squared correlation of the estimates with the truth.
    assert by_eap == pytest.approx(np.corrcoef(posterior.theta, theta)[0, 1] ** 2, abs=0.01)
    assert by_ml == pytest.approx(np.corrcoef(likelihood.theta[inside], theta[inside])[0, 1] ** 2, abs=0.02)


def test_the_two_empirical_definitions_are_the_ratios_they_say():
    theta, se = [0.0, 1.0, 3.0], [0.5, 0.4, 0.3]
    variance, error = Fraction(7, 3), Fraction(50, 300)
    found = empirical_reliability(theta, se)
    assert found.of_posterior_means == pytest.approx(float(variance / (variance + error)))
    assert found.of_unbiased_estimates == pytest.approx(float((variance - error) / variance))


def test_estimates_that_do_not_differ_have_no_empirical_reliability():
    assert np.isnan(empirical_reliability([1.0, 1.0], [0.5, 0.5]).of_posterior_means)
    assert np.isnan(empirical_reliability([1.0], [0.5]).of_unbiased_estimates)


def test_abilities_and_errors_must_match():
    with pytest.raises(InvalidResponse, match="2 abilities with 1 standard errors"):
        empirical_reliability([1.0, 2.0], [0.5])
    with pytest.raises(InvalidResponse, match="2 abilities with 1 standard errors"):
        classification_quality([1.0, 2.0], [0.5], [0.0])


def test_classification_is_as_right_as_simulated_truth_says():
    rng = np.random.default_rng(6)
    items = LogisticItems.of(1.5, np.linspace(-2, 2, 40))
    theta = rng.normal(size=20_000)
    first, second = (eap(items, answers(items, theta, rng)) for _ in range(2))
    cuts = [-0.5, 1.0]
    found = classification_quality(first.theta, first.se, cuts)
    true, once, again = (np.searchsorted(cuts, each) for each in (theta, first.theta, second.theta))
    # Posteriors are only nearly normal; shares of 20,000 have a standard error of 0.3 %.
    assert found.accuracy == pytest.approx((true == once).mean(), abs=0.01)
    # Σ p² is for true abilities drawn twice from the posterior, a little less alike than two estimates.
    assert found.consistency == pytest.approx((once == again).mean(), abs=0.05)


def test_one_examinee_is_classified_by_the_normal_curve():
    found = classification_quality([0.2], [0.5], [-1.0, 0.0, 1.0])
    shares = np.diff(norm.cdf([-np.inf, -1.0, 0.0, 1.0, np.inf], loc=0.2, scale=0.5))
    assert found.accuracy == pytest.approx(shares[2])
    assert found.consistency == pytest.approx((shares**2).sum())


def test_abilities_that_are_known_are_classified_rightly_even_at_a_cut():
    found = classification_quality([-1.0, 0.0, 2.0], [0.0, 0.0, 0.0], [0.0])
    assert (found.accuracy, found.consistency) == (1.0, 1.0)


def test_cuts_must_ascend_and_somebody_must_be_there():
    with pytest.raises(InvalidGrid, match="do not ascend"):
        classification_quality([0.0], [0.5], [1.0, 1.0])
    with pytest.raises(InvalidGrid, match="do not ascend"):
        classification_quality([0.0], [0.5], [])
    with pytest.raises(InvalidResponse, match="no examinee"):
        classification_quality([], [], [0.0])


def test_reliability_is_named_the_same_in_the_sample_and_in_the_population():
    rng = np.random.default_rng(7)
    items = LogisticItems.of(1.4, np.linspace(-2.5, 2.5, 100))
    estimate = eap(items, answers(items, rng.normal(size=5000), rng))
    promised = marginal_reliability(items, DEFAULT_GRID).of_posterior_means
    assert empirical_reliability(estimate.theta, estimate.se).of_posterior_means == pytest.approx(
        promised, abs=0.01
    )
