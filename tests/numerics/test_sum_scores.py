"""Scores by the sum of right answers: against published tables and every pattern counted out."""

import itertools

import numpy as np
import pytest
from scipy.stats import binom

from domain.cat.ability import eap
from domain.cat.grid import DEFAULT_GRID, normal_grid
from domain.cat.items import GradedItems, LogisticItems, MixedItems
from domain.cat.sum_scores import eap_from_sum_scores, sum_score_probabilities

# R mirt, page of `fscores`, `mirt(Science)`, method EAPsum: F1, SE_F1 and the expected numbers of 392 people.
SCIENCE_TABLE = np.array([
    (-2.74926694, 0.6293525, 0.1241448),
    (-2.43096701, 0.6167666, 0.7902670),
    (-2.08095804, 0.6101826, 2.7598787),
    (-1.71797996, 0.6019326, 7.2515944),
    (-1.36354348, 0.5979810, 15.8925644),
    (-1.01186764, 0.6038596, 29.6740255),
    (-0.64926712, 0.6101301, 48.3632492),
    (-0.28688279, 0.6048405, 68.4845962),
    (0.08240446, 0.5996636, 80.5530281),
    (0.48709473, 0.6133534, 65.6680929),
    (0.93406958, 0.6170256, 42.6372130),
    (1.38421709, 0.6218261, 22.3313442),
    (1.85351389, 0.6544097, 7.4700015),
])  # fmt: skip


def mixed_bank() -> MixedItems:
    graded = GradedItems([1.5, 0.9], [[-1.0, 0.0, 1.2], [0.2, 1.0, np.nan]])
    right_or_wrong = LogisticItems.of([1.3, 0.7, 2.0], [0.0, -1.0, 0.8], [0.0, 0.2, 0.0])
    return MixedItems((right_or_wrong, graded), (np.array([0, 2, 4]), np.array([1, 3])))


def test_the_table_of_graded_items_is_the_published_one(science_items) -> None:
    table = eap_from_sum_scores(science_items, normal_grid(121))
    # From parameters with seven decimals; the numbers of people are 392 times a probability.
    np.testing.assert_allclose(table.theta, SCIENCE_TABLE[:, 0], atol=2e-7)
    np.testing.assert_allclose(table.se, SCIENCE_TABLE[:, 1], atol=2e-7)
    np.testing.assert_allclose(392 * table.probability, SCIENCE_TABLE[:, 2], atol=1e-6)


def test_the_table_is_what_counting_out_every_pattern_gives() -> None:
    bank = mixed_bank()
    patterns = np.array(list(itertools.product(*(range(k) for k in bank.categories))))
    likelihood = np.exp(bank.log_likelihood(patterns, DEFAULT_GRID.points))
    sums = patterns.sum(axis=1)
    table = eap_from_sum_scores(bank)

    for score in table.score:
        joint = likelihood[sums == score].sum(axis=0) * DEFAULT_GRID.weights
        mean = joint @ DEFAULT_GRID.points / joint.sum()
        sd = np.sqrt(joint @ (DEFAULT_GRID.points - mean) ** 2 / joint.sum())
        assert table.probability[score] == pytest.approx(joint.sum(), rel=1e-12)
        assert table.theta[score] == pytest.approx(mean, abs=1e-12)
        assert table.se[score] == pytest.approx(sd, rel=1e-11)


def test_sums_of_like_items_are_binomial() -> None:
    items = LogisticItems.of(1.0, np.zeros(40))
    chances = items.correct(DEFAULT_GRID.points)[:, 0]
    wanted = binom.pmf(np.arange(41)[:, None], 40, chances)
    np.testing.assert_allclose(sum_score_probabilities(items), wanted, rtol=1e-9, atol=1e-300)


def test_the_only_patterns_of_the_lowest_and_highest_sum_score_like_the_patterns(lsat7_items) -> None:
    table = eap_from_sum_scores(lsat7_items)
    patterns = eap(lsat7_items, [[0] * 5, [1] * 5])
    np.testing.assert_allclose(table.theta[[0, 5]], patterns.theta, atol=1e-12)
    np.testing.assert_allclose(table.se[[0, 5]], patterns.se, rtol=1e-12)


def test_with_equal_discriminations_the_sum_says_all() -> None:
    # The Rasch model's sufficient statistic.
    items = LogisticItems.of(1.0, [-1.0, 0.0, 0.5, 1.5])
    patterns = np.array(list(itertools.product((0, 1), repeat=4)))
    by_pattern = eap(items, patterns)
    np.testing.assert_allclose(
        eap_from_sum_scores(items).theta[patterns.sum(axis=1)], by_pattern.theta, atol=1e-12
    )


def test_a_higher_sum_is_a_higher_ability_and_the_shares_sum_to_one() -> None:
    table = eap_from_sum_scores(mixed_bank())
    assert (np.diff(table.theta) > 0).all()
    assert table.probability.sum() == pytest.approx(1, abs=1e-14)
