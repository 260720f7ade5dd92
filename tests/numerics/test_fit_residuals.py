"""Mean squares and Q3: against sums written out, another package, and what the model makes expect."""

import mirt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirt.diagnostics.itemfit import compute_itemfit
from mirt.diagnostics.ld import compute_q3
from mirt.diagnostics.personfit import compute_personfit
from scipy.stats import kstest

from domain.cat.ability import eap
from domain.cat.errors import InvalidResponse, TooFewItems
from domain.cat.fit.mean_squares import item_mean_squares, person_mean_squares
from domain.cat.fit.q3 import pairwise_correlations, q3
from domain.cat.fit.scores import score_moments
from domain.cat.items import GradedItems, LogisticItems, PartialCreditItems
from domain.cat.types import MISSING
from tests.support.responding import answers


@pytest.fixture
def steps():
    return PartialCreditItems(a=[1.0, 0.8, 1.3], b=[[-1.0, 0.5], [0.0, np.nan], [0.3, -0.2]])


def written_out(items, cells):
    """Wright & Masters's sums over (item, response, ability) one by one: infit, outfit and their deviates."""
    outfit = infit_above = infit_below = outfit_variance = infit_variance = 0.0
    for item, response, theta in cells:
        p = items.category_probabilities([theta])[0, item]
        k = np.arange(len(p))
        mean = (k * p).sum()
        second, fourth = ((k - mean) ** 2 * p).sum(), ((k - mean) ** 4 * p).sum()
        outfit += (response - mean) ** 2 / second
        infit_above += (response - mean) ** 2
        infit_below += second
        outfit_variance += fourth / second**2
        infit_variance += fourth - second**2
    number = len(cells)
    outfit, infit = outfit / number, infit_above / infit_below
    spreads = [np.sqrt(infit_variance) / infit_below, np.sqrt(outfit_variance / number**2 - 1 / number)]
    deviates = [(ms ** (1 / 3) - 1) * 3 / q + q / 3 for ms, q in zip((infit, outfit), spreads, strict=True)]
    return [infit, outfit, *deviates]


def test_mean_squares_are_the_sums_of_wright_and_masters(steps):
    rng = np.random.default_rng(2)
    theta = rng.normal(size=40)
    responses = answers(steps, theta, rng)
    responses[rng.random(responses.shape) < 0.2] = MISSING
    responses[0] = [2, 1, MISSING]
    by_item, by_person = (
        item_mean_squares(steps, responses, theta),
        person_mean_squares(steps, responses, theta),
    )
    for item in range(3):
        cells = [(item, responses[at, item], theta[at]) for at in range(40) if responses[at, item] != MISSING]
        found = [by_item.infit[item], by_item.outfit[item], by_item.infit_z[item], by_item.outfit_z[item]]
        assert found == pytest.approx(written_out(steps, cells), rel=1e-12)
    cells = [(0, 2, theta[0]), (1, 1, theta[0])]
    found = [by_person.infit[0], by_person.outfit[0], by_person.infit_z[0], by_person.outfit_z[0]]
    assert found == pytest.approx(written_out(steps, cells), rel=1e-12)


def test_mean_squares_are_those_of_pypi_mirt():
    rng = np.random.default_rng(7)
    items = GradedItems(a=rng.uniform(0.8, 1.6, 8), b=np.sort(rng.normal(size=(8, 2)), axis=1))
    theta = rng.normal(size=300)
    responses = answers(items, theta, rng)
    responses[rng.random(responses.shape) < 0.1] = MISSING
    model = mirt.GradedResponseModel(n_items=8, n_categories=3)
    model.set_parameters(discrimination=items.a, thresholds=items.b)
    names = ["infit", "outfit", "z_infit", "z_outfit"]
    for ours, theirs in (
        (item_mean_squares(items, responses, theta), compute_itemfit(model, responses, names, theta)),
        (person_mean_squares(items, responses, theta), compute_personfit(model, responses, theta, names)),
    ):
        # They add 1e-10 to what they divide by.
        assert ours.infit == pytest.approx(theirs["infit"], rel=1e-7)
        assert ours.outfit == pytest.approx(theirs["outfit"], rel=1e-7)
        assert ours.infit_z == pytest.approx(theirs["z_infit"], rel=1e-6, abs=1e-8)
        assert ours.outfit_z == pytest.approx(theirs["z_outfit"], rel=1e-6, abs=1e-8)


def test_at_the_true_abilities_item_deviates_are_standard_normal():
    rng = np.random.default_rng(12)
    items = LogisticItems.of(rng.uniform(0.7, 1.5, 300), rng.uniform(-1.5, 1.5, 300))
    theta = rng.normal(size=400)
    fit = item_mean_squares(items, answers(items, theta, rng), theta)
    # Given the abilities the 300 items are independent.
    assert kstest(fit.infit_z, "norm").pvalue > 0.01
    assert kstest(fit.outfit_z, "norm").pvalue > 0.01
    assert fit.infit.mean() == pytest.approx(1.0, abs=0.01)  # the standard error of this mean is 0.002


def test_an_item_that_is_noise_misfits_upwards_and_one_that_is_too_steep_downwards():
    rng = np.random.default_rng(13)
    believed = LogisticItems.of(1.0, np.zeros(3))
    theta = rng.normal(size=2000)
    true = LogisticItems.of([1e-6, 1.0, 4.0], np.zeros(3))
    fit = item_mean_squares(believed, answers(true, theta, rng), theta)
    assert fit.infit_z[0] > 4
    assert abs(fit.infit_z[1]) < 3
    assert fit.infit_z[2] < -4
    assert fit.outfit[0] > 1.1
    assert fit.outfit[2] < 0.9


def test_who_answered_nothing_has_no_mean_square(steps):
    fit = person_mean_squares(steps, [[MISSING] * 3, [0, 1, 2]], [0.0, 0.0])
    for values in (fit.infit, fit.outfit, fit.infit_z, fit.outfit_z):
        assert np.isnan(values).tolist() == [True, False]


def test_a_score_that_is_certain_enters_no_mean_square():
    items = LogisticItems.of([1.0, 50.0], [0.0, -100.0])
    both = person_mean_squares(items, [[1, 1]], [0.5])
    alone = person_mean_squares(items[[0]], [[1]], [0.5])
    assert both.outfit == pytest.approx(alone.outfit)
    assert both.infit == pytest.approx(alone.infit)


def test_without_variance_of_the_mean_square_there_is_no_deviate():
    at_and_nearly_at_the_difficulty = [0.3, 0.3 + 4e-8, 0.3 - 3e-8]
    items = LogisticItems.of(1.0, [0.3])
    for theta in ([0.3] * 3, at_and_nearly_at_the_difficulty):
        fit = item_mean_squares(items, [[1], [0], [1]], theta)
        assert fit.outfit == pytest.approx([1.0])
        assert np.isnan(fit.outfit_z).all()
        assert np.isnan(fit.infit_z).all()


def test_central_moments_of_an_item_nearly_certain_keep_their_digits():
    moments = score_moments(LogisticItems.of(1.0, [-40.0]), [0.0])
    wrong = np.exp(-40.0) / (1 + np.exp(-40.0))
    assert moments.variance[0, 0] == pytest.approx(wrong, rel=1e-12)
    assert moments.kurtosis[0, 0] == pytest.approx(1 / wrong, rel=1e-12)


def test_rows_and_abilities_must_match(steps):
    for statistic in (item_mean_squares, person_mean_squares, q3):
        with pytest.raises(InvalidResponse, match="2 rows for 3 abilities"):
            statistic(steps, [[0, 0, 0], [1, 1, 1]], [0.0, 0.1, 0.2])


def test_q3_is_the_correlation_of_the_residuals_of_those_who_answered_both(steps):
    rng = np.random.default_rng(15)
    theta = rng.normal(size=60)
    responses = answers(steps, theta, rng)
    responses[rng.random(responses.shape) < 0.25] = MISSING
    found = q3(steps, responses, theta)
    residuals = responses - score_moments(steps, theta).mean
    for first in range(3):
        for second in range(first + 1, 3):
            both = (responses[:, first] != MISSING) & (responses[:, second] != MISSING)
            expected = np.corrcoef(residuals[both, first], residuals[both, second])[0, 1]
            assert found.q3[first, second] == pytest.approx(expected, rel=1e-10)
            assert found.q3[second, first] == found.q3[first, second]
    assert found.q3.diagonal().tolist() == [1, 1, 1]


def test_q3_is_that_of_pypi_mirt():
    rng = np.random.default_rng(16)
    items = LogisticItems.of(rng.uniform(0.8, 1.6, 10), rng.normal(size=10))
    responses = answers(items, rng.normal(size=500), rng)
    theta = eap(items, responses).theta
    model = mirt.TwoParameterLogistic(n_items=10)
    model.set_parameters(discrimination=items.a, difficulty=items.b)
    theirs = compute_q3(model, responses, theta[:, None])
    ours = q3(items, responses, theta).q3
    above = np.triu_indices(10, k=1)
    # They standardise the residuals by their model variance first, as one variant has it; [Yen1984] does
    # not. Both variants agree to some hundredths and order the pairs alike.
    assert np.corrcoef(ours[above], theirs[above])[0, 1] > 0.97
    assert np.abs(ours - theirs)[above].max() < 0.05


def test_independent_items_have_a_mean_q3_near_its_expectation():
    rng = np.random.default_rng(17)
    items = LogisticItems.of(1.2, np.linspace(-1.5, 1.5, 20))
    responses = answers(items, rng.normal(size=2000), rng)
    found = q3(items, responses, eap(items, responses).theta)
    # -1 / (m - 1) holds for a total that takes up all common variance; EAP takes up a little less.
    assert found.mean == pytest.approx(-1 / 19, abs=0.015)
    pairs = found.adjusted[np.triu_indices(20, k=1)]
    assert pairs.mean() == pytest.approx(0.0, abs=1e-15)
    assert np.abs(pairs).max() < 0.1


def test_two_items_with_a_second_thing_in_common_are_found():
    rng = np.random.default_rng(18)
    items = LogisticItems.of(1.2, np.linspace(-1, 1, 12))
    theta, shared = rng.normal(size=(2, 1500))
    responses = answers(items, theta, rng)
    for item in (3, 8):
        responses[:, item] = answers(items[[item]], theta + 2 * shared, rng)[:, 0]
    found = q3(items, responses, eap(items, responses).theta)
    assert found.largest == (3, 8)
    assert found.adjusted[3, 8] > 0.2


def test_pairs_without_common_examinees_or_variance_have_no_q3(steps):
    responses = [[0, MISSING, 1], [1, MISSING, 2], [2, MISSING, 0], [MISSING, 1, 1]]
    found = q3(steps, responses, [0.0, 0.0, 0.0, 0.0])
    assert np.isnan(found.q3[0, 1])
    assert np.isfinite(found.q3[0, 2])
    same = q3(steps, [[1, 0, 1], [1, 1, 2], [1, 0, 0], [1, 1, 1]], [0.0] * 4)
    assert np.isnan(same.q3[0, [1, 2]]).all()
    nothing = q3(steps[[0, 1]], [[1, 0], [1, 0], [1, 0]], [0.0] * 3)
    assert np.isnan(nothing.mean)


def test_q3_needs_two_items():
    with pytest.raises(TooFewItems):
        q3(LogisticItems.of(1.0, [0.0]), [[1], [0]], [0.0, 0.0])


def test_two_examinees_make_no_correlation_but_three_do():
    values = np.array([[1.0, 2.0], [2.0, 1.0], [4.0, 5.0]])
    two = np.array([[True, True], [True, True], [True, False]])
    assert np.isnan(pairwise_correlations(values * two, two)[0, 1])
    assert np.isfinite(pairwise_correlations(values, np.ones((3, 2), dtype=bool))[0, 1])


def test_a_constant_has_no_correlation_whatever_its_rounding():
    values = np.column_stack([np.full(7, 0.1), np.arange(7.0)])
    assert np.isnan(pairwise_correlations(values, np.ones((7, 2), dtype=bool))[0, 1])


@given(st.integers(0, 2**32 - 1))
def test_correlations_stay_within_one_and_are_symmetric(seed):
    rng = np.random.default_rng(seed)
    counted = rng.random((8, 4)) < 0.8
    values = np.where(counted, rng.normal(size=(8, 4)).round(1) * 10.0 ** rng.integers(-3, 4), 0.0)
    found = pairwise_correlations(values, counted)
    assert np.array_equal(found, found.T, equal_nan=True)
    assert np.nanmax(np.abs(found), initial=0.0) <= 1.0


def test_where_no_pair_can_be_compared_there_is_no_largest() -> None:
    found = q3(LogisticItems.of(1.0, [0.0, 0.0]), [[1, 1], [1, 1]], [0.0, 0.0])
    with pytest.raises(InvalidResponse, match="no pair"):
        _ = found.largest
