"""Outcomes by group, what the prior does, what a bank can reach, person fit of tests of different items."""

import numpy as np
import pytest
from scipy.stats import kstest

from domain.cat.ability import eap
from domain.cat.coverage import NEVER, coverage
from domain.cat.errors import InvalidResponse
from domain.cat.exposure import Exposure
from domain.cat.fit.of_paths import GivenItems, information_used, person_fit_of_paths
from domain.cat.fit.person_fit import person_fit
from domain.cat.lockstep import Limits
from domain.cat.logistic import LogisticItems
from domain.cat.outcomes import Outcomes, difference, drawn_to_the_mean, outcomes_by_group
from domain.cat.session import AdaptiveBank
from domain.cat.simulation import simulate
from domain.cat.types import MISSING


@pytest.fixture
def bank() -> LogisticItems:
    rng = np.random.default_rng(7)
    return LogisticItems.of(rng.lognormal(0.3, 0.3, 120), rng.normal(0, 1, 120), rng.beta(5, 17, 120))


def some_outcomes(theta, length, se=0.3) -> Outcomes:
    theta = np.asarray(theta, dtype=np.float64)
    ones = np.ones(theta.size)
    return Outcomes(theta, se * ones, np.asarray(length), 0 * ones, ones, ("se",) * theta.size)


# ---- the prior


def test_what_the_prior_added_is_exact_where_likelihood_and_prior_are_normal() -> None:
    likelihood_mean, likelihood_var, prior_mean, prior_var = 2.3, 0.15, -0.4, 0.9
    precision = 1 / likelihood_var + 1 / prior_var
    theta = (likelihood_mean / likelihood_var + prior_mean / prior_var) / precision
    drawn = drawn_to_the_mean([theta], [precision**-0.5], [prior_mean], [prior_var**0.5])
    assert drawn[0] == pytest.approx(theta - likelihood_mean, rel=1e-12)


def test_estimates_at_the_extremes_are_drawn_by_about_a_third_of_a_logit(bank) -> None:
    rng = np.random.default_rng(3)
    theta = np.repeat([-2.5, 2.5], 500)
    answers = (rng.random((1000, 120)) < bank.correct(theta)).astype(np.int64)
    answers[:, 30:] = MISSING
    found = eap(bank, answers)
    drawn = drawn_to_the_mean(found.theta, found.se, 0.0, 1.0)
    # Towards 0 on both sides, by as much as the estimates miss the truth on average.
    assert drawn[:500].mean() == pytest.approx((found.theta - theta)[:500].mean(), abs=0.12)
    assert drawn[500:].mean() == pytest.approx((found.theta - theta)[500:].mean(), abs=0.12)
    assert 0.2 < drawn[:500].mean() < 0.9


def test_a_test_that_told_nothing_was_not_drawn_from_anywhere() -> None:
    assert drawn_to_the_mean([0.0], [1.0], [0.0], [1.0]).tolist() == [0.0]


# ---- groups


def test_each_group_has_its_own_means_and_reasons() -> None:
    outcomes = Outcomes(
        np.array([0.0] * 10 + [1.0] * 12),
        np.array([0.2] * 10 + [0.4] * 12),
        np.array([10] * 10 + [20] * 12),
        np.zeros(22),
        np.ones(22),
        ("se",) * 9 + ("max_items",) + ("se",) * 12,
    )
    large, small = outcomes_by_group(outcomes, ["b"] * 10 + ["a"] * 12).groups
    assert (large.group, large.count, large.mean_length, large.mean_se) == ("a", 12, 20.0, pytest.approx(0.4))
    assert (small.group, small.stop_reasons) == ("b", {"max_items": 1, "se": 9})
    assert small.length_difference.raw == -10.0


def test_groups_of_fewer_than_ten_are_counted_and_not_shown() -> None:
    found = outcomes_by_group(
        some_outcomes(np.zeros(30), np.ones(30, dtype=int)), ["a"] * 12 + ["b"] * 9 + ["c"] * 9
    )
    assert [each.group for each in found.groups] == ["a"]
    assert found.hidden == 2


def test_a_difference_that_ability_explains_vanishes_at_equal_ability() -> None:
    rng = np.random.default_rng(11)
    theta = np.concatenate([rng.normal(-0.5, 1, 3000), rng.normal(0.5, 1, 3000)])
    length = np.rint(18 + 4 * np.abs(theta + 1.5) + rng.normal(0, 2, 6000))
    here = np.arange(6000) < 3000
    found = difference(length, theta, here)
    assert abs(found.raw) > 2
    assert abs(found.at_equal_ability) < 0.35
    assert abs(found.at_equal_ability) < abs(found.raw) / 8


def test_a_difference_at_equal_ability_is_found_with_its_size() -> None:
    rng = np.random.default_rng(12)
    theta = rng.normal(0, 1, 2000)
    here = rng.random(2000) < 0.3
    length = 18 + 2 * np.abs(theta) + rng.normal(0, 3, 2000) + 1.5 * here
    found = difference(length, theta, here)
    assert found.at_equal_ability == pytest.approx(1.5, abs=3 * found.se)
    assert found.p_value < 1e-6


def test_a_difference_at_equal_ability_is_that_worked_out_by_hand() -> None:
    theta = np.array([0.0] * 5 + [1.0] * 6)
    here = np.array([True, True, False, False, False, True, True, True, True, False, False])
    values = np.array([1.0, 3.0, 1.0, 2.0, 6.0, 5.0, 6.0, 7.0, 10.0, 4.0, 6.0])
    found = difference(values, theta, here)
    # Means 2 and 3 in the first stratum, 7 and 5 in the second; 2 and 4 of the group are in them.
    assert found.at_equal_ability == pytest.approx((2 * (2 - 3) + 4 * (7 - 5)) / 6)
    first, second = 2 / 2 + 7 / 3, (14 / 3) / 4 + 2 / 2
    assert found.se == pytest.approx(np.sqrt((2 / 6) ** 2 * first + (4 / 6) ** 2 * second))


def test_p_values_are_uniform_where_there_is_no_difference() -> None:
    rng = np.random.default_rng(13)
    p_values = []
    for _ in range(300):
        level = np.round(rng.normal(0, 1, 400) * 2) / 2
        here = rng.random(400) < 0.5
        p_values.append(difference(rng.normal(0, 1, 400) + level, level, here).p_value)
    assert kstest(p_values, "uniform").pvalue > 1e-3


def test_people_whom_nobody_equals_are_not_compared() -> None:
    theta = np.repeat([-3.0, 3.0], 20)
    found = difference(np.arange(40.0), theta, theta > 0)
    assert found.raw == 20.0
    assert np.isnan(found.at_equal_ability)
    assert np.isnan(difference(np.arange(4.0), np.zeros(4), np.ones(4, dtype=bool)).raw)


def test_outcomes_that_differ_in_number_are_refused() -> None:
    with pytest.raises(InvalidResponse):
        Outcomes(np.zeros(2), np.zeros(2), np.zeros(3, dtype=int), np.zeros(2), np.ones(2), ("se", "se"))
    with pytest.raises(InvalidResponse):
        outcomes_by_group(some_outcomes([0.0], [5]), [])


# ---- what a bank can reach


def test_the_best_test_is_found_by_trying_all(bank) -> None:
    theta = np.array([-2.0, 0.3])
    found = coverage(bank, theta, 5, 0.9, prior_sd=1.0)
    information = np.sort(bank.information(theta), axis=1)[:, ::-1]
    for row in range(2):
        assert found.best[row] == pytest.approx(information[row, :5].sum())
        assert found.se[row] == pytest.approx((information[row, :5].sum() + 1) ** -0.5)
        enough = [n for n in range(121) if (information[row, :n].sum() + 1) ** -0.5 < 0.9]
        assert found.needed[row] == enough[0]
    assert found.information == pytest.approx(bank.information(theta).sum(axis=1))


def test_where_all_items_are_not_enough_none_is_named(bank) -> None:
    assert coverage(bank, [6.0], 50, 0.3, prior_sd=1.0).needed.tolist() == [NEVER]
    assert coverage(bank[[0]], [0.0], 50, 0.99, prior_sd=1.0).best == pytest.approx(
        bank[[0]].information(0.0)[0]
    )


def test_adaptive_tests_come_near_the_bound_and_do_not_pass_it_on_the_whole(bank) -> None:
    paths = simulate(AdaptiveBank(bank), 300, np.random.default_rng(2), Limits(se=None, max_items=20)).paths
    bound = coverage(bank, paths.theta, 20, None, prior_sd=1.0).se
    # Of one person the posterior may be narrower: with guessing it depends on the answers.
    assert 1.0 < np.median(paths.se / bound) < 1.1


# ---- tests of different items


@pytest.fixture
def taken(bank):
    simulation = simulate(AdaptiveBank(bank), 60, np.random.default_rng(5), Limits(se=0.4, max_items=25))
    paths, rng = simulation.paths, np.random.default_rng(6)
    table = np.full((60, len(bank)), MISSING)
    for row, items in enumerate(paths.items):
        chosen = items[items >= 0]
        table[row, chosen] = rng.random(chosen.size) < bank.correct(simulation.true_theta[row])[0, chosen]
    rows = [items[items >= 0] for items in paths.items]
    starts = np.concatenate([[0], np.cumsum(paths.counts)[:-1]])
    right = np.concatenate([table[row, items] for row, items in enumerate(rows)])
    return GivenItems(starts, np.concatenate(rows), right), table, paths.theta


def test_person_fit_is_that_of_the_table_with_holes(bank, taken) -> None:
    given, table, theta = taken
    assert person_fit_of_paths(bank, given, theta) == pytest.approx(
        person_fit(bank, table, theta).lz_star, rel=1e-9
    )


def test_information_used_is_that_of_the_items_given(bank, taken) -> None:
    given, table, theta = taken
    wanted = np.where(table == MISSING, 0.0, bank.information(theta)).sum(axis=1)
    assert information_used(bank, given, theta) == pytest.approx(wanted, rel=1e-12)


def test_a_test_without_a_response_is_refused() -> None:
    with pytest.raises(InvalidResponse):
        GivenItems(np.array([0, 1, 1]), np.array([0, 1]), np.array([1, 0]))
    with pytest.raises(InvalidResponse):
        GivenItems(np.array([1]), np.array([0, 1]), np.array([1, 0]))


def test_nobody_has_no_fit(bank) -> None:
    none = np.zeros(0, dtype=np.int64)
    assert person_fit_of_paths(bank, GivenItems(none, none, none), np.zeros(0)).size == 0


def test_exposure_from_counts_is_that_from_the_tests() -> None:
    tests = [np.array([0, 1, 2]), np.array([0, 3, 4]), np.array([0, 1, 4])]
    counts = np.bincount(np.concatenate(tests), minlength=6).astype(float)
    from_tests, from_counts = Exposure.of(tests, 6), Exposure.counted(counts, 3)
    assert from_counts.rates.tolist() == from_tests.rates.tolist()
    assert from_counts.overlap == from_tests.overlap
