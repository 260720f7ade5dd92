"""A live session and the choice of items at the edges: nothing informs, nothing is left, nothing agrees."""

import warnings

import numpy as np
import pytest

from domain.cat.ability import eap
from domain.cat.choice import Standing, best, ranked
from domain.cat.errors import InvalidItem, InvalidResponse, TooFewItems
from domain.cat.grid import DEFAULT_GRID, grid_of
from domain.cat.items import GradedItems, LogisticItems
from domain.cat.maximum_information import (
    LONG_LIST,
    NO_ITEM,
    SHORT_LIST,
    FullEvaluation,
    MostInformative,
    best_of,
)
from domain.cat.session import AdaptiveBank
from domain.cat.sum_scores import eap_from_sum_scores


def test_examinees_who_contradict_themselves_are_scored_side_by_side_as_each_is_alone() -> None:
    items = LogisticItems.of(90.0, np.tile([-5.0, 5.0], 30))
    bank = AdaptiveBank(items)
    answers = np.array([[0, 1] * 30, [1, 0] * 30, [0, 1] * 15 + [1, 0] * 15])
    log_density = np.tile(bank.prior.log_density, (3, 1))
    alone = [bank.prior] * 3
    for item, column in enumerate(answers.T):
        theta, se = bank.after_each(log_density, np.full(3, item), column)
        alone = [
            bank.after(known, item, int(response)) for known, response in zip(alone, column, strict=True)
        ]
        # Sums over 61 points in another order: a few units in the last place of 6.
        np.testing.assert_allclose(theta, [known.theta for known in alone], atol=1e-12)
        np.testing.assert_allclose(se, [known.se for known in alone], atol=1e-7)
    np.testing.assert_allclose(theta, eap(items, answers).theta, atol=1e-9)


def test_one_who_contradicts_himself_far_more_than_another_is_scored_beside_him_all_the_same() -> None:
    bank = AdaptiveBank(LogisticItems.of([90.0, 90.0, 400.0, 400.0], [-5.0, 5.0, -5.0, 5.0]))
    log_density = np.tile(bank.prior.log_density, (2, 1))
    alone = [bank.prior, bank.prior]
    for items, response in (([0, 2], 0), ([1, 3], 1)):
        theta, se = bank.after_each(log_density, np.array(items), np.array([response, response]))
        alone = [bank.after(known, item, response) for known, item in zip(alone, items, strict=True)]
    np.testing.assert_allclose(theta, [known.theta for known in alone], atol=1e-12)
    np.testing.assert_allclose(se, [known.se for known in alone], atol=1e-7)


def test_the_prior_of_a_bank_is_its_grid() -> None:
    grid = grid_of([-1.0, 0.0, 2.0], [1.0, 1.0, 2.0])
    prior = AdaptiveBank(LogisticItems.of(1.0, [0.0]), grid).prior
    assert (prior.theta, prior.se) == (pytest.approx(0.75), pytest.approx(np.sqrt(2.25 - 0.75**2)))
    np.testing.assert_allclose(np.exp(prior.log_density), grid.weights)


def test_a_point_without_weight_never_gains_any_and_nothing_is_warned_of() -> None:
    grid = grid_of([-1.0, 0.0, 1.0], np.array([1.0, 1.0, 0.0]))
    items = LogisticItems.of(1.0, np.zeros(40))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bank = AdaptiveBank(items, grid)
        known = bank.prior
        for item in range(40):
            known = bank.after(known, item, 1)
    assert -1e-10 < known.theta <= 0  # (Ψ(-1) / Ψ(0))^40
    assert known.theta == pytest.approx(eap(items, np.ones((1, 40), dtype=int), grid).theta[0], abs=1e-12)


def test_of_graded_items_all_categories_are_told_from_none() -> None:
    graded = GradedItems([1.2, 1.0], [[-1.0, 0.0, 1.0], [0.5, np.nan, np.nan]])
    bank = AdaptiveBank(graded)
    assert [bank.after(bank.prior, 0, response).theta for response in range(4)] == sorted(
        bank.after(bank.prior, 0, response).theta for response in range(4)
    )
    assert bank.after(bank.prior, 1, 1).theta > 0
    for item, response in ((0, 4), (1, 2), (0, -1)):
        with pytest.raises(InvalidResponse) as refused:
            bank.after(bank.prior, item, response)
        assert (refused.value.row, refused.value.column) == (0, item)


def test_an_empty_bank_is_refused_as_a_whole() -> None:
    with pytest.raises(InvalidItem) as refused:
        AdaptiveBank(LogisticItems.of([], []))
    assert refused.value.row == -1


# Maximum information


def test_where_no_item_informs_the_lowest_that_is_left_is_taken() -> None:
    items = LogisticItems.of(200.0, np.zeros(5))
    given = np.array([True, True, False, False, True])
    assert items.information([30.0]).max() == 0
    assert FullEvaluation(items).choose(30.0, given) == 2
    assert MostInformative(items).choose(30.0, given) == 2
    assert MostInformative(items, -40.0, 40.0).choose_each(np.array([30.0]), given[None]).tolist() == [2]
    assert best_of(np.zeros((2, 5)), np.array([given, np.ones(5, dtype=bool)])).tolist() == [2, NO_ITEM]


@pytest.mark.parametrize("size", [1, SHORT_LIST, SHORT_LIST + 1, LONG_LIST, LONG_LIST + 1, 200])
@pytest.mark.parametrize("upper", [1.0, 0.97])
def test_the_choice_is_that_of_full_evaluation_for_every_length_of_list(size, upper) -> None:
    rng = np.random.default_rng(size)
    items = LogisticItems.of(rng.lognormal(0, 0.4, size), rng.normal(0, 1, size), 0.1, upper)
    rule, plain = MostInformative(items, -2.0, 2.0), FullEvaluation(items)
    theta = np.concatenate([np.linspace(-2, 2, 129), [-2.0, 2.0]])  # the cells' edges among them
    given = rng.random((theta.size, size)) < rng.choice([0.0, 0.5, 0.95], (theta.size, 1))
    wanted = plain.choose_each(theta, given)
    np.testing.assert_array_equal(rule.choose_each(theta, given), wanted)
    assert [rule.choose(float(at), row) for at, row in zip(theta, given, strict=True)] == wanted.tolist()
    beyond = np.array([-2.0001, 2.0001, -30.0, 30.0])
    np.testing.assert_array_equal(rule.choose_each(beyond, given[:4]), plain.choose_each(beyond, given[:4]))
    for at, row in zip(beyond, given[:4], strict=True):
        assert rule.choose(float(at), row) == plain.choose(float(at), row)


def test_nobody_chooses_nothing() -> None:
    rule = MostInformative(LogisticItems.of(1.0, np.zeros(200)))
    assert rule.choose_each(np.zeros(0), np.zeros((0, 200), dtype=bool)).tolist() == []


# Ranking


def test_a_ranking_and_a_best_of_nothing_say_that_one_was_wanted() -> None:
    for nothing in (np.array([-np.inf, -np.inf]), np.array([])):
        with pytest.raises(TooFewItems) as refused:
            ranked(nothing)
        assert refused.value.data() == {"have": 0, "wanted": 1}
        with pytest.raises(TooFewItems) as refused:
            best(nothing, np.ones(nothing.size, dtype=bool))
        assert refused.value.data() == {"have": 0, "wanted": 1}


def test_many_that_tie_are_ranked_by_row() -> None:
    values = np.repeat([1.0, 3.0, 2.0], 40)
    values[::2] *= 1 - 1e-15
    np.testing.assert_array_equal(ranked(values), [*range(40, 80), *range(80, 120), *range(40)])
    assert best(values, np.ones(120, dtype=bool)).candidates.tolist() == [*range(40, 80)]


def test_negative_criteria_tie_as_positive_ones_do() -> None:
    assert ranked(np.array([-1.0 - 1e-14, -1.0, -2.0])).tolist() == [0, 1, 2]
    assert best(np.array([-1.0 - 1e-14, -1.0, -2.0]), np.ones(3, dtype=bool)).candidates.tolist() == [0, 1]
    assert best(np.array([-1.0 - 1e-10, -1.0, -2.0]), np.ones(3, dtype=bool)).candidates.tolist() == [1]


def test_a_standing_leaves_all_that_was_not_given() -> None:
    standing = Standing.at(0.3, 4, given=[2, 0])
    assert standing.left.tolist() == [False, True, False, True]
    assert standing.given.tolist() == [2, 0]
    assert (standing.points.tolist(), standing.posterior.tolist()) == ([0.3], [1.0])


# Sum scores


def test_a_sum_that_no_ability_makes_possible_is_no_number_and_nothing_is_warned_of() -> None:
    easy = LogisticItems.of(1.0, np.full(400, -40.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = eap_from_sum_scores(easy)
    assert table.probability[0] == 0
    assert np.isnan([table.theta[0], table.se[0]]).all()
    assert table.theta[-1] == pytest.approx(DEFAULT_GRID.mean, abs=1e-9)
    assert table.score.tolist() == list(range(401))
