"""M2 against published values, the full table of patterns, another package and its null distribution."""

import itertools
from dataclasses import replace

import mirt
import numpy as np
import pytest
from mirt.diagnostics.modelfit import compute_fit_indices, compute_m2
from scipy.stats import kstest, ncx2

from domain.cat.calibration.calibrate import calibrate
from domain.cat.errors import InvalidItem, InvalidResponse, TooFewItems
from domain.cat.fit.m2 import m2
from domain.cat.fit.margins import expected_margins, margin_covariance, observed_margins
from domain.cat.fit.score_slopes import expected_score_slopes
from domain.cat.fit.scores import score_moments
from domain.cat.grid import DEFAULT_GRID, normal_grid
from domain.cat.items import GradedItems, LogisticItems, MixedItems, NominalItems, PartialCreditItems
from domain.cat.types import MISSING
from tests.support.responding import answers


@pytest.fixture
def three_kinds():
    return MixedItems(
        (
            LogisticItems.of([1.2, 0.8], [-0.5, 0.6], c=[0.1, 0.2], d=0.95),
            GradedItems(a=[1.5], b=[[-1.0, 1.0]]),
            PartialCreditItems(a=[0.9], b=[[0.5, -0.5, 1.0]]),
        ),
        rows=(np.array([0, 2]), np.array([1]), np.array([3])),
    )


def test_lsat7_gives_the_fit_that_is_published_for_its_2pl_model(lsat7, lsat7_items):
    fit = m2(lsat7_items, lsat7, estimated=("a", "b"))
    # The reference page of M2() in the R package mirt prints 11.938 and three digits of the others; its
    # test suite has 11.93841, for a run that stopped a little elsewhere.
    assert fit.statistic == pytest.approx(11.93841, abs=1e-3)
    assert fit.degrees_of_freedom == 5
    printed = [fit.p_value, fit.rmsea, fit.rmsea_low, fit.rmsea_high, fit.srmsr, fit.tli, fit.cfi]
    assert [round(each, 3) for each in printed] == [0.036, 0.037, 0.009, 0.065, 0.032, 0.937, 0.968]
    assert fit.examinees == 1000


def test_lsat7_gives_the_residual_correlations_that_are_published(lsat7, lsat7_items):
    residuals = m2(lsat7_items, lsat7, estimated=("a", "b")).residual_correlations
    # M2(mod1, residmat=TRUE) on the same page; the published parameters have seven digits.
    published = [
        *(-0.02212010, -0.03265942, 0.05155184, 0.05443241),
        *(0.03335601, -0.01642572, -0.03867705),
        *(-0.012476892, -0.001860395),
        7.235425e-05,
    ]
    assert residuals[np.triu_indices(5, k=1)] == pytest.approx(published, abs=1e-7)
    assert residuals == pytest.approx(residuals.T)


def test_a_2pl_test_gives_what_pypi_mirt_gives(lsat7, lsat7_items):
    model = mirt.TwoParameterLogistic(n_items=5)
    model.set_parameters(discrimination=lsat7_items.a, difficulty=lsat7_items.b)
    theirs = compute_fit_indices(model, lsat7, n_quadpts=61)
    ours = m2(lsat7_items, lsat7, estimated=("a", "b"))
    # Their 61 points are Gauss and Hermite's, their derivatives differences.
    assert ours.statistic == pytest.approx(theirs["M2"], rel=1e-7)
    assert ours.degrees_of_freedom == theirs["M2_df"]
    assert ours.srmsr == pytest.approx(theirs["SRMSR"], rel=1e-6)
    assert ours.cfi == pytest.approx(theirs["CFI"], rel=1e-8)
    assert ours.tli == pytest.approx(theirs["TLI"], rel=1e-8)
    # They divide by n - 1, [MaydeuOlivaresJoe2014] by n.
    assert ours.rmsea == pytest.approx(theirs["RMSEA"] * np.sqrt(999 / 1000), rel=1e-6)
    assert ours.rmsea_high == pytest.approx(theirs["RMSEA_CI_upper"] * np.sqrt(999 / 1000), rel=1e-6)


def test_a_1pl_test_gives_what_pypi_mirt_gives(lsat7):
    items = LogisticItems.of(1.0112676, -np.array([1.868, 0.791, 1.461, 0.521, 1.993]) / 1.0112676)
    model = mirt.TwoParameterLogistic(n_items=5)
    model.set_parameters(discrimination=items.a, difficulty=items.b)
    one_slope = [{"parameter": "discrimination", "items": list(range(5))}]
    theirs = compute_m2(model, lsat7, n_quadpts=61, constraints=one_slope)
    ours = m2(items, lsat7, estimated=("a", "b"), equal=("a",))
    assert ours.degrees_of_freedom == theirs["df"] == 9
    assert ours.statistic == pytest.approx(theirs["M2"], rel=1e-7)


def test_a_population_whose_spread_was_estimated_is_tested_as_a_common_slope(lsat7):
    b, sd = np.array([-1.847, -0.782, -1.445, -0.515, -1.971]), 1.0112676
    common_slope = m2(LogisticItems.of(sd, b / sd), lsat7, estimated=("a", "b"), equal=("a",))
    population = normal_grid(sd=sd, low=-6 * sd, high=6 * sd)
    rasch = m2(LogisticItems.of(1.0, b), lsat7, estimated=("a", "b"), equal=("a",), grid=population)
    assert rasch.statistic == pytest.approx(common_slope.statistic, rel=1e-10)


def test_our_own_calibration_of_lsat7_has_the_published_fit(lsat7):
    fit = m2(calibrate(lsat7, "2pl").items, lsat7, estimated=("a", "b"))
    assert fit.statistic == pytest.approx(11.93841, abs=2e-4)  # R mirt's optimum is good to five digits or so


def test_a_graded_test_gives_the_m2_star_of_pypi_mirt():
    rng = np.random.default_rng(6)
    items = GradedItems(a=rng.uniform(0.8, 1.6, 8), b=np.sort(rng.normal(size=(8, 2)), axis=1))
    responses = answers(items, rng.normal(size=1500), rng)
    model = mirt.GradedResponseModel(n_items=8, n_categories=3)
    model.set_parameters(discrimination=items.a, thresholds=items.b)
    theirs = compute_m2(model, responses, n_quadpts=61)
    ours = m2(items, responses, estimated=("a", "b"))
    assert ours.degrees_of_freedom == theirs["df"] == 36 - 24
    assert ours.statistic == pytest.approx(theirs["M2"], rel=1e-5)  # their derivatives are differences


def test_the_covariance_of_the_moments_is_that_of_all_patterns(three_kinds):
    patterns = np.array(list(itertools.product(*(range(count) for count in three_kinds.categories))))
    chances = np.exp(three_kinds.log_likelihood(patterns, DEFAULT_GRID.points)) @ DEFAULT_GRID.weights
    pairs = np.array([np.outer(x, x)[np.triu_indices(4, k=1)] for x in patterns])
    features = np.hstack([patterns, pairs])
    centred = features - chances @ features
    expected = (centred * chances[:, None]).T @ centred

    moments = score_moments(three_kinds, DEFAULT_GRID.points)
    found = margin_covariance(moments.mean, moments.variance, DEFAULT_GRID.weights)
    assert found == pytest.approx(expected, abs=1e-13)  # moments of at most 9, rounding only
    assert expected_margins(moments.mean, DEFAULT_GRID.weights) == pytest.approx(
        chances @ features, abs=1e-14
    )


def test_observed_margins_are_means_and_means_of_products():
    scores = np.array([[0.0, 1.0, 2.0], [1.0, 1.0, 0.0], [1.0, 0.0, 2.0], [1.0, 1.0, 1.0]])
    assert observed_margins(scores) == pytest.approx([0.75, 0.75, 1.25, 0.5, 0.75, 0.75])


def test_expected_scores_move_with_the_parameters_as_differences_say(three_kinds):
    points, step = np.array([-2.0, 0.3, 4.0]), 1e-6
    for part in three_kinds.parts:
        names = ("a", "b", "c", "d") if isinstance(part, LogisticItems) else ("a", "b")
        for name, columns in expected_score_slopes(part, points, names).items():
            for at, column in enumerate(columns):
                shift = np.zeros_like(getattr(part, name))
                shift[... if shift.ndim == 1 else (..., at)] = step
                above, below = (
                    score_moments(replace(part, **{name: getattr(part, name) + sign * shift}), points).mean
                    for sign in (1, -1)
                )
                # A central difference of 1e-6 is good to 1e-10 (rounding) on numbers of order 1.
                assert column == pytest.approx((above - below) / (2 * step), abs=1e-8)


def test_thresholds_that_an_item_does_not_have_move_nothing():
    padded = GradedItems(a=[1.0, 1.0], b=[[-1.0, 1.0], [0.0, np.nan]])
    columns = expected_score_slopes(padded, np.array([0.5]), ["b"])["b"]
    assert columns[1][0, 1] == 0.0
    assert columns[0][0, 1] < 0


def test_a_mixed_bank_moves_as_its_parts_do(three_kinds):
    points = np.array([-1.0, 1.0])
    whole = expected_score_slopes(three_kinds, points, ["a", "b", "c"])
    parts = [expected_score_slopes(part, points, ["b"])["b"] for part in three_kinds.parts]
    assert [len(whole[name]) for name in ("a", "b", "c")] == [1, 3, 1]
    assert whole["b"][0][:, [0, 2]] == pytest.approx(parts[0][0])
    assert whole["b"][1][:, 1] == pytest.approx(parts[1][1][:, 0])
    assert whole["b"][2][:, 3] == pytest.approx(parts[2][2][:, 0])
    assert whole["c"][0][:, [1, 3]].tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("estimated", [(), ("b",), ("a", "b")])
def test_under_the_model_p_values_are_uniform(estimated):
    # M2 projects out what estimates can move, so that at the true parameters, too, it is chi-square with
    # the degrees of freedom that estimation leaves: no calibration is needed to see it.
    rng = np.random.default_rng(31)
    items = LogisticItems.of(rng.uniform(0.8, 1.6, 7), np.linspace(-1.5, 1.5, 7))
    p_values = [
        m2(items, answers(items, rng.normal(size=1000), rng), estimated=estimated).p_value for _ in range(300)
    ]
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_slopes_held_equal_cost_one_degree_of_freedom_together(lsat7, lsat7_items):
    assert m2(lsat7_items, lsat7, estimated=()).degrees_of_freedom == 15
    assert m2(lsat7_items, lsat7, estimated=("b",)).degrees_of_freedom == 10
    one_slope = replace(lsat7_items, a=np.full(5, 1.011))
    assert m2(one_slope, lsat7, estimated=("a", "b"), equal=("a",)).degrees_of_freedom == 9
    assert m2(lsat7_items, lsat7, estimated=("a", "b")).degrees_of_freedom == 5


def test_three_items_of_the_2pl_leave_nothing_to_test(lsat7, lsat7_items):
    fit = m2(lsat7_items[[0, 1, 2]], lsat7[:, :3], estimated=("a", "b"))
    assert fit.degrees_of_freedom == 0
    assert np.isnan([fit.statistic, fit.p_value, fit.rmsea, fit.rmsea_low, fit.rmsea_high]).all()
    assert fit.srmsr > 0


def test_a_second_dimension_is_found():
    rng = np.random.default_rng(3)
    items = LogisticItems.of(1.5, np.linspace(-1, 1, 10))
    halves = [answers(items, rng.normal(size=2000), rng)[:, at] for at in (slice(5), slice(5, None))]
    fit = m2(items, np.hstack(halves), estimated=("a", "b"))
    assert fit.p_value < 1e-10
    assert fit.rmsea_low > 0.05
    assert fit.srmsr > 0.1
    within, across = fit.residual_correlations[0, 1], fit.residual_correlations[0, 9]
    assert across < within - 0.1


def test_the_interval_of_rmsea_leaves_five_percent_on_each_side(lsat7, lsat7_items):
    fit = m2(lsat7_items, lsat7, estimated=("a", "b"))
    for bound, tail in ((fit.rmsea_low, 0.95), (fit.rmsea_high, 0.05)):
        noncentrality = bound**2 * 1000 * fit.degrees_of_freedom
        assert ncx2.cdf(fit.statistic, fit.degrees_of_freedom, noncentrality) == pytest.approx(tail, abs=1e-8)


def test_a_fit_better_than_expected_has_no_misfit_to_report():
    rng = np.random.default_rng(4)
    items = LogisticItems.of(1.2, np.linspace(-1, 1, 6))
    fits = [m2(items, answers(items, rng.normal(size=500), rng), estimated=()) for _ in range(10)]
    good = [fit for fit in fits if fit.statistic < fit.degrees_of_freedom]
    assert good
    assert all(fit.rmsea == fit.rmsea_low == 0.0 for fit in good)
    assert all(fit.cfi == 1.0 < fit.tli for fit in good)


def test_an_item_that_everybody_solved_leaves_no_model_without_ability_to_compare_with(lsat7, lsat7_items):
    solved = lsat7.copy()
    solved[:, 0] = 1
    fit = m2(lsat7_items, solved, estimated=())
    assert np.isnan([fit.cfi, fit.tli]).all()
    assert fit.p_value < 1e-10
    assert np.isfinite(fit.srmsr)


def test_examinees_with_a_missing_response_are_left_out(lsat7, lsat7_items):
    holed = lsat7.copy()
    holed[::4, 1] = MISSING
    fit = m2(lsat7_items, holed, estimated=("a", "b"))
    complete = m2(lsat7_items, np.delete(lsat7, np.s_[::4], axis=0), estimated=("a", "b"))
    assert fit.examinees == 750
    assert fit.statistic == pytest.approx(complete.statistic, rel=1e-12)


def test_another_population_is_another_fit(lsat7, lsat7_items):
    as_calibrated = m2(lsat7_items, lsat7, estimated=())
    shifted = m2(lsat7_items, lsat7, estimated=(), grid=normal_grid(mean=1.0, low=-5.0, high=7.0))
    assert as_calibrated.p_value > 0.05
    assert shifted.p_value < 1e-50


def test_a_model_worse_than_none_has_no_incremental_fit(lsat7, lsat7_items):
    fit = m2(lsat7_items, lsat7, estimated=(), grid=normal_grid(mean=4.0, low=-2.0, high=10.0))
    assert fit.cfi == 0.0
    assert fit.tli < 0.0


def test_padded_thresholds_cost_no_degree_of_freedom():
    rng = np.random.default_rng(5)
    items = GradedItems(a=np.full(5, 1.2), b=[[-1.0, 1.0]] * 3 + [[0.0, np.nan]] * 2)
    fit = m2(items, answers(items, rng.normal(size=500), rng), estimated=("a", "b"))
    assert fit.degrees_of_freedom == 15 - 5 - 3 * 2 - 2
    assert np.isfinite(fit.statistic)


def test_an_unknown_parameter_is_refused_by_name(lsat7, lsat7_items):
    with pytest.raises(InvalidItem, match="there is no parameter slope among a, b, c, d"):
        m2(lsat7_items, lsat7, estimated=("slope",))


def test_parameters_of_nominal_items_are_refused_for_their_scores_have_no_order():
    items = NominalItems(slopes=[[0.0, 1.0], [0.0, 1.0]], intercepts=[[0.0, 0.5], [0.0, -0.5]])
    with pytest.raises(InvalidItem, match="NominalItems"):
        m2(items, [[0, 1], [1, 0]], estimated=("slopes",))


def test_items_whose_scores_do_not_vary_are_refused():
    with pytest.raises(InvalidItem, match="hardly vary"):
        m2(LogisticItems.of(30.0, [-40.0, 0.0]), [[1, 1], [1, 0]], estimated=())


def test_one_item_or_no_complete_row_is_refused(lsat7_items):
    with pytest.raises(TooFewItems):
        m2(LogisticItems.of(1.0, [0.0]), [[1]], estimated=())
    with pytest.raises(InvalidResponse):
        m2(lsat7_items, [[1, 0, 1, 0, MISSING]], estimated=())
