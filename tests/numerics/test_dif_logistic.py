"""DIF by logistic regression: a published one, each likelihood maximised apart, planted DIF and none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import binom, chi2

from domain.cat.dif.binomial_regression import fit_binomial
from domain.cat.dif.groups import InvalidGroup
from domain.cat.dif.logistic import JODOIN_GIERL, ZUMBO_THOMAS, effect_classes, logistic_dif
from domain.cat.errors import InvalidResponse
from domain.cat.types import MISSING

# Admissions to Berkeley by department: men admitted and rejected, women admitted and rejected.
BERKELEY = np.array(
    [
        (512, 313, 89, 19),
        (353, 207, 17, 8),
        (120, 205, 202, 391),
        (138, 279, 131, 244),
        (53, 138, 94, 299),
        (22, 351, 24, 317),
    ],
    dtype=float,
)


def test_a_published_regression_of_grouped_data_is_met():
    """Agresti, Introduction to categorical data analysis: G² is 20.20 with gender and 21.74 without."""
    right = np.concatenate([BERKELEY[:, 0], BERKELEY[:, 2]])[:, np.newaxis]
    trials = right + np.concatenate([BERKELEY[:, 1], BERKELEY[:, 3]])[:, np.newaxis]
    departments, men = np.tile(np.eye(6), (2, 1)), np.repeat([1.0, 0.0], 6)
    rate = right / trials
    saturated = (right * np.log(rate) + (trials - right) * np.log1p(-rate)).sum()
    with_gender = fit_binomial(np.column_stack([departments, men]), right, trials)
    without = fit_binomial(departments, right, trials)
    assert 2 * (saturated - with_gender.log_likelihood[0]) == pytest.approx(20.204, abs=5e-4)
    assert 2 * (saturated - without.log_likelihood[0]) == pytest.approx(21.735, abs=1e-3)
    assert with_gender.coefficients[0, 6] == pytest.approx(-0.0999, abs=5e-5)
    assert np.sqrt(with_gender.covariance[0, 6, 6]) == pytest.approx(0.0808, abs=1e-4)


def test_a_saturated_regression_has_the_closed_form_of_the_odds_ratio():
    right, trials = np.array([[30.0], [12.0]]), np.array([[50.0], [40.0]])
    fit = fit_binomial(np.array([[1.0, 0.0], [1.0, 1.0]]), right, trials)
    assert fit.coefficients[0, 1] == pytest.approx(np.log(12 / 28) - np.log(30 / 20), rel=1e-12)
    assert fit.covariance[0, 1, 1] == pytest.approx(1 / 12 + 1 / 28 + 1 / 30 + 1 / 20, rel=1e-12)


def simulated(seed, *, people_each=300, items=10, harder=0.0, flatter=1.0, missing=0.0, impact=0.0):
    """Right and wrong answers; the first item is harder, and less steep, for the focal group."""
    rng = np.random.default_rng(seed)
    group = np.repeat([0, 1], people_each)
    ability = rng.normal(size=(group.size, 1)) - impact * group[:, np.newaxis]
    first = np.arange(items) == 0
    difficulty = np.where(first, 0.0, np.linspace(-1.5, 1.5, items)) + np.outer(group, harder * first)
    slope = 1 + np.outer(group, (flatter - 1) * first)
    right = rng.random(difficulty.shape) < expit(slope * (ability - difficulty))
    return np.where(rng.random(right.shape) < missing, MISSING, right.astype(int)), group


def maximised(design, right):
    """The log-likelihood of single answers at its maximum, by a general optimiser."""

    def negative(beta):
        line = design @ beta
        return np.sum(np.logaddexp(0, line) - right * line)

    def slope(beta):
        return design.T @ (expit(design @ beta) - right)

    def bend(beta):
        p = expit(design @ beta)
        return (design * (p * (1 - p))[:, np.newaxis]).T @ design

    found = minimize(
        negative,
        np.zeros(design.shape[1]),
        jac=slope,
        hess=bend,
        method="trust-exact",
        options={"gtol": 1e-9},
    )
    return -found.fun, found.x, np.linalg.inv(bend(found.x))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), missing=st.sampled_from([0.0, 0.2]), given_ability=st.booleans())
def test_tests_effects_and_coefficients_are_those_of_each_regression_done_apart(seed, missing, given_ability):
    responses, group = simulated(seed, people_each=120, items=4, harder=0.8, missing=missing)
    ability = np.random.default_rng(seed).normal(size=len(group)) * 3 + 50
    score = ability if given_ability else np.where(responses == MISSING, 0, responses).sum(axis=1)
    found = logistic_dif(responses, group, matching=ability if given_ability else None)
    for item in range(4):
        here = responses[:, item] != MISSING
        x, g, right = score[here], group[here], responses[here, item]
        x = (x - 50) / 3 if given_ability else x  # for the optimiser's sake; undone below
        columns = np.column_stack([np.ones(len(x)), x, g, x * g])
        (base, _, _), (plain, _, _), (shifted, _, _), (full, beta, covariance) = (
            maximised(columns[:, :count], right) for count in (1, 2, 3, 4)
        )
        n = here.sum()

        def r_squared(value, base=base, n=n):
            return (1 - np.exp(2 / n * (base - value))) / (1 - np.exp(2 / n * base))

        for test, small, large, degrees in (
            (found.uniform, plain, shifted, 1),
            (found.nonuniform, shifted, full, 1),
            (found.both, plain, full, 2),
        ):
            # two log-likelihoods near -80, each at its maximum to 1e-13 of itself
            statistic = 2 * (large - small)
            assert test.chi_square[item] == pytest.approx(statistic, abs=1e-9)
            assert test.p_value[item] == pytest.approx(chi2.sf(statistic, degrees), abs=1e-9)
            assert test.r_squared_change[item] == pytest.approx(
                r_squared(large) - r_squared(small), abs=1e-10
            )
        change = np.eye(4)
        if given_ability:
            change[0, 1] = change[2, 3] = -50 / 3
            change[1, 1] = change[3, 3] = 1 / 3
        # the optimiser stops at a gradient of 1e-9, over an information of some 10
        np.testing.assert_allclose(found.coefficients[item], change @ beta, rtol=1e-6, atol=1e-7)
        errors = np.sqrt(np.diag(change @ covariance @ change.T))
        np.testing.assert_allclose(found.standard_errors[item], errors, rtol=1e-6)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.01, 100), shift=st.floats(-1000, 1000))
def test_the_scale_of_the_matching_variable_does_not_matter(seed, scale, shift):
    responses, group = simulated(seed, people_each=100, items=8)
    score = responses.sum(axis=1)
    straight, changed = (
        logistic_dif(responses, group, matching=each) for each in (score, scale * score + shift)
    )
    np.testing.assert_allclose(changed.both.chi_square, straight.both.chi_square, atol=1e-8)
    np.testing.assert_allclose(
        changed.coefficients[:, 3] * scale, straight.coefficients[:, 3], rtol=1e-6, atol=1e-8
    )


def test_an_item_out_of_the_anchor_is_regressed_on_anchor_and_itself():
    responses, group = simulated(3, harder=1.5)
    found = logistic_dif(responses, group, purify=True)
    assert not found.anchor[0]
    assert found.settled
    score = responses[:, found.anchor].sum(axis=1) + responses[:, 0]
    alone = logistic_dif(responses[:, :1], group, matching=score)
    assert found.both.chi_square[0] == pytest.approx(alone.both.chi_square[0], abs=1e-9)


def test_a_shift_is_uniform_and_a_change_of_slope_is_not():
    shifted = logistic_dif(*simulated(1, people_each=1500, harder=1.0))
    assert shifted.uniform.p_value[0] < 1e-10
    assert shifted.nonuniform.p_value[0] > 0.01
    crossed = logistic_dif(*simulated(2, people_each=1500, flatter=0.2))
    assert crossed.nonuniform.p_value[0] < 1e-5
    assert crossed.uniform.p_value[0] > 0.01
    assert shifted.both.p_value[0] < 1e-10
    assert crossed.both.p_value[0] < 1e-4
    assert shifted.test("nonuniform") is shifted.nonuniform


def test_without_dif_five_percent_are_found_at_five_percent():
    """Forty data sets of ten items; the bounds hold all but one in a thousand binomial draws."""
    found = [logistic_dif(*simulated(seed)) for seed in range(40)]
    low, high = binom.ppf([0.0005, 0.9995], 400, 0.05)
    for kind in ("uniform", "nonuniform", "both"):
        assert low <= sum((each.test(kind).p_value < 0.05).sum() for each in found) <= high, kind


def test_answers_that_the_score_parts_without_error_are_told_and_still_tested():
    ability = np.arange(40.0)
    group = np.tile([0, 1], 20)
    parted, shifted = (ability >= 20).astype(int), (ability >= np.where(group == 1, 25, 15)).astype(int)
    found = logistic_dif(np.column_stack([parted, shifted]), group, matching=ability)
    assert found.separated.tolist() == [True, True]
    assert found.converged.all()
    assert found.uniform.chi_square[0] == pytest.approx(0, abs=1e-8)  # the score explains all there is
    # with the group every answer is explained, so that what the score alone leaves is the test
    plain, _, _ = maximised(np.column_stack([np.ones(40), (ability - 20) / 12]), shifted)
    assert found.uniform.chi_square[1] == pytest.approx(-2 * plain, abs=1e-6)
    assert np.isnan(found.standard_errors[1]).all()
    assert found.uniform.r_squared_change[1] > 0.1


def test_steep_but_overlapping_answers_are_not_taken_for_separated():
    rng = np.random.default_rng(0)
    ability = rng.normal(size=400)
    group = np.tile([0, 1], 200)
    right = (rng.random(400) < expit(12 * ability)).astype(int)
    found = logistic_dif(right[:, np.newaxis], group, matching=ability)
    assert not found.separated[0]
    assert found.converged[0]


def test_where_nothing_can_be_compared_numbers_are_nan_and_no_class_is_given():
    rng = np.random.default_rng(1)
    responses = rng.integers(0, 2, (60, 3))
    responses[:, 0] = 1  # all right
    responses[30:, 1] = MISSING  # never given to the focal group
    found = logistic_dif(responses, np.repeat([0, 1], 30))
    assert found.estimable.tolist() == [False, False, True]
    assert np.isnan(found.both.chi_square[:2]).all()
    assert found.both.jodoin_gierl[:2] == ("-", "-")
    assert np.isfinite(found.both.chi_square[2])


@pytest.mark.parametrize(
    ("p_value", "change", "limits", "expected"),
    [
        (0.2, 0.9, JODOIN_GIERL, "A"),  # not significant
        (0.01, 0.034, JODOIN_GIERL, "A"),
        (0.01, 0.035, JODOIN_GIERL, "B"),
        (0.01, 0.07, JODOIN_GIERL, "C"),
        (0.01, 0.129, ZUMBO_THOMAS, "A"),
        (0.01, 0.13, ZUMBO_THOMAS, "B"),
        (0.01, 0.26, ZUMBO_THOMAS, "C"),
        (np.nan, 0.26, ZUMBO_THOMAS, "-"),
    ],
)
def test_the_classes_are_those_of_the_authors(p_value, change, limits, expected):
    assert effect_classes(np.array([p_value]), np.array([change]), limits) == (expected,)


def test_bad_input_is_refused():
    with pytest.raises(InvalidResponse):
        logistic_dif([[2, 1], [0, 1]], [0, 1])
    with pytest.raises(InvalidGroup) as refused:
        logistic_dif([[0, 1], [0, 1]], [0, 1], matching=[0.0, np.inf])
    assert refused.value.row == 1
