"""Items of several abilities: against the one-dimensional ones, PyPI mirt and differences."""

import mirt.models
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.cat.errors import InvalidItem
from domain.cat.items import LogisticItems, MultidimensionalItems

BANK = MultidimensionalItems(
    [[1.2, 0.0, 0.3], [0.4, 1.1, -0.2], [0.0, 0.9, 1.4]], [0.3, -0.8, 0.0], [0.0, 0.2, 0.1]
)

abilities = st.lists(st.floats(-4, 4), min_size=3, max_size=3)


def test_in_one_dimension_it_is_the_3pl() -> None:
    flat = LogisticItems.of([1.2, 0.7], [0.5, -1.0], [0.0, 0.25])
    deep = MultidimensionalItems(flat.a[:, None], -flat.a * flat.b, flat.c)
    theta = np.linspace(-5, 5, 41)

    np.testing.assert_allclose(
        deep.category_probabilities(theta[:, None]), flat.category_probabilities(theta), rtol=1e-12
    )
    np.testing.assert_allclose(deep.information(theta[:, None]), flat.information(theta), rtol=1e-12)
    responses = np.array([[1, 0], [0, 1], [-1, 1]])
    np.testing.assert_allclose(
        deep.log_likelihood(responses, theta[:, None]), flat.log_likelihood(responses, theta), rtol=1e-12
    )
    np.testing.assert_allclose(
        deep.observed_information(responses, [[0.1], [0.2], [0.3]]),
        flat.observed_information(responses, [0.1, 0.2, 0.3]),
        rtol=1e-12,
    )


def test_probabilities_are_those_of_mirt() -> None:
    peer = mirt.models.MultidimensionalModel(n_items=3, n_factors=3)
    peer.set_parameters(slopes=BANK.a, intercepts=BANK.intercept)
    theta = np.random.default_rng(1).normal(size=(50, 3))
    without_guessing = MultidimensionalItems(BANK.a, BANK.intercept, np.zeros(3))

    np.testing.assert_allclose(without_guessing.correct(theta), peer.probability(theta), rtol=1e-12)


@given(theta=abilities)
def test_the_information_matrix_is_minus_the_expected_hessian(theta) -> None:
    first_and_second = [BANK.response_slopes([[answer] * 3], [theta]) for answer in (0, 1)]
    bend = sum(
        BANK.category_probabilities(theta)[0, :, answer] * slopes[1][0]
        for answer, slopes in enumerate(first_and_second)
    )
    hessian = bend[:, None, None] * BANK.a[:, :, None] * BANK.a[:, None, :]
    np.testing.assert_allclose(BANK.information_matrix(theta)[0], -hessian, rtol=1e-9, atol=1e-14)


@given(theta=abilities, answers=st.lists(st.integers(-1, 1), min_size=3, max_size=3))
def test_the_gradient_is_the_limit_of_differences(theta, answers) -> None:
    step = 1e-5
    gradient = (BANK.response_slopes([answers], [theta])[0] @ BANK.a)[0]
    moved = [
        BANK.log_likelihood([answers], [np.array(theta) + at])[0, 0]
        for at in np.vstack((np.eye(3), -np.eye(3))) * step
    ]
    # Central differences: step² times a third derivative of at most |a|³, rounding 1e-15 / step.
    np.testing.assert_allclose(gradient, (np.array(moved[:3]) - moved[3:]) / (2 * step), atol=1e-9)


def test_information_in_a_direction_is_the_quadratic_form_of_the_matrix() -> None:
    theta, direction = [0.3, -0.5, 1.0], np.array([1.0, 2.0, -1.0])
    unit = direction / np.sqrt(6)
    np.testing.assert_allclose(
        BANK.information(theta, direction)[0], unit @ BANK.information_matrix(theta)[0] @ unit, rtol=1e-13
    )


def test_no_direction_is_better_than_the_own_direction_of_an_item() -> None:
    theta = [0.3, -0.5, 1.0]
    best = BANK.information(theta)[0]
    np.testing.assert_allclose(best, np.linalg.eigvalsh(BANK.information_matrix(theta)[0])[:, -1], rtol=1e-12)
    np.testing.assert_allclose(
        best, np.trace(BANK.information_matrix(theta)[0], axis1=1, axis2=2), rtol=1e-12
    )


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_everything_is_finite_and_right_a_thousand_logits_off(sign) -> None:
    bank = MultidimensionalItems([[1.0, 1.0], [1.0, 0.5]], [0.0, 0.0], [0.0, 0.2])
    theta = [sign * 1000.0, sign * 1000.0]
    np.testing.assert_allclose(bank.correct(theta)[0], bank.c if sign < 0 else [1.0, 1.0], rtol=1e-15)
    np.testing.assert_array_equal(bank.information_matrix(theta), 0.0)
    assert np.isfinite(bank.log_likelihood([[0, 1], [1, 0]], theta)).all()


@pytest.mark.parametrize(
    ("a", "intercept", "c", "row", "reason"),
    [
        ([[1.0, 0.0], [0.0, 0.0]], [0.0, 0.0], [0.0, 0.0], 1, "a is 0"),
        ([[1.0, 0.0], [0.0, np.inf]], [0.0, 0.0], [0.0, 0.0], 1, "not finite"),
        ([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0], [0.0, -0.1], 1, "c is below 0"),
        ([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0], [0.0, 1.0], 1, "c is not below 1"),
        ([[1.0, 0.0], [0.0, 1.0]], [0.0], [0.0, 0.0], -1, "intercept"),
    ],
)
def test_parameters_that_are_no_item_are_refused_with_their_row(a, intercept, c, row, reason) -> None:
    with pytest.raises(InvalidItem) as refused:
        MultidimensionalItems(a, intercept, c)
    assert refused.value.row == row
    assert reason in refused.value.reason
