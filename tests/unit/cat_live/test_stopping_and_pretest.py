"""When a live test ends and how it classifies; the pretest items that are hidden in it."""

import itertools
from collections import Counter

import numpy as np
import pytest
from scipy.stats import norm

from domain.attempts.adaptive import Prior
from domain.attempts.events import AttemptScored
from domain.cat.live.chance import pretest_positions
from domain.exams.adaptive import (
    AdaptiveRules,
    Classification,
    PretestPlan,
    Randomesque,
)
from domain.exams.adaptive import Testlet as Together  # else it is taken for a class of tests
from tests.support.adaptive_sitting import (
    SEED,
    Taking,
    always,
    by_model,
    form_of,
    item_id,
    live_test,
    parameters,
    pool_of,
    row_of,
    take,
)

TABLE = parameters(80)
POOL = pool_of(TABLE)
WITH_PRETEST = pool_of(TABLE, pretest=6)


def taken_by(rules, theta=0.3, pool=POOL, seed=SEED):
    return take(live_test(rules, pool), by_model(TABLE, theta, 2), seed=seed)


def test_it_ends_as_soon_as_the_standard_error_is_below_the_limit():
    taken = taken_by(AdaptiveRules(stop_se=0.5))
    assert [update.se < 0.5 for update in taken.updates] == [False] * (len(taken.updates) - 1) + [True]
    assert (taken.result.stop_reason, taken.updates[-1].stop_reason) == ("se", "se")
    assert taken.result.items == len(taken.rows) < 50


def test_it_does_not_end_before_the_minimum():
    taken = taken_by(AdaptiveRules(stop_se=0.5, min_items=25))
    assert (taken.result.items, taken.result.stop_reason) == (25, "se")


def test_it_ends_with_the_maximum():
    taken = taken_by(AdaptiveRules(stop_se=0.05, max_items=7))
    assert (taken.result.items, taken.result.stop_reason) == (7, "max_items")


def test_a_prior_that_is_known_well_enough_still_gets_an_item():
    taken = take(live_test(AdaptiveRules(), POOL), prior=Prior(mean=0.0, sd=0.25))
    assert (taken.result.items, taken.result.stop_reason) == (1, "se")


def test_it_ends_where_the_best_item_left_would_tell_too_little():
    rules = AdaptiveRules(stop_se=None, min_information=0.25)
    taken = take(live_test(rules, POOL), always(True))
    assert taken.result.stop_reason == "min_information"
    information = live_test(rules, POOL).bank.items.information
    last = taken.updates[-1].theta
    left = [row for row in range(80) if row not in taken.rows]
    assert information(last)[0][left].max() < 0.25
    before = taken.updates[-2].theta
    assert information(before)[0][[*left, taken.rows[-1]]].max() >= 0.25


def test_a_pool_that_runs_out_ends_it():
    taken = take(live_test(AdaptiveRules(stop_se=None), pool_of(TABLE[:9])))
    assert sorted(taken.rows) == list(range(9))
    assert taken.result.stop_reason == "pool_exhausted"


@pytest.mark.parametrize("theta", [-2.5, 0.0, 2.5])
def test_it_ends_once_the_interval_holds_no_cut(theta):
    cuts = (-1.0, 1.0)
    rules = AdaptiveRules(
        stop_se=None, max_items=80, classification=Classification(cuts=cuts, confidence=0.9)
    )
    taken = taken_by(rules, theta)
    reach = norm.ppf(0.95)
    inside = [
        any(abs(update.theta - cut) <= reach * update.se for cut in cuts) for update in taken.updates[1:]
    ]
    assert inside == [True] * (len(inside) - 1) + [False]
    assert taken.result.stop_reason == "confidence_interval"
    assert taken.result.category == {-2.5: 0, 0.0: 1, 2.5: 2}[theta]


def test_it_ends_once_the_likelihoods_at_the_cut_are_far_enough_apart():
    rule = Classification(cuts=(0.0,), method="probability_ratio", half_width=0.4, alpha=0.05, beta=0.1)
    taken = taken_by(AdaptiveRules(stop_se=None, max_items=80, classification=rule), theta=1.5)
    ratios = []
    ratio = 0.0
    for update in taken.updates[1:]:
        a, b, c, _ = TABLE[row_of(update.item_id)]
        high, low = (c + (1 - c) / (1 + np.exp(-a * (at - b))) for at in (0.4, -0.4))
        ratio += np.log(high / low) if update.right else np.log((1 - high) / (1 - low))
        ratios.append(ratio)
    decided = [each >= np.log(0.9 / 0.05) or each <= np.log(0.1 / 0.95) for each in ratios]
    assert decided == [False] * (len(decided) - 1) + [True]
    assert (taken.result.stop_reason, taken.result.category) == ("probability_ratio", 1)


def test_classification_waits_for_the_minimum_too():
    rules = AdaptiveRules(stop_se=None, min_items=20, classification=Classification(cuts=(-3.0,)))
    assert taken_by(rules, theta=2.0).result.items == 20


def test_where_the_maximum_comes_first_the_estimate_classifies():
    rules = AdaptiveRules(stop_se=None, max_items=2, classification=Classification(cuts=(-0.01, 0.01)))
    high, low = (take(live_test(rules, POOL), always(right)) for right in (True, False))
    assert [each.result.stop_reason for each in (high, low)] == ["max_items", "max_items"]
    assert [each.result.category for each in (high, low)] == [2, 0]


def test_without_cut_scores_there_is_no_category():
    assert taken_by(AdaptiveRules()).result.category is None


PLAN = PretestPlan(items=3, first_position=2, last_position=9)


def test_pretest_items_stand_at_the_positions_that_the_seed_says():
    rules = AdaptiveRules(pretest=PLAN, stop_se=None, max_items=12)
    for seed in range(40):
        taken = taken_by(rules, pool=WITH_PRETEST, seed=seed)
        hidden = [event.step for event in taken.presented if event.pretest]
        assert hidden == pretest_positions(seed, PLAN).tolist()
        assert [event.step for event in taken.presented] == list(range(1, 16))
        assert len({event.item_id for event in taken.presented}) == 15


def test_a_pretest_item_never_counts():
    rules = AdaptiveRules(stop_se=None, max_items=12)
    plain = taken_by(rules)
    answering = by_model(TABLE, 0.3, 2)
    for answer in (True, False):
        hidden = take(
            live_test(AdaptiveRules(pretest=PLAN, stop_se=None, max_items=12), WITH_PRETEST),
            lambda row, an_id, answer=answer: answer if row >= 80 else answering(row, an_id),
        )
        assert hidden.rows == plain.rows
        assert hidden.result == plain.result
        for before, update in itertools.pairwise(hidden.updates):
            if update.pretest:
                assert (update.theta, update.se, update.method) == (before.theta, before.se, before.method)
        scored = hidden.events[-1]
        assert isinstance(scored, AttemptScored)
        assert [row_of(item.item_id) for item in scored.items] == plain.rows
        assert scored.max_score == 12


def test_a_pretest_item_may_come_first_and_then_the_prior_stands():
    first = PretestPlan(items=1, first_position=1, last_position=1)
    taking = Taking(form_of(live_test(AdaptiveRules(pretest=first), WITH_PRETEST)))
    assert taking.presented[0].pretest
    taking.step(right=True)
    assert (taking.updates[-1].method, taking.updates[-1].theta, taking.updates[-1].se) == ("prior", 0.0, 1.0)
    assert not taking.presented[1].pretest


def test_positions_and_pretest_items_are_each_as_likely():
    positions, items = Counter(), Counter()
    test = live_test(AdaptiveRules(pretest=PLAN, stop_se=None, max_items=9), WITH_PRETEST)
    for seed in range(600):
        for event in take(test, always(True), seed=seed * 7919).presented:
            if event.pretest:
                positions[event.step] += 1
                items[event.item_id] += 1
    # 1,800 over 8 positions and 6 items: standard deviations of about 12 and 13.
    assert set(positions) == set(range(2, 10))
    assert all(abs(count - 225) < 55 for count in positions.values())
    assert len(items) == 6
    assert all(abs(count - 300) < 60 for count in items.values())


def test_a_test_that_ends_early_gives_fewer_pretest_items_and_no_other_result():
    rules = AdaptiveRules(pretest=PretestPlan(items=3, first_position=1, last_position=10), stop_se=0.6)
    shorter = taken_by(rules, pool=WITH_PRETEST)
    hidden = [event for event in shorter.presented if event.pretest]
    assert len(hidden) < 3
    assert shorter.result.stop_reason == "se"
    assert shorter.rows == taken_by(AdaptiveRules(stop_se=0.6)).rows


def test_no_pretest_item_stands_between_items_of_one_stimulus():
    stimulus = Together(tuple(item_id(row) for row in range(4)))
    table = TABLE.copy()
    table[:4] = [2.5, 0.0, 0.0, 1.0]
    rules = AdaptiveRules(constraints=(stimulus,), pretest=PLAN, stop_se=None, max_items=12)
    test = live_test(rules, pool_of(table, pretest=6))
    for seed in range(20):
        taken = take(test, always(True), seed=seed)
        steps = [event.step for event in taken.presented if row_of(event.item_id) < 4]
        assert steps[-1] - steps[0] == 3
        assert sum(event.pretest for event in taken.presented) == 3


def test_chance_of_pretest_items_does_not_move_that_of_exposure_control_on_the_same_step():
    plain = AdaptiveRules(exposure=Randomesque(5), stop_se=None, max_items=10)
    hidden = AdaptiveRules(exposure=Randomesque(5), pretest=PLAN, stop_se=None, max_items=10)
    first = {event.step: event.draw for event in taken_by(plain).presented}
    second = taken_by(hidden, pool=WITH_PRETEST).presented
    assert all(
        event.draw is None if event.pretest else event.draw == first.get(event.step, event.draw)
        for event in second
    )
