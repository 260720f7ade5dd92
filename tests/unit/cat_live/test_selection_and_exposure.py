"""How the next item is chosen: each rule, each exposure control, and that a choice can be made again."""

import msgspec
import numpy as np
import pytest

from domain.attempts.adaptive import Presented, Prior, Step, opened
from domain.cat.choice import Standing
from domain.cat.exposure import uniform_numbers
from domain.cat.grid import DEFAULT_GRID
from domain.cat.live.chance import draw_at
from domain.cat.selection import (
    KullbackLeibler,
    MaximumExpectedInformation,
    MaximumInformation,
    PosteriorWeightedInformation,
)
from domain.exams.adaptive import (
    AdaptiveRules,
    AreaCount,
    AreaShare,
    Progressive,
    Proportional,
    Randomesque,
    SympsonHetter,
)
from tests.support.adaptive_sitting import (
    PRIOR,
    SEED,
    Taking,
    by_model,
    form_of,
    item_id,
    live_test,
    parameters,
    pool_of,
    row_of,
    take,
)

TABLE = parameters(60)
POOL = pool_of(TABLE, "xyz")
RULES = {
    "maximum_information": MaximumInformation,
    "posterior_weighted": PosteriorWeightedInformation,
    "maximum_expected_information": MaximumExpectedInformation,
    "kullback_leibler": KullbackLeibler,
}
CONTROLS = {
    "randomesque": Randomesque(4),
    "progressive": Progressive(),
    "proportional": Proportional(),
    "sympson_hetter": SympsonHetter(tuple(np.linspace(0.3, 1.0, 60).tolist())),
}
EVERY_RULE = {
    **{name: AdaptiveRules(selection=name, max_items=12) for name in RULES},
    **{name: AdaptiveRules(exposure=control, max_items=12) for name, control in CONTROLS.items()},
    "shares": AdaptiveRules(shares=tuple(AreaShare(area, 1) for area in "xyz"), max_items=12),
    "constraints": AdaptiveRules(
        constraints=(AreaCount("x", 4, 4), AreaCount("y", 3, 5)), stop_se=None, max_items=12
    ),
    "constraints and exposure": AdaptiveRules(
        constraints=(AreaCount("x", 4, 4),), exposure=Randomesque(3), stop_se=None, max_items=12
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_each_item_is_the_best_left_by_its_rule(name):
    test = live_test(AdaptiveRules(selection=name, max_items=10), POOL)
    rule, sitting = RULES[name](), opened(PRIOR, SEED)
    answering, steps = by_model(TABLE, 0.7, 3), ()
    for _ in range(10):
        rows = [row_of(step.item_id) for step in steps]
        left = np.ones(60, dtype=bool)
        left[rows] = False
        weights = DEFAULT_GRID.weights * np.prod(
            [likelihood(row, step.right) for row, step in zip(rows, steps, strict=True)], axis=0
        )
        standing = Standing(
            sitting.theta, DEFAULT_GRID.points, weights / weights.sum(), np.array(rows, dtype=int), left
        )
        expected = rule(test.bank.items, standing, np.random.default_rng(0)).item

        decision = test.decide(sitting)
        assert decision == Presented(item_id=item_id(expected), item_version=1, pretest=False)

        step = Step(item_id=decision.item_id, item_version=1, pretest=False, answered=True)
        steps = (*steps, msgspec.structs.replace(step, right=answering(expected, decision.item_id)))
        sitting = msgspec.structs.replace(sitting, steps=steps)
        known = test.estimate(sitting)
        sitting = msgspec.structs.replace(sitting, theta=known.theta, se=known.se)


def likelihood(row, right):
    a, b, c, d = TABLE[row]
    chance = c + (d - c) / (1 + np.exp(-a * (DEFAULT_GRID.points - b)))
    return chance if right else 1 - chance


def test_the_estimate_is_the_mean_of_the_posterior_and_its_standard_deviation():
    prior = Prior(mean=0.8, sd=0.7)
    taken = take(live_test(AdaptiveRules(max_items=6), POOL), prior=prior)

    weights = np.exp(-(((DEFAULT_GRID.points - 0.8) / 0.7) ** 2) / 2)
    for update in taken.updates[1:]:
        weights = weights * likelihood(row_of(update.item_id), update.right)
        density = weights / weights.sum()
        mean = density @ DEFAULT_GRID.points
        assert update.theta == pytest.approx(mean, abs=1e-12)
        assert update.se == pytest.approx(np.sqrt(density @ (DEFAULT_GRID.points - mean) ** 2), abs=1e-12)
        assert update.method == "eap"


def test_the_rules_are_really_different():
    paths = {name: tuple(take(live_test(rules, POOL)).rows) for name, rules in EVERY_RULE.items()}
    assert len(set(paths.values())) >= len(paths) - 2, "some rules may agree on one bank"


@pytest.mark.parametrize("rules", EVERY_RULE.values(), ids=EVERY_RULE)
def test_every_decision_is_the_same_whenever_it_is_made_again_and_whoever_was_served_before(rules):
    """Another process, which has served others in between, decides the same from each prefix."""
    first, second = live_test(rules, POOL), live_test(rules, POOL)
    taken = take(first, by_model(TABLE, -0.4, 8))
    for seed in range(3):
        take(second, by_model(TABLE, seed - 1.0, seed), seed=seed, prior=Prior(mean=0.5, sd=0.9))

    again = Taking(form_of(second))
    answers = {update.item_id: update.right for update in taken.updates}
    again.to_the_end(lambda _, an_id: answers[an_id])

    assert again.events == taken.events


@pytest.mark.parametrize("rules", EVERY_RULE.values(), ids=EVERY_RULE)
def test_an_explanation_is_of_the_very_decision(rules):
    test = live_test(rules, POOL)
    taking = Taking(form_of(test))
    while taking.events[-1] is taking.presented[-1]:
        before = taking.sitting
        taking.step(right=len(before.steps) % 2 == 0)
        judged = taking.sitting if taking.pending is None else without_the_last(taking.sitting)
        told = test.explain(judged)

        assert told.decision == test.decide(judged)
        assert (told.theta, told.se) == (judged.theta, judged.se)
        if told.criterion is not None:
            assert row_of(told.decision.item_id) in told.candidates
            assert told.information == pytest.approx(test.bank.items.information(judged.theta)[0])
            assert told.draw == taking.presented[-1].draw


def without_the_last(sitting):
    return msgspec.structs.replace(sitting, steps=sitting.steps[:-1])


@pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS)
def test_exposure_control_draws_a_number_for_each_item_that_follows_from_seed_and_step(control):
    rules = AdaptiveRules(exposure=control, max_items=8)
    taken = take(live_test(rules, POOL))
    assert [each.draw for each in taken.presented] == [draw_at(SEED, step) for step in range(1, 9)]
    assert take(live_test(rules, POOL), seed=SEED + 1).rows != taken.rows


def test_without_exposure_control_nothing_is_left_to_chance():
    first, second = take(live_test(), seed=1), take(live_test(), seed=2)
    assert {each.draw for each in first.presented} == {None}
    assert first.rows == second.rows


def test_one_of_the_best_is_each_as_likely():
    test = live_test(AdaptiveRules(exposure=Randomesque(4)), POOL)
    information = test.bank.items.information(0.0)[0]
    best = np.argsort(-information)[:4].tolist()
    counts = dict.fromkeys(best, 0)
    for seed in range(2_000):
        counts[row_of(test.decide(opened(PRIOR, seed * 7919)).item_id)] += 1
    # 2,000 draws of probability 1/4: a standard deviation of 19.
    assert all(abs(count - 500) < 80 for count in counts.values())


def test_progressive_control_begins_with_chance_and_ends_with_information():
    rules = AdaptiveRules(exposure=Progressive(), stop_se=None, max_items=20)
    test = live_test(rules, POOL)
    firsts = {row_of(test.decide(opened(PRIOR, seed)).item_id) for seed in range(200)}
    assert len(firsts) > 40
    last = take(test)
    before_the_last = without_the_last(last.sitting)
    before_the_last = msgspec.structs.replace(before_the_last, theta=last.updates[-2].theta)
    told = test.explain(before_the_last)
    left = [row for row in range(60) if row not in last.rows[:-1]]
    assert last.rows[-1] == max(left, key=lambda row: told.information[row])


def test_the_first_item_under_progressive_control_is_chance_alone():
    test = live_test(AdaptiveRules(exposure=Progressive(), max_items=10), POOL)
    for seed in range(50):
        chance = uniform_numbers(int(draw_at(seed, 1) * 2**53), 60)
        assert row_of(test.decide(opened(PRIOR, seed)).item_id) == int(np.argmax(chance))


def test_an_item_that_was_held_back_does_not_come_while_there_are_others():
    rare = SympsonHetter((0.0,) * 20 + (1.0,) * 40)
    taken = take(live_test(AdaptiveRules(exposure=rare, stop_se=None, max_items=40), POOL))

    assert min(taken.rows) == 20
    held_back = [row_of(each) for event in taken.presented for each in event.passed_over]
    assert len(set(held_back)) == len(held_back) > 10
    assert set(held_back) <= set(range(20))


def test_items_that_were_held_back_come_rather_than_that_the_test_ends():
    rare = SympsonHetter((0.05,) * 60)
    taken = take(live_test(AdaptiveRules(exposure=rare, stop_se=None, max_items=60), POOL))

    assert sorted(taken.rows) == list(range(60))
    assert taken.result.stop_reason == "max_items"


def test_an_item_is_held_back_as_often_as_its_probability_says():
    best = live_test(pool=POOL).bank.choose(0.0, np.zeros(60, dtype=bool))
    probabilities = [1.0] * 60
    probabilities[best] = 0.25
    test = live_test(AdaptiveRules(exposure=SympsonHetter(tuple(probabilities))), POOL)
    decisions = [test.decide(opened(PRIOR, seed * 7919)) for seed in range(2_000)]
    given = sum(row_of(each.item_id) == best for each in decisions)
    assert abs(given - 500) < 80
    assert all((each.passed_over == (item_id(best),)) == (row_of(each.item_id) != best) for each in decisions)


def test_the_probabilities_are_those_of_the_exams_items_whichever_of_them_are_pretest_items():
    table = parameters(6)
    pool = pool_of(table)
    pooled = list(pool.items)
    pooled[0] = msgspec.structs.replace(pooled[0], parameters=None)
    pool = msgspec.structs.replace(pool, items=tuple(pooled))
    held_back = SympsonHetter((1.0, 0.0, 0.0, 0.0, 0.0, 1.0))

    test = live_test(AdaptiveRules(exposure=held_back), pool)

    assert test.decide(opened(PRIOR, SEED)).item_id == item_id(5)
