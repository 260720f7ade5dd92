"""Standard errors of linking constants: by brute force, by closed forms, and over simulated calibrations."""

import numpy as np
import pytest

from domain.cat.calibration import Anchors, calibrate
from domain.cat.errors import InvalidItem, TooFewItems
from domain.cat.items import GradedItems, LogisticItems, NominalItems, PartialCreditItems
from domain.cat.linking import Linking, link
from domain.cat.linking_errors import UncertainItems, jackknife_errors, linking_errors
from tests.support.responding import answers

METHODS = pytest.mark.parametrize("method", ["mean_mean", "mean_sigma", "haebara", "stocking_lord"])


def covariance_of(size, rng):
    """Any positive definite matrix; small, so that the delta method is nearly exact."""
    root = rng.normal(size=(size, size))
    return 1e-4 * (root @ root.T / size + 0.1 * np.eye(size))


def sides(rng):
    here = LogisticItems.of(rng.lognormal(0, 0.3, 7), rng.normal(0, 1, 7), rng.uniform(0.05, 0.3, 7))
    moved = Linking(1.2, -0.4).items(here)
    there = LogisticItems.of(moved.a * rng.lognormal(0, 0.1, 7), moved.b + rng.normal(0, 0.1, 7), moved.c)
    names = ("a", "b", "c")
    return (UncertainItems(items, names, covariance_of(21, rng)) for items in (here, there))


@METHODS
def test_the_delta_method_is_the_spread_of_linkings_of_drawn_parameters(method):
    rng = np.random.default_rng(4)
    here, there = sides(rng)
    found = linking_errors(method, here, there)

    def drawn(side):
        values = np.stack((side.items.a, side.items.b, side.items.c), axis=1).ravel()
        a, b, c = rng.multivariate_normal(values, side.covariance).reshape(-1, 3).T
        return LogisticItems.of(a, b, c)

    constants = [link(method, drawn(here), drawn(there)) for _ in range(300)]
    spread = np.cov([(each.A, each.B) for each in constants], rowvar=False)
    # 300 draws tell a standard deviation to 4 %: 17 % are four of those.
    assert found.se_A == pytest.approx(np.sqrt(spread[0, 0]), rel=0.17)
    assert found.se_B == pytest.approx(np.sqrt(spread[1, 1]), rel=0.17)
    assert found.linking == link(method, here.items, there.items)


@pytest.mark.parametrize("method", ["haebara", "stocking_lord"])
def test_the_derivatives_of_the_curve_methods_are_those_of_linking_anew(method):
    rng = np.random.default_rng(5)
    here, there = sides(rng)
    only = np.zeros((21, 21))
    only[4, 4] = 1.0  # b of the second item
    found = linking_errors(
        method,
        UncertainItems(here.items, here.names, only),
        UncertainItems(there.items, there.names, np.zeros((21, 21))),
    )
    nudge = 1e-4 * np.eye(7)[1]
    up, down = (
        link(method, LogisticItems.of(here.items.a, here.items.b + step, here.items.c), there.items)
        for step in (nudge, -nudge)
    )
    assert found.se_A == pytest.approx(abs(up.A - down.A) / 2e-4, rel=1e-5)
    assert found.se_B == pytest.approx(abs(up.B - down.B) / 2e-4, rel=1e-5)


def test_rasch_items_are_shifted_with_the_error_of_the_mean_difference():
    # B = mean(b_to) - mean(b_from): errors that all items share do not average out.
    items = LogisticItems.of(1.0, [-1.0, 0.0, 1.0, 2.0])
    alone = UncertainItems(items, ("b",), 0.04 * np.eye(4))
    shared = UncertainItems(items, ("b",), 0.04 * np.ones((4, 4)))
    assert linking_errors("mean_mean", alone, alone).se_B == pytest.approx(np.sqrt(2 * 0.04 / 4), rel=1e-6)
    assert linking_errors("mean_mean", shared, alone).se_B == pytest.approx(np.sqrt(0.04 + 0.01), rel=1e-6)


def test_over_calibrations_of_new_examinees_the_constants_vary_as_much_as_said():
    rng = np.random.default_rng(7)
    items = LogisticItems.of(rng.lognormal(0.2, 0.25, 8), rng.normal(0, 1, 8))
    found = {"mean_mean": [], "haebara": []}
    for _ in range(50):
        here, there = (
            UncertainItems.of(calibrate(answers(items, rng.normal(mean, 1, 400), rng), "2pl"))
            for mean in (0.0, 0.5)
        )
        for method, errors in found.items():
            errors.append(linking_errors(method, there, here))
    for errors in found.values():
        # A standard deviation of 50 has itself an error of 10 %.
        said = np.mean([(each.se_A, each.se_B) for each in errors], axis=0)
        shown = np.std([(each.linking.A, each.linking.B) for each in errors], axis=0, ddof=1)
        np.testing.assert_allclose(shown, said, rtol=0.35)


@pytest.mark.parametrize(("kind", "model"), [(GradedItems, "grm"), (PartialCreditItems, "gpcm")])
def test_items_of_more_categories_have_errors_and_padding_has_none(kind, model):
    rng = np.random.default_rng(8)
    items = kind(
        rng.lognormal(0, 0.2, 5), [[-1, 0, 1], [-0.5, 0.5, np.nan], [-1, 0.2, 0.9], [0, 1, 2], [-2, 0, 1]]
    )
    here, there = (
        UncertainItems.of(calibrate(answers(items, rng.normal(mean, 1, 1500), rng), model))
        for mean in (0.0, 0.3)
    )
    by_curves, by_moments = (linking_errors(each, here, there) for each in ("haebara", "mean_sigma"))
    for found in (by_curves, by_moments):
        # Two samples of 1,500: their means alone differ with an error of 0.037.
        assert 0.03 < found.se_B < 0.1
        assert 0.01 < found.se_A < 0.15


def test_the_common_items_may_be_some_columns_of_a_calibration_in_any_order(lsat7):
    calibration = calibrate(lsat7, "2pl")
    some = UncertainItems.of(calibration, [3, 1])
    np.testing.assert_array_equal(some.items.b, calibration.items.b[[3, 1]])
    np.testing.assert_array_equal(some.covariance[2:, 2:], calibration.joint_covariance[2:4, 2:4])
    np.testing.assert_array_equal(some.covariance[:2, 2:], calibration.joint_covariance[6:8, 2:4])


def test_the_joint_covariance_has_that_of_each_item_on_its_diagonal(lsat7):
    found = calibrate(lsat7, "1pl")
    blocks = [found.joint_covariance[2 * item : 2 * item + 2, 2 * item : 2 * item + 2] for item in range(5)]
    np.testing.assert_allclose(blocks, found.covariances, rtol=1e-12)
    # The slope is one number: between any two items it has its own variance as covariance.
    np.testing.assert_allclose(found.joint_covariance[0::2, 0::2], found.covariances[0, 0, 0], rtol=1e-12)


@METHODS
def test_the_jackknife_sees_what_the_items_disagree_about(method):
    rng = np.random.default_rng(9)
    here = LogisticItems.of(rng.lognormal(0, 0.2, 12), rng.normal(0, 1, 12))
    exact = jackknife_errors(method, here, Linking(1.1, 0.3).items(here))
    assert exact.se_A < 1e-9
    assert exact.se_B < 1e-9
    there = LogisticItems.of(here.a, here.b + 0.5 + rng.normal(0, 0.2, 12))
    found = jackknife_errors(method, here, there)
    assert 0.02 < found.se_B < 0.12  # 0.2 / √12 is 0.058


def test_the_error_that_a_linking_adds_grows_away_from_the_middle():
    rng = np.random.default_rng(10)
    here, there = sides(rng)
    found = linking_errors("haebara", here, there)
    assert found.of_theta(0.0) == pytest.approx(found.se_B)
    (variance_a, both), (_, variance_b) = found.covariance
    assert found.of_theta([2.0])[0] == pytest.approx(np.sqrt(4 * variance_a + 4 * both + variance_b))
    assert found.of_theta(8.0) > found.of_theta(0.0)


def test_what_has_no_errors_is_refused(lsat7, lsat7_items):
    held = calibrate(lsat7, "2pl", anchors=Anchors(np.array([2]), lsat7_items[[2]]))
    with pytest.raises(InvalidItem) as refusal:
        UncertainItems.of(held)
    assert refusal.value.row == 2
    with pytest.raises(InvalidItem, match="no standard errors"):
        UncertainItems.of(calibrate(lsat7, "2pl", errors=None))
    with pytest.raises(InvalidItem, match="shape"):
        UncertainItems(lsat7_items, ("a", "b"), np.eye(5))
    with pytest.raises(InvalidItem, match="no parameter slopes"):
        UncertainItems(lsat7_items, ("slopes",), np.eye(5))
    nominal = calibrate(lsat7, "nominal")
    assert isinstance(nominal.items, NominalItems)
    with pytest.raises(InvalidItem, match="NominalItems"):
        UncertainItems.of(nominal)
    with pytest.raises(TooFewItems):
        jackknife_errors("mean_mean", lsat7_items[:2], lsat7_items[:2])
