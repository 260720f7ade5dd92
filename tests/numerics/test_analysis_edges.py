"""Analyses of a bank at the edges: documented defaults, classes at their limits, nothing to compare."""

import inspect
import warnings

import numpy as np
import pytest

from domain.cat.ability import map_, ml, wle
from domain.cat.calibration import calibrate
from domain.cat.dif.adaptive import adaptive_logistic, adaptive_mantel_haenszel, score_levels
from domain.cat.dif.binomial_regression import fit_binomial
from domain.cat.dif.calibrated import lord_from_responses, raju_from_responses
from domain.cat.dif.estimates import ItemEstimates
from domain.cat.dif.groups import InvalidGroup, sample_of, strata_of
from domain.cat.dif.logistic import JODOIN_GIERL, ZUMBO_THOMAS, effect_classes, logistic_dif
from domain.cat.dif.lord import lord
from domain.cat.dif.mantel_haenszel import ets_classes, mantel_haenszel
from domain.cat.dif.polytomous import polytomous_dif
from domain.cat.dif.purification import once, purified, suspicion
from domain.cat.dif.raju import raju
from domain.cat.drift import anchor_drift, robust_z
from domain.cat.errors import InvalidGrid, InvalidItem, InvalidResponse, TooFewItems
from domain.cat.fit.m2 import m2
from domain.cat.fit.mean_squares import item_mean_squares, person_mean_squares
from domain.cat.fit.person_fit import person_fit
from domain.cat.fit.q3 import q3
from domain.cat.fit.s_x2 import s_x2
from domain.cat.items import GradedItems, LogisticItems, MixedItems, MultidimensionalItems, NominalItems
from domain.cat.linking import Linking, haebara, mean_mean, mean_sigma, stocking_lord
from domain.cat.multidimensional_ability import multidimensional_eap, multidimensional_map, product_grid
from domain.cat.quality import (
    classification_quality,
    coefficient_alpha,
    conditional_sem,
    empirical_reliability,
    marginal_reliability,
)
from domain.cat.rescaling import difficulties, discriminations, locations, rescaled
from domain.cat.simulation import simulate
from domain.cat.types import MISSING

ITEMS = LogisticItems.of([1.0, 1.5, 0.8], [-1.0, 0.0, 1.0])
NOMINAL = NominalItems([[0.0, 1.0]], [[0.0, 0.0]])
SEVERAL = MultidimensionalItems([[1.0, 0.5]], [0.0], [0.0])

PURIFYING = {"purify": False, "significance": 0.05, "max_rounds": 20}


@pytest.mark.parametrize(
    ("function", "defaults"),
    [
        (mantel_haenszel, {**PURIFYING, "correction": True}),
        (logistic_dif, {**PURIFYING, "kind": "both"}),
        (polytomous_dif, PURIFYING),
        (lord, {**PURIFYING, "linking": "mean_sigma"}),
        (raju, {**PURIFYING, "linking": "mean_sigma", "purify_by_signed": False}),
        (lord_from_responses, {**PURIFYING, "model": "2pl", "max_iterations": 500}),
        (
            raju_from_responses,
            {**PURIFYING, "model": "2pl", "max_iterations": 500, "purify_by_signed": False},
        ),
        (adaptive_mantel_haenszel, {**PURIFYING, "levels": 75, "correction": True}),
        (adaptive_logistic, {**PURIFYING, "kind": "both"}),
        (
            anchor_drift,
            {
                "method": "stocking_lord",
                "z_limit": 2.7,
                "rmsd_limit": 0.05,
                "purify": True,
                "max_rounds": 20,
            },
        ),
        (s_x2, {"minimum_expected": 1.0}),
        (product_grid, {"count": 61, "width": 6.0}),
        (haebara, {"fixed_scale": False, "from_grid": None}),
        (stocking_lord, {"fixed_scale": False, "from_grid": None}),
        (calibrate, {"model": "2pl", "errors": "observed", "tolerance": 1e-5, "max_iterations": 500}),
        (ml, {"low": -6.0, "high": 6.0}),
        (wle, {"low": -6.0, "high": 6.0}),
        (map_, {"mean": 0.0, "sd": 1.0, "low": -6.0, "high": 6.0}),
        (simulate, {"mean": 0.0, "sd": 1.0, "start": 0.0}),
        (LogisticItems.of, {"c": 0.0, "d": 1.0}),
    ],
)
def test_what_is_not_asked_for_is_as_documented(function, defaults) -> None:
    parameters = inspect.signature(function).parameters
    assert {name: parameters[name].default for name in defaults} == defaults


# Nothing to compare


def test_where_there_is_nothing_to_compare_no_warning_is_given_either() -> None:
    alike = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 1], [1, 0, 0]])
    group = [0, 0, 1, 1]
    apart = np.array([[1, 1, 1], [1, 1, 1], [0, 0, 0], [0, 0, 0]])
    same = ItemEstimates(ITEMS, np.zeros((3, 2, 2)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for responses in (alike, apart):
            assert set(mantel_haenszel(responses, group).ets_class) <= {"-", "A"}
            polytomous_dif(responses, group)
            logistic_dif(responses, group)
        assert np.isnan(mantel_haenszel(apart, group).chi_square).all()
        areas = raju(same, same, linking=None)
        assert (areas.signed.area == 0).all()
        assert (areas.unsigned.area == 0).all()
        assert np.isnan(areas.unsigned.z).all()
        missing = np.full((2, 3), MISSING)
        for found in (item_mean_squares, person_mean_squares):
            assert np.isnan(found(ITEMS, missing, [0.0, 0.0]).outfit).all()
        assert np.isnan(person_fit(ITEMS, missing, [0.0, 0.0]).lz).all()
        q3(ITEMS, missing, [0.0, 0.0])
        steep = LogisticItems.of(400.0, [0.0, 0.0])
        assert conditional_sem(steep, [40.0])[0] == np.inf
        assert marginal_reliability(steep).of_unbiased_estimates == -np.inf


# Classes at their limits


def test_the_classes_of_ets_part_at_one_at_one_and_a_half_and_at_five_percent() -> None:
    below = np.nextafter
    for delta, error, p, wanted in (
        (1.0, 0.1, 0.01, "B"),
        (below(1.0, 0), 0.1, 0.01, "A"),
        (-1.5, 0.1, 0.01, "C"),
        (below(1.5, 0), 0.1, 0.01, "B"),
        (-2.0, 0.6, 0.01, "C"),
        (-2.0, 0.61, 0.01, "B"),
        (-2.0, 0.1, 0.05, "A"),
        (-2.0, 0.1, below(0.05, 0), "C"),
        (np.nan, 0.1, 0.01, "-"),
        (-2.0, np.inf, 0.01, "-"),
        (-2.0, 0.1, np.nan, "-"),
    ):
        assert ets_classes(np.array([p]), np.array([delta]), np.array([error])) == (wanted,)


@pytest.mark.parametrize("limits", [JODOIN_GIERL, ZUMBO_THOMAS])
def test_the_classes_of_the_regression_part_at_their_limits(limits) -> None:
    low, high = limits
    change = np.array([np.nextafter(low, 0), low, np.nextafter(high, 0), high, high, np.nan])
    p_value = np.array([0.01, 0.01, 0.01, 0.01, 0.05, 0.01])
    assert effect_classes(p_value, change, limits) == ("A", "B", "B", "C", "A", "-")
    assert effect_classes(p_value, change, limits, significance=0.01) == (*"AAAAA", "-")
    assert (JODOIN_GIERL, ZUMBO_THOMAS) == ((0.035, 0.07), (0.13, 0.26))


def test_levels_of_the_expected_score_part_at_whole_shares_and_the_best_is_in_the_last() -> None:
    bank = LogisticItems.of(1.0, [0.0, 0.0])
    at = np.log(np.array([0.25, 0.5, 0.75]) / np.array([0.75, 0.5, 0.25]))
    assert score_levels(bank, at, 4).tolist() == [1, 2, 3]
    assert score_levels(bank, at - 1e-6, 4).tolist() == [0, 1, 2]
    assert score_levels(bank, [-1e3, 1e3], 4).tolist() == [0, 3]
    assert score_levels(bank, [0.0, 1e3]).tolist() == [37, 74]
    graded = GradedItems([1.0], [[-1.0, 0.0, 1.0]])
    assert score_levels(graded, [0.0], 2).tolist() == [1]


# Purification


def rounds_of(*suspicions):
    """A test that answers with these suspicions one after the other, and remembers the anchors."""
    left, anchors = list(suspicions), []

    def test(anchor):
        anchors.append(anchor.tolist())
        return len(anchors), np.array(left.pop(0) if len(left) > 1 else left[0], dtype=float)

    return test, anchors


def test_purification_goes_on_until_the_anchor_stands_still() -> None:
    test, anchors = rounds_of([3, 0, 0, 0], [3, 2, 0, 0], [3, 2, 0, 0])
    found = purified(test, 4, max_rounds=20)
    assert (found.result, found.rounds, found.settled) == (3, 3, True)
    assert found.anchor.tolist() == [False, False, True, True]
    assert anchors == [[True] * 4, [False, True, True, True], [False, False, True, True]]


def test_purification_that_goes_round_in_a_circle_or_runs_out_of_rounds_says_so() -> None:
    there, back = [3.0, 0, 0, 0], [0, 3.0, 0, 0]
    test, _ = rounds_of(there, back, there, back, there)
    circle = purified(test, 4, max_rounds=20)
    assert (circle.rounds, circle.settled) == (3, False)
    test, _ = rounds_of([3, 0, 0, 0, 0, 0], [3, 2, 0, 0, 0, 0], [3, 2, 1, 0, 0, 0])
    short = purified(test, 6, max_rounds=2)
    assert (short.rounds, short.settled, short.anchor.tolist()) == (2, False, [False, *[True] * 5])
    test, _ = rounds_of([3, 0])
    assert purified(test, 2, max_rounds=1).settled is False


def test_half_of_the_items_rounded_up_stay_and_the_most_suspicious_leave() -> None:
    test, anchors = rounds_of([1, 5, 4, 2, 3])
    found = purified(test, 5, max_rounds=20)
    assert found.anchor.tolist() == [True, False, False, True, True]
    assert (found.settled, len(anchors)) == (True, 2)
    test, _ = rounds_of([np.nan, 0, 2, 0])
    assert purified(test, 4, max_rounds=20).anchor.tolist() == [True, True, False, True]


def test_without_purification_there_is_one_round_on_all() -> None:
    test, anchors = rounds_of([3, 0])
    found = once(test, 2)
    assert (found.rounds, found.settled, anchors) == (1, True, [[True, True]])


def test_suspicion_is_the_size_of_what_is_significant() -> None:
    p = np.array([0.01, 0.05, 0.2, np.nan])
    assert suspicion(p, np.array([-4.0, 3.0, 2.0, 1.0]), 0.05).tolist() == [4, 0, 0, 0]


# Regressions


def test_a_regression_counts_cells_with_somebody_in_them_and_tells_what_cannot_be_estimated() -> None:
    design = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    trials = np.array([[10, 10, 10, 10, 0], [10, 0, 10, 10, 0], [0, 0, 10, 10, 0]], dtype=float)
    right = np.array([[3, 3, 0, 0, 0], [7, 0, 0, 0, 0], [0, 0, 0, 10, 0]], dtype=float)
    found = fit_binomial(design, right, trials)
    assert found.estimable.tolist() == [True, False, False, True, False]
    assert found.separated.tolist() == [False, False, False, True, False]
    assert found.converged[0]
    odds = np.log([3 / 7, 7 / 3])
    np.testing.assert_allclose(found.coefficients[0], [odds[0], odds[1] - odds[0]], rtol=1e-9)
    variance = 1 / 3 + 1 / 7
    np.testing.assert_allclose(
        found.covariance[0], [[variance, -variance], [-variance, 2 * variance]], rtol=1e-7
    )
    assert found.log_likelihood[0] == pytest.approx(2 * (3 * np.log(0.3) + 7 * np.log(0.7)))
    assert np.isnan(found.coefficients[1]).all()
    assert np.isnan(found.covariance[3]).all()
    assert found.log_likelihood[3] == pytest.approx(0, abs=1e-6)


# Linking and drift


def test_kinds_without_a_and_b_or_of_several_abilities_are_refused_as_a_whole() -> None:
    for make in (
        lambda: discriminations(NOMINAL),
        lambda: difficulties(NOMINAL),
        lambda: locations(NOMINAL),
        lambda: rescaled(SEVERAL, 1.0, 0.0),
        lambda: mean_mean(ITEMS, ITEMS[[0, 1]]),
        lambda: mean_sigma(LogisticItems.of(1.0, [1.0, 1.0]), ITEMS[[0, 1]]),
        lambda: mean_sigma(LogisticItems.of(1.0, [-7.0, -7.0]), ITEMS[[0, 1]]),
        lambda: mean_sigma(ITEMS[[0, 1]], LogisticItems.of(1.0, [1.0, 1.0])),
        lambda: ItemEstimates(ITEMS, np.zeros((2, 2, 2))),
        lambda: ItemEstimates(ITEMS, np.zeros((3, 2, 1))),
        lambda: ItemEstimates(ITEMS, np.zeros((3, 5, 5))),
        lambda: ItemEstimates(ITEMS, np.zeros((3, 0, 0))),
        lambda: ItemEstimates(ITEMS, np.zeros((3, 2))),
        lambda: lord(ItemEstimates(ITEMS, np.zeros((3, 1, 1))), ItemEstimates(ITEMS, np.zeros((3, 2, 2)))),
        lambda: raju(ItemEstimates(ITEMS, np.zeros((3, 3, 3))), ItemEstimates(ITEMS, np.zeros((3, 3, 3)))),
        lambda: m2(LogisticItems.of(50.0, [-40.0, 0.0]), [[1, 0], [1, 1]], estimated=()),
        lambda: m2(ITEMS, [[1, 0, 1], [0, 1, 0]], estimated=("e",)),
    ):
        with pytest.raises(InvalidItem) as refused:
            make()
        assert refused.value.row == -1


def test_too_few_items_for_an_analysis_are_counted() -> None:
    one, none = ITEMS[[0]], LogisticItems.of([], [])
    for make, data in (
        (lambda: mean_mean(none, none), {"have": 0, "wanted": 1}),
        (lambda: mean_sigma(one, one), {"have": 1, "wanted": 2}),
        (lambda: coefficient_alpha(one, [[1], [0]]), {"have": 1, "wanted": 2}),
        (lambda: m2(one, [[1], [0]], estimated=()), {"have": 1, "wanted": 2}),
        (lambda: s_x2(one, [[1], [0]], parameters=0), {"have": 1, "wanted": 2}),
        (lambda: q3(one, [[1], [0]], [0.0, 0.0]), {"have": 1, "wanted": 2}),
    ):
        with pytest.raises(TooFewItems) as few:
            make()
        assert few.value.data() == data


def test_two_items_are_enough_for_an_analysis() -> None:
    two, answers = ITEMS[[0, 2]], [[1, 0], [0, 0], [1, 1], [0, 1]]
    assert mean_sigma(two, two).A == 1.0
    coefficient_alpha(two, answers)
    m2(two, answers, estimated=())
    s_x2(two, answers, parameters=0)


def test_categories_that_differ_are_named_by_the_first_row() -> None:
    graded = GradedItems([1.0], [[-1.0, 1.0]])
    here = MixedItems((ITEMS[[0, 1]], graded), rows=(np.array([0, 2]), np.array([1])))
    with pytest.raises(InvalidItem) as refused:
        stocking_lord(here, ITEMS)
    assert refused.value.row == 1


def test_a_linking_there_and_back_is_none_and_a_chain_is_converged_only_if_each_link_is() -> None:
    link = Linking(1.25, -0.4)
    assert (link.converged, np.isnan(link.criterion)) == (True, True)
    whole = link.then(link.inverse())
    np.testing.assert_allclose([whole.A, whole.B], [1, 0], atol=1e-15)
    lost = Linking(1.0, 0.0, converged=False)
    assert [link.then(lost).converged, lost.then(link).converged, lost.inverse().converged] == [False] * 3
    assert link.then(link).converged


def test_robust_z_of_what_hardly_differs_is_nothing_or_everything() -> None:
    same = np.array([1.0, 1.0 + 1e-12, 1.0, 1.0 - 1e-12, 1.0, 1.0, 2.0, -3.0])
    assert robust_z(same).tolist() == [0, 0, 0, 0, 0, 0, np.inf, -np.inf]
    np.testing.assert_allclose(robust_z(np.arange(5.0)), np.array([-2, -1, 0, 1, 2]) / (0.74 * 2))


# Groups


@pytest.mark.parametrize(
    ("make", "error", "data"),
    [
        (lambda: sample_of([[1, 0]], [0, 1]), InvalidGroup, {"row": -1}),
        (lambda: sample_of([[1, 0], [0, 1]], [0, 0]), InvalidGroup, {"row": -1}),
        (lambda: sample_of([[1, 0], [0, 1]], [1, 1]), InvalidGroup, {"row": -1}),
        (lambda: sample_of([[1, 0], [0, 1]], [0, 2]), InvalidGroup, {"row": 1}),
        (lambda: sample_of(np.zeros((0, 2)), []), InvalidResponse, {"row": -1, "column": -1}),
        (lambda: sample_of([["a"], ["b"]], [0, 1]), InvalidResponse, {"row": -1, "column": -1}),
        (lambda: sample_of([[1, 0], [0, -2]], [0, 1]), InvalidResponse, {"row": 1, "column": 1}),
        (lambda: sample_of([[1.0, 0.5], [0, 1]], [0, 1]), InvalidResponse, {"row": 0, "column": 1}),
        (lambda: mantel_haenszel([[1, 0], [0, 2]], [0, 1]), InvalidResponse, {"row": 1, "column": 1}),
        (lambda: strata_of(["a"], 2), InvalidGroup, {"row": -1}),
        (lambda: strata_of([1.0, np.nan], 2), InvalidGroup, {"row": 1}),
        (lambda: strata_of([1.0], 2), InvalidGroup, {"row": -1}),
        (lambda: empirical_reliability([0.0, 1.0], [0.1]), InvalidResponse, {"row": -1, "column": -1}),
        (
            lambda: classification_quality([0.0], [0.1, 0.2], [0.0]),
            InvalidResponse,
            {"row": -1, "column": -1},
        ),
        (lambda: classification_quality([], [], [0.0]), InvalidResponse, {"row": -1, "column": -1}),
        (lambda: classification_quality([0.0], [0.1], []), InvalidGrid, {}),
        (lambda: classification_quality([0.0], [0.1], [0.0, 0.0]), InvalidGrid, {}),
        (lambda: s_x2(ITEMS, [[1, 0, MISSING]], parameters=0), InvalidResponse, {"row": -1, "column": -1}),
    ],
)
def test_what_cannot_be_compared_is_refused_with_its_place(make, error, data) -> None:
    with pytest.raises(error) as refused:
        make()
    assert {name: refused.value.data()[name] for name in data} == data


def test_a_refusal_of_a_group_says_whose_it_is() -> None:
    assert InvalidGroup(0, "bad").detail() == "Group of examinee 0: bad."
    assert InvalidGroup(-1, "bad").detail() == "Groups: bad."


# Several abilities


@pytest.mark.parametrize(
    "covariance",
    [
        [[1.0, 0.5]],
        [[1.0, 0.5], [0.4, 1.0]],
        [[1.0, 1.0], [1.0, 1.0]],
        [[np.nan]],
        [[1.0, np.inf], [np.inf, 1.0]],
    ],
)
def test_a_covariance_that_is_none_is_refused(covariance) -> None:
    with pytest.raises(InvalidGrid, match="covariance"):
        product_grid(covariance, count=5)
    with pytest.raises(InvalidGrid, match="covariance"):
        multidimensional_map(SEVERAL, [[1]], covariance)


@pytest.mark.parametrize("arguments", [{"count": 1}, {"width": 0.0}, {"width": -1.0}, {"mean": [0.0]}])
def test_a_product_grid_that_cannot_be_is_refused(arguments) -> None:
    with pytest.raises(InvalidGrid):
        product_grid(np.eye(2), **arguments)


def test_a_product_grid_of_two_points_is_one_and_far_tails_underflow() -> None:
    assert product_grid(np.eye(2), count=2).weights.tolist() == [0.25] * 4
    wide = product_grid(4 * np.eye(1), mean=[1.0], count=3, width=60.0)
    assert wide.points.ravel().tolist() == [-119.0, 1.0, 121.0]
    assert wide.weights.tolist() == [0, 1, 0]


def test_a_point_without_weight_is_left_out_of_a_score_of_several_abilities_without_warning() -> None:
    wide = product_grid(np.eye(2), count=5, width=80.0)
    assert (wide.weights == 0).any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = multidimensional_eap(SEVERAL, [[1]], wide)
    np.testing.assert_allclose(found.theta, 0, atol=1e-12)
