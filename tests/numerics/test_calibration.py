"""Calibration of items scored right or wrong, against published estimates, PyPI mirt and its own derivatives.

mirt stops where no parameter changes by more than its `tol`, still some way below the top on a slow climb:
its parameters agree to about a hundred times that. Heights are flat at the top and agree more closely.
"""

import mirt
import numpy as np
import pytest
from mirt.estimation.priors import BetaPrior
from scipy.integrate import quad
from scipy.stats import beta, lognorm, norm

from domain.cat.calibration import (
    Anchors,
    Beta,
    LogNormal,
    Priors,
    calibrate,
    marginal_log_likelihood,
)
from domain.cat.errors import InvalidItem, InvalidResponse, TooFewItems
from domain.cat.grid import grid_of, normal_grid
from domain.cat.items import GradedItems, LogisticItems, MixedItems, MultidimensionalItems
from domain.cat.types import MISSING


def simulated(items, theta, rng):
    probabilities = items.category_probabilities(theta)
    draw = rng.random((*probabilities.shape[:2], 1))
    return np.minimum((np.cumsum(probabilities, axis=2) < draw).sum(axis=2), items.categories - 1)


def bank_of(count, rng, c=0.0):
    return LogisticItems.of(rng.lognormal(0.1, 0.3, count), rng.normal(0, 1, count), c)


def objective(items, responses, priors, grid=None):
    total = marginal_log_likelihood(items, responses, grid or normal_grid())
    if priors.a is not None:
        total += priors.a.log_density(items.a).sum()
    if priors.c is not None:
        total += priors.c.log_density(items.c).sum()
    if priors.d is not None:
        total += priors.d.log_density(items.d).sum()
    return total


def nudged(items, name, row, by):
    values = {each: getattr(items, each).copy() for each in ("a", "b", "c", "d")}
    values[name][row] += by
    return LogisticItems(**values)


def test_the_2pl_of_lsat7_has_the_published_estimates(lsat7, lsat7_items) -> None:
    # R mirt stops at changes of 1e-4, and prints what it then has.
    found = calibrate(lsat7, "2pl")
    assert found.converged
    assert found.last_change <= 1e-5
    np.testing.assert_allclose(found.items.a, lsat7_items.a, atol=2e-3)
    np.testing.assert_allclose(found.items.a * found.items.b, lsat7_items.a * lsat7_items.b, atol=2e-3)
    # R mirt's manual: logLik -2658.805, AIC 5337.610, BIC 5386.688.
    assert found.log_likelihood == pytest.approx(-2658.805, abs=6e-4)
    assert found.aic == pytest.approx(5337.610, abs=1.2e-3)
    assert found.bic == pytest.approx(5386.688, abs=1.2e-3)


def test_the_2pl_of_lsat7_agrees_with_mirt_in_estimates_and_standard_errors(lsat7) -> None:
    peer = mirt.fit_mirt(lsat7, "2PL", n_quadpts=61, tol=1e-6)
    found = calibrate(lsat7, "2pl")
    np.testing.assert_allclose(found.items.a, peer.model.parameters["discrimination"], atol=2e-3)
    np.testing.assert_allclose(found.items.b, peer.model.parameters["difficulty"], atol=2e-3)
    np.testing.assert_allclose(found.standard_errors["a"], peer.standard_errors["discrimination"], rtol=2e-3)
    np.testing.assert_allclose(found.standard_errors["b"], peer.standard_errors["difficulty"], rtol=2e-3)
    assert found.log_likelihood == pytest.approx(peer.log_likelihood, abs=1e-4)


def test_the_1pl_of_lsat7_is_the_published_rasch_model(lsat7) -> None:
    # R ltm and R mirt: logLik -2664.901; ltm's Rasch slope 1.0111.
    common = calibrate(lsat7, "1pl")
    assert common.log_likelihood == pytest.approx(-2664.901, abs=6e-4)
    assert common.parameters == 6
    np.testing.assert_allclose(common.items.a, 1.011, atol=1e-3)


def test_the_2pl_of_lsat6_has_the_estimates_errors_and_likelihood_that_ltm_prints(lsat6) -> None:
    # Rizopoulos (2006), R's ltm, `summary(ltm(LSAT ~ z1))`: 21 points of Gauss-Hermite, a search that stopped
    # at a gradient of 0.024, so that its third digits are its own.
    found = calibrate(lsat6, "2pl")
    assert found.log_likelihood == pytest.approx(-2466.653, abs=1e-3)
    assert found.aic == pytest.approx(4953.307, abs=1e-3)
    assert found.bic == pytest.approx(5002.384, abs=1e-3)
    np.testing.assert_allclose(found.items.b, [-3.3597, -1.3696, -0.2799, -1.8659, -3.1236], atol=3e-3)
    np.testing.assert_allclose(found.items.a, [0.8254, 0.7229, 0.8905, 0.6886, 0.6575], atol=1e-3)
    assert found.standard_errors is not None
    np.testing.assert_allclose(
        found.standard_errors["b"], [0.8669, 0.3073, 0.0997, 0.4341, 0.8700], atol=2e-3
    )
    np.testing.assert_allclose(
        found.standard_errors["a"], [0.2581, 0.1867, 0.2326, 0.1852, 0.2100], atol=3e-4
    )


def test_the_1pl_of_lsat6_has_the_estimates_and_errors_that_ltm_prints(lsat6) -> None:
    found = calibrate(lsat6, "1pl")
    # Rizopoulos (2006), `summary(rasch(LSAT))`: the model of Thissen (1982), one slope for all.
    assert found.log_likelihood == pytest.approx(-2466.938, abs=1e-3)
    assert found.items.a[0] == pytest.approx(0.7551, abs=1e-4)
    np.testing.assert_allclose(found.items.b, [-3.6153, -1.3224, -0.3176, -1.7301, -2.7802], atol=2e-4)
    assert found.standard_errors is not None
    assert found.standard_errors["a"][0] == pytest.approx(0.0694, abs=1e-4)
    np.testing.assert_allclose(
        found.standard_errors["b"], [0.3266, 0.1422, 0.0977, 0.1691, 0.2510], atol=2e-4
    )


def test_a_fixed_slope_gives_the_same_model_with_the_spread_in_the_abilities(lsat7) -> None:
    # θ of sd s with slope 1 is θ / s with slope s; the grid does not scale along, which costs the tolerance.
    common, rasch = calibrate(lsat7, "1pl"), calibrate(lsat7, "1pl", slope=1.0)
    assert rasch.population_sd == pytest.approx(common.items.a[0], rel=1e-4)
    assert rasch.population_mean == pytest.approx(0.0, abs=1e-9)
    assert rasch.log_likelihood == pytest.approx(common.log_likelihood, abs=1e-5)
    np.testing.assert_array_equal(rasch.items.a, 1.0)
    np.testing.assert_array_equal(rasch.standard_errors["a"], 0.0)
    np.testing.assert_allclose(rasch.items.b, common.items.b * common.items.a, atol=1e-3)


def test_the_3pl_with_a_prior_agrees_with_mirt(lsat7) -> None:
    peer = mirt.fit_mirt(lsat7, "3PL", n_quadpts=61, tol=1e-6, priors={"guessing": BetaPrior(5.0, 17.0)})
    found = calibrate(lsat7, "3pl")
    assert found.priors == Priors(c=Beta(5.0, 17.0))
    np.testing.assert_allclose(found.items.c, peer.model.parameters["guessing"], atol=2e-3)
    np.testing.assert_allclose(found.items.a, peer.model.parameters["discrimination"], atol=5e-3)
    theirs = LogisticItems.of(
        *(peer.model.parameters[n] for n in ("discrimination", "difficulty", "guessing"))
    )
    assert objective(found.items, lsat7, found.priors) >= objective(theirs, lsat7, found.priors) - 1e-6


@pytest.mark.parametrize("model", ["1pl", "2pl", "3pl", "4pl"])
def test_at_the_optimum_no_parameter_can_be_moved_uphill(model) -> None:
    # A central difference of heights of 1e4 over 2e-4 is good to 1e-7; the climb's last step was below 1e-7.
    # Curvatures are some hundreds: 0.01 away from the top a slope would be above 1.
    rng = np.random.default_rng(2)
    responses = simulated(bank_of(8, rng, 0.15), rng.standard_normal(2_000), rng)
    found = calibrate(responses, model, tolerance=1e-7, errors=None)
    names = {"1pl": ("b",), "2pl": ("a", "b"), "3pl": ("a", "b", "c"), "4pl": ("a", "b", "c", "d")}[model]
    for name in names:
        for row in (0, 5):
            up, down = (
                objective(nudged(found.items, name, row, by), responses, found.priors) for by in (1e-4, -1e-4)
            )
            assert (up - down) / 2e-4 == pytest.approx(0.0, abs=2e-3), (name, row)


def test_standard_errors_are_those_of_the_second_derivatives_of_the_marginal_likelihood() -> None:
    # Oakes' identity against the plain definition: the Hessian by differences, which is good to 1e-4.
    rng = np.random.default_rng(3)
    responses = simulated(bank_of(4, rng), rng.standard_normal(1_000), rng)
    found = calibrate(responses, "2pl", tolerance=1e-8)
    places = [(name, row) for row in range(4) for name in ("a", "b")]
    step = 1e-3

    def height(first, second):
        items = nudged(nudged(found.items, *first), *second)
        return marginal_log_likelihood(items, responses)

    bend = np.array(
        [
            [
                sum(s * t * height((*one, s * step), (*two, t * step)) for s in (1, -1) for t in (1, -1))
                / (4 * step**2)
                for two in places
            ]
            for one in places
        ]
    )
    whole = np.linalg.inv(-bend)
    errors = np.sqrt(np.diag(whole)).reshape(4, 2)
    np.testing.assert_allclose(found.standard_errors["a"], errors[:, 0], rtol=1e-3)
    np.testing.assert_allclose(found.standard_errors["b"], errors[:, 1], rtol=1e-3)
    assert found.parameter_names == ("a", "b")
    np.testing.assert_allclose(found.covariances[1], whole[2:4, 2:4], rtol=5e-3)


@pytest.mark.parametrize("share_missing", [0.0, 0.3])
def test_the_cross_product_agrees_with_the_observed_information_in_a_large_sample(share_missing) -> None:
    # Both estimate the same information; 20,000 people leave a few percent between them.
    rng = np.random.default_rng(4)
    responses = simulated(bank_of(6, rng), rng.standard_normal(20_000), rng)
    responses[rng.random(responses.shape) < share_missing] = MISSING
    observed, crossed = (calibrate(responses, "2pl", errors=each) for each in ("observed", "cross-product"))
    np.testing.assert_allclose(crossed.standard_errors["a"], observed.standard_errors["a"], rtol=0.06)
    np.testing.assert_allclose(crossed.standard_errors["b"], observed.standard_errors["b"], rtol=0.06)


def test_parameters_are_recovered_within_their_standard_errors() -> None:
    # 60 standardised errors: mean square 1 with a standard deviation of √(2/60) = 0.18; 1.8 is beyond four.
    rng = np.random.default_rng(5)
    truth = bank_of(30, rng)
    found = calibrate(simulated(truth, rng.standard_normal(5_000), rng), "2pl")
    z = np.concatenate(
        [
            (getattr(found.items, name) - getattr(truth, name)) / found.standard_errors[name]
            for name in ("a", "b")
        ]
    )
    assert 0.4 < np.mean(z**2) < 1.8


def test_the_likelihood_is_the_integral_over_ability(lsat7) -> None:
    # An adaptive quadrature, person by person; the grid of 61 points cuts off what lies beyond 6.
    found = calibrate(lsat7, "2pl")
    total = 0.0
    patterns, counts = np.unique(lsat7, axis=0, return_counts=True)
    for pattern, count in zip(patterns, counts, strict=True):

        def density(theta, pattern=pattern):
            right = 1 / (1 + np.exp(-found.items.a * (theta - found.items.b)))
            return np.prod(np.where(pattern == 1, right, 1 - right)) * norm.pdf(theta)

        total += count * np.log(quad(density, -8, 8, epsabs=1e-13)[0])
    assert found.log_likelihood == pytest.approx(total, abs=1e-5)
    assert marginal_log_likelihood(found.items, lsat7) == pytest.approx(found.log_likelihood, abs=1e-9)


def test_priors_count_in_the_estimates_but_not_in_the_likelihood_that_is_reported(lsat7) -> None:
    tight = Priors(a=LogNormal(0.0, 0.05))
    found = calibrate(lsat7, "2pl", priors=tight)
    free = calibrate(lsat7, "2pl")
    assert np.ptp(found.items.a) < np.ptp(free.items.a) / 3
    assert found.log_likelihood == pytest.approx(marginal_log_likelihood(found.items, lsat7), abs=1e-9)
    assert found.log_likelihood < free.log_likelihood


def test_the_densities_of_the_priors_are_those_of_scipy() -> None:
    values = np.array([0.1, 0.2, 0.7])
    expected = beta(5, 17).logpdf(values)
    np.testing.assert_allclose(Beta(5, 17).log_density(values), expected, rtol=1e-12)
    expected = lognorm(0.4, scale=np.exp(0.2)).logpdf(values)
    np.testing.assert_allclose(LogNormal(0.2, 0.4).log_density(values), expected, rtol=1e-12)


@pytest.mark.parametrize("prior", [Beta(5.0, 17.0), LogNormal(0.2, 0.4)])
def test_slopes_and_bends_of_the_priors_are_the_derivatives_of_their_densities(prior) -> None:
    step, at = 1e-4, np.array([-1.5, 0.3])

    def density(x):
        return prior.log_density(1 / (1 + np.exp(-x)) if isinstance(prior, Beta) else np.exp(x))

    slope, bend = prior.slope_and_bend(at)
    np.testing.assert_allclose(slope, (density(at + step) - density(at - step)) / (2 * step), rtol=1e-6)
    second = (density(at + step) - 2 * density(at) + density(at - step)) / step**2
    np.testing.assert_allclose(bend, -second, rtol=1e-5)


def test_missing_responses_are_as_if_the_item_had_not_been_given() -> None:
    # Two halves of the people, each of which did not see some items: the likelihood is the sum of theirs.
    rng = np.random.default_rng(6)
    truth = bank_of(9, rng)
    responses = simulated(truth, rng.standard_normal(3_000), rng)
    responses[:1_500, 6:] = MISSING
    responses[1_500:, :3] = MISSING
    found = calibrate(responses, "2pl")
    halves = marginal_log_likelihood(
        found.items[np.arange(6)], responses[:1_500, :6]
    ) + marginal_log_likelihood(found.items[np.arange(3, 9)], responses[1_500:, 3:])
    assert found.log_likelihood == pytest.approx(halves, abs=1e-8)
    peer = mirt.fit_mirt(responses, "2PL", n_quadpts=61, tol=1e-6)
    np.testing.assert_allclose(found.items.a, peer.model.parameters["discrimination"], atol=2e-3)
    np.testing.assert_allclose(found.items.b, peer.model.parameters["difficulty"], atol=2e-3)


def test_a_sparse_table_gives_what_a_dense_one_gives() -> None:
    # 60 items of which each person answered 6: below the share from which on the table is kept sparse.
    rng = np.random.default_rng(7)
    truth = bank_of(60, rng)
    responses = simulated(truth, rng.standard_normal(6_000), rng)
    order = np.argsort(rng.random(responses.shape), axis=1)
    np.put_along_axis(responses, order[:, 6:], MISSING, axis=1)
    found = calibrate(responses, "2pl")
    assert found.converged
    assert marginal_log_likelihood(found.items, responses) == pytest.approx(found.log_likelihood, abs=1e-6)
    assert np.corrcoef(found.items.b, truth.b)[0, 1] > 0.97


def test_people_without_any_response_change_nothing_and_are_not_counted(lsat7) -> None:
    nobody = np.full((50, 5), MISSING)
    found, padded = calibrate(lsat7, "2pl"), calibrate(np.vstack((lsat7, nobody)), "2pl")
    assert padded.examinees == 1_000
    assert padded.log_likelihood == pytest.approx(found.log_likelihood, abs=1e-6)
    np.testing.assert_allclose(padded.items.a, found.items.a, atol=1e-4)


def test_anchors_stay_as_they_are_and_bring_a_shifted_group_onto_their_scale() -> None:
    # 4,000 people: standard errors of mean and sd about 0.02 and 0.02; of the new items' b below 0.1.
    rng = np.random.default_rng(8)
    truth = bank_of(30, rng)
    responses = simulated(truth, rng.normal(0.8, 1.3, 4_000), rng)
    responses[rng.random(responses.shape) < 0.3] = MISSING
    known = np.arange(0, 30, 2)
    found = calibrate(responses, "2pl", anchors=Anchors(known, truth[known]))
    assert found.population_mean == pytest.approx(0.8, abs=0.09)
    assert found.population_sd == pytest.approx(1.3, abs=0.09)
    np.testing.assert_array_equal(found.items.a[known], truth.a[known])
    np.testing.assert_array_equal(found.items.b[known], truth.b[known])
    np.testing.assert_array_equal(found.calibrated, np.arange(1, 30, 2))
    z = (found.items.b[1::2] - truth.b[1::2]) / found.standard_errors["b"]
    assert np.mean(z**2) < 2.5
    assert found.parameters == 2 * 15 + 2
    assert marginal_log_likelihood(found.items, responses, found.grid) == pytest.approx(
        found.log_likelihood, abs=1e-7
    )
    assert found.grid.mean == pytest.approx(found.population_mean)


def test_the_estimated_group_cannot_be_bettered_by_another_normal() -> None:
    rng = np.random.default_rng(9)
    truth = bank_of(12, rng)
    responses = simulated(truth, rng.normal(-0.6, 0.8, 1_500), rng)
    found = calibrate(responses, "2pl", anchors=Anchors(np.arange(10), truth[np.arange(10)]), tolerance=1e-8)

    def height(mean, sd):
        grid = grid_of(normal_grid().points, lambda x: norm.pdf(x, mean, sd))
        return marginal_log_likelihood(found.items, responses, grid)

    mean, sd = found.population_mean, found.population_sd
    best = height(mean, sd)
    assert best == pytest.approx(found.log_likelihood, abs=1e-6)
    for by_mean, by_sd in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01)):
        assert height(mean + by_mean, sd + by_sd) < best


def test_graded_items_are_calibrated_against_right_or_wrong_anchors() -> None:
    rng = np.random.default_rng(10)
    known = bank_of(15, rng)
    new = GradedItems(
        rng.lognormal(0.2, 0.2, 4), np.sort(rng.normal(0, 1, (4, 2)), axis=1) + np.array([-0.3, 0.3])
    )
    truth = MixedItems((known, new), rows=(np.arange(4, 19), np.arange(4)))
    theta = rng.normal(-0.5, 1.1, 4_000)
    found = calibrate(simulated(truth, theta, rng), "grm", anchors=Anchors(np.arange(4, 19), known))
    assert found.population_mean == pytest.approx(-0.5, abs=0.09)
    at = np.linspace(-2, 2, 9)
    np.testing.assert_allclose(
        found.items.category_probabilities(at), truth.category_probabilities(at), atol=0.05
    )


def test_answers_of_a_real_test_with_guessing_are_calibrated(sat12) -> None:
    assert calibrate(sat12, "3pl").converged
    whole = calibrate(sat12, "2pl")
    assert whole.converged
    # The last item hardly discriminates (b = 14), and mirt allows no difficulty beyond 6: we must be higher.
    peer = mirt.fit_mirt(sat12, "2PL", n_quadpts=61, tol=1e-5, max_iter=2_000)
    assert whole.log_likelihood > peer.log_likelihood
    others = sat12[:, :31]
    found = calibrate(others, "2pl")
    peer = mirt.fit_mirt(others, "2PL", n_quadpts=61, tol=1e-5, max_iter=2_000)
    assert -1e-4 <= found.log_likelihood - peer.log_likelihood <= 0.05
    np.testing.assert_allclose(found.items.a, peer.model.parameters["discrimination"], atol=0.01)


def test_an_item_that_measures_the_opposite_is_pointed_out() -> None:
    rng = np.random.default_rng(11)
    responses = simulated(bank_of(10, rng), rng.standard_normal(2_000), rng)
    responses[:, 4] = 1 - responses[:, 4]
    found = calibrate(responses, "2pl")
    np.testing.assert_array_equal(found.at_bound, [4])
    assert np.isnan(found.standard_errors["a"][4])
    assert np.isfinite(np.delete(found.standard_errors["a"], 4)).all()


def test_a_climb_that_was_stopped_says_so(lsat7) -> None:
    found = calibrate(lsat7, "2pl", max_iterations=3)
    assert not found.converged
    assert found.iterations == 3
    assert found.last_change > 1e-5
    assert marginal_log_likelihood(found.items, lsat7) == pytest.approx(found.log_likelihood, abs=1e-9)


def test_a_narrower_grid_is_the_population_that_is_assumed(lsat7) -> None:
    # Abilities of half the spread need slopes of twice the size.
    wide = calibrate(lsat7, "2pl", grid=normal_grid(121, -6, 6))
    narrow = calibrate(lsat7, "2pl", grid=normal_grid(121, -3, 3, sd=0.5))
    np.testing.assert_allclose(narrow.items.a, 2 * wide.items.a, rtol=1e-3)


def test_input_that_cannot_be_calibrated_is_refused_with_what_is_wrong(lsat7) -> None:
    always = lsat7.copy()
    always[:, 2] = 1
    with pytest.raises(InvalidItem, match="row 2: nobody gave response 0"):
        calibrate(always, "2pl")
    with pytest.raises(InvalidResponse, match="row 7, column 3"):
        calibrate(np.where(np.arange(5_000).reshape(1_000, 5) == 38, 2, lsat7), "2pl")
    with pytest.raises(InvalidResponse):
        calibrate(np.full((4, 3), MISSING), "2pl")
    with pytest.raises(TooFewItems):
        calibrate(lsat7[:, :2], "2pl")
    with pytest.raises(InvalidItem, match="fixed slope"):
        calibrate(lsat7, "2pl", slope=1.0)
    with pytest.raises(InvalidItem, match="is no model"):
        calibrate(lsat7, "5pl")
    with pytest.raises(InvalidItem, match="anchor in a column"):
        calibrate(lsat7, "2pl", anchors=Anchors([5], LogisticItems.of(1.0, [0.0])))
    with pytest.raises(InvalidItem, match="2 columns for 1 anchors"):
        Anchors([0, 1], LogisticItems.of(1.0, [0.0]))
    with pytest.raises(InvalidItem, match="beta prior"):
        Beta(0.5, 2.0)
    with pytest.raises(InvalidItem, match="lognormal prior"):
        LogNormal(0.0, 0.0)


def test_a_category_that_nobody_gave_is_seen_though_the_shares_of_the_others_round_to_less_than_one(
    lsat7,
) -> None:
    # 0.7 + 0.2 + 0.1 is below 1 in doubles: what is left must not count as somebody.
    responses = np.column_stack((np.repeat([1, 2, 3], [7, 2, 1]), np.tile([0, 1], 5), lsat7[:10, :3]))
    responses[:2, 2:] = [[0, 0, 0], [1, 1, 1]]
    with pytest.raises(InvalidItem) as refusal:
        calibrate(responses, "gpcm")
    assert refusal.value.row == 0
    assert "nobody gave response 0" in refusal.value.reason


def test_a_fixed_slope_leaves_the_mean_of_the_population_where_the_grid_has_it() -> None:
    rng = np.random.default_rng(1)
    items = LogisticItems.of(1.0, np.linspace(-1, 1, 6))
    responses = simulated(items, rng.normal(size=1000), rng)
    here = calibrate(responses, "1pl", slope=1.0)
    there = calibrate(responses, "1pl", slope=1.0, grid=normal_grid(low=-5.0, high=7.0, mean=1.0))
    assert there.population_mean == pytest.approx(1.0, abs=1e-9)
    np.testing.assert_allclose(there.items.b, here.items.b + 1.0, atol=1e-4)
    assert there.population_sd == pytest.approx(here.population_sd, abs=1e-4)


def test_anchors_of_several_abilities_are_refused_before_anything_starts() -> None:
    several = MultidimensionalItems([[1.0, 0.5]], [0.0], [0.0])
    with pytest.raises(InvalidItem, match="more than one ability"):
        Anchors(np.array([0]), several)


def test_whoever_watches_a_calibration_is_told_each_step_and_how_far_it_has_come(lsat7) -> None:
    told: list[tuple[int, float]] = []
    found = calibrate(lsat7, "2pl", progress=lambda steps, change: told.append((steps, change)))
    steps = [each for each, _ in told]
    assert steps[0] == 1
    assert steps == sorted(set(steps))
    assert told[-1] == (found.iterations, found.last_change)
    np.testing.assert_array_equal(found.items.a, calibrate(lsat7, "2pl").items.a)
