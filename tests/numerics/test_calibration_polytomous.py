"""Calibration of items with several categories, against PyPI mirt, brute force and its own derivatives.

mirt's tolerance is on single steps of a slow climb: parameters agree to a few thousandths, heights better.
"""

import mirt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from domain.cat.calibration import calibrate, marginal_log_likelihood
from domain.cat.calibration.acceleration import ascend
from domain.cat.calibration.curves import (
    GradedCurves,
    LogisticCurves,
    NominalCurves,
    PartialCreditCurves,
    RatingScaleCurves,
)
from domain.cat.errors import InvalidItem
from domain.cat.items import GradedItems, LogisticItems, NominalItems, PartialCreditItems, rating_scale
from domain.cat.types import MISSING

UNEVEN = np.array([4, 2, 3])
EVEN = np.array([4, 4, 4])
CURVES = [
    LogisticCurves(2),
    LogisticCurves(3),
    LogisticCurves(4),
    GradedCurves(UNEVEN),
    PartialCreditCurves(UNEVEN),
    RatingScaleCurves(EVEN),
    NominalCurves(UNEVEN),
]


def simulated(items, count, rng):
    probabilities = items.category_probabilities(rng.standard_normal(count))
    draw = rng.random((*probabilities.shape[:2], 1))
    return np.minimum((np.cumsum(probabilities, axis=2) < draw).sum(axis=2), items.categories - 1)


def graded_bank(rng):
    thresholds = np.sort(rng.normal(0, 1, (8, 3)), axis=1) + np.array([-0.4, 0, 0.4])
    return GradedItems(rng.lognormal(0.2, 0.3, 8), thresholds)


def partial_credit_bank(rng):
    return PartialCreditItems(rng.lognormal(0, 0.3, 8), rng.normal(0, 0.8, (8, 3)))


@pytest.mark.parametrize("curves", CURVES, ids=lambda each: f"{type(each).__name__}{each.size}")
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.1, 2.5))
def test_log_probabilities_are_those_of_the_items_and_scores_are_their_derivatives(
    curves, seed, scale
) -> None:
    # Central differences with step 1e-5 lose 1e-10 of curvature and 1e-11 of rounding, over slopes up to 1e2.
    rng = np.random.default_rng(seed)
    x = np.clip(scale * rng.standard_normal((3, curves.size)), -2, 2)
    if isinstance(curves, LogisticCurves):  # c below 0.5, d above it
        x[:, 2:] = (np.abs(x[:, 2:]) + 0.1) * np.array([-1, 1])[: curves.size - 2]
    points = np.linspace(-4, 4, 7)
    found = curves.traces(x, points)
    items = curves.items(x)
    expected = np.moveaxis(items.log_category_probabilities(points), 0, -1)
    real = np.isfinite(expected)
    np.testing.assert_allclose(found.logs[real], expected[real], rtol=1e-7, atol=1e-9)
    assert (found.logs[~real] == 0).all()
    for at in range(curves.size):
        nudge = np.zeros(curves.size)
        nudge[at] = 1e-5
        slope = (curves.traces(x + nudge, points).logs - curves.traces(x - nudge, points).logs) / 2e-5
        np.testing.assert_allclose(found.scores[:, :, at], slope, rtol=1e-5, atol=1e-6)


def test_extreme_parameters_stay_finite() -> None:
    for curves in CURVES:
        for value in (-25.0, 2.9, 25.0):
            x = np.full((3, curves.size), value)
            x[:, 0] = min(value, np.log(20))
            found = curves.traces(x, np.linspace(-6, 6, 5))
            if not isinstance(
                curves, GradedCurves
            ):  # a gap of e^-25 is a category of no width, and -inf is right
                assert np.isfinite(found.logs).all()
                assert np.isfinite(found.scores).all()


def test_the_graded_model_agrees_with_mirt_in_estimates_and_standard_errors() -> None:
    rng = np.random.default_rng(1)
    responses = simulated(graded_bank(rng), 2_000, rng)
    peer = mirt.fit_mirt(responses, "GRM", n_quadpts=61, tol=1e-5)
    found = calibrate(responses, "grm")
    assert found.converged
    assert found.log_likelihood == pytest.approx(peer.log_likelihood, abs=1e-3)
    np.testing.assert_allclose(found.items.a, peer.model.parameters["discrimination"], atol=3e-3)
    np.testing.assert_allclose(found.items.b, peer.model.parameters["thresholds"], atol=3e-3)
    np.testing.assert_allclose(found.standard_errors["a"], peer.standard_errors["discrimination"], rtol=0.01)
    np.testing.assert_allclose(found.standard_errors["b"], peer.standard_errors["thresholds"], rtol=0.01)
    assert found.parameter_names == ("a", "b_1", "b_2", "b_3")


def test_the_generalised_partial_credit_model_is_not_below_mirt_and_close_to_it() -> None:
    rng = np.random.default_rng(2)
    responses = simulated(partial_credit_bank(rng), 2_000, rng)
    peer = mirt.fit_mirt(responses, "GPCM", n_quadpts=61, tol=1e-5, max_iter=2_000)
    theirs = PartialCreditItems(peer.model.parameters["discrimination"], peer.model.parameters["steps"])
    found = calibrate(responses, "gpcm")
    assert found.converged
    lead = found.log_likelihood - marginal_log_likelihood(theirs, responses)
    assert -1e-4 <= lead < 0.2
    np.testing.assert_allclose(found.items.a, theirs.a, atol=0.03)


def test_the_nominal_model_is_not_below_mirt_and_close_to_it() -> None:
    rng = np.random.default_rng(3)
    truth = NominalItems(np.sort(rng.normal(0, 1, (8, 4)), axis=1), rng.normal(0, 0.7, (8, 4)))
    responses = simulated(truth, 2_000, rng)
    peer = mirt.fit_mirt(responses, "NRM", n_quadpts=61, tol=1e-5, max_iter=2_000)
    found = calibrate(responses, "nominal")
    assert found.converged
    assert -1e-4 <= found.log_likelihood - peer.log_likelihood < 0.05
    # Only differences to category 0 are determined.
    np.testing.assert_allclose(found.items.slopes, truth.slopes - truth.slopes[:, :1], atol=0.5)


@pytest.mark.parametrize(
    ("model", "bank"), [("grm", graded_bank), ("gpcm", partial_credit_bank), ("pcm", None), ("rsm", None)]
)
@pytest.mark.parametrize("share_missing", [0.0, 0.25])
def test_parameters_are_recovered_within_their_standard_errors(model, bank, share_missing) -> None:
    # 32 errors that hang together within items (fewer, in effect): mean square 1, give or take 0.3 or so.
    rng = np.random.default_rng(4)
    truth = bank(rng) if bank else rating_scale(1.2, rng.normal(0, 1, 8), [-1.0, 0.2, 0.8])
    responses = simulated(truth, 5_000, rng)
    responses[rng.random(responses.shape) < share_missing] = MISSING
    found = calibrate(responses, model)
    assert found.converged
    z = np.concatenate(
        [
            ((getattr(found.items, name) - getattr(truth, name)) / found.standard_errors[name]).ravel()
            for name in ("a", "b")
        ]
    )
    assert 0.25 < np.mean(z**2) < 2.2
    assert found.log_likelihood == pytest.approx(marginal_log_likelihood(found.items, responses), abs=1e-7)


def test_items_with_fewer_categories_are_padded_and_at_two_categories_all_models_are_the_2pl(lsat7) -> None:
    rng = np.random.default_rng(5)
    truth = GradedItems(
        [1.2, 0.9, 1.5, 1.0], [[-1, 0, 1], [0.3, np.nan, np.nan], [-0.5, 0.5, np.nan], [-1, 0, 2]]
    )
    found = calibrate(simulated(truth, 4_000, rng), "grm")
    np.testing.assert_array_equal(np.isnan(found.items.b), np.isnan(truth.b))
    np.testing.assert_array_equal(np.isnan(found.standard_errors["b"]), np.isnan(truth.b))
    np.testing.assert_allclose(found.items.b, truth.b, atol=0.25)
    logistic = calibrate(lsat7, "2pl")
    for model in ("grm", "gpcm"):
        other = calibrate(lsat7, model)
        np.testing.assert_allclose(other.items.b[:, 0], logistic.items.b, atol=1e-3)
        np.testing.assert_allclose(other.standard_errors["a"], logistic.standard_errors["a"], rtol=1e-3)


def test_the_rating_scale_shares_its_steps_and_is_nested_in_the_partial_credit_model() -> None:
    rng = np.random.default_rng(6)
    responses = simulated(rating_scale(1.0, rng.normal(0, 1, 6), [-1.0, 0.0, 1.0]), 3_000, rng)
    scale, partial = calibrate(responses, "rsm"), calibrate(responses, "pcm")
    steps = scale.items.b - scale.items.b.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(steps, steps[:1].repeat(6, axis=0), atol=1e-9)
    assert scale.parameters == 1 + 6 + 2
    assert partial.parameters == 1 + 18
    # Twice the lead is chi-square with 10 degrees of freedom: 0 to 30.
    assert 0 < partial.log_likelihood - scale.log_likelihood < 15


def test_a_category_that_nobody_chose_and_unequal_rating_scales_are_refused() -> None:
    rng = np.random.default_rng(7)
    responses = simulated(graded_bank(rng), 500, rng)
    gap = responses.copy()
    gap[gap[:, 3] == 1, 3] = 2
    with pytest.raises(InvalidItem, match="row 3: nobody gave response 1"):
        calibrate(gap, "grm")
    short = responses.copy()
    short[:, 5] = np.minimum(short[:, 5], 2)
    with pytest.raises(InvalidItem, match="row 5: 3 categories"):
        calibrate(short, "rsm")


def test_acceleration_needs_a_fraction_of_the_plain_steps() -> None:
    # A linear map with factors up to 0.99: plain steps need ln(1e-10) / ln(0.99), some 2,000.
    factors = np.array([0.99, 0.9, 0.5, 0.1])
    found = ascend(
        lambda x: (-float((x**2).sum()), factors * x),
        np.ones(4),
        lambda x: x,
        tolerance=1e-10,
        max_evaluations=40,
    )
    assert found.converged
    np.testing.assert_allclose(found.point, 0.0, atol=1e-8)


def test_a_leap_that_loses_height_is_taken_back() -> None:
    # Steps of 0.3 towards 1 that shrink a little: the secants see a fixed point 3,000 beyond.
    heights = []

    def evaluate(x):
        away = x - 1.0
        heights.append(-float(np.abs(away).sum()))
        return heights[-1], 1.0 + np.sign(away) * np.maximum(np.abs(away) * 0.9999 - 0.3, 0.0)

    found = ascend(evaluate, np.array([8.0]), lambda x: x, tolerance=1e-7, max_evaluations=300)
    lost = [at for at in range(1, len(heights)) if heights[at] < heights[at - 1] - 1.0]
    assert lost
    for at in lost:
        assert heights[at + 1] >= heights[at - 1]
    assert found.converged
    np.testing.assert_allclose(found.point, 1.0)


def test_a_climb_into_nothing_ends_without_convergence() -> None:
    found = ascend(
        lambda x: (float("nan") if x[0] > 1 else float(x[0]), x + 1.0),
        np.zeros(1),
        lambda x: x,
        tolerance=1e-6,
        max_evaluations=60,
    )
    assert not found.converged
    assert found.point[0] <= 1


def test_logistic_items_are_what_the_curves_say() -> None:
    x = np.array([[0.2, -0.5, -1.5, 3.0]])
    items = LogisticCurves(4).items(x)
    assert isinstance(items, LogisticItems)
    np.testing.assert_allclose([items.a[0], items.b[0]], [np.exp(0.2), 0.5 / np.exp(0.2)])
    np.testing.assert_allclose([items.c[0], items.d[0]], expit([-1.5, 3.0]))
