"""The 1PL to 4PL models: against PyPI mirt, decimal arithmetic, finite differences, and at the extremes."""

from decimal import Decimal, localcontext

import mirt.models
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from domain.cat.errors import InvalidItem, InvalidResponse
from domain.cat.items import LogisticItems
from domain.cat.types import MISSING

THETA = np.linspace(-6, 6, 121)

finite_items = st.builds(
    LogisticItems.of,
    a=st.lists(st.floats(0.1, 4.0), min_size=3, max_size=3),
    b=st.lists(st.floats(-4.0, 4.0), min_size=3, max_size=3),
    c=st.lists(st.sampled_from([0.0, 1e-6, 0.2, 0.4]), min_size=3, max_size=3),
    d=st.lists(st.sampled_from([1.0, 1 - 1e-6, 0.9, 0.6]), min_size=3, max_size=3),
)


def four_parameter_bank() -> LogisticItems:
    rng = np.random.default_rng(7)
    return LogisticItems.of(
        rng.uniform(0.5, 3, 20), rng.normal(0, 1.5, 20), rng.uniform(0, 0.35, 20), rng.uniform(0.8, 1, 20)
    )


def test_probabilities_are_those_of_mirt() -> None:
    bank = four_parameter_bank()
    peer = mirt.models.FourParameterLogistic(n_items=20)
    peer.set_parameters(discrimination=bank.a, difficulty=bank.b, guessing=bank.c, upper=bank.d)

    # The same closed form twice: only rounding may differ.
    np.testing.assert_allclose(bank.correct(THETA), peer.probability(THETA[:, None]), rtol=1e-13)


def test_information_is_that_of_mirt() -> None:
    bank = four_parameter_bank()
    peer = mirt.models.FourParameterLogistic(n_items=20)
    peer.set_parameters(discrimination=bank.a, difficulty=bank.b, guessing=bank.c, upper=bank.d)

    np.testing.assert_allclose(bank.information(THETA), peer.information(THETA[:, None]), rtol=1e-10)


def test_the_area_under_the_information_of_lsat7_is_the_published_one(lsat7_items) -> None:
    # R mirt, page of `areainfo`: between -2 and 0, items 1 to 3 and all five, printed with seven digits.
    first_three = quad(lambda at: lsat7_items[:3].information(at).sum(), -2, 0)[0]
    everything = quad(lambda at: lsat7_items.information(at).sum(), -2, 0)[0]

    assert first_three == pytest.approx(2.095673, abs=5e-7)
    assert everything == pytest.approx(2.568988, abs=5e-7)


def test_the_whole_area_under_the_information_of_a_2pl_item_is_its_discrimination() -> None:
    # ∫ a² Ψ (1 - Ψ) dθ = a, an identity [Birnbaum1968].
    bank = LogisticItems.of([0.7, 1.3, 2.5], [-1.0, 0.0, 2.0])
    areas = [
        quad(lambda at, item=i: bank[item].information(at)[0, 0], -80, 80, points=[bank.b[i]])[0]
        for i in range(3)
    ]
    np.testing.assert_allclose(areas, bank.a, rtol=1e-8)


def exact_logs(theta: float, a: float, b: float, c: float, d: float) -> tuple[float, float]:
    """log P(wrong) and log P(right) with fifty digits."""
    with localcontext() as context:
        context.prec = 50
        curve = 1 / (1 + (Decimal(-a) * (Decimal(theta) - Decimal(b))).exp())
        right = Decimal(c) + (Decimal(d) - Decimal(c)) * curve
        return float((1 - right).ln()), float(right.ln())


@pytest.mark.parametrize("theta", [-30.0, -3.0, 0.0, 0.4, 3.0, 30.0])
@pytest.mark.parametrize(("c", "d"), [(0.0, 1.0), (0.25, 1.0), (0.0, 0.9), (0.25, 0.9)])
def test_log_probabilities_keep_their_digits(theta, c, d) -> None:
    bank = LogisticItems.of(1.5, 0.3, c, d)
    # Fifty digits against sixteen; the last two of the sixteen are given to the exponential, and 4e-16 of
    # absolute error to the logarithm of a number next to 1.
    np.testing.assert_allclose(
        bank.log_category_probabilities(theta)[0, 0],
        exact_logs(theta, 1.5, 0.3, c, d),
        rtol=1e-13,
        atol=4e-16,
    )


@pytest.mark.parametrize("theta", [-1000.0, 1000.0])
def test_everything_is_finite_and_right_a_thousand_logits_off(theta) -> None:
    bank = LogisticItems.of([1.0, 1.0, 2.0, 2.0], 0.0, [0.0, 0.2, 0.0, 0.2], [1.0, 1.0, 0.9, 0.9])

    np.testing.assert_allclose(bank.correct(theta)[0], bank.c if theta < 0 else bank.d, rtol=1e-15)
    np.testing.assert_array_equal(bank.information(theta), np.zeros((1, 4)))
    slopes = bank.log_derivatives(theta)
    assert np.isfinite(slopes.first).all()
    assert np.isfinite(slopes.second).all()


def test_the_log_of_a_vanishing_probability_is_a_number() -> None:
    logs = LogisticItems.of(1.0, 0.0).log_category_probabilities([-1000.0, 1000.0])[:, 0]
    np.testing.assert_array_equal(logs, [[0.0, -1000.0], [-1000.0, 0.0]])


def test_the_slope_of_a_vanishing_probability_is_the_discrimination() -> None:
    # Far below an item without guessing, log P falls by a for each logit.
    slopes = LogisticItems.of(1.7, 0.0).log_derivatives([-1000.0, 1000.0]).first[:, 0]
    np.testing.assert_array_equal(slopes, [[0.0, 1.7], [-1.7, 0.0]])


@given(items=finite_items, theta=st.floats(-8, 8))
def test_derivatives_are_the_limits_of_differences(items, theta) -> None:
    step = 1e-5
    below, at, above = items.log_category_probabilities([theta - step, theta, theta + step])
    found = items.log_derivatives(theta)

    # Central differences: truncation is of order step² times the next derivative (≤ a³, a⁴ up to asymptotes),
    # rounding of order 1e-15 / step and 1e-15 / step², on logarithms of up to about 50.
    np.testing.assert_allclose(found.first[0], (above - below) / (2 * step), atol=2e-7, rtol=1e-6)
    np.testing.assert_allclose(found.second[0], (above - 2 * at + below) / step**2, atol=2e-3, rtol=1e-3)


@given(items=finite_items, theta=st.floats(-8, 8))
def test_information_is_minus_the_expected_second_derivative(items, theta) -> None:
    curvature = (items.category_probabilities(theta) * items.log_derivatives(theta).second).sum(axis=-1)
    # Terms of size a² P cancel down to the information.
    np.testing.assert_allclose(items.information(theta), -curvature, rtol=1e-9, atol=1e-13)


@given(items=finite_items, theta=st.floats(-1000, 1000))
def test_right_and_wrong_sum_to_one(items, theta) -> None:
    np.testing.assert_allclose(items.category_probabilities(theta).sum(axis=-1), 1.0, rtol=1e-15)


@given(items=finite_items, theta=st.floats(-8, 8), more=st.floats(0, 3))
def test_more_ability_is_never_less_likely_to_be_right(items, theta, more) -> None:
    assert (items.correct(theta + more) >= items.correct(theta) - 1e-15).all()


@given(
    a=st.floats(0.1, 4), b=st.floats(-4, 4), c=st.floats(0, 0.4), d=st.floats(0.6, 1), theta=st.floats(-8, 8)
)
def test_a_mirrored_item_says_wrong_where_the_item_says_right(a, b, c, d, theta) -> None:
    item, mirrored = LogisticItems.of(a, b, c, d), LogisticItems.of(a, -b, 1 - d, 1 - c)
    np.testing.assert_allclose(
        item.category_probabilities(theta)[0, 0],
        mirrored.category_probabilities(-theta)[0, 0, ::-1],
        atol=1e-14,
    )


def test_a_likelihood_is_the_product_over_the_items_answered() -> None:
    bank = four_parameter_bank()
    responses = np.random.default_rng(3).integers(-1, 2, size=(40, 20))
    right = bank.correct(THETA)

    slow = np.zeros((40, len(THETA)))
    for person, answers in enumerate(responses):
        for item, answer in enumerate(answers):
            if answer != MISSING:
                slow[person] += np.log(right[:, item] if answer else 1 - right[:, item])

    # 1 - P here loses up to four digits where P is near 1, so the slow way is the less exact one.
    np.testing.assert_allclose(bank.log_likelihood(responses, THETA), slow, rtol=1e-11)


def test_responses_that_are_missing_leave_no_trace() -> None:
    bank = four_parameter_bank()
    nothing = np.full((2, 20), MISSING)

    np.testing.assert_array_equal(bank.log_likelihood(nothing, THETA), 0.0)
    np.testing.assert_array_equal(bank.observed_information(nothing, [0.0, 1.0]), 0.0)


def test_observed_information_of_a_2pl_item_does_not_depend_on_the_response() -> None:
    bank = LogisticItems.of([1.0, 2.0], [0.0, 1.0])
    both = bank.observed_information([[0, 0], [1, 1]], [0.3, 0.3])
    np.testing.assert_allclose(both, np.tile(bank.information(0.3), (2, 1)), rtol=1e-14)


def test_the_response_derivatives_are_those_of_the_categories_chosen() -> None:
    bank = four_parameter_bank()
    responses = np.random.default_rng(5).integers(-1, 2, size=(9, 20))
    theta = np.linspace(-3, 3, 9)
    everywhere = bank.log_derivatives(theta)
    found = bank.response_derivatives(responses, theta)

    for person, item in np.ndindex(9, 20):
        answer = responses[person, item]
        wanted = 0.0 if answer == MISSING else everywhere.first[person, item, answer]
        assert found.first[person, item] == pytest.approx(wanted, rel=1e-14)


def test_likelihoods_of_steep_items_far_off_are_never_nan() -> None:
    bank = LogisticItems.of([1e150, 1.0], [0.0, 1e150])
    assert not np.isnan(bank.log_likelihood([[1, 0], [0, 1], [1, 1]], [-1e10, 0.0, 1e10])).any()


def test_a_sub_bank_has_the_chosen_items_in_the_order_asked_for() -> None:
    bank = four_parameter_bank()
    part = bank[[5, 2]]
    np.testing.assert_array_equal(part.correct(0.5), bank.correct(0.5)[:, [5, 2]])
    assert len(bank[bank.a > 1]) == int((bank.a > 1).sum())
    assert len(bank[3]) == 1


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"a": [1.0, 0.0]}, "a is not above 0"),
        ({"a": [1.0, -1.0]}, "a is not above 0"),
        ({"b": [0.0, np.nan]}, "not finite"),
        ({"b": [0.0, np.inf]}, "not finite"),
        ({"c": [0.0, -0.1]}, "c is below 0"),
        ({"d": [1.0, 1.1]}, "d is above 1"),
        ({"c": [0.0, 0.5], "d": [1.0, 0.5]}, "c is not below d"),
    ],
)
def test_parameters_that_are_no_item_are_refused_with_their_row(changed, reason) -> None:
    sound = {"a": [1.0, 1.0], "b": [0.0, 0.0], "c": [0.0, 0.0], "d": [1.0, 1.0]}
    with pytest.raises(InvalidItem) as refused:
        LogisticItems.of(**(sound | changed))
    assert refused.value.row == 1
    assert reason in refused.value.reason


def test_parameters_of_different_lengths_are_refused() -> None:
    with pytest.raises(InvalidItem):
        LogisticItems.of([1.0, 1.0], [0.0, 0.0, 0.0])


def test_a_response_that_an_item_does_not_have_is_refused_with_its_place() -> None:
    with pytest.raises(InvalidResponse) as refused:
        LogisticItems.of(1.0, [0.0, 0.0]).log_likelihood([[0, 1], [1, 2]], 0.0)
    assert (refused.value.row, refused.value.column) == (1, 1)


def test_parameters_cannot_be_written_to() -> None:
    bank = LogisticItems.of(1.0, [0.0])
    with pytest.raises(ValueError, match="read-only"):
        bank.a[0] = 2.0


@pytest.mark.parametrize(("c", "d"), [(0.2, 1.0), (0.0, 0.8), (0.2, 0.8), (0.0, 1.0)])
def test_the_log_of_a_probability_that_is_nearly_its_ceiling_keeps_its_digits(c, d) -> None:
    # Where P is 1 to all digits of a double its logarithm is not 0: the likelihood still rises there.
    item = LogisticItems.of(1.0, [0.0], c, d)
    for theta in (30.0, 40.0, 300.0):
        miss = (d - c) / d * np.exp(-theta)
        wrong, right = item.log_category_probabilities(theta)[0, 0]
        assert right == pytest.approx(np.log(d) + np.log1p(-miss), rel=1e-12, abs=0)
        mirrored, _ = LogisticItems.of(1.0, [0.0], 1 - d, 1 - c).log_category_probabilities(-theta)[0, 0]
        assert mirrored == pytest.approx(right, rel=1e-12, abs=0)
        assert wrong <= np.log1p(-c)


def test_a_sub_bank_of_nothing_has_no_items() -> None:
    assert len(four_parameter_bank()[[]]) == 0
