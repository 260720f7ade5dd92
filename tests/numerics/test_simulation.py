"""Adaptive tests against a loop that is slow and plain: every item evaluated, for one person at a time."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.cat.ability import eap, posterior
from domain.cat.errors import InvalidItem, InvalidLimits, InvalidResponse, TooFewItems
from domain.cat.exposure import Randomesque
from domain.cat.grid import DEFAULT_GRID, grid_of
from domain.cat.items import GradedItems, LogisticItems
from domain.cat.lockstep import (
    ROWS_AT_ONCE,
    Limits,
    StopReason,
    administer,
    administer_answering,
    by_rule,
)
from domain.cat.maximum_information import (
    CELLS_PER_LOGIT,
    NO_ITEM,
    FullEvaluation,
    InformationTerms,
    MostInformative,
    most_informative_at,
)
from domain.cat.selection import MaximumInformation
from domain.cat.session import AdaptiveBank
from domain.cat.simulation import accuracy, draw_responses, simulate, use_of_bank
from domain.cat.types import MISSING

FIXED_LENGTH = Limits(se=None, max_items=30)


def bank_of(items, seed=1, *, upper=False):
    rng = np.random.default_rng(seed)
    return LogisticItems.of(
        rng.lognormal(0.2, 0.3, items),
        rng.normal(size=items),
        rng.beta(5, 17, items),
        rng.uniform(0.9, 1.0, items) if upper else 1.0,
    )


def answers_to(items, examinees, seed=2):
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=examinees)
    return theta, draw_responses(items, theta, rng)


def plain_probability(items, theta):
    return items.c + (items.d - items.c) / (1 + np.exp(-items.a * (theta - items.b)))


def plain_information(items, theta):
    p = plain_probability(items, theta)
    slope = items.a * (p - items.c) * (items.d - p) / (items.d - items.c)
    return slope**2 / (p * (1 - p))


def plain_test(items, answers, *, se=None, longest=30):
    """One person's test by the definitions: no logs, no tables, everything evaluated each time."""
    density = np.exp(-(DEFAULT_GRID.points**2) / 2)
    curves = np.array([plain_probability(items, x) for x in DEFAULT_GRID.points])
    theta, path, thetas = 0.0, [], []
    while len(path) < longest:
        information = plain_information(items, theta)
        information[path] = -1
        item = int(np.argmax(information))
        path.append(item)
        density = density * (curves[:, item] if answers[item] else 1 - curves[:, item])
        weights = density / density.sum()
        theta = float(weights @ DEFAULT_GRID.points)
        error = float(np.sqrt(weights @ (DEFAULT_GRID.points - theta) ** 2))
        thetas.append(theta)
        if se is not None and error < se:
            break
    return path, thetas, error


@pytest.mark.parametrize("upper", [False, True], ids=["3PL", "4PL"])
def test_paths_are_those_of_full_evaluation_at_every_step(upper):
    items = bank_of(500, upper=upper)
    _, answers = answers_to(items, 200)

    paths = administer(AdaptiveBank(items), answers, FIXED_LENGTH)

    for row in range(len(answers)):
        path, thetas, error = plain_test(items, answers[row])
        assert paths.items[row].tolist() == path
        # Sums of 61 terms of both signs up to 6: a few units in the last place of 6.
        np.testing.assert_allclose(paths.theta_after[row], thetas, atol=1e-13, rtol=0)
        np.testing.assert_allclose(paths.se[row], error, rtol=1e-12)


def test_a_test_of_variable_length_stops_where_the_plain_loop_stops():
    items = bank_of(300)
    _, answers = answers_to(items, ROWS_AT_ONCE + 60)  # two blocks

    paths = administer(AdaptiveBank(items), answers)

    assert set(paths.stop_reasons) == {StopReason.SE, StopReason.MAX_ITEMS}
    for row in range(0, len(answers), 7):
        path, thetas, error = plain_test(items, answers[row], se=0.3, longest=50)
        count = paths.counts[row]
        assert paths.items[row, :count].tolist() == path
        assert (paths.items[row, count:] == NO_ITEM).all()
        assert np.isnan(paths.theta_after[row, count:]).all()
        assert paths.theta[row] == pytest.approx(thetas[-1], abs=1e-13)
        assert (paths.stop_reasons[row] == StopReason.SE) == (error < 0.3)


@pytest.mark.parametrize("size", [500, 3000], ids=["evaluated", "looked up"])
def test_a_live_session_takes_the_path_of_the_simulation(size):
    items = bank_of(size)
    _, answers = answers_to(items, 40)
    bank = AdaptiveBank(items)
    paths = administer(bank, answers, FIXED_LENGTH)

    for row, answered in enumerate(answers):
        known, theta, given_items = bank.prior, 0.0, np.zeros(size, dtype=bool)
        for step in range(30):
            item = bank.choose(theta, given_items)
            assert item == paths.items[row, step]
            given_items[item] = True
            known = bank.after(known, item, int(answered[item]))
            theta = known.theta
            assert theta == pytest.approx(paths.theta_after[row, step], abs=1e-12)
            assert known.se == pytest.approx(paths.se_after[row, step], rel=1e-10)


def test_the_final_estimate_is_the_eap_of_what_was_answered():
    items = bank_of(200)
    _, answers = answers_to(items, 50)
    paths = administer(AdaptiveBank(items), answers)
    answered = np.full_like(answers, MISSING)
    for row, path in enumerate(paths.items):
        chosen = path[path != NO_ITEM]
        answered[row, chosen] = answers[row, chosen]

    scored = eap(items, answered)

    np.testing.assert_allclose(paths.theta, scored.theta, atol=1e-12, rtol=0)
    np.testing.assert_allclose(paths.se, scored.se, rtol=1e-10)


def test_the_package_mirt_takes_the_same_paths_on_its_own_grid():
    from mirt.cat import CATEngine
    from mirt.scoring._common import build_quadrature

    items = bank_of(120)
    points, weights = build_quadrature(n_quadpts=61, n_factors=1, prior_mean=None, prior_cov=None)
    kept = weights > 0  # Gauss-Hermite weights beyond 14 logits underflow
    bank = AdaptiveBank(items, grid_of(points[kept, 0], weights[kept]))
    _, answers = answers_to(items, 10)
    model = mirt_3pl(items)

    paths = administer(bank, answers, Limits(se=None, max_items=20))

    for row, answered in enumerate(answers):
        engine = CATEngine(model, max_items=20, n_quadpts=61, se_threshold=1e-9)
        path = []
        while len(path) < 20:
            item = engine.get_current_state().next_item
            path.append(item)
            state = engine.administer_item(int(answered[item]))
        assert path == paths.items[row].tolist()
        # mirt clips probabilities at 1e-10 or so, which shows far from the estimate only.
        assert float(np.ravel(state.theta)[0]) == pytest.approx(paths.theta[row], abs=1e-6)
        assert float(np.ravel(state.standard_error)[0]) == pytest.approx(paths.se[row], abs=1e-6)


def mirt_3pl(items):
    from mirt.models.dichotomous import ThreeParameterLogistic

    model = ThreeParameterLogistic(n_items=len(items))
    model.set_parameters(discrimination=items.a, difficulty=items.b, guessing=items.c)
    model._is_fitted = True
    return model


def test_graded_items_are_chosen_and_scored_like_any_others():
    rng = np.random.default_rng(5)
    items = GradedItems(rng.lognormal(0.3, 0.2, 40), np.sort(rng.normal(size=(40, 3)), axis=1))
    _, answers = answers_to(items, 30)

    paths = administer(AdaptiveBank(items), answers, Limits(se=None, max_items=8))

    curves = items.category_probabilities(DEFAULT_GRID.points)
    for row, answered in enumerate(answers):
        density, theta, path = DEFAULT_GRID.weights, 0.0, []
        for _ in range(8):
            information = items.information(theta)[0]
            information[path] = -1
            path.append(int(np.argmax(information)))
            density = density * curves[:, path[-1], answered[path[-1]]]
            theta = density @ DEFAULT_GRID.points / density.sum()
        assert paths.items[row].tolist() == path
        assert paths.theta[row] == pytest.approx(theta, abs=1e-12)


items_by_hypothesis = st.tuples(
    st.integers(0, 10_000), st.integers(1, 260), st.sampled_from([0.02, 0.3, 1.0]), st.booleans()
)


@settings(max_examples=60, deadline=None)
@given(items_by_hypothesis)
def test_the_table_never_changes_the_choice(drawn):
    seed, size, spread, upper = drawn
    rng = np.random.default_rng(seed)
    items = LogisticItems.of(
        rng.lognormal(0.2, spread, size),
        # A tenth of a logit apart: many items that are nearly the same, and some that are the same.
        np.round(rng.normal(0, 4 * spread, size), 1),
        rng.choice([0.0, 0.2], size),
        rng.choice([0.95, 1.0], size) if upper else 1.0,
    )
    edges = rng.integers(-200, 200, 20) / CELLS_PER_LOGIT
    theta = np.concatenate([rng.uniform(-6, 6, 40), edges, [-6.0, 6.0, 0.0]])
    given_items = rng.uniform(size=(theta.size, size)) < rng.choice([0.0, 0.5, 0.95])
    by_table, by_all = MostInformative(items), FullEvaluation(items)

    chosen = by_table.choose_each(theta, given_items)

    np.testing.assert_array_equal(chosen, by_all.choose_each(theta, given_items))
    assert [by_table.choose(x, row) for x, row in zip(theta, given_items, strict=True)] == chosen.tolist()


def test_outside_of_the_tables_span_everything_is_evaluated():
    items = bank_of(200)
    theta = np.array([-9.0, 0.0, 7.5])
    nothing = np.zeros((3, 200), dtype=bool)

    chosen = MostInformative(items).choose_each(theta, nothing)

    np.testing.assert_array_equal(chosen, FullEvaluation(items).choose_each(theta, nothing))


def test_no_item_informs_more_in_a_cell_than_its_bound():
    items = bank_of(80, upper=True)
    rule = MostInformative(items)
    terms = InformationTerms.of(items)
    bound = rule._bounds(
        np.arange(rule._cells + 1),
        terms,
        most_informative_at(items),
        terms.information(most_informative_at(items)),
    )

    for cell, (low, high) in enumerate(pairwise(-6 + np.arange(rule._cells + 1) / CELLS_PER_LOGIT)):
        inside = terms.information(np.linspace(low, high, 41)[:, None])
        assert (inside <= bound[cell]).all()


def test_information_is_that_of_the_items_themselves():
    for upper in (False, True):
        items = bank_of(100, upper=upper)
        theta = np.linspace(-6, 6, 49)
        # Two ways of writing one formula, each of about ten roundings.
        np.testing.assert_allclose(
            InformationTerms.of(items).information(theta[:, None]), items.information(theta), rtol=1e-12
        )


def test_information_far_from_an_item_is_a_number():
    items = LogisticItems.of([1.0, 50.0, 2.0], [0.0, 0.0, 0.0], [0.0, 0.2, 0.1], [1.0, 1.0, 0.9])
    for each in (items, items[[0, 1]]):
        found = InformationTerms.of(each).information(np.array([-1000.0, 1000.0])[:, None])
        assert np.isfinite(found).all()
        assert (found < 1e-80).all()


def test_the_mode_of_a_three_parameter_item_is_where_the_textbook_has_it():
    items = bank_of(50)
    textbook = items.b + np.log((1 + np.sqrt(1 + 8 * items.c)) / 2) / items.a
    np.testing.assert_allclose(most_informative_at(items), textbook, atol=1e-12)


def test_the_mode_of_a_four_parameter_item_is_a_maximum():
    items = bank_of(50, upper=True)
    mode = most_informative_at(items)
    terms = InformationTerms.of(items)
    assert (terms.information(mode) >= terms.information(mode + 1e-3)).all()
    assert (terms.information(mode) >= terms.information(mode - 1e-3)).all()


@pytest.mark.parametrize("size", [10, 200, 3000])
def test_a_tie_goes_to_the_lowest_index(size):
    items = LogisticItems.of(np.full(size, 1.3), np.zeros(size), 0.2)
    rule = MostInformative(items)
    given_items = np.zeros((1, size), dtype=bool)
    given_items[0, :3] = True

    assert rule.choose_each(np.array([0.4]), given_items).tolist() == [3]
    assert rule.choose(0.4, given_items[0]) == 3


def test_items_on_both_sides_of_ability_tie_whatever_the_last_digit_says():
    far_away = np.tile([-30.0, 30.0], 30)  # enough items for a table
    nothing = np.zeros((1, 62), dtype=bool)
    for distance in np.linspace(0.01, 3, 300):
        pair = np.array([distance, -distance])
        for others in (far_away[:0], far_away):
            rule = MostInformative(LogisticItems.of(1.7, np.concatenate([pair, others])))
            given_items = nothing[:, : 2 + others.size]
            assert rule.choose(0.0, given_items[0]) == 0
            assert rule.choose_each(np.zeros(1), given_items).tolist() == [0]


def test_nothing_is_chosen_when_everything_was_given():
    everything = np.ones((2, 60), dtype=bool)
    rule = MostInformative(bank_of(60))

    assert rule.choose_each(np.zeros(2), everything).tolist() == [NO_ITEM, NO_ITEM]
    assert rule.choose(0.0, everything[0]) == NO_ITEM


def test_answers_that_contradict_each_other_beyond_all_bounds_leave_a_number():
    items = LogisticItems.of(90.0, np.tile([-5.0, 5.0], 30))
    answers = np.tile([0, 1], 30)[None]  # every easy item wrong, every hard one right: e^-16000

    paths = administer(AdaptiveBank(items), answers, Limits(se=None, max_items=60))

    scored = eap(items, answers)
    assert np.isfinite(paths.theta_after).all()
    assert paths.theta[0] == pytest.approx(scored.theta[0], abs=1e-9)
    bank = AdaptiveBank(items)
    known = bank.prior
    for item, response in enumerate(answers[0].tolist()):
        known = bank.after(known, item, response)
    assert known.theta == pytest.approx(scored.theta[0], abs=1e-9)


def test_an_item_without_a_response_is_not_given():
    items = bank_of(60)
    _, answers = answers_to(items, 20)
    answers[:, ::2] = MISSING

    paths = administer(AdaptiveBank(items), answers, Limits(se=None, max_items=50))

    assert (paths.counts == 30).all()
    assert set(paths.stop_reasons) == {StopReason.NO_ITEMS_LEFT}
    assert (paths.items % 2 == 1).all()


def test_a_bank_that_is_used_up_ends_the_test():
    items = bank_of(12)
    _, answers = answers_to(items, 5)

    paths = administer(AdaptiveBank(items), answers, Limits(se=0.01, max_items=50))

    assert set(paths.stop_reasons) == {StopReason.NO_ITEMS_LEFT}
    assert (np.sort(paths.items, axis=1) == np.arange(12)).all()


def test_the_minimum_holds_a_test_that_is_precise_enough_already():
    items = LogisticItems.of(4.0, np.linspace(-4, 4, 120))
    _, answers = answers_to(items, 40)
    free = administer(AdaptiveBank(items), answers, Limits(se=0.3, max_items=50))

    held = administer(AdaptiveBank(items), answers, Limits(se=0.3, max_items=50, min_items=12))

    assert free.counts.max() < 12
    assert (held.counts == 12).all()
    assert (held.se < 0.3).all()


def test_the_standard_error_is_the_reason_where_both_limits_are_met_at_once():
    items = LogisticItems.of(4.0, np.linspace(-4, 4, 120))
    _, answers = answers_to(items, 1)
    free = administer(AdaptiveBank(items), answers)

    paths = administer(AdaptiveBank(items), answers, Limits(se=0.3, max_items=int(free.counts[0])))

    assert paths.stop_reasons == (StopReason.SE,)


def test_impossible_requests_are_refused_before_the_first_item():
    bank = AdaptiveBank(bank_of(10))
    with pytest.raises(TooFewItems) as refused:
        administer(bank, np.zeros((1, 10), dtype=int), Limits(min_items=11))
    assert refused.value.data() == {"have": 10, "wanted": 11}
    with pytest.raises(TooFewItems):
        administer(bank, np.full((1, 10), MISSING))
    with pytest.raises(InvalidResponse) as wrong:
        administer(bank, np.full((1, 10), 2))
    assert (wrong.value.row, wrong.value.column) == (0, 0)
    with pytest.raises(InvalidResponse):
        bank.after(bank.prior, 0, MISSING)
    with pytest.raises(InvalidItem):
        AdaptiveBank(bank_of(10)[:0])
    for limits in ({"se": 0.0}, {"max_items": 0}, {"min_items": 51}):
        with pytest.raises(InvalidLimits):
            Limits(**limits)


def test_a_step_leaves_the_posterior_before_it_as_it_was():
    bank = AdaptiveBank(bank_of(10))
    before = bank.prior.log_density.copy()

    bank.after(bank.prior, 3, 1)

    np.testing.assert_array_equal(bank.prior.log_density, before)


def test_the_same_seed_gives_the_same_people_whatever_the_limits():
    bank = AdaptiveBank(bank_of(100))
    short = simulate(bank, 50, np.random.default_rng(7), Limits(se=None, max_items=5))
    long = simulate(bank, 50, np.random.default_rng(7), Limits(se=None, max_items=20))

    np.testing.assert_array_equal(short.true_theta, long.true_theta)
    np.testing.assert_array_equal(short.paths.items, long.paths.items[:, :5])


@pytest.mark.parametrize("kind", ["logistic", "graded"])
def test_a_simulation_gives_tests_to_the_answers_that_are_drawn_from_the_same_seed(kind):
    items = bank_of(60, upper=True)
    if kind == "graded":
        items = GradedItems(items.a, np.stack([items.b, items.b + 0.7], axis=1))
    rng = np.random.default_rng(9)
    theta = rng.normal(size=70)
    answers = draw_responses(items, theta, rng)

    done = simulate(AdaptiveBank(items), 70, np.random.default_rng(9), Limits(se=None, max_items=12))

    np.testing.assert_array_equal(done.true_theta, theta)
    expected = administer(AdaptiveBank(items), answers, Limits(se=None, max_items=12))
    np.testing.assert_array_equal(done.paths.items, expected.items)
    np.testing.assert_array_equal(done.paths.theta_after, expected.theta_after)


def test_another_way_of_estimating_sees_the_responses_so_far():
    items = bank_of(80)
    _, answers = answers_to(items, 25)
    bank = AdaptiveBank(items)
    by_eap = administer(bank, answers)

    def again(responses):
        scored = eap(items, responses)
        return scored.theta, scored.se

    paths = administer(bank, answers, estimating=again)

    np.testing.assert_array_equal(paths.items, by_eap.items)
    np.testing.assert_allclose(paths.theta, by_eap.theta, atol=1e-12, rtol=0)


def test_a_rule_for_one_examinee_at_a_time_sees_what_is_known_of_them():
    items = bank_of(60)
    _, answers = answers_to(items, 8)
    seen = []

    def rule(bank, standing, rng):
        seen.append((standing, rng))
        return MaximumInformation()(bank, standing, rng)

    generators = np.random.default_rng(1).spawn(8)
    bank = AdaptiveBank(items)
    paths = administer(bank, answers, FIXED_LENGTH, choosing=by_rule(rule, items, generators))

    np.testing.assert_array_equal(paths.items, administer(bank, answers, FIXED_LENGTH).items)
    standing, rng = seen[8 * 12 + 5]  # the sixth examinee's thirteenth item
    answered = np.full(60, MISSING)
    answered[paths.items[5, :12]] = answers[5, paths.items[5, :12]]
    assert standing.given.tolist() == paths.items[5, :12].tolist()
    assert standing.left.sum() == 48
    assert standing.theta == paths.theta_after[5, 11]
    np.testing.assert_allclose(standing.posterior, posterior(items, answered)[0], atol=1e-12)
    assert rng is generators[5]


def test_a_path_by_chance_does_not_depend_on_who_else_is_tested(monkeypatch):
    items = bank_of(60)
    bank = AdaptiveBank(items)
    rule = Randomesque(MaximumInformation())

    def paths():
        ruling = by_rule(rule, items, np.random.default_rng(3).spawn(30))
        return simulate(bank, 30, np.random.default_rng(2), FIXED_LENGTH, choosing=ruling).paths.items

    together = paths()
    monkeypatch.setattr("domain.cat.lockstep.ROWS_AT_ONCE", 4)
    monkeypatch.setattr("domain.cat.simulation._ANSWERS_AT_ONCE", 60 * 7)

    np.testing.assert_array_equal(paths(), together)


def test_drawn_answers_follow_the_model():
    rng = np.random.default_rng(3)
    items = GradedItems([1.2, 0.8], [[-1.0, 0.0, 1.5], [0.0, 0.5, 2.0]])
    theta = np.full(40_000, 0.3)

    drawn = draw_responses(items, theta, rng)

    shares = np.array([[(drawn[:, item] == k).mean() for k in range(4)] for item in range(2)])
    # Four standard errors of a share of 40,000 at most: 0.01.
    np.testing.assert_allclose(shares, items.category_probabilities(0.3)[0], atol=0.01)


def test_a_good_bank_measures_as_well_as_it_should():
    done = simulate(AdaptiveBank(bank_of(500)), 2000, np.random.default_rng(11))

    everybody, *groups = accuracy(done)

    # What the literature's 500-item 3PL bank reaches: about 19 items, RMSE 0.29, no bias, coverage 0.945.
    # Bands of four standard errors at 2,000 examinees, and the spread between banks of this kind.
    assert 15 < everybody.mean_length < 23
    assert 0.27 < everybody.rmse < 0.32
    assert abs(everybody.bias) < 0.03
    assert 0.925 < everybody.coverage < 0.965
    # EAP shrinks towards the mean: upwards at the low end, downwards at the high end.
    assert groups[0].bias > 0.1
    assert groups[-1].bias < -0.1
    assert sum(group.count for group in groups) == 2000


def test_accuracy_is_what_its_names_say():
    done = simulate(AdaptiveBank(bank_of(50)), 30, np.random.default_rng(1), Limits(max_items=10))
    error = done.paths.theta - done.true_theta

    everybody = accuracy(done)[0]

    assert everybody.bias == pytest.approx(error.mean())
    assert everybody.rmse == pytest.approx(np.sqrt(np.mean(error**2)))
    assert everybody.coverage == np.mean(np.abs(error) < 1.959964 * done.paths.se)
    assert everybody.mean_length == done.paths.counts.mean()


def test_overlap_is_the_mean_share_that_two_examinees_have_in_common():
    done = simulate(AdaptiveBank(bank_of(40)), 12, np.random.default_rng(1), Limits(se=None, max_items=9))
    given_items = [set(path) for path in done.paths.items.tolist()]
    common = [len(one & other) / 9 for one, other in combinations(given_items, 2)]

    use = use_of_bank(done.paths, 40)

    assert use.overlap == pytest.approx(np.mean(common))
    assert use.exposure.sum() == pytest.approx(9)
    assert use.unused == pytest.approx(1 - len(set.union(*given_items)) / 40)


@pytest.mark.parametrize("start", [float("nan"), float("inf"), -float("inf")])
def test_a_start_that_is_no_ability_is_refused(start):
    bank = AdaptiveBank(bank_of(5))
    with pytest.raises(InvalidLimits, match="start"):
        administer(bank, np.ones((1, 5), dtype=int), start=start)


def test_an_examinee_from_whom_everything_is_withheld_is_refused_and_not_given_the_last_item():
    bank = AdaptiveBank(bank_of(5))
    withheld = np.zeros((3, 5), dtype=bool)
    withheld[1] = True
    with pytest.raises(TooFewItems):
        administer_answering(bank, withheld, lambda _, items: items % 2)
    withheld[1, :2] = False
    with pytest.raises(TooFewItems):
        administer_answering(bank, withheld, lambda _, items: items % 2, Limits(min_items=3))


def test_no_item_is_no_item_of_a_session():
    bank = AdaptiveBank(bank_of(5))
    with pytest.raises(IndexError):
        bank.after(bank.prior, NO_ITEM, 1)
