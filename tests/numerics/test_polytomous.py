"""Graded, partial credit, rating scale and nominal items: against PyPI mirt, differences and identities."""

import mirt.models
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from domain.cat.errors import InvalidItem
from domain.cat.items import GradedItems, LogisticItems, NominalItems, PartialCreditItems, rating_scale

THETA = np.linspace(-6, 6, 121)
NAN = np.nan

GRADED = GradedItems([1.2, 2.5, 0.6], [[-2.0, -0.5, 1.0], [0.0, 0.1, NAN], [0.7, NAN, NAN]])
CREDIT = PartialCreditItems([1.2, 2.5, 0.6], [[-2.0, 1.0, -0.5], [0.4, 0.1, NAN], [0.7, NAN, NAN]])
NOMINAL = NominalItems(
    [[0.0, 0.5, -1.0, 2.0], [0.3, 1.0, 0.0, NAN], [0.0, 1.5, NAN, NAN]],
    [[0.0, 1.0, -1.0, 0.4], [0.3, -1.0, 0.0, NAN], [0.0, 0.5, NAN, NAN]],
)
BANKS = pytest.mark.parametrize("bank", [GRADED, CREDIT, NOMINAL], ids=["graded", "credit", "nominal"])

gaps = st.lists(st.floats(0.01, 3), min_size=3, max_size=3)
graded_items = st.builds(
    lambda a, start, gap: GradedItems([a], [start + np.cumsum(gap)]),
    st.floats(0.2, 4),
    st.floats(-4, 0),
    gaps,
)
credit_items = st.builds(
    lambda a, steps: PartialCreditItems([a], [steps]),
    st.floats(0.2, 4),
    st.lists(st.floats(-3, 3), min_size=3, max_size=3),
)
nominal_items = st.builds(
    lambda slopes, intercepts: NominalItems([[0.0, *slopes]], [[0.0, *intercepts]]),
    st.lists(st.floats(0.1, 3), min_size=3, max_size=3),
    st.lists(st.floats(-3, 3), min_size=3, max_size=3),
)
any_items = st.one_of(graded_items, credit_items, nominal_items)


def padded(values: np.ndarray) -> np.ndarray:
    """As mirt wants it: zeros where there is no category."""
    return np.nan_to_num(values, nan=0.0)


def peer_of(bank) -> mirt.models.PolytomousItemModel:
    kind = {
        GradedItems: mirt.models.GradedResponseModel,
        PartialCreditItems: mirt.models.GeneralizedPartialCredit,
        NominalItems: mirt.models.NominalResponseModel,
    }[type(bank)]
    peer = kind(n_items=len(bank), n_categories=[int(k) for k in bank.categories])
    match bank:
        case GradedItems():
            return peer.set_parameters(discrimination=bank.a, thresholds=padded(bank.b))
        case PartialCreditItems():
            return peer.set_parameters(discrimination=bank.a, steps=padded(bank.b))
        case _:
            return peer.set_parameters(slopes=padded(bank.slopes), intercepts=padded(bank.intercepts))


@BANKS
def test_category_probabilities_are_those_of_mirt(bank) -> None:
    peer = peer_of(bank)
    for item, count in enumerate(bank.categories):
        wanted = peer.probability(THETA[:, None], item)
        found = bank.category_probabilities(THETA)[:, item]
        # mirt subtracts neighbouring curves in the graded model: an absolute error of a few 1e-16.
        np.testing.assert_allclose(found[:, :count], wanted, rtol=1e-10, atol=1e-15)
        np.testing.assert_array_equal(found[:, count:], 0.0)


@BANKS
def test_information_is_that_of_mirt(bank) -> None:
    peer = peer_of(bank)
    for item in range(len(bank)):
        wanted = peer.information(THETA[:, None], item).ravel()
        np.testing.assert_allclose(bank.information(THETA)[:, item], wanted, rtol=1e-6, atol=1e-10)


def test_graded_probabilities_are_the_differences_of_the_curves() -> None:
    curves = expit(2.0 * (THETA[:, None] - np.array([-1.0, 0.5])))
    cumulative = np.hstack((np.ones((121, 1)), curves, np.zeros((121, 1))))
    found = GradedItems([2.0], [[-1.0, 0.5]]).category_probabilities(THETA)[:, 0]
    np.testing.assert_allclose(found, -np.diff(cumulative, axis=1), atol=1e-15)


def test_neighbouring_categories_of_a_partial_credit_item_are_equally_likely_at_their_step() -> None:
    steps = [-2.0, 1.0, -0.5]
    found = PartialCreditItems([1.2], [steps]).category_probabilities(steps)[:, 0]
    for step in range(3):
        assert found[step, step] == pytest.approx(found[step, step + 1], rel=1e-14)


@pytest.mark.parametrize("kind", [GradedItems, PartialCreditItems])
def test_with_two_categories_every_model_is_the_2pl(kind) -> None:
    two = LogisticItems.of([1.4, 0.8], [0.3, -1.0])
    same = kind(two.a, two.b[:, None])
    np.testing.assert_allclose(
        same.category_probabilities(THETA), two.category_probabilities(THETA), rtol=1e-13
    )
    np.testing.assert_allclose(same.information(THETA), two.information(THETA), rtol=1e-12)


def test_a_nominal_item_with_equal_steps_of_slope_is_a_partial_credit_item() -> None:
    nominal = NominalItems([[0.0, 1.3, 2.6]], [[0.0, 0.5, -0.4]])
    # a (θ - b_1) = 1.3 θ + 0.5 and 2 a θ - a (b_1 + b_2) = 2.6 θ - 0.4
    credit = PartialCreditItems([1.3], [[-0.5 / 1.3, 0.9 / 1.3]])
    np.testing.assert_allclose(
        nominal.category_probabilities(THETA), credit.category_probabilities(THETA), rtol=1e-12
    )


def test_a_constant_added_to_a_row_of_a_nominal_item_changes_nothing() -> None:
    moved = NominalItems(NOMINAL.slopes + 3.0, NOMINAL.intercepts - 2.0)
    np.testing.assert_allclose(
        moved.category_probabilities(THETA), NOMINAL.category_probabilities(THETA), rtol=1e-12
    )
    np.testing.assert_allclose(moved.information(THETA), NOMINAL.information(THETA), rtol=1e-9)


def test_a_rating_scale_moves_common_steps_to_each_location() -> None:
    items = rating_scale(1.0, [0.0, 0.7], [-1.0, 0.2, 0.8])
    apart = items.category_probabilities(THETA)[:, 0], items.category_probabilities(THETA + 0.7)[:, 1]
    np.testing.assert_allclose(*apart, rtol=1e-12)


@given(items=any_items, theta=st.floats(-1000, 1000))
def test_the_categories_sum_to_one(items, theta) -> None:
    # A difference of logarithms of up to 1e4 carries 1e-12 of absolute error into the exponential.
    np.testing.assert_allclose(items.category_probabilities(theta).sum(axis=-1), 1.0, rtol=1e-11)


@given(items=any_items, theta=st.floats(-6, 6))
def test_derivatives_are_the_limits_of_differences(items, theta) -> None:
    step = 1e-4
    below, at, above = items.log_category_probabilities([theta - step, theta, theta + step])
    found = items.log_derivatives(theta)

    # Truncation step² times a third (fourth) derivative of up to a³ (a⁴), 64 (256); rounding 1e-14 / step^k.
    np.testing.assert_allclose(found.first[0], (above - below) / (2 * step), atol=1e-6)
    np.testing.assert_allclose(found.second[0], (above - 2 * at + below) / step**2, atol=2e-5)


@BANKS
def test_where_there_is_no_category_there_is_no_slope(bank) -> None:
    slopes = bank.log_derivatives(THETA)
    absent = np.arange(4) >= bank.categories[:, None]
    np.testing.assert_array_equal(slopes.first[:, absent], 0.0)
    np.testing.assert_array_equal(slopes.second[:, absent], 0.0)


@given(items=any_items, theta=st.floats(-6, 6))
def test_information_is_minus_the_expected_second_derivative(items, theta) -> None:
    curvature = (items.category_probabilities(theta) * items.log_derivatives(theta).second).sum(axis=-1)
    np.testing.assert_allclose(items.information(theta), -curvature, rtol=1e-8, atol=1e-13)


@given(items=any_items, theta=st.floats(-6, 6))
def test_the_expected_slope_is_zero(items, theta) -> None:
    slope = (items.category_probabilities(theta) * items.log_derivatives(theta).first).sum(axis=-1)
    np.testing.assert_allclose(slope, 0.0, atol=1e-12)


@given(items=st.one_of(graded_items, credit_items), theta=st.floats(-6, 6), more=st.floats(0, 3))
def test_more_ability_never_lowers_the_expected_score(items, theta, more) -> None:
    assert (items.expected_scores(theta + more) >= items.expected_scores(theta) - 1e-12).all()


@BANKS
@pytest.mark.parametrize("theta", [-1000.0, 1000.0])
def test_everything_is_finite_and_right_a_thousand_logits_off(bank, theta) -> None:
    probabilities = bank.category_probabilities(theta)
    slopes = bank.log_derivatives(theta)

    np.testing.assert_allclose(probabilities.max(axis=-1), 1.0, rtol=1e-11)
    np.testing.assert_allclose(bank.information(theta), 0.0, atol=1e-10)
    assert np.isfinite(slopes.first).all()
    assert np.isfinite(slopes.second).all()
    assert np.isfinite(bank.log_likelihood([[0, 0, 0], [1, 1, 1], [2, 2, -1]], theta)).all()


def test_thresholds_next_to_each_other_keep_the_digits_of_the_category_between() -> None:
    # Ψ(x) - Ψ(x - aδ) ≈ a δ Ψ (1 - Ψ): by subtraction only six digits would be left.
    found = GradedItems([1.0], [[0.0, 1e-10]]).category_probabilities(0.3)[0, 0, 1]
    assert found == pytest.approx(1e-10 * expit(0.3) * expit(-0.3), rel=1e-9)


@BANKS
def test_a_sub_bank_has_the_chosen_items_in_the_order_asked_for(bank) -> None:
    part = bank[[2, 0]]
    np.testing.assert_array_equal(
        part.category_probabilities(0.4), bank.category_probabilities(0.4)[:, [2, 0]]
    )


@pytest.mark.parametrize(
    ("make", "row", "reason"),
    [
        (lambda: GradedItems([1.0, 1.0], [[0.0, 1.0], [1.0, 0.0]]), 1, "ascend"),
        (lambda: GradedItems([1.0, 1.0], [[0.0, 1.0], [1.0, 1.0]]), 1, "ascend"),
        (lambda: GradedItems([1.0, 0.0], [[0.0], [0.0]]), 1, "a is not above 0"),
        (lambda: GradedItems([1.0, NAN], [[0.0], [0.0]]), 1, "a is not finite"),
        (lambda: GradedItems([1.0, 1.0], [[0.0, 1.0], [NAN, 1.0]]), 1, "no thresholds"),
        (lambda: PartialCreditItems([1.0, 1.0], [[0.0, 1.0, 2.0], [0.0, NAN, 2.0]]), 1, "gap"),
        (lambda: PartialCreditItems([1.0, 1.0], [[0.0], [np.inf]]), 1, "not finite"),
        (lambda: PartialCreditItems([1.0, 1.0], [[0.0]]), -1, "shape"),
        (lambda: NominalItems([[0.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 1.0]]), 1, "all slopes are equal"),
        (lambda: NominalItems([[0.0, 1.0], [1.0, NAN]], [[0.0, 0.0], [0.0, NAN]]), 1, "fewer than two"),
        (lambda: NominalItems([[0.0, 1.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, NAN]]), 1, "without an intercept"),
        (lambda: NominalItems([[0.0, 1.0]], [[0.0]]), -1, "shape"),
    ],
)
def test_parameters_that_are_no_item_are_refused_with_their_row(make, row, reason) -> None:
    with pytest.raises(InvalidItem) as refused:
        make()
    assert refused.value.row == row
    assert reason in refused.value.reason
