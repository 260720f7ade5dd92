"""Upkeep of a bank from live adaptive tests: simulated examinees, decided step by step by the live engine."""

from dataclasses import replace

import numpy as np
import pytest

from domain.cat.calibration import Anchors, calibrate
from domain.cat.errors import InvalidResponse, TooFewItems
from domain.cat.grid import DEFAULT_GRID
from domain.cat.items import LogisticItems
from domain.cat.upkeep import Sittings, review_bank
from domain.cat.upkeep.drift import drift_scores
from domain.cat.upkeep.false_discovery import discoveries
from domain.cat.upkeep.fit import fit_of
from domain.cat.upkeep.population import normal_populations
from domain.cat.upkeep.predictive import Curves, as_given, evidence, normalised
from domain.exams.adaptive import AdaptiveRules, PretestPlan
from tests.support.live_sittings import live_test, taken_by

OPERATIONAL, PRETEST, EXAMINEES = 60, 20, 1200
MEAN, SD = 0.5, 1.2
"""Of the examinees: not those that the test's prior assumes."""

RULES = AdaptiveRules(pretest=PretestPlan(items=6, first_position=2, last_position=12), max_items=25)


def _truth() -> LogisticItems:
    rng = np.random.default_rng(11)
    count = OPERATIONAL + PRETEST
    b = rng.normal(0, 1.1, count)
    b[OPERATIONAL:] = rng.uniform(-1.8, 1.8, PRETEST)
    return LogisticItems.of(rng.lognormal(0.2, 0.3, count), b, 0.0)


TRUTH = _truth()
USED = TRUTH[:OPERATIONAL]


def _sat(truth: LogisticItems, seed: int) -> Sittings:
    thetas = np.random.default_rng(seed).normal(MEAN, SD, EXAMINEES)
    return taken_by(live_test(USED, PRETEST, RULES), truth, thetas, seed)


@pytest.fixture(scope="module")
def clean():
    return _sat(TRUTH, 21)


@pytest.fixture(scope="module")
def reviewed(clean):
    return review_bank(USED, clean, PRETEST)


def test_pretest_items_come_out_within_their_standard_errors(reviewed):
    rows = np.arange(OPERATIONAL, len(TRUTH))
    found = np.array([reviewed.estimated[row].parameters[:2] for row in rows])
    errors = np.array([reviewed.estimated[row].errors[:2] for row in rows])
    z = (found - np.column_stack((TRUTH.a[rows], TRUTH.b[rows]))) / errors

    # 40 standard normal deviates: these limits are passed once in a thousand times.
    assert reviewed.converged
    assert (np.abs(z) < 1.96).mean() >= 0.82
    assert 0.65 < z.std() < 1.4


def test_the_anchors_keep_the_scale_whoever_the_examinees_are(reviewed):
    rows = np.arange(OPERATIONAL, len(TRUTH))
    b = np.array([reviewed.estimated[row].parameters[1] for row in rows])
    slope, shift = np.polyfit(TRUTH.b[rows], b, 1)

    assert reviewed.population_mean == pytest.approx(MEAN, abs=0.12)
    assert reviewed.population_sd == pytest.approx(SD, abs=0.12)
    # Calibrated as N(0, 1) the slope would be 0.83 and the shift -0.42.
    assert slope == pytest.approx(1, abs=0.1)
    assert shift == pytest.approx(0, abs=0.15)


def test_where_nothing_drifts_there_is_no_alarm(reviewed):
    tested = reviewed.responses[:OPERATIONAL] >= 200
    share = (reviewed.drift.p_value[tested] < 0.05).mean()

    assert tested.sum() >= 15
    assert not reviewed.drifts.any()
    assert share <= 0.2
    assert not any(each.misfits for each in reviewed.estimated.values())


def test_what_the_engine_chose_makes_no_item_look_easier_or_harder_than_it_is(clean):
    """Residuals against the past are 0 on average; against all other responses they are not."""
    curves = Curves.of(USED)
    trusted = np.ones(OPERATIONAL, dtype=bool)
    all_of_it = evidence(clean, curves, trusted)
    prior = normal_populations(all_of_it, clean.groups)
    scores = drift_scores(as_given(clean, curves, trusted, prior), curves)
    known = normalised(all_of_it + prior)
    first = clean.items[:, 0]
    in_hindsight = clean.right[:, 0] - np.einsum("nq,nq->n", known, curves.right[first])

    total = np.nansum(scores.mean_residual * scores.responses) / scores.responses.sum()
    assert abs(total) < 0.01
    # The first item, of which everybody's is the same, judged with what its own answer led to.
    assert np.ptp(first) == 0
    assert np.corrcoef(in_hindsight, clean.right[:, 0])[0, 1] > 0.5
    assert scores.mean_residual[first[0]] == pytest.approx(0, abs=0.04)


def test_planted_drift_is_found_and_nothing_else_is_blamed(reviewed):
    planted = np.argsort(-reviewed.responses[:OPERATIONAL])[[2, 8, 14]]
    moved = np.array([0.7, -0.7, 0.7])
    b = TRUTH.b.copy()
    b[planted] += moved
    found = review_bank(USED, _sat(replace(TRUTH, b=b), 4), PRETEST)

    assert set(np.flatnonzero(found.drifts)) == set(planted)
    assert np.sign(found.drift.mean_residual[planted]).tolist() == [-1, 1, -1]
    for row, distance in zip(planted, moved, strict=True):
        _, again, _, _ = found.estimated[int(row)].parameters
        assert again == pytest.approx(USED.b[row] + distance, abs=4 * found.estimated[int(row)].errors[1])


def test_a_change_that_does_not_matter_is_no_alarm(clean):
    slightly_off = replace(USED, b=USED.b + 0.25)
    strict = review_bank(slightly_off, clean, PRETEST, error_rate=0.2, min_change=0.001)
    lenient = review_bank(slightly_off, clean, PRETEST, error_rate=0.2, min_change=0.3)

    assert not lenient.drifts.any()
    assert strict.rounds >= 1


def test_an_item_that_too_few_were_given_is_not_looked_at(clean):
    most = int(clean.counts(len(TRUTH)).max())
    found = review_bank(USED, clean, PRETEST, min_responses=most + 1)

    assert found.estimated == {}
    assert not found.drifts.any()
    assert found.population_mean == pytest.approx(MEAN, abs=0.12)
    assert found.log_likelihood < 0


def test_an_item_that_all_got_right_has_no_parameters(clean):
    easy = OPERATIONAL + 3
    found = review_bank(
        USED, Sittings.of(clean.items, clean.right | (clean.items == easy), clean.groups), PRETEST
    )

    assert easy not in found.estimated
    assert sum(row >= OPERATIONAL for row in found.estimated) == PRETEST - 1


def test_an_item_that_the_able_get_wrong_does_not_fit(clean):
    rng = np.random.default_rng(8)
    odd = OPERATIONAL + 5
    known = normalised(evidence(clean, Curves.of(USED), np.ones(OPERATIONAL, dtype=bool)))
    theta = known @ DEFAULT_GRID.points
    person, step = np.nonzero(clean.items == odd)
    right = clean.right.copy()
    right[person, step] = rng.random(person.size) < np.where(np.abs(theta[person] - MEAN) < 0.7, 0.9, 0.2)
    found = review_bank(USED, Sittings.of(clean.items, right, clean.groups), PRETEST)

    assert [row for row, each in found.estimated.items() if each.misfits] == [odd]
    assert found.estimated[odd].fit.misfit > 0.15


def test_there_is_no_scale_without_operational_items(clean):
    with pytest.raises(TooFewItems):
        review_bank(USED[:0], clean, PRETEST)


def test_known_abilities_make_the_chi_squared_of_the_books():
    """With ability known exactly it is the sum over groups of (O - E)² / V."""
    rng = np.random.default_rng(1)
    points = DEFAULT_GRID.points
    curve = 1 / (1 + np.exp(-points))
    at = rng.integers(20, 41, 500)
    known = np.eye(len(points))[at]
    right = rng.random(500) < curve[at]
    found = fit_of(curve, right, known, 2)

    order = np.argsort(at, kind="stable")
    by_hand = 0.0
    for group in np.array_split(order, 10):
        p = curve[at[group]]
        by_hand += (right[group].sum() - p.sum()) ** 2 / (p * (1 - p)).sum()
    assert found.statistic == pytest.approx(by_hand, rel=1e-12)
    assert found.df == 8
    assert found.infit == pytest.approx(1, abs=0.1)


def test_the_score_test_is_that_of_a_logistic_regression_where_ability_is_known():
    """Statistic and step for a and b by hand, from p and its slopes at known abilities."""
    rng = np.random.default_rng(2)
    item = LogisticItems.of(1.3, 0.4)
    at = rng.integers(18, 44, 800)
    theta = DEFAULT_GRID.points[at]
    right = rng.random(800) < LogisticItems.of(1.3, 0.9).correct(theta)[:, 0]
    sittings = Sittings.of(np.zeros((800, 1)), right[:, np.newaxis], np.zeros(800))
    with np.errstate(divide="ignore"):
        certain = np.log(np.eye(len(DEFAULT_GRID))[at])
    found = drift_scores(
        as_given(sittings, Curves.of(item), np.array([True]), np.maximum(certain, -1e3)), Curves.of(item)
    )

    p = item.correct(theta)[:, 0]
    slopes = np.column_stack((theta - 0.4, np.full(800, -1.3))) * (p * (1 - p))[:, np.newaxis]
    score = slopes.T @ ((right - p) / (p * (1 - p)))
    information = (slopes / (p * (1 - p))[:, np.newaxis]).T @ slopes
    step = np.linalg.solve(information, score)
    assert found.statistic[0] == pytest.approx(score @ step, rel=1e-9)
    assert (found.change_a[0], found.change_b[0]) == pytest.approx(tuple(step), rel=1e-9)
    assert found.df[0] == 2
    assert found.change_b[0] > 0.3


def test_where_all_are_alike_only_the_difficulty_is_tested():
    right = np.arange(300) % 3 == 0
    sittings = Sittings.of(np.zeros((300, 1)), right[:, np.newaxis], np.zeros(300))
    certain = np.full((300, len(DEFAULT_GRID)), -1e3)
    certain[:, 30] = 0.0
    curves = Curves.of(LogisticItems.of(1.0, 0.5))
    found = drift_scores(as_given(sittings, curves, np.array([True]), certain), curves)

    assert found.df[0] == 1
    assert found.change_a[0] == 0


def test_each_group_has_its_own_distribution_and_a_small_one_that_of_all():
    centres = np.concatenate((np.full(400, -1.0), np.full(400, 1.5), np.full(20, 5.0)))
    groups = np.repeat([0, 1, 2], [400, 400, 20])
    likely = -2 * (DEFAULT_GRID.points - centres[:, np.newaxis]) ** 2
    weights = np.exp(normal_populations(likely, groups))
    means = weights @ DEFAULT_GRID.points

    assert means[0] == pytest.approx(-1.0, abs=0.02)
    assert means[500] == pytest.approx(1.5, abs=0.02)
    assert means[-1] == pytest.approx(centres.mean(), abs=0.05)


def test_of_many_tests_only_so_many_alarms_are_false_as_was_said():
    rng = np.random.default_rng(3)
    false_shares = []
    for _ in range(300):
        p = rng.random(100)
        p[:20] = rng.random(20) * 1e-3
        found = discoveries(p, 0.1)
        false_shares.append(found[20:].sum() / max(found.sum(), 1))

    # Benjamini and Hochberg: at most 0.1 times the share of true nulls.
    assert np.mean(false_shares) == pytest.approx(0.08, abs=0.02)
    assert not discoveries([np.nan, np.nan], 0.1).any()
    assert discoveries([0.04, 0.05], 0.05).all()


@pytest.mark.parametrize(
    ("items", "right", "groups"),
    [
        ([[0, 0]], [[True, False]], [0]),
        ([[0, 1]], [[True]], [0]),
        ([[0]], [[True]], [0, 0]),
        ([[0]], [[True]], [-1]),
        ([[-2]], [[True]], [0]),
    ],
    ids=["twice", "shape", "groups", "negative group", "no item"],
)
def test_what_is_no_table_of_tests_is_refused(items, right, groups):
    with pytest.raises(InvalidResponse):
        Sittings.of(items, right, groups)


def test_a_sparse_3pl_calibration_finds_the_top_and_not_a_ledge():
    """Each item was given to one in five. A first step cut off in one direction led down, and was stuck."""
    rng = np.random.default_rng(12)
    anchors = LogisticItems.of(rng.lognormal(0.1, 0.3, 30), rng.normal(0, 1, 30), 0.2)
    free = LogisticItems.of(rng.lognormal(0.1, 0.3, 10), np.linspace(-2, 1.5, 10), 0.2)
    theta = rng.standard_normal(2000)
    chance = np.hstack((anchors.correct(theta), free.correct(theta)))
    responses = (rng.random(chance.shape) < chance).astype(int)
    responses[:, 30:][rng.random((2000, 10)) > 0.2] = -1
    found = calibrate(responses, "3pl", anchors=Anchors(np.arange(30), anchors))

    assert found.converged
    assert np.abs(found.items.b[30:] - free.b).max() < 1.0
    assert found.standard_errors is not None
    assert np.isfinite(found.standard_errors["b"]).all()
