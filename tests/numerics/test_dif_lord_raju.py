"""Lord's chi-square and Raju's areas: integrals, finite differences, closed forms, simulated calibrations."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import binom, chi2, norm

from domain.cat.calibration import calibrate
from domain.cat.dif.calibrated import estimates_of, lord_from_responses, raju_from_responses
from domain.cat.dif.estimates import ItemEstimates
from domain.cat.dif.lord import lord
from domain.cat.dif.raju import raju
from domain.cat.errors import InvalidItem
from domain.cat.items import LogisticItems
from domain.cat.linking import Linking


def covariance_of(a_error, b_error, correlation):
    shared = correlation * a_error * b_error
    return np.array([[a_error**2, shared], [shared, b_error**2]])


def estimates(a, b, c=0.0, error=0.1, correlation=0.3):
    items = LogisticItems.of(a, b, c)
    return ItemEstimates(items, np.tile(covariance_of(error, 1.2 * error, correlation), (len(items), 1, 1)))


def test_lords_statistic_is_the_quadratic_form_of_the_difference():
    here, there = estimates([1.2, 0.8], [0.0, 1.0]), estimates([1.4, 0.8], [0.3, 1.0])
    found = lord(here, there, linking=None)
    difference, variance = np.array([0.2, 0.3]), 2 * covariance_of(0.1, 0.12, 0.3)
    # the inverse of a matrix of two by two, by its cofactors
    (p, q), (_, r) = variance
    statistic = (difference[0] ** 2 * r - 2 * difference[0] * difference[1] * q + difference[1] ** 2 * p) / (
        p * r - q**2
    )
    np.testing.assert_allclose(found.chi_square, [statistic, 0.0], rtol=1e-12, atol=1e-12)
    assert found.degrees_of_freedom == 2
    assert found.p_value[0] == pytest.approx(np.exp(-statistic / 2), rel=1e-12)  # the tail with 2 degrees
    np.testing.assert_allclose(found.difference, [[0.2, 0.3], [0.0, 0.0]], atol=1e-15)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_lord_compares_as_many_parameters_as_the_covariances_are_of(count):
    items = LogisticItems.of([1.2], [0.5], [0.2], [0.95])
    other = LogisticItems.of([1.3], [0.7], [0.25], [0.98])
    unit = np.eye(count)[np.newaxis] * 0.5
    found = lord(ItemEstimates(items, unit), ItemEstimates(other, unit), linking=None)
    gaps = {1: [0.2], 2: [0.1, 0.2], 3: [0.1, 0.2, 0.05], 4: [0.1, 0.2, 0.05, 0.03]}[count]
    assert found.degrees_of_freedom == count
    assert found.chi_square[0] == pytest.approx(np.sum(np.square(gaps)), rel=1e-12)


def test_estimates_are_put_on_another_scale_with_their_covariances():
    """Against a hundred thousand draws of a / A and A b + B; to 4 errors of 0.5 % in their covariance."""
    linking, rng = Linking(1.6, -0.3), np.random.default_rng(1)
    moved = estimates([1.2], [0.5]).on(linking)
    draws = rng.multivariate_normal([1.2, 0.5], covariance_of(0.1, 0.12, 0.3), size=100_000)
    changed = np.cov(np.column_stack([draws[:, 0] / linking.A, linking.A * draws[:, 1] + linking.B]).T)
    np.testing.assert_allclose(moved.covariances[0], changed, rtol=0.02)
    np.testing.assert_allclose(moved.parameters, [[1.2 / 1.6, 1.6 * 0.5 - 0.3]], rtol=1e-15)
    only_b = ItemEstimates(LogisticItems.of([1.0], [0.5]), np.full((1, 1, 1), 0.04)).on(linking)
    assert only_b.covariances[0, 0, 0] == pytest.approx(1.6**2 * 0.04, rel=1e-15)


@given(scale=st.floats(0.5, 2), shift=st.floats(-2, 2), gap=st.floats(-1, 1))
def test_the_scale_on_which_both_are_compared_does_not_change_the_statistics(scale, shift, gap):
    here, there = estimates([1.2, 0.7], [0.0, -1.0]), estimates([1.0, 0.9], [gap, -0.8])
    other = Linking(scale, shift)
    plain, moved = lord(here, there, linking=None), lord(here.on(other), there.on(other), linking=None)
    np.testing.assert_allclose(moved.chi_square, plain.chi_square, rtol=1e-9, atol=1e-12)
    areas, elsewhere = raju(here, there, linking=None), raju(here.on(other), there.on(other), linking=None)
    for name in ("signed", "unsigned"):
        np.testing.assert_allclose(getattr(elsewhere, name).z, getattr(areas, name).z, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(
            getattr(elsewhere, name).area, scale * getattr(areas, name).area, atol=1e-10
        )


def two_calibrations(rng, shifts):
    """Estimates of twenty items in two groups, drawn around true parameters with the covariance stated."""
    a, b = rng.uniform(0.8, 1.6, 20), rng.normal(size=20)
    covariance = covariance_of(0.08, 0.1, 0.4)
    true = np.column_stack([a, b])
    drawn = [true + rng.multivariate_normal([0, 0], covariance, size=20) for _ in range(2)]
    drawn[1][:, 1] += shifts
    here, there = (
        ItemEstimates(LogisticItems.of(each[:, 0], each[:, 1]), np.tile(covariance, (20, 1, 1)))
        for each in drawn
    )
    return here, there


def test_without_dif_five_percent_are_found_at_five_percent():
    """Two hundred pairs of twenty items; the bounds hold all but one in a thousand binomial draws."""
    rng = np.random.default_rng(4)
    pairs = [two_calibrations(rng, np.zeros(20)) for _ in range(200)]
    low, high = binom.ppf([0.0005, 0.9995], 4000, 0.05)
    by_lord = sum((lord(*pair, linking=None).p_value < 0.05).sum() for pair in pairs)
    by_signed_area = sum((raju(*pair, linking=None).signed.p_value < 0.05).sum() for pair in pairs)
    assert low <= by_lord <= high
    assert low <= by_signed_area <= high


def test_items_that_differ_are_found_on_another_scale_and_leave_the_linking():
    rng = np.random.default_rng(6)
    shifts = np.where(np.arange(20) < 4, 1.0, 0.0)
    here, there = two_calibrations(rng, shifts)
    own_scale = Linking(0.8, 0.5)
    there = there.on(own_scale)
    for found, p_value in (
        (lord(here, there, purify=True), "p_value"),
        (raju(here, there, purify=True, purify_by_signed=True).signed, "p_value"),
    ):
        flagged = getattr(found, p_value) < 0.01
        assert flagged[:4].all()
        assert flagged[4:].sum() <= 2
    pure, raw = lord(here, there, purify=True).linked, lord(here, there).linked
    assert pure.settled
    assert not pure.anchor[:4].any()
    back = own_scale.inverse()
    # sixteen items with errors of 0.14 in b leave 0.035 for the shift
    assert abs(pure.linking.B - back.B) < 0.12 < abs(raw.linking.B - back.B)


def test_an_item_without_known_covariance_is_not_judged_and_the_others_are():
    here, there = estimates([1.0, 1.0], [0.0, 0.0]), estimates([1.0, 1.0], [1.0, 1.0])
    for unknown in (np.nan, -1.0):
        covariances = here.covariances.copy()
        covariances[0] = unknown
        found = lord(ItemEstimates(here.items, covariances), there, linking=None)
        assert np.isnan(found.chi_square[0])
        assert np.isfinite(found.chi_square[1])


def right(a, b, c, theta):
    return c + (1 - c) / (1 + np.exp(-a * (theta - b)))


@given(
    first=st.tuples(st.floats(0.4, 3), st.floats(-2, 2)),
    second=st.tuples(st.floats(0.4, 3), st.floats(-2, 2)),
    c=st.floats(0, 0.3),
)
def test_the_areas_are_the_integrals_between_the_curves(first, second, c):
    found = raju(estimates([first[0]], [first[1]], c), estimates([second[0]], [second[1]], c), linking=None)

    def gap(theta):
        return right(*first, c, theta) - right(*second, c, theta)

    # curves cross where the two lines do; a kink of |gap| inside a piece would cost quad its digits
    crossing = (first[0] * first[1] - second[0] * second[1]) / ((first[0] - second[0]) or np.inf)
    # a = 0.4 at 100 logits from b leaves e^-40 outside
    borders = sorted([-100.0, *[x for x in (-3.0, 3.0, crossing) if -100 < x < 100], 100.0])
    pieces = [quad(gap, low, high, epsabs=1e-11, limit=500)[0] for low, high in pairwise(borders)]
    assert found.signed.area[0] == pytest.approx(sum(pieces), abs=1e-8)
    whole = [
        quad(lambda x: abs(gap(x)), low, high, epsabs=1e-11, limit=500)[0] for low, high in pairwise(borders)
    ]
    assert found.unsigned.area[0] == pytest.approx(sum(whole), abs=1e-8)


def unsigned_without_its_sign(parameters):
    a_r, b_r, a_f, b_f = parameters
    y = a_f * a_r * (b_f - b_r) / (a_f - a_r)
    return 2 * (a_f - a_r) / (a_f * a_r) * np.log1p(np.exp(y)) - (b_f - b_r)  # Raju 1990, equation 14


@given(
    a=st.tuples(st.floats(0.5, 2), st.floats(0.5, 2)),
    b=st.tuples(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5)),
    c=st.floats(0, 0.3),
)
def test_the_errors_of_the_areas_follow_from_the_formulas_by_finite_differences(a, b, c):
    """The delta method with slopes of Raju's own equations, as far as those can be computed as printed."""
    assume(abs(a[1] - a[0]) > 0.02)  # closer, the printed formula cancels its digits away
    assume(abs(a[0] * a[1] * (b[1] - b[0]) / (a[1] - a[0])) < 30)
    found = raju(estimates([a[0]], [b[0]], c), estimates([a[1]], [b[1]], c), linking=None)
    at, step = np.array([a[0], b[0], a[1], b[1]]), 1e-5 * abs(a[1] - a[0])
    slopes = np.array(
        [
            (unsigned_without_its_sign(at + step * e) - unsigned_without_its_sign(at - step * e)) / (2 * step)
            for e in np.eye(4)
        ]
    )
    both = np.kron(np.eye(2), covariance_of(0.1, 0.12, 0.3))
    error = np.sqrt(slopes @ both @ slopes)
    # differences of numbers of size 1 over steps of 2e-7 at the smallest: 1e-16 / 1e-7, and cancellation
    assert found.unsigned.se[0] == pytest.approx((1 - c) * error, rel=1e-4, abs=1e-4)
    z = abs(unsigned_without_its_sign(at)) / error
    assert found.unsigned.p_value[0] == pytest.approx(2 * norm.sf(z), abs=1e-3)
    assert found.signed.se[0] == pytest.approx((1 - c) * np.sqrt(2) * 0.12, rel=1e-12)


@pytest.mark.parametrize("closeness", [0.0, 1e-12, 1e-8, 1e-4])
def test_nearly_parallel_curves_have_the_area_of_parallel_ones(closeness):
    found = raju(estimates([1.2], [0.3]), estimates([1.2 + closeness], [0.8]), linking=None)
    assert found.unsigned.area[0] == pytest.approx(0.5, abs=2 * closeness + 1e-12)
    assert found.unsigned.se[0] == pytest.approx(np.sqrt(2) * 0.12, rel=1e-6)
    same = raju(estimates([1.2], [0.3]), estimates([1.2 + closeness], [0.3]), linking=None)
    assert same.unsigned.area[0] <= closeness
    assert same.signed.area[0] == 0


def test_with_difficulties_alone_both_areas_are_their_difference_and_lord_its_square():
    errors = np.full((2, 1, 1), 0.02)
    here, there = (
        ItemEstimates(LogisticItems.of(1.0, [0.0, 1.0]), errors),
        ItemEstimates(LogisticItems.of(1.0, [0.4, 0.7]), errors),
    )
    areas, squares = raju(here, there, linking=None), lord(here, there, linking=None)
    np.testing.assert_allclose(areas.signed.z, [2.0, -1.5], rtol=1e-12)
    np.testing.assert_allclose(np.abs(areas.unsigned.z), [2.0, 1.5], rtol=1e-12)
    np.testing.assert_allclose(squares.chi_square, [4.0, 2.25], rtol=1e-12)
    np.testing.assert_allclose(areas.signed.p_value, squares.p_value, rtol=1e-10)
    np.testing.assert_allclose(squares.p_value, chi2.sf([4.0, 2.25], 1), rtol=1e-12)


def test_what_has_no_finite_area_or_does_not_match_is_refused():
    here = estimates([1.0, 1.0], [0.0, 1.0], [0.2, 0.2])
    with pytest.raises(InvalidItem, match="c differs") as refused:
        raju(here, estimates([1.0, 1.0], [0.0, 1.0], [0.2, 0.1]), linking=None)
    assert refused.value.row == 1
    three = ItemEstimates(here.items, np.tile(np.eye(3), (2, 1, 1)))
    with pytest.raises(InvalidItem, match="a and b"):
        raju(three, three, linking=None)
    with pytest.raises(InvalidItem, match="same items"):
        lord(here, estimates([1.0], [0.0]), linking=None)
    with pytest.raises(InvalidItem, match="same items"):
        lord(here, three, linking=None)
    for shape in ((1, 2, 2), (2, 2, 3), (2, 5, 5), (2, 2)):
        with pytest.raises(InvalidItem, match="shape"):
            ItemEstimates(here.items, np.zeros(shape))


def answers_of_two_groups(rng, *, people_each, harder=0.0, steeper=1.0, impact=0.0, items=12):
    """The first item is harder and steeper for the focal group, whose ability is lower by `impact`."""
    group = np.repeat([0, 1], people_each)
    first = np.arange(items) == 0
    b = np.linspace(-1.2, 1.2, items) + np.outer(group, harder * first)
    a = np.linspace(1.6, 0.9, items) * (1 + np.outer(group, (steeper - 1) * first))
    ability = (
        rng.normal(size=(group.size, 1)) * (1 + 0.2 * group[:, np.newaxis]) - impact * group[:, np.newaxis]
    )
    return (rng.random(b.shape) < 1 / (1 + np.exp(-a * (ability - b)))).astype(int), group


def test_from_responses_a_harder_item_is_found_though_the_groups_differ_in_ability():
    rng = np.random.default_rng(9)
    responses, group = answers_of_two_groups(rng, people_each=2000, harder=0.8, impact=0.6)
    by_lord = lord_from_responses(responses, group, purify=True)
    by_area = raju_from_responses(responses, group, purify=True, purify_by_signed=True)
    assert not by_lord.linked.anchor[0]
    assert by_lord.p_value[0] < 1e-6
    # the focal group's ability is N(-0.6, 1.2²), so that its own N(0, 1) becomes 1.2 θ - 0.6
    assert pytest.approx(1.2, abs=0.12) == by_lord.linked.linking.A
    assert pytest.approx(-0.6, abs=0.12) == by_lord.linked.linking.B
    assert abs(by_area.signed.area[0] - 0.8) < 4 * by_area.signed.se[0]


def test_from_responses_without_dif_about_five_percent_are_found_at_five_percent():
    """Ten samples of twelve items; the errors of the linking make the test a little eager: 7 % bounds it."""
    rng = np.random.default_rng(10)
    found = [
        (
            lord_from_responses(
                *answers_of_two_groups(rng, people_each=1000), linking="stocking_lord"
            ).p_value
            < 0.05
        ).sum()
        for _ in range(10)
    ]
    assert sum(found) <= binom.ppf(0.9995, 120, 0.07)


def test_of_a_common_slope_only_the_difficulties_are_compared():
    rng = np.random.default_rng(11)
    responses, group = answers_of_two_groups(rng, people_each=800, harder=1.0)
    found = lord_from_responses(responses, group, model="1pl", purify=True)
    assert found.degrees_of_freedom == 1
    assert found.p_value.argmin() == 0


def test_only_calibrations_with_errors_of_every_item_can_be_compared():
    rng = np.random.default_rng(12)
    responses, _ = answers_of_two_groups(rng, people_each=200, items=4)
    with pytest.raises(InvalidItem, match="standard errors"):
        estimates_of(calibrate(responses, "2pl", errors=None))
    with pytest.raises(InvalidItem, match="GradedItems"):
        estimates_of(calibrate(responses, "grm"))
    kept = estimates_of(calibrate(responses, "2pl"))
    assert kept.covariances.shape == (4, 2, 2)
    np.testing.assert_array_equal(kept.parameters[:, 0], kept.items.a)


def test_an_item_without_known_covariance_takes_no_part_in_the_linking():
    here = estimates([1.0, 1.2, 0.8, 1.1], [0.0, 1.0, -1.0, 0.5])
    lost = here.covariances.copy()
    lost[3] = np.nan
    there = ItemEstimates(LogisticItems.of([1.0, 1.2, 0.8, 1.1], [0.0, 1.0, -1.0, 40.0]), lost)
    found = lord(here, there).linked.linking
    assert (pytest.approx(1.0), pytest.approx(0.0, abs=1e-12)) == (found.A, found.B)


def test_a_calibration_that_was_stopped_is_told_by_its_group(lsat7) -> None:
    group = np.arange(1000) % 2
    assert lord_from_responses(lsat7, group).unfinished == ()
    assert lord_from_responses(lsat7, group, max_iterations=2).unfinished == ("reference", "focal")
    assert raju_from_responses(lsat7, group, max_iterations=2).unfinished == ("reference", "focal")


def test_an_item_that_one_group_answers_all_alike_is_refused_with_item_and_group(lsat7) -> None:
    group = np.arange(1000) % 2
    responses = lsat7.copy()
    responses[1::2, 3] = 1
    with pytest.raises(InvalidItem, match="in the focal group nobody gave response 0") as refusal:
        lord_from_responses(responses, group)
    assert refusal.value.row == 3
