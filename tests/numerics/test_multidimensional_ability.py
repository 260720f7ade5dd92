"""Several abilities scored at once: against the one-dimensional scores, quadrature and the gradient."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import multivariate_normal

from domain.cat.ability import eap, map_
from domain.cat.errors import InvalidGrid
from domain.cat.items import LogisticItems, MultidimensionalItems
from domain.cat.multidimensional_ability import multidimensional_eap, multidimensional_map, product_grid
from domain.cat.types import MISSING

CORRELATED = np.array([[1.0, 0.6], [0.6, 1.3]])


def two_factor_bank(guessing: float = 0.0) -> MultidimensionalItems:
    rng = np.random.default_rng(5)
    return MultidimensionalItems(rng.uniform(0.2, 1.6, (12, 2)), rng.normal(size=12), np.full(12, guessing))


def drawn(items: MultidimensionalItems, people: int) -> np.ndarray:
    rng = np.random.default_rng(6)
    theta = rng.multivariate_normal([0, 0], CORRELATED, people)
    responses = (rng.uniform(size=(people, len(items))) < items.correct(theta)).astype(int)
    responses[rng.uniform(size=responses.shape) < 0.15] = MISSING
    return responses


def test_the_mean_and_covariance_are_those_of_the_posterior() -> None:
    items = two_factor_bank(0.15)
    responses = drawn(items, 8)
    found = multidimensional_eap(items, responses, product_grid(CORRELATED))
    axis = np.linspace(-9, 9, 361)
    fine = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    prior = multivariate_normal([0, 0], CORRELATED).pdf(fine)

    for person, answers in enumerate(responses):
        # The trapezoidal rule, exact to rounding for a smooth density that has died away at the ends.
        density = prior.copy()
        for a, intercept, answer in zip(items.a, items.intercept, answers, strict=True):
            right = 0.15 + 0.85 * expit(fine @ a + intercept)
            density *= {MISSING: 1.0, 0: 1 - right, 1: right}[int(answer)]
        shares = density / density.sum()
        mean = np.einsum("xy,xyd->d", shares, fine)
        covariance = np.einsum("xy,xyd,xye->de", shares, fine - mean, fine - mean)

        # The grid ends at six standard deviations of the prior, which cuts off some 1e-8.
        np.testing.assert_allclose(found.theta[person], mean, atol=1e-6)
        np.testing.assert_allclose(found.covariance[person], covariance, atol=1e-6)


def test_in_one_dimension_the_scores_are_the_known_ones() -> None:
    flat = LogisticItems.of([1.2, 0.7, 1.5], [0.5, -1.0, 0.1])
    deep = MultidimensionalItems(flat.a[:, None], -flat.a * flat.b, flat.c)
    responses = [[1, 0, 1], [0, 0, 0], [1, 1, MISSING]]

    by_mean, known = multidimensional_eap(deep, responses, product_grid([[1.0]])), eap(flat, responses)
    np.testing.assert_allclose(by_mean.theta[:, 0], known.theta, atol=1e-12)
    np.testing.assert_allclose(by_mean.se[:, 0], known.se, rtol=1e-10)

    by_mode, mode = multidimensional_map(deep, responses, [[1.0]]), map_(flat, responses)
    np.testing.assert_allclose(by_mode.theta[:, 0], mode.theta, atol=1e-11)
    np.testing.assert_allclose(by_mode.se[:, 0], mode.se, rtol=1e-10)


@pytest.mark.parametrize("guessing", [0.0, 0.2])
def test_the_mode_is_where_the_gradient_vanishes_and_nobody_near_is_higher(guessing) -> None:
    items = two_factor_bank(guessing)
    responses = drawn(items, 40)
    mean = np.array([0.2, -0.1])
    found = multidimensional_map(items, responses, CORRELATED, mean)
    precision = np.linalg.inv(CORRELATED)

    def height(theta: np.ndarray, person: int) -> float:
        likelihood = items.log_likelihood(responses[[person]], [theta])[0, 0]
        return likelihood - (theta - mean) @ precision @ (theta - mean) / 2

    gradient = items.response_slopes(responses, found.theta)[0] @ items.a - (found.theta - mean) @ precision
    # Steps end below 1e-12, over information of about 1.
    np.testing.assert_allclose(gradient, 0.0, atol=1e-10)
    for person, at in enumerate(found.theta):
        around = [at + 0.05 * np.array([np.cos(turn), np.sin(turn)]) for turn in np.linspace(0, 6.2, 12)]
        assert max(height(each, person) for each in around) < height(at, person)


def test_the_error_of_the_mode_is_the_inverse_of_information_and_precision() -> None:
    items = two_factor_bank()
    answers = np.array([[1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 0, MISSING]])
    found = multidimensional_map(items, answers, CORRELATED)
    information = items.information_matrix(found.theta)[0, :11].sum(axis=0)
    np.testing.assert_allclose(
        found.covariance[0], np.linalg.inv(information + np.linalg.inv(CORRELATED)), rtol=1e-10
    )


def test_without_any_response_the_prior_is_given() -> None:
    items = two_factor_bank()
    nothing = np.full((1, 12), MISSING)
    mean = [0.5, -0.5]
    for found in (
        multidimensional_eap(items, nothing, product_grid(CORRELATED, mean)),
        multidimensional_map(items, nothing, CORRELATED, mean),
    ):
        np.testing.assert_allclose(found.theta, [mean], atol=1e-7)
        # The grid cuts the prior off at six standard deviations: 1e-7.
        np.testing.assert_allclose(found.covariance, [CORRELATED], atol=1e-6)


def test_an_ability_without_items_borrows_from_the_one_it_goes_with() -> None:
    items = MultidimensionalItems([[1.5, 0.0]] * 4, [0.0] * 4, [0.0] * 4)
    found = multidimensional_eap(items, [[1, 1, 1, 1]], product_grid([[1.0, 0.6], [0.6, 1.0]]))
    # E(y | data) = 0.6 E(x | data) for a bivariate normal prior.
    assert found.theta[0, 1] == pytest.approx(0.6 * found.theta[0, 0], abs=1e-7)


@pytest.mark.parametrize(
    "covariance",
    [[[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.1], [0.2, 1.0]], [[1.0, np.nan], [np.nan, 1.0]], [[1.0, 0.5]]],
)
def test_what_is_no_covariance_is_refused(covariance) -> None:
    with pytest.raises(InvalidGrid):
        product_grid(covariance)
    with pytest.raises(InvalidGrid):
        multidimensional_map(two_factor_bank(), np.zeros((1, 12)), covariance)


def test_a_prior_of_other_dimensions_than_the_items_is_refused() -> None:
    with pytest.raises(InvalidGrid):
        multidimensional_eap(two_factor_bank(), np.zeros((1, 12)), product_grid(np.eye(3), count=3))
    with pytest.raises(InvalidGrid):
        multidimensional_map(two_factor_bank(), np.zeros((1, 12)), np.eye(3))
    with pytest.raises(InvalidGrid):
        product_grid(np.eye(2), mean=[0.0])


@pytest.mark.parametrize("arguments", [{"count": 1}, {"width": 0.0}, {"width": -6.0}])
def test_a_product_grid_of_nothing_is_refused(arguments) -> None:
    with pytest.raises(InvalidGrid):
        product_grid(np.eye(2), **arguments)
