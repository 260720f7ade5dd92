"""Drift of anchor items: planted changes found, stable items left alone, measures written apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.cat.drift import anchor_drift, robust_z
from domain.cat.errors import InvalidItem
from domain.cat.grid import DEFAULT_GRID
from domain.cat.items import GradedItems, LogisticItems, NominalItems
from domain.cat.linking import Linking

OWN_SCALE = Linking(1.25, -0.4)


def calibrated_again(rng, *, moved=(), steeper=(), count=24, error=0.05):
    """A bank, and a new calibration of it with errors, on a scale of its own."""
    old = LogisticItems.of(rng.uniform(0.8, 2.0, count), rng.normal(size=count), 0.2)
    a, b = old.a * np.exp(rng.normal(0, error, count)), old.b + rng.normal(0, error, count)
    b[list(moved)] += 0.8
    a[list(steeper)] *= 2.5
    return old, OWN_SCALE.items(LogisticItems.of(a, b, old.c))


def test_items_that_moved_or_grew_steeper_are_found_and_no_others():
    rng = np.random.default_rng(8)
    flagged = [
        anchor_drift(*calibrated_again(rng, moved=(2, 9, 15), steeper=(20,))).drifted for _ in range(20)
    ]
    assert np.all([each[[2, 9, 15]] for each in flagged])
    assert np.sum([each[20] for each in flagged]) >= 18
    others = np.delete(np.array(flagged), [2, 9, 15, 20], axis=1)
    assert others.mean() < 0.01


def test_the_flagged_leave_the_linking_which_is_then_right():
    rng = np.random.default_rng(3)
    old, new = calibrated_again(rng, moved=range(6), error=0.01)
    pure, raw = anchor_drift(old, new), anchor_drift(old, new, purify=False)
    back = OWN_SCALE.inverse()
    assert pure.settled
    assert pure.rounds > 1
    assert np.flatnonzero(~pure.anchor).tolist() == list(range(6))
    # eighteen items with errors of 0.01 leave some 0.003
    assert abs(pure.linking.B - back.B) < 0.015 < abs(raw.linking.B - back.B)
    np.testing.assert_allclose(pure.displacement[:6], 0.8, atol=0.06)
    assert raw.anchor.all()
    assert raw.rounds == 1


def test_a_bank_that_only_changed_its_scale_has_not_drifted():
    old, _ = calibrated_again(np.random.default_rng(1))
    found = anchor_drift(old, OWN_SCALE.items(old))
    assert not found.drifted.any()
    np.testing.assert_allclose(found.displacement, 0, atol=1e-9)
    np.testing.assert_allclose(found.displacement_z, 0)
    np.testing.assert_allclose(found.rmsd, 0, atol=1e-9)


def test_area_and_rmsd_are_those_of_the_curves_on_the_old_scale():
    old = LogisticItems.of([1.0, 1.4, 0.9], [-1.0, 0.0, 1.0], 0.1)
    new = LogisticItems.of([1.0, 1.4, 0.9], [-1.0, 0.5, 1.0], 0.1)
    found = anchor_drift(old, OWN_SCALE.items(new), method="mean_mean", purify=False)
    moved = found.linking.items(OWN_SCALE.items(new))
    for item in range(3):
        area = square = 0.0
        for point, weight in zip(DEFAULT_GRID.points, DEFAULT_GRID.weights, strict=True):
            here, there = (
                0.1 + 0.9 / (1 + np.exp(-bank.a[item] * (point - bank.b[item]))) for bank in (old, moved)
            )
            area += weight * abs(there - here)
            square += weight * (there - here) ** 2
        assert found.area[item] == pytest.approx(area, rel=1e-10)
        assert found.rmsd[item] == pytest.approx(np.sqrt(square), rel=1e-10)


def test_a_change_too_small_to_matter_is_not_flagged_however_far_out_of_line():
    old = LogisticItems.of(1.2, np.linspace(-2, 2, 12))
    new = LogisticItems.of(1.2, old.b + np.where(np.arange(12) == 5, 0.02, 0.0))
    found = anchor_drift(old, new)
    assert np.isinf(found.displacement_z[5]) or abs(found.displacement_z[5]) > 2.7
    assert found.rmsd[5] < 0.05
    assert not found.drifted.any()
    assert anchor_drift(old, new, rmsd_limit=0.0).drifted.tolist() == (np.arange(12) == 5).tolist()


def test_a_graded_item_is_measured_by_its_mean_threshold_and_share_of_points():
    b = np.linspace(-1, 1, 8)[:, np.newaxis] + np.array([-0.5, 0.0, 0.8])
    old, changed = GradedItems(np.ones(8), b), b.copy()
    changed[3] += 0.9
    found = anchor_drift(old, OWN_SCALE.items(GradedItems(np.ones(8), changed)))
    assert np.flatnonzero(found.drifted).tolist() == [3]
    assert found.displacement[3] == pytest.approx(0.9, abs=1e-6)
    moved = found.linking.items(OWN_SCALE.items(GradedItems(np.ones(8), changed)))
    here, there = (bank.category_probabilities(DEFAULT_GRID.points) @ np.arange(4) for bank in (old, moved))
    share = (there - here)[:, 3] / 3  # of the three points that can be had
    assert found.rmsd[3] == pytest.approx(np.sqrt(DEFAULT_GRID.weights @ share**2), rel=1e-10)


@given(st.lists(st.floats(-100, 100), min_size=5, max_size=30), st.floats(0.1, 10), st.floats(-50, 50))
def test_robust_z_has_no_origin_and_no_unit(values, unit, origin):
    values = np.array(values)
    low, high = np.quantile(values, [0.25, 0.75])
    if high - low < 1e-3:  # where the values are nearly all one, their rounding is their spread
        return
    np.testing.assert_allclose(robust_z(unit * values + origin), robust_z(values), rtol=1e-6, atol=1e-6)


def test_robust_z_of_a_normal_sample_is_standard_and_outliers_do_not_move_it():
    values = np.random.default_rng(2).normal(5, 3, 100_000)
    # the quartiles of a hundred thousand have an error of half a percent of the spread
    assert np.std(robust_z(values)) == pytest.approx(1, abs=0.02)
    with_outliers = np.concatenate([values, np.full(100, 1e6)])
    np.testing.assert_allclose(robust_z(with_outliers)[:-100], robust_z(values), atol=0.01)


def test_sides_that_do_not_match_and_kinds_without_difficulty_are_refused():
    two, three = LogisticItems.of(1.0, [0.0, 1.0]), LogisticItems.of(1.0, [0.0, 1.0, 2.0])
    with pytest.raises(InvalidItem):
        anchor_drift(two, three)
    nominal = NominalItems([[0.0, 0.8, 1.7]], [[0.0, 0.5, -0.3]])
    with pytest.raises(InvalidItem):
        anchor_drift(nominal, nominal)
