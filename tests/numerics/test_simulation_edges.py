"""Simulated tests at the edges: nobody, an empty bank, as many items as asked for, and where groups part."""

import numpy as np
import pytest

from domain.cat.errors import TooFewItems
from domain.cat.items import GradedItems, LogisticItems
from domain.cat.lockstep import (
    ROWS_AT_ONCE,
    InvalidLimits,
    Limits,
    StopReason,
    administer,
    administer_answering,
    join_paths,
    tell_nobody,
)
from domain.cat.session import AdaptiveBank
from domain.cat.simulation import Simulation, accuracy, draw_responses, simulate, use_of_bank

ITEMS = LogisticItems.of(1.5, np.linspace(-2, 2, 9))
BANK = AdaptiveBank(ITEMS)


def test_tests_for_nobody_are_empty() -> None:
    for paths in (administer(BANK, np.zeros((0, 9), dtype=int)), join_paths([])):
        assert (paths.items.shape, paths.theta_after.shape, paths.se_after.shape) == ((0, 0), (0, 0), (0, 0))
        assert (paths.theta.size, paths.se.size, paths.counts.size, paths.stop_reasons) == (0, 0, 0, ())
        use = use_of_bank(paths, 9)
        assert np.isnan([use.mean_length, use.mean_se, use.overlap]).all()
        assert use.exposure.tolist() == [0] * 9
        assert use.unused == 1
    nobody = simulate(BANK, 0, np.random.default_rng(1))
    assert nobody.true_theta.size == nobody.paths.counts.size == 0
    for group in accuracy(nobody):
        assert group.count == 0
        assert np.isnan([group.mean_length, group.mean_se, group.bias, group.rmse, group.coverage]).all()


def test_as_many_items_as_must_be_given_are_enough_and_one_fewer_is_not() -> None:
    responses = np.zeros((2, 9), dtype=int)
    assert administer(BANK, responses, Limits(min_items=9)).counts.tolist() == [9, 9]
    responses[1, 0] = -1
    assert administer(BANK, responses, Limits(min_items=8)).counts.tolist() == [9, 8]
    with pytest.raises(TooFewItems) as few:
        administer(BANK, responses, Limits(min_items=9))
    assert few.value.data() == {"have": 8, "wanted": 9}
    with pytest.raises(TooFewItems) as few:
        administer_answering(BANK, np.zeros((1, 9), dtype=bool), lambda rows, _: rows, Limits(min_items=10))
    assert few.value.data() == {"have": 9, "wanted": 10}
    responses[1] = -1
    with pytest.raises(TooFewItems) as few:
        administer(BANK, responses)
    assert few.value.data() == {"have": 0, "wanted": 1}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"se": 0.0}, "a standard error of 0.0"),
        ({"se": np.nan}, "a standard error of nan"),
        ({"max_items": 0}, "at most 0 items"),
        ({"min_items": -1}, "at least -1"),
        ({"min_items": 51}, "at least 51 and at most 50"),
    ],
)
def test_limits_say_what_is_wrong_with_them(wrong, said) -> None:
    with pytest.raises(InvalidLimits, match=said):
        Limits(**wrong)


def test_limits_at_their_least_are_taken() -> None:
    assert (Limits().se, Limits().max_items, Limits().min_items) == (0.3, 50, 0)
    Limits(se=None, max_items=1, min_items=1)
    one = administer(BANK, np.ones((1, 9), dtype=int), Limits(se=None, max_items=1))
    assert (one.counts.tolist(), one.stop_reasons) == ([1], (StopReason.MAX_ITEMS,))


def test_a_start_is_where_the_first_item_is_chosen_for_everybody() -> None:
    for start, first in ((-2.0, 0), (0.0, 4), (2.0, 8)):
        done = simulate(BANK, 5, np.random.default_rng(1), start=start)
        assert set(done.paths.items[:, 0]) == {first}
        assert set(administer(BANK, np.ones((3, 9), dtype=int), start=start).items[:, 0]) == {first}


def test_progress_is_told_block_by_block_up_to_all() -> None:
    told = []
    many = 2 * ROWS_AT_ONCE + 3
    answers = np.ones((many, 9), dtype=int)
    limits = Limits(max_items=1)
    administer(BANK, answers, limits, tell=lambda done, total: told.append((done, total)))
    assert told == [(ROWS_AT_ONCE, many), (2 * ROWS_AT_ONCE, many), (many, many)]
    told.clear()
    simulate(BANK, 7, np.random.default_rng(1), limits, tell=lambda done, total: told.append((done, total)))
    assert told == [(7, 7)]
    assert tell_nobody(1, 2) is None


def test_examinees_of_every_mean_and_spread_are_drawn() -> None:
    theta = simulate(BANK, 4000, np.random.default_rng(1), Limits(max_items=1), mean=1.0, sd=0.5).true_theta
    # Four standard errors.
    assert theta.mean() == pytest.approx(1.0, abs=4 * 0.5 / np.sqrt(4000))
    assert theta.std() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(8000))


def test_of_a_bank_without_items_no_answers_are_drawn() -> None:
    assert draw_responses(LogisticItems.of([], []), np.zeros(3), np.random.default_rng(1)).shape == (3, 0)
    assert draw_responses(ITEMS, np.zeros(0), np.random.default_rng(1)).shape == (0, 9)


def test_answers_to_graded_items_are_drawn_in_the_shares_of_their_categories() -> None:
    graded = GradedItems([1.5, 0.8], [[-1.0, 0.0, 1.0], [0.3, np.nan, np.nan]])
    drawn = draw_responses(graded, np.full(20_000, 0.4), np.random.default_rng(2))
    for item, chances in enumerate(graded.category_probabilities(0.4)[0]):
        shares = np.bincount(drawn[:, item], minlength=4) / 20_000
        np.testing.assert_allclose(shares, chances, atol=4 * 0.5 / np.sqrt(20_000))
        assert (shares[chances == 0] == 0).all()


def test_groups_part_at_whole_abilities_and_the_edge_belongs_to_the_upper_one() -> None:
    paths = administer(BANK, np.ones((7, 9), dtype=int))
    truth = np.array([-2.5, -2.0, -1.0, 0.0, 1.0, 2.0, 2.5])
    groups = accuracy(Simulation(truth, paths))
    assert [(group.low, group.high) for group in groups] == [
        (-np.inf, np.inf),
        (-np.inf, -2.0),
        (-2.0, -1.0),
        (-1.0, 0.0),
        (0.0, 1.0),
        (1.0, 2.0),
        (2.0, np.inf),
    ]
    assert [group.count for group in groups] == [7, 1, 1, 1, 1, 1, 2]
    error = paths.theta - truth
    assert groups[0].bias == pytest.approx(error.mean())
    assert groups[0].rmse == pytest.approx(np.sqrt((error**2).mean()))
    assert groups[0].coverage == pytest.approx((np.abs(error) <= 1.959963984540054 * paths.se).mean())
    assert groups[6].mean_se == pytest.approx(paths.se[5:].mean())
    assert groups[6].mean_length == pytest.approx(paths.counts[5:].mean())
