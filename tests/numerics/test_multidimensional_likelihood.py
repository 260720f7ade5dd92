"""Abilities without a prior: against the one-dimensional scores, slow searches and Jeffreys' prior."""

import numpy as np
import pytest
from scipy.optimize import minimize

from domain.cat.ability import ml, wle
from domain.cat.errors import InvalidGrid, InvalidResponse
from domain.cat.items import LogisticItems, MultidimensionalItems
from domain.cat.multidimensional_likelihood import multidimensional_ml, multidimensional_wle
from domain.cat.types import MISSING

BOTH = pytest.mark.parametrize("method", [multidimensional_ml, multidimensional_wle])


def two_factor_bank(guessing=0.0, items=25):
    rng = np.random.default_rng(3)
    return MultidimensionalItems(
        rng.uniform(0, 1.6, (items, 2)), rng.normal(size=items), np.full(items, guessing)
    )


def drawn(items, people, missing=0.1):
    rng = np.random.default_rng(4)
    theta = rng.normal(size=(people, 2))
    responses = (rng.random((people, len(items))) < items.correct(theta)).astype(int)
    responses[rng.random(responses.shape) < missing] = MISSING
    return responses


@pytest.mark.parametrize(("several", "one"), [(multidimensional_ml, ml), (multidimensional_wle, wle)])
def test_in_one_dimension_the_scores_are_the_known_ones(several, one):
    rng = np.random.default_rng(5)
    items = LogisticItems.of(rng.lognormal(0, 0.3, 15), rng.normal(size=15))
    same = MultidimensionalItems(items.a[:, None], -items.a * items.b, items.c)
    responses = rng.integers(-1, 2, (100, 15))
    responses[0], responses[1] = 1, 0
    expected, found = one(items, responses), several(same, responses)
    assert found.converged.all()
    np.testing.assert_allclose(found.theta[:, 0], expected.theta, atol=1e-8)
    np.testing.assert_allclose(found.se[:, 0], expected.se, rtol=1e-7)


@pytest.mark.parametrize("guessing", [0.0, 0.1])
def test_no_search_finds_a_likelier_point_nearby(guessing):
    items = two_factor_bank(guessing)
    responses = drawn(items, 30)
    found = multidimensional_ml(items, responses)
    assert found.converged.all()
    for person, theta in enumerate(found.theta):

        def loss(at, person=person):
            return -items.log_likelihood(responses[[person]], at[None])[0, 0]

        nearby = minimize(loss, theta, bounds=[(-6, 6)] * 2)
        assert loss(theta) <= nearby.fun + 1e-9
        if not guessing:  # one hill: the same from anywhere
            far = minimize(loss, [3.0, -3.0], bounds=[(-6, 6)] * 2)
            np.testing.assert_allclose(theta, far.x, atol=1e-3)


def test_without_guessing_warm_s_estimate_is_the_mode_under_jeffreys_prior():
    items = two_factor_bank()
    responses = drawn(items, 20)
    found = multidimensional_wle(items, responses)
    assert found.converged.all()
    for person, theta in enumerate(found.theta):
        answered = responses[person] >= 0

        def loss(at, person=person, answered=answered):
            information = items.information_matrix(at[None])[0][answered].sum(axis=0)
            height = items.log_likelihood(responses[[person]], at[None])[0, 0]
            return -height - np.linalg.slogdet(information)[1] / 2

        best = minimize(loss, [0.0, 0.0], bounds=[(-6, 6)] * 2)
        np.testing.assert_allclose(theta, best.x, atol=1e-3)


def test_with_guessing_warm_s_estimate_is_the_root_of_his_equation_written_apart():
    items = two_factor_bank(0.15)
    responses = drawn(items, 20, missing=0.0)
    found = multidimensional_wle(items, responses)
    assert found.converged.sum() >= 19
    for person in np.flatnonzero(found.converged & (np.abs(found.theta) < 6).all(axis=1)):
        at, nudge = items.a @ found.theta[person] + items.intercept, 1e-4
        p, up, down = (0.15 + 0.85 / (1 + np.exp(-line)) for line in (at, at + nudge, at - nudge))
        first, second = (up - down) / (2 * nudge), (up - 2 * p + down) / nudge**2
        information = items.a.T @ (items.a * (first**2 / (p * (1 - p)))[:, None])
        shares = np.einsum("md,de,me->m", items.a, np.linalg.inv(information), items.a)
        score = (responses[person] - p) * first / (p * (1 - p)) + first * second / (p * (1 - p)) * shares / 2
        np.testing.assert_allclose(items.a.T @ score, 0.0, atol=1e-5)  # differences of second order


def test_warm_s_estimate_is_less_biased_than_maximum_likelihood():
    rng = np.random.default_rng(6)
    items = two_factor_bank(items=40)
    at = np.tile([1.2, -0.3], (1500, 1))
    responses = (rng.random((1500, 40)) < items.correct(at)).astype(int)
    biases = [
        np.abs(each(items, responses).theta.mean(axis=0) - at[0])
        for each in (multidimensional_ml, multidimensional_wle)
    ]
    # Errors of the means: some 0.02.
    assert biases[0].sum() > 0.1
    assert biases[1].sum() < biases[0].sum() / 2


def test_all_right_has_no_maximum_of_likelihood_but_a_weighted_one():
    items = two_factor_bank()
    responses = np.ones((1, 25), dtype=int)
    likeliest = multidimensional_ml(items, responses)
    weighted = multidimensional_wle(items, responses, -15.0, 15.0)
    assert likeliest.theta.tolist() == [[6.0, 6.0]]
    assert np.isinf(likeliest.se).all()
    assert (np.abs(weighted.theta) < 15).all()
    assert np.isfinite(weighted.se).all()


@BOTH
def test_an_ability_that_no_item_answered_measures_is_not_made_up(method):
    items = MultidimensionalItems([[1.0, 0.0]] * 3 + [[0.0, 1.0]] * 3, [1.0, 0.0, -1.0] * 2, [0.0] * 6)
    found = method(items, [[1, 0, 0, MISSING, MISSING, MISSING], [1, 0, 0, 1, 1, 0], [MISSING] * 6])
    assert found.converged.tolist() == [False, True, False]
    assert np.isnan(found.theta[[0, 2]]).all()
    assert np.isinf(found.se[[0, 2]]).all()
    np.testing.assert_array_equal(found.theta[1], method(items[:], [[1, 0, 0, 1, 1, 0]]).theta[0])


@BOTH
def test_what_is_no_range_and_no_response_is_refused(method):
    with pytest.raises(InvalidGrid):
        method(two_factor_bank(), np.ones((1, 25), dtype=int), low=2.0, high=1.0)
    with pytest.raises(InvalidResponse):
        method(two_factor_bank(), np.full((1, 25), 2))
    assert method(two_factor_bank(), np.zeros((0, 25), dtype=int)).theta.shape == (0, 2)
