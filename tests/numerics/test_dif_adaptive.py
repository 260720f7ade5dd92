"""DIF from adaptive tests: simulated tests over a bank of 75 items, as in Zwick, Thayer & Wingersky 1994."""

import numpy as np
import pytest
from scipy.stats import binom

from domain.cat.ability import eap
from domain.cat.dif.adaptive import adaptive_logistic, adaptive_mantel_haenszel, score_levels
from domain.cat.dif.groups import InvalidGroup
from domain.cat.dif.logistic import logistic_dif
from domain.cat.dif.mantel_haenszel import mantel_haenszel
from domain.cat.errors import InvalidResponse
from domain.cat.grid import normal_grid
from domain.cat.items import LogisticItems
from domain.cat.types import MISSING

COARSE = normal_grid(31)
"""Enough to choose items by in a simulation."""


def adaptive_tests(seed, *, people_each=600, length=25, harder=0.0, impact=0.0, items=75, unfair=(37,)):
    """Each examinee's next item is the most informative of those not yet seen, at EAP.

    The unfair items are harder for the focal group, which the bank does not know. Answers
    (n, items), MISSING where an item was not presented; the bank; the groups; the true abilities.
    """
    rng = np.random.default_rng(seed)
    bank = LogisticItems.of(rng.uniform(0.8, 1.8, items), np.linspace(-2.2, 2.2, items), 0.1)
    group = np.repeat([0, 1], people_each)
    ability = rng.normal(size=group.size) - impact * group
    shifted = bank.b + harder * np.isin(np.arange(items), unfair)
    chance = np.where(
        group[:, np.newaxis] == 1,
        LogisticItems(bank.a, shifted, bank.c, bank.d).correct(ability),
        bank.correct(ability),
    )
    would_be_right = (rng.random(chance.shape) < chance).astype(int)
    answers = np.full(chance.shape, MISSING)
    everybody = np.arange(group.size)
    for _ in range(length):
        # a random half of the bank each time: exposure control, without which few items have both groups
        worth = bank.information(eap(bank, answers, COARSE).theta) * (rng.random(answers.shape) < 0.5)
        worth[answers != MISSING] = -1.0
        chosen = worth.argmax(axis=1)
        answers[everybody, chosen] = would_be_right[everybody, chosen]
    return bank, answers, group, ability


def test_an_unfair_item_is_found_in_adaptive_tests_and_its_size_too():
    bank, answers, group, _ = adaptive_tests(1, people_each=1500, harder=1.0)
    found = adaptive_mantel_haenszel(bank, answers, group)
    assert found.ets_class[37] == "C"
    # planted: the log odds of two curves one logit apart, a times 1; guessing takes some of it away
    assert abs(found.delta[37] + 2.35 * bank.a[37]) < 4 * found.delta_se[37] + 0.6
    by_regression = adaptive_logistic(bank, answers, group)
    assert by_regression.uniform.p_value[37] < 1e-6
    assert by_regression.coefficients[37, 2] < 0


def test_the_number_right_would_not_have_told_the_unfair_from_the_fair():
    """Why matching is on ability: in an adaptive test the number right is nearly the same for all."""
    bank, answers, group, ability = adaptive_tests(2, people_each=1000, impact=0.8)
    number_right = (answers == 1).sum(axis=1)
    assert (
        np.corrcoef(number_right, ability)[0, 1] < np.corrcoef(eap(bank, answers).theta, ability)[0, 1] - 0.05
    )
    by_number = mantel_haenszel(answers, group).p_value < 0.05
    by_ability = adaptive_mantel_haenszel(bank, answers, group).p_value < 0.05
    assert by_ability.sum() < by_number.sum()


def test_without_dif_no_more_than_five_percent_are_found_at_five_percent():
    """Six samples of 75 items; binomial bounds that all but one in a thousand draws keep, widened below.

    Below, because the test with few people in a stratum is careful.
    """
    found_by_table = found_by_regression = items = 0
    for seed in range(6):
        bank, answers, group, _ = adaptive_tests(seed, people_each=400)
        tested = adaptive_mantel_haenszel(bank, answers, group, correction=False).p_value
        regressed = adaptive_logistic(bank, answers, group).both.p_value
        found_by_table += np.sum(tested < 0.05)
        found_by_regression += np.sum(regressed < 0.05)
        items += np.isfinite(tested).sum()
    low, high = binom.ppf([0.0005, 0.9995], items, 0.05)
    assert 0.5 * low <= found_by_table <= high
    assert 0.5 * low <= found_by_regression <= high


def test_groups_of_different_ability_hardly_raise_the_error_when_true_ability_is_given():
    found = items = 0
    for seed in range(6):
        bank, answers, group, ability = adaptive_tests(seed, people_each=400, impact=0.5)
        p_value = adaptive_logistic(bank, answers, group, theta=ability).uniform.p_value
        found += np.sum(p_value < 0.05)
        items += np.isfinite(p_value).sum()
    # the curve of an item with guessing is not quite logistic in ability, which adds a little
    assert found <= binom.ppf(0.9995, items, 0.07)


def test_unfair_items_leave_the_estimate_of_ability_when_purified():
    unfair = (30, 34, 38, 42, 46)
    bank, answers, group, _ = adaptive_tests(3, people_each=1000, harder=1.2, unfair=unfair)
    for found in (
        adaptive_mantel_haenszel(bank, answers, group, purify=True, significance=0.01),
        adaptive_logistic(bank, answers, group, purify=True, kind="uniform", significance=0.01),
    ):
        assert found.anchor[list(unfair)].sum() <= 1  # at 1 %, with a third of the people on each item
        assert found.rounds > 1
    kept = np.where(found.anchor, answers, MISSING)
    again = logistic_dif(answers, group, matching=eap(bank, kept).theta)
    np.testing.assert_allclose(found.uniform.chi_square, again.uniform.chi_square, atol=1e-8)


def test_given_abilities_are_matched_on_as_they_are():
    bank, answers, group, ability = adaptive_tests(4, people_each=200)
    by_level = adaptive_mantel_haenszel(bank, answers, group, theta=ability, levels=20)
    levels = score_levels(bank, ability, 20)
    np.testing.assert_array_equal(
        by_level.chi_square, mantel_haenszel(answers, group, matching=levels).chi_square
    )
    expected = bank.expected_scores(ability).sum(axis=1)
    np.testing.assert_array_equal(levels, np.floor(expected / 75 * 20))
    straight = logistic_dif(answers, group, matching=ability)
    np.testing.assert_array_equal(
        adaptive_logistic(bank, answers, group, theta=ability).both.chi_square, straight.both.chi_square
    )


def test_bad_input_is_refused():
    bank = LogisticItems.of(1.0, [0.0, 1.0])
    with pytest.raises(InvalidGroup) as refused:
        adaptive_mantel_haenszel(bank, [[1, 0], [0, 1]], [0, 1], theta=[0.0, np.nan])
    assert refused.value.row == 1
    with pytest.raises(InvalidResponse):
        adaptive_logistic(bank, [[1, 2], [0, 1]], [0, 1])
    with pytest.raises(InvalidResponse):
        adaptive_logistic(bank, [[1], [0]], [0, 1])
