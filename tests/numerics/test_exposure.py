"""Rules that draw, and exposure control: how often each item is given in the long run, and replay."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from domain.cat.blueprint import Blueprint
from domain.cat.choice import Standing
from domain.cat.eligibility import Eligibility
from domain.cat.errors import InvalidItem, TooFewItems
from domain.cat.exposure import (
    Exposure,
    Progressive,
    Proportional,
    Randomesque,
    uniform_numbers,
    weight_of_information,
)
from domain.cat.grid import DEFAULT_GRID
from domain.cat.items import LogisticItems
from domain.cat.selection import MaximumInformation
from domain.cat.shadow import ShadowAssembler
from domain.cat.sympson_hetter import SympsonHetter, exposure_parameters, multinomial_shares

# A fixed seed makes each of these tests come out the same; the limit says how rare a worse draw would be.
RARE = 1e-3


@pytest.fixture
def bank() -> LogisticItems:
    rng = np.random.default_rng(7)
    return LogisticItems.of(rng.lognormal(0, 0.3, 60), rng.normal(0, 1, 60), rng.beta(5, 17, 60))


def test_randomesque_draws_evenly_from_the_best(bank) -> None:
    rule, rng = Randomesque(MaximumInformation(), among=4), np.random.default_rng(1)
    standing = Standing.at(0.3, 60, [5, 6])
    drawn = [rule(bank, standing, rng).item for _ in range(2000)]
    top = np.argsort(-np.where(standing.left, bank.information(0.3)[0], -1))[:4]
    assert set(drawn) == set(top.tolist())
    assert chisquare([drawn.count(row) for row in top]).pvalue > RARE


def test_randomesque_with_fewer_items_left_draws_from_those() -> None:
    two = LogisticItems.of(1.0, [0.0, 1.0])
    rule = Randomesque(MaximumInformation(), among=5)
    rng = np.random.default_rng(1)
    assert {rule(two, Standing.at(0.0, 2, [0]), rng).item for _ in range(20)} == {1}


@pytest.mark.parametrize(
    "make",
    [
        lambda of: Randomesque(of, 5),
        lambda of: Progressive(of, 10),
        lambda of: Proportional(of, 10),
        lambda of: SympsonHetter(of, np.full(60, 0.4)),
    ],
)
def test_the_number_drawn_makes_the_same_choice_again(bank, make) -> None:
    rule, rng = make(MaximumInformation()), np.random.default_rng(2)
    for given_before in ([], [1, 2, 3], list(range(12))):
        standing = Standing.at(-0.4, 60, given_before)
        choice = rule(bank, standing, rng)
        criterion = MaximumInformation()(bank, standing, rng).criterion
        serial = () if isinstance(rule, Randomesque | SympsonHetter) else (len(given_before) + 1,)
        again = rule.decide(criterion, choice.draw, *serial)
        assert again.item == choice.item
        assert choice.item not in given_before
        np.testing.assert_array_equal(again.criterion, choice.criterion)
        assert (
            rule(bank, standing, np.random.default_rng(9)).item
            == rule(bank, standing, np.random.default_rng(9)).item
        )


def test_the_weight_of_information_rises_from_nothing_to_all() -> None:
    for acceleration in (0.0, 1.0, 4.0):
        weights = [weight_of_information(serial, 20, acceleration) for serial in range(1, 22)]
        assert weights[0] == 0.0
        assert weights[19] == weights[20] == 1.0
        assert weights == sorted(weights)
    assert weight_of_information(11, 21, 0.0) == pytest.approx(0.5)
    assert weight_of_information(3, 5, 2.0) == pytest.approx((1 + 4) / (1 + 4 + 9 + 16))


def test_progressive_begins_with_chance_and_ends_with_information(bank) -> None:
    rule, rng = Progressive(MaximumInformation(), length=10), np.random.default_rng(3)
    first = [rule(bank, Standing.at(0.0, 60), rng).item for _ in range(3000)]
    assert chisquare(np.bincount(first, minlength=60)).pvalue > RARE
    nine = Standing.at(0.0, 60, list(range(9)))
    last = {rule(bank, nine, rng).item for _ in range(20)}
    assert last == {MaximumInformation()(bank, nine, rng).item}


def test_one_number_drawn_stands_for_as_many_as_are_needed() -> None:
    # The first numbers of SplitMix64 for this seed, as its implementations publish them for tests.
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    np.testing.assert_allclose(uniform_numbers(1234567, 4), np.array(published) / 2.0**64, atol=2.0**-52)
    many = uniform_numbers(5, 20_000)
    assert chisquare(np.histogram(many, bins=50, range=(0, 1))[0]).pvalue > RARE
    assert abs(np.corrcoef(many[:-1], many[1:])[0, 1]) < 4 / np.sqrt(20_000)


def test_progressive_mixes_as_its_formula_says(bank) -> None:
    rule = Progressive(MaximumInformation(), length=10)
    criterion = bank.information(0.0)[0]
    choice = rule.decide(criterion, 0.625, serial=6)
    chance = criterion.max() * uniform_numbers(int(0.625 * 2**53), 60)
    weight = (1 + 2 + 3 + 4 + 5) / 45
    np.testing.assert_allclose(choice.criterion, (1 - weight) * chance + weight * criterion, rtol=1e-12)


def test_proportional_draws_with_the_probabilities_of_its_formula(bank) -> None:
    rule, rng = Proportional(MaximumInformation(), length=8), np.random.default_rng(4)
    standing = Standing.at(0.5, 60, [0, 1, 2])
    information = np.where(standing.left, bank.information(0.5)[0], 0.0)
    exponent = 8 * (1 + 2 + 3) / (1 + 2 + 3 + 4 + 5 + 6 + 7)
    expected = information**exponent / (information**exponent).sum()
    criterion = MaximumInformation()(bank, standing, rng).criterion
    np.testing.assert_allclose(rule.probabilities(criterion, serial=4), expected, rtol=1e-9)
    drawn = np.bincount([rule(bank, standing, rng).item for _ in range(3000)], minlength=60)
    assert (drawn[:3] == 0).all()
    likely = np.argsort(-expected)[:12]
    observed = [*drawn[likely], drawn.sum() - drawn[likely].sum()]
    wanted = 3000 * np.array([*expected[likely], 1 - expected[likely].sum()])
    assert chisquare(observed, wanted).pvalue > RARE


def test_proportional_begins_evenly_and_bears_items_without_information() -> None:
    rule = Proportional(MaximumInformation(), length=40)
    criterion = np.array([0.0, 1.0, -np.inf, 2.0])
    np.testing.assert_allclose(rule.probabilities(criterion, 1), [1 / 3, 1 / 3, 0, 1 / 3])
    np.testing.assert_allclose(rule.probabilities(criterion, 40), [0, 2.0**-40, 0, 1.0], rtol=1e-9)
    np.testing.assert_allclose(rule.probabilities(np.array([0.0, 0.0]), 5), [0.5, 0.5])


@pytest.mark.parametrize("make", [Randomesque, Progressive, Proportional])
def test_a_length_or_number_below_one_is_refused(make) -> None:
    with pytest.raises(InvalidItem):
        make(MaximumInformation(), 0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(deadline=None)
def test_shares_are_those_of_trying_one_item_after_the_other(probabilities) -> None:
    k = np.array(probabilities)
    shares = multinomial_shares(k)
    assert shares.sum() == pytest.approx(1.0)
    none = np.prod(1 - k)
    reached = 1.0
    for share, each in zip(shares, k, strict=True):
        assert share * (1 - none) == pytest.approx(reached * each, abs=1e-12) or none == 1.0
        reached *= 1 - each


def test_an_item_that_is_never_to_be_given_is_passed_over(bank) -> None:
    order = np.argsort(-bank.information(0.0)[0])
    probabilities = np.ones(60)
    probabilities[order[:2]] = 0.0
    choice = SympsonHetter(MaximumInformation(), probabilities)(
        bank, Standing.at(0.0, 60), np.random.default_rng(0)
    )
    assert choice.item == order[2]
    assert choice.passed_over.tolist() == order[:2].tolist()
    nobody = SympsonHetter(MaximumInformation(), np.zeros(60))
    assert nobody(bank, Standing.at(0.0, 60), np.random.default_rng(0)).item == order[0]
    with pytest.raises(InvalidItem) as refused:
        SympsonHetter(MaximumInformation(), np.array([0.5, 1.2]))
    assert refused.value.row == 1


def simulated(bank, rule, examinees, length, seed):
    """Rows given, and rows chosen (given or passed over), of simulated adaptive tests."""
    rng = np.random.default_rng(seed)
    points = DEFAULT_GRID.points
    curves = bank.category_probabilities(points)
    given_to, chosen_for = [], []
    for theta in rng.normal(size=examinees):
        posterior, items = DEFAULT_GRID.weights, []
        left = np.ones(len(bank), dtype=bool)
        for luck in rng.random(length):
            standing = Standing(
                float(posterior @ points), points, posterior, np.array(items, dtype=int), left
            )
            choice = rule(bank, standing, rng)
            left = left.copy()
            left[[choice.item, *choice.passed_over]] = False
            items.append(choice.item)
            right = int(luck < bank[[choice.item]].correct(theta)[0, 0])
            posterior = posterior * curves[:, choice.item, right]
            posterior = posterior / posterior.sum()
        given_to.append(np.array(items))
        chosen_for.append(np.flatnonzero(~left))
    return given_to, chosen_for


def test_sympson_hetter_keeps_every_item_below_its_largest_exposure_where_maximum_information_does_not(
    bank,
) -> None:
    length, r_max, examinees = 6, 0.25, 250
    plain, _ = simulated(bank, MaximumInformation(), examinees, length, seed=10)
    assert Exposure.of(plain, 60).rates.max() == 1.0  # everybody begins with the same item

    def simulate(probabilities):
        simulate.calls += 1
        rule = SympsonHetter(MaximumInformation(), probabilities)
        given_to, chosen_for = simulated(bank, rule, examinees, length, seed=simulate.calls)
        return Exposure.of(chosen_for, 60).rates, Exposure.of(given_to, 60).rates

    simulate.calls = 0
    # Twice the sampling error of a share of 0.25 among 250 examinees.
    found = exposure_parameters(simulate, 60, length, r_max=r_max, tolerance=0.055)
    assert found.converged
    assert found.iterations == simulate.calls > 1
    assert np.count_nonzero(found.probabilities == 1.0) >= length
    fresh, _ = simulated(bank, SympsonHetter(MaximumInformation(), found.probabilities), 500, length, seed=99)
    controlled = Exposure.of(fresh, 60)
    # Four sampling errors of the larger of many shares, above what was asked for.
    assert controlled.rates.max() < r_max + 4 * np.sqrt(r_max * (1 - r_max) / 500)
    assert controlled.overlap < 0.7 * Exposure.of(plain, 60).overlap


def test_as_many_items_as_a_test_has_are_always_given_when_chosen() -> None:
    chosen = np.linspace(0.9, 0.3, 10)

    def all_too_often_at_first(probabilities):
        return chosen, (chosen if (probabilities == 1.0).all() else np.zeros(10))

    found = exposure_parameters(all_too_often_at_first, 10, length=2, r_max=0.2)
    np.testing.assert_allclose(found.probabilities, [*(0.2 / chosen[:-2]), 1.0, 1.0])
    assert (found.converged, found.iterations) == (True, 2)


def test_exposure_parameters_that_cannot_be_found_are_refused_or_said_not_to_have_converged() -> None:
    def always_the_first(probabilities):
        share = np.zeros(probabilities.size)
        share[0] = 1.0
        return share, share

    found = exposure_parameters(always_the_first, 10, 1, r_max=0.2, most_iterations=7)
    assert (found.converged, found.iterations) == (False, 7)
    with pytest.raises(TooFewItems) as refused:
        exposure_parameters(always_the_first, 10, 5, r_max=0.2)
    assert (refused.value.have, refused.value.wanted) == (10, 25)
    with pytest.raises(InvalidItem):
        exposure_parameters(always_the_first, 10, 1, r_max=0.0)


def test_eligibility_holds_the_share_of_a_popular_item_at_the_largest_exposure() -> None:
    rng = np.random.default_rng(5)
    counts, given_first = Eligibility.start(bank_size=4, r_max=0.3), 0
    for _ in range(4000):
        eligible = counts.draw(rng)
        items = [0] if eligible[0] else [1]
        given_first += eligible[0]
        counts = counts.after(eligible, items)
    # The share is held at r_max by feedback: nearer than the sampling error 0.007.
    assert given_first / 4000 == pytest.approx(0.3, abs=0.01)
    assert counts.probabilities[0] == pytest.approx(0.3, abs=0.02)
    assert counts.probabilities[2] == 1.0


def test_eligibility_follows_van_der_linden_and_veldkamps_formula_and_fades() -> None:
    counts = Eligibility(0.2, np.array([30.0, 5.0, 0.0]), np.array([90.0, 100.0, 100.0]))
    np.testing.assert_allclose(counts.probabilities, [0.2 * 90 / 30, 1.0, 1.0])
    faded = Eligibility.start(2, 0.5, fading=0.9).after([True, False], [0]).after([True, True], [0])
    np.testing.assert_allclose(faded.given, [1.9, 0.0])
    np.testing.assert_allclose(faded.eligible, [1.9, 1.0])
    let_in = Eligibility.start(2, 0.5).after([False, False], [1], kept=False)
    assert let_in.eligible.tolist() == [1.0, 1.0]
    with pytest.raises(InvalidItem):
        Eligibility.start(2, r_max=1.5)


def test_eligibility_and_shadow_tests_together_keep_to_the_largest_exposure(bank) -> None:
    rng = np.random.default_rng(6)
    assembler = ShadowAssembler(Blueprint(60, 6))
    counts, tests = Eligibility.start(60, r_max=0.3), []
    for theta in rng.normal(size=2000):
        eligible = counts.draw(rng)
        test = assembler.assemble(bank.information(theta)[0], eligible=eligible)
        counts = counts.after(eligible, test.items, kept=test.eligible_only)
        tests.append(test.items)
    rates = Exposure.of(tests, 60).rates
    # Four sampling errors of a share of 0.3 among 2,000: it is the largest of many, and the first examinees,
    # before there are counts, all get the same items.
    assert rates.max() < 0.3 + 4 * np.sqrt(0.3 * 0.7 / 2000)
    assert np.count_nonzero(rates > 0.27) > 5
    without = Exposure.of(
        [assembler.assemble(bank.information(each)[0]).items for each in rng.normal(size=200)], 60
    )
    assert without.rates.max() > 0.6


def test_overlap_is_the_mean_share_of_items_that_two_examinees_have_in_common() -> None:
    rng = np.random.default_rng(11)
    tests = [rng.choice(30, 8, replace=False) for _ in range(25)]
    pairs = [len(set(one) & set(other)) / 8 for at, one in enumerate(tests) for other in tests[:at]]
    found = Exposure.of(tests, 40)
    assert found.overlap == pytest.approx(np.mean(pairs), rel=1e-12)
    assert found.rates.sum() == pytest.approx(8)
    assert set(range(30, 40)) <= set(found.never_given.tolist())
    assert np.isnan(Exposure.of(tests[:1], 40).overlap)
    assert Exposure.of([], 3).rates.tolist() == [0, 0, 0]


def test_exposure_parameters_that_did_not_converge_are_those_whose_exposure_is_told() -> None:
    tried: list[np.ndarray] = []

    def simulate(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tried.append(probabilities.copy())
        chosen = np.array([1.0, 0.9, 0.1, 0.0]) - 0.01 * len(tried)
        return chosen, np.maximum(chosen * probabilities, 0.6)

    found = exposure_parameters(simulate, 4, 1, r_max=0.5, most_iterations=3)
    assert not found.converged
    np.testing.assert_array_equal(found.probabilities, tried[-1])
