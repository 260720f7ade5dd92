"""Rules of choice: ties among many, defaults, strata of one item, draws at both ends, and what is refused."""

import numpy as np
import pytest

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
from domain.cat.items import LogisticItems, MultidimensionalItems, PartialCreditItems
from domain.cat.selection import (
    AStratified,
    DOptimality,
    KullbackLeibler,
    MaximumExpectedInformation,
    MaximumInformation,
)
from domain.cat.sympson_hetter import SympsonHetter, exposure_parameters, multinomial_shares

RNG = np.random.default_rng(0)
LAST_DRAW = float(np.nextafter(1.0, 0.0))

# SplitMix64 from seed 1234567: the values that its implementations are checked against.
SPLITMIX64_OF_1234567 = (
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
)


def test_numbers_that_follow_from_a_seed_are_those_of_splitmix64_to_the_last_bit() -> None:
    wanted = [(value >> 11) * 2.0**-53 for value in SPLITMIX64_OF_1234567]
    assert uniform_numbers(1234567, 5).tolist() == wanted


def test_items_of_like_discrimination_are_put_into_strata_by_row() -> None:
    bank = LogisticItems.of(1.0, np.zeros(60))
    assert AStratified.of(bank, strata=3, length=3).stratum.tolist() == np.repeat([0, 1, 2], 20).tolist()
    blocked = AStratified.of(bank, strata=30, length=30, blocked=True)
    assert blocked.stratum.tolist() == [*range(30), *range(30)]


def test_ties_of_discrimination_within_a_block_go_by_row() -> None:
    bank = LogisticItems.of(np.tile([2.0, 1.0], 30), np.zeros(60))
    blocked = AStratified.of(bank, strata=60, length=60, blocked=True)
    assert blocked.stratum[1::2].tolist() == [*range(30)]
    assert blocked.stratum[::2].tolist() == [*range(30, 60)]
    assert AStratified.of(bank, strata=60, length=60).stratum.tolist() == blocked.stratum.tolist()


def test_one_stratum_and_a_test_of_one_item_are_allowed() -> None:
    bank = LogisticItems.of([1.0, 2.0], [0.0, 0.4])
    rule = AStratified.of(bank, strata=1, length=1)
    assert rule(bank, Standing.at(0.5, 2), RNG).item == 1
    rule = AStratified.of(bank, strata=2, length=2)
    assert [rule(bank, Standing.at(0.5, 2, given), RNG).item for given in ([], [0])] == [0, 1]
    # More items than the test was said to have: the last stratum, and where it is empty those before.
    rule = AStratified.of(bank, strata=2, length=1)
    assert rule(bank, Standing.at(0.0, 2, [1]), RNG).item == 0


@pytest.mark.parametrize(("strata", "length"), [(0, 1), (3, 1), (1, 0)])
def test_strata_that_cannot_be_are_refused_for_the_bank_as_a_whole(strata, length) -> None:
    with pytest.raises(InvalidItem) as refused:
        AStratified.of(LogisticItems.of(1.0, [0.0, 1.0]), strata, length)
    assert refused.value.row == -1


def test_strata_cannot_be_written_to() -> None:
    rule = AStratified.of(LogisticItems.of(1.0, [0.0, 1.0]), 2, 2)
    with pytest.raises(ValueError, match="read-only"):
        rule.stratum[0] = 1


def test_d_optimality_has_a_standard_prior_in_one_dimension_unless_told_otherwise() -> None:
    bank = MultidimensionalItems([[1.0], [2.0]], [0.0, 0.0], [0.0, 0.0])
    choice = DOptimality().choose(bank, [0.0], given=[], left=np.array([True, True]))
    # log((1 + I) / 1) with I = a² / 4.
    np.testing.assert_allclose(choice.criterion, np.log1p([0.25, 1.0]), rtol=1e-12)


@pytest.mark.parametrize("precision", [np.zeros((2, 2)), np.eye(3), np.eye(1)])
def test_a_precision_that_says_too_little_or_is_of_another_size_is_refused_as_a_whole(precision) -> None:
    bank = MultidimensionalItems([[1.0, 0.5], [2.0, 1.0]], [0.0, 0.0], [0.0, 0.0])
    with pytest.raises(InvalidItem) as refused:
        DOptimality(precision).choose(bank, [0.0, 0.0], given=[0, 1], left=np.array([True, True]))
    assert refused.value.row == -1


def test_expected_information_bears_a_category_that_is_out_of_reach() -> None:
    bank = PartialCreditItems([90.0, 1.0], [[-30.0, 0.0], [-1.0, 1.0]])
    points, posterior = np.array([1.0, 2.0]), np.array([0.5, 0.5])
    standing = Standing(1.5, points, posterior, np.array([], dtype=int), np.array([True, True]))
    for kind in ("expected", "observed"):
        choice = MaximumExpectedInformation(kind)(bank, standing, RNG)
        assert np.isfinite(choice.criterion).all()
        assert choice.item == 1


def test_the_reach_of_kullback_leibler_shrinks_with_the_root_of_the_items_given() -> None:
    bank = LogisticItems.of([1.0, 2.0], [0.0, 1.5])
    left = np.array([True, True])
    for count, same in ((0, 3.0), (1, 3.0), (4, 1.5), (9, 1.0)):
        standing = Standing(0.2, np.array([0.2]), np.array([1.0]), np.zeros(count, dtype=int), left)
        found = KullbackLeibler(3.0)(bank, standing, RNG).criterion
        np.testing.assert_allclose(found, KullbackLeibler(same)(bank, Standing.at(0.2, 2), RNG).criterion)


# Rules with chance


def test_the_lowest_draw_takes_the_best_and_the_highest_the_last_of_those_drawn_from() -> None:
    criterion = np.array([0.5, 3.0, 1.0, -np.inf, 2.0])
    rule = Randomesque(MaximumInformation(), among=3)
    assert [rule.decide(criterion, draw).item for draw in (0.0, 0.34, 0.67, LAST_DRAW)] == [1, 4, 2, 2]
    assert Randomesque(MaximumInformation(), among=1).decide(criterion, LAST_DRAW).item == 1
    assert Randomesque(MaximumInformation()).among == 5


def test_proportional_takes_each_item_for_its_part_of_the_draws() -> None:
    rule = Proportional(MaximumInformation(), length=2)
    criterion = np.array([1.0, -np.inf, 3.0])  # at the last item H = 2: 1 to 9
    draws = (0.0, 0.8999, 0.9001, LAST_DRAW)
    assert [rule.decide(criterion, draw, serial=2).item for draw in draws] == [2, 2, 0, 0]
    assert rule.decide(np.array([0.7]), LAST_DRAW, serial=1).item == 0


def test_what_cannot_be_chosen_is_never_drawn_at_the_first_item_nor_later() -> None:
    criterion = np.array([-np.inf, 0.2, -np.inf, 0.1])
    progressive, proportional = (rule(MaximumInformation(), length=5) for rule in (Progressive, Proportional))
    for rule in (progressive, proportional):
        for serial in (1, 3, 5, 9):
            drawn = {rule.decide(criterion, draw, serial).item for draw in np.linspace(0, LAST_DRAW, 101)}
            assert drawn <= {1, 3}
            assert serial > 1 or drawn == {1, 3}
        with pytest.raises(TooFewItems):
            rule.decide(np.array([-np.inf, -np.inf]), 0.5, 2)


def test_the_weight_of_information_follows_its_formula_from_first_to_last() -> None:
    for length in (1, 2, 5, 12):
        for acceleration in (0.0, 1.0, 2.5):
            parts = np.array([0.0, *np.arange(1.0, length) ** acceleration])
            for serial in range(1, length):
                wanted = parts[:serial].sum() / parts.sum()
                assert weight_of_information(serial, length, acceleration) == pytest.approx(wanted)
            assert weight_of_information(length, length, acceleration) == 1
    assert weight_of_information(3, 7) == weight_of_information(3, 7, 1.0)
    assert (
        Progressive(MaximumInformation(), 5).acceleration,
        Proportional(MaximumInformation(), 5).acceleration,
    ) == (1, 1)


@pytest.mark.parametrize("make", [Randomesque, Progressive, Proportional])
def test_one_is_the_least_length_or_number(make) -> None:
    make(MaximumInformation(), 1)
    with pytest.raises(InvalidItem) as refused:
        make(MaximumInformation(), 0)
    assert refused.value.row == -1


def test_exposure_of_nobody_one_and_two() -> None:
    nobody, one = Exposure.of([], 3), Exposure.of([np.array([0, 2])], 3)
    assert nobody.rates.tolist() == [0, 0, 0]
    assert np.isnan([nobody.overlap, one.overlap]).all()
    assert one.rates.tolist() == [1, 0, 1]
    assert one.never_given.tolist() == [1]
    assert Exposure.of([np.array([0, 2]), np.array([0, 1])], 3).overlap == 0.5


# Sympson and Hetter


def test_shares_of_items_that_are_never_given_fall_to_the_first() -> None:
    assert multinomial_shares(np.zeros(3)).tolist() == [1, 0, 0]
    np.testing.assert_allclose(multinomial_shares(np.array([0.5, 0.5])), [2 / 3, 1 / 3])


def test_sympson_hetter_passes_over_all_before_the_one_that_the_draw_hits() -> None:
    rule = SympsonHetter(MaximumInformation(), np.array([0.5, 1.0, 0.5, 1.0]))
    criterion = np.array([4.0, 1.0, 3.0, 2.0])  # by turns 0, 2, 3, 1 with 1/2, 1/4, 1/4, 0
    for draw, item, before in (
        (0.0, 0, []),
        (0.499, 0, []),
        (0.5, 2, [0]),
        (0.75, 3, [0, 2]),
        (LAST_DRAW, 3, [0, 2]),
    ):
        choice = rule.decide(criterion, draw)
        assert (choice.item, choice.passed_over.tolist(), choice.draw) == (item, before, draw)


def test_an_exposure_parameter_that_is_no_probability_is_named_by_its_row() -> None:
    SympsonHetter(MaximumInformation(), np.array([0.0, 1.0]))
    for wrong in (-0.1, 1.1, np.nan):
        with pytest.raises(InvalidItem) as refused:
            SympsonHetter(MaximumInformation(), np.array([0.5, 1.0, wrong]))
        assert refused.value.row == 2


def test_exposure_parameters_are_found_with_the_usual_limits_and_refused_where_they_cannot_be() -> None:
    seen = []

    def everybody_likes_the_first(k):
        seen.append(k.copy())
        given = np.array([k[0], *np.full(9, (1 - k[0]) / 9)])
        return np.array([1.0, *np.full(9, (1 - k[0]) / 9)]), given

    found = exposure_parameters(everybody_likes_the_first, 10, length=2)
    assert found.converged
    assert found.iterations == len(seen) == 2
    assert (seen[0] == 1).all()
    np.testing.assert_allclose(found.probabilities, [0.2, *np.ones(9)])
    exposure_parameters(everybody_likes_the_first, 10, length=1, r_max=1.0)
    exposure_parameters(everybody_likes_the_first, 10, length=2, r_max=0.2)  # just enough items
    for r_max in (0.0, 1.0001):
        with pytest.raises(InvalidItem) as refused:
            exposure_parameters(everybody_likes_the_first, 10, length=1, r_max=r_max)
        assert refused.value.row == -1
    with pytest.raises(TooFewItems) as few:
        exposure_parameters(everybody_likes_the_first, 10, length=3)
    assert few.value.data() == {"have": 10, "wanted": 15}
    with pytest.raises(TooFewItems) as few:
        exposure_parameters(everybody_likes_the_first, 10, length=4, r_max=0.3)
    assert few.value.data() == {"have": 10, "wanted": 14}  # 13 and a third


def test_the_search_for_exposure_parameters_ends_after_fifty_rounds_and_says_so() -> None:
    rounds = []

    def hopeless(k):
        rounds.append(k)
        return np.array([0.9, 0.1]), np.array([0.9, 0.1])

    found = exposure_parameters(hopeless, 2, length=1, r_max=0.5)
    assert (found.converged, found.iterations, len(rounds)) == (False, 50, 50)
    just = exposure_parameters(lambda _: (np.array([0.52, 0.48]), np.array([0.52, 0.48])), 2, 1, r_max=0.5)
    assert (just.converged, just.iterations) == (True, 1)
    beyond = exposure_parameters(lambda _: (np.array([0.525, 0.475]),) * 2, 2, 1, r_max=0.5)
    assert not beyond.converged
    untried = exposure_parameters(hopeless, 2, 1, r_max=0.5, most_iterations=0)
    assert (untried.given.tolist(), untried.probabilities.tolist()) == ([0, 0], [1, 1])


# Eligibility


def test_eligibility_starts_with_everything_and_without_fading() -> None:
    start = Eligibility.start(3)
    assert (start.r_max, start.fading, Eligibility(0.2, np.zeros(3), np.zeros(3)).fading) == (0.2, 1.0, 1.0)
    assert start.probabilities.tolist() == [1, 1, 1]
    assert Eligibility.start(3, r_max=1.0, fading=1.0).r_max == 1.0
    for wrong in ({"r_max": 0.0}, {"r_max": 1.01}, {"fading": 0.0}, {"fading": 1.01}):
        with pytest.raises(InvalidItem) as refused:
            Eligibility.start(3, **wrong)
        assert refused.value.row == -1


def test_eligibility_follows_its_ratio_from_the_first_examinee_on() -> None:
    given, eligible = np.array([0.0, 0.5, 1.0, 4.0]), np.array([3.0, 1.0, 1.0, 5.0])
    np.testing.assert_allclose(Eligibility(0.2, given, eligible).probabilities, [1.0, 0.4, 0.2, 0.25])
