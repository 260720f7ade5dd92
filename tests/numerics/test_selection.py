"""Selection rules against integrals and differences worked out apart, and the literature's claims."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from domain.cat.blueprint import InvalidConstraint
from domain.cat.choice import Standing, best, ranked
from domain.cat.content import ContentBalanced
from domain.cat.errors import InvalidItem, TooFewItems
from domain.cat.grid import normal_grid
from domain.cat.items import GradedItems, LogisticItems, MultidimensionalItems
from domain.cat.selection import (
    AStratified,
    DOptimality,
    KullbackLeibler,
    MaximumExpectedInformation,
    MaximumInformation,
    PosteriorWeightedInformation,
    kullback_leibler,
)

RNG = np.random.default_rng(0)  # the rules here do not draw from it


@pytest.fixture
def bank() -> LogisticItems:
    rng = np.random.default_rng(42)
    return LogisticItems.of(rng.lognormal(0, 0.3, 80), rng.normal(0, 1, 80), rng.beta(5, 17, 80))


@pytest.fixture
def graded() -> GradedItems:
    return GradedItems([1.2, 0.8, 1.9], [[-1.0, 0.0, 1.0], [-0.5, 0.5, np.nan], [-2.0, 0.3, 0.9]])


def a_standing(items, responses, bank, *, count=61) -> Standing:
    grid = normal_grid(count)
    pattern = np.full(len(bank), -1)
    pattern[items] = responses
    posterior = grid.weights * np.exp(bank.log_likelihood(pattern, grid.points)[0])
    posterior /= posterior.sum()
    left = np.ones(len(bank), dtype=bool)
    left[items] = False
    return Standing(float(posterior @ grid.points), grid.points, posterior, np.array(items, dtype=int), left)


def p3(theta, a, b, c):
    return c + (1 - c) / (1 + np.exp(-a * (theta - b)))


def information_by_differences(theta, a, b, c):
    """P'² / (P Q) with P' by a central difference: error about 1e-10."""
    step = 1e-5
    slope = (p3(theta + step, a, b, c) - p3(theta - step, a, b, c)) / (2 * step)
    p = p3(theta, a, b, c)
    return slope**2 / (p * (1 - p))


def test_maximum_information_takes_the_item_with_the_steepest_curve_for_its_noise(bank) -> None:
    standing = a_standing([3, 10], [1, 0], bank)
    choice = MaximumInformation()(bank, standing, RNG)
    expected = [
        information_by_differences(standing.theta, *each) for each in zip(bank.a, bank.b, bank.c, strict=True)
    ]
    left = standing.left
    np.testing.assert_allclose(choice.criterion[left], np.array(expected)[left], rtol=1e-7)
    assert choice.item == int(np.argmax(np.where(left, expected, -1)))
    assert (choice.criterion[~left] == -np.inf).all()
    assert choice.draw is None


def test_posterior_weighted_information_is_the_integral_over_the_posterior(bank) -> None:
    standing = a_standing([3, 10], [1, 0], bank)
    choice = PosteriorWeightedInformation()(bank, standing, RNG)

    def likelihood(theta):
        return p3(theta, bank.a[3], bank.b[3], bank.c[3]) * (
            1 - p3(theta, bank.a[10], bank.b[10], bank.c[10])
        )

    def density(theta):
        return np.exp(-(theta**2) / 2) * likelihood(theta)

    total = quad(density, -6, 6, epsabs=1e-12)[0]
    for row in (0, 20, 79):
        item = bank.a[row], bank.b[row], bank.c[row]
        mean = quad(lambda t, item=item: density(t) * information_by_differences(t, *item), -6, 6)[0] / total
        # 61 equally spaced points integrate a smooth density that vanishes at both ends all but exactly.
        assert choice.criterion[row] == pytest.approx(mean, rel=1e-6)


def test_expected_information_looks_at_the_estimate_after_each_answer(bank) -> None:
    standing = a_standing([3], [1], bank)
    choice = MaximumExpectedInformation()(bank, standing, RNG)

    def density(theta):
        return np.exp(-(theta**2) / 2) * p3(theta, bank.a[3], bank.b[3], bank.c[3])

    total = quad(density, -6, 6, epsabs=1e-12)[0]
    for row in (0, 20, 79):
        item = bank.a[row], bank.b[row], bank.c[row]
        expected = 0.0
        for response in (0, 1):

            def joint(theta, item=item, response=response):
                p = p3(theta, *item)
                return density(theta) * (p if response else 1 - p)

            likely = quad(joint, -6, 6, epsabs=1e-12)[0]
            after = quad(lambda t, joint=joint: t * joint(t), -6, 6, epsabs=1e-12)[0] / likely
            expected += likely / total * information_by_differences(after, *item)
        assert choice.criterion[row] == pytest.approx(expected, rel=1e-6)


def test_observed_and_expected_information_agree_where_they_are_the_same_thing() -> None:
    rasch = LogisticItems.of(1.3, np.linspace(-2, 2, 70))  # 1PL and 2PL: J = I whatever the response
    standing = a_standing([5], [1], rasch)
    expected = MaximumExpectedInformation()(rasch, standing, RNG)
    observed = MaximumExpectedInformation("observed")(rasch, standing, RNG)
    np.testing.assert_allclose(observed.criterion, expected.criterion, rtol=1e-12)


def test_expected_information_takes_items_of_different_numbers_of_categories(graded) -> None:
    standing = a_standing([], [], graded)
    for kind in ("expected", "observed"):
        criterion = MaximumExpectedInformation(kind)(graded, standing, RNG).criterion
        alone = [
            MaximumExpectedInformation(kind)(graded[[row]], a_standing([], [], graded[[row]]), RNG).criterion[
                0
            ]
            for row in range(3)
        ]
        np.testing.assert_allclose(criterion, alone, rtol=1e-12)
        assert (criterion > 0).all()


def test_kullback_leibler_is_the_integral_of_the_log_ratio(bank) -> None:
    standing = a_standing([3, 10, 11, 12], [1, 0, 1, 1], bank)
    choice = KullbackLeibler(width=3.0)(bank, standing, RNG)
    here = standing.theta
    for row in (0, 20, 79):
        item = bank.a[row], bank.b[row], bank.c[row]

        def divergence(theta, item=item):
            p, q = p3(here, *item), p3(theta, *item)
            return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))

        # δ = 3 / √4; 21 Gauss-Legendre points are exact for polynomials of degree 41.
        assert choice.criterion[row] == pytest.approx(quad(divergence, here - 1.5, here + 1.5)[0], rel=1e-8)


def test_near_the_estimate_kullback_leibler_is_half_the_information_times_the_square(bank) -> None:
    step = 1e-3
    divergence = kullback_leibler(bank, 0.4, [0.4 - step, 0.4 + step]).mean(axis=0)  # the cubic term cancels
    np.testing.assert_allclose(divergence, bank.information(0.4)[0] * step**2 / 2, rtol=1e-4)
    narrow = KullbackLeibler(width=1e-2)(bank, Standing.at(0.4, len(bank)), RNG)
    assert narrow.item == MaximumInformation()(bank, Standing.at(0.4, len(bank)), RNG).item


def test_kullback_leibler_is_never_negative_nor_infinite_and_takes_the_posterior_too(bank, graded) -> None:
    far = kullback_leibler(bank, -40.0, [-1000.0, -40.0, 0.0, 1000.0])
    assert np.isfinite(far).all()
    assert (far >= 0).all()
    assert (far[1] == 0).all()
    standing = a_standing([0], [2], graded)
    choice = KullbackLeibler(width=None)(graded, standing, RNG)
    by_hand = standing.posterior @ kullback_leibler(graded, standing.theta, standing.points)
    np.testing.assert_allclose(choice.criterion[1:], by_hand[1:], rtol=1e-12)


@pytest.mark.parametrize("blocked", [False, True])
def test_strata_are_of_equal_size_and_the_sharp_items_are_kept_for_the_end(bank, blocked) -> None:
    rule = AStratified.of(bank, strata=4, length=20, blocked=blocked)
    assert np.bincount(rule.stratum).tolist() == [20, 20, 20, 20]
    means = [bank.a[rule.stratum == each].mean() for each in range(4)]
    assert means == sorted(means)
    if not blocked:
        assert all(bank.a[rule.stratum == k].max() <= bank.a[rule.stratum == k + 1].min() for k in range(3))
    items: list[int] = []
    for serial in range(20):
        choice = rule(bank, Standing.at(0.2, len(bank), items), RNG)
        assert rule.stratum[choice.item] == serial // 5
        same = [row for row in np.flatnonzero(rule.stratum == serial // 5) if row not in items]
        assert choice.item == min(same, key=lambda row: abs(bank.b[row] - 0.2))
        items.append(choice.item)


def test_blocking_gives_each_stratum_all_difficulties() -> None:
    rng = np.random.default_rng(3)
    b = rng.normal(0, 1, 200)
    related = LogisticItems.of(np.exp(0.25 * b + 0.1 * rng.normal(size=200)), b)  # hard items are sharper
    spread = [
        np.ptp([related.b[rule.stratum == each].mean() for each in range(4)])
        for rule in (AStratified.of(related, 4, 20), AStratified.of(related, 4, 20, blocked=True))
    ]
    assert spread[0] > 1.5
    assert spread[1] < 0.15


def test_an_empty_stratum_lends_from_the_next_above_and_then_from_below() -> None:
    four = LogisticItems.of([0.5, 1.0, 1.5, 2.0], [0.0, 1.0, 1.0, 0.0])
    rule = AStratified.of(four, strata=4, length=8)
    order: list[int] = []
    for _ in range(4):
        order.append(rule(four, Standing.at(0.0, 4, order), RNG).item)
    assert order == [0, 1, 2, 3]
    assert AStratified.of(four, 4, 4)(four, Standing.at(0.0, 4, [0, 1, 3]), RNG).item == 2
    with pytest.raises(InvalidItem):
        AStratified.of(four, strata=5, length=8)


def test_d_optimality_makes_the_determinant_largest() -> None:
    rng = np.random.default_rng(8)
    many = MultidimensionalItems(rng.lognormal(0, 0.4, (40, 3)), rng.normal(0, 1, 40), rng.beta(5, 17, 40))
    theta, items = np.array([0.3, -0.2, 0.8]), [4, 9, 30]
    covariance = np.array([[1.0, 0.4, 0.2], [0.4, 1.0, 0.3], [0.2, 0.3, 1.0]])
    left = np.ones(40, dtype=bool)
    left[items] = False
    choice = DOptimality(np.linalg.inv(covariance)).choose(many, theta, items, left)
    known = np.linalg.inv(covariance) + many.information_matrix(theta)[0, items].sum(axis=0)
    gains = [
        np.linalg.slogdet(known + each).logabsdet - np.linalg.slogdet(known).logabsdet
        for each in many.information_matrix(theta)[0]
    ]
    np.testing.assert_allclose(choice.criterion[left], np.array(gains)[left], rtol=1e-9)
    assert choice.item == int(np.argmax(np.where(left, gains, -1)))


def test_in_one_dimension_d_optimality_is_maximum_information(bank) -> None:
    same = MultidimensionalItems(bank.a[:, np.newaxis], -bank.a * bank.b, bank.c)
    left = np.ones(len(bank), dtype=bool)
    choice = DOptimality(np.eye(1)).choose(same, [0.4], [], left)
    np.testing.assert_allclose(choice.criterion, np.log1p(bank.information(0.4)[0]), rtol=1e-12)


def test_d_optimality_refuses_to_rank_where_a_dimension_is_unknown() -> None:
    two = MultidimensionalItems([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0], [0.0, 0.0])
    with pytest.raises(InvalidItem):
        DOptimality(np.zeros((2, 2))).choose(two, [0.0, 0.0], [0], np.array([True, True]))
    with pytest.raises(InvalidItem):
        DOptimality(np.eye(3)).choose(two, [0.0, 0.0], [0], np.array([True, True]))


def test_ties_go_to_the_lowest_row_even_where_rounding_parts_them() -> None:
    criterion = np.array([0.1, 0.3, 0.1 + 0.2, 0.3 - 1e-17, 0.2])
    everything = np.ones(5, dtype=bool)
    assert best(criterion, everything).item == 1
    assert best(criterion, everything).candidates.tolist() == [1, 2, 3]
    assert best(criterion, np.array([True, False, True, True, True])).item == 2
    assert ranked(criterion).tolist() == [1, 2, 3, 4, 0]


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30))
@settings(deadline=None)
def test_the_best_is_first_in_the_ranking(values) -> None:
    criterion = np.array(values)
    order = ranked(criterion)
    assert sorted(order.tolist()) == list(range(criterion.size))
    assert best(criterion, np.ones(criterion.size, dtype=bool)).item == order[0]


@pytest.mark.parametrize(
    "rule",
    [
        MaximumInformation(),
        PosteriorWeightedInformation(),
        MaximumExpectedInformation(),
        KullbackLeibler(),
        AStratified(np.array([0, 0]), 1, 2),
        ContentBalanced.of(MaximumInformation(), "ab", {"a": 1, "b": 1}),
    ],
)
def test_no_item_left_is_an_error_that_says_so(rule) -> None:
    two = LogisticItems.of(1.0, [0.0, 1.0])
    with pytest.raises(TooFewItems):
        rule(two, a_standing([0, 1], [1, 1], two), RNG)


def test_content_is_kept_in_proportion_at_every_step(bank) -> None:
    content = ["algebra"] * 40 + ["geometry"] * 25 + ["number"] * 15
    shares = {"algebra": 50, "geometry": 30, "number": 20}
    rule = ContentBalanced.of(MaximumInformation(), content, shares)
    items: list[int] = []
    for serial in range(1, 31):
        items.append(rule(bank, Standing.at(0.0, len(bank), items), RNG).item)
        counts = np.array([sum(content[row] == area for row in items) for area in shares])
        assert (np.abs(counts - serial * np.array([0.5, 0.3, 0.2])) <= 1).all()
    assert counts.tolist() == [15, 9, 6]
    information = bank.information(0.0)[0]
    assert items[0] == int(np.argmax(information[:40]))


def test_the_share_given_so_far_is_held_against_the_share_wanted() -> None:
    nine = LogisticItems.of(1.0, np.zeros(9))
    rule = ContentBalanced.of(MaximumInformation(), "aaabbbccc", {"a": 0.5, "b": 0.05, "c": 0.45})
    # Of four given, a has its half and c more than its share: b, with none, is the one behind.
    assert rule(nine, Standing.at(0.0, 9, [0, 1, 6, 7]), RNG).item == 3


def test_shares_that_differ_by_a_rounding_error_are_a_tie() -> None:
    three = LogisticItems.of(1.0, np.zeros(3))
    rule = ContentBalanced(MaximumInformation(), np.arange(3), np.array([0.3, 0.30000000000000004, 0.4]))
    assert rule(three, Standing.at(0.0, 3, [2]), RNG).item == 0


def test_an_area_without_items_left_is_passed_over() -> None:
    three = LogisticItems.of(1.0, [0.0, 1.0, 2.0])
    rule = ContentBalanced.of(MaximumInformation(), "abb", {"a": 0.9, "b": 0.1})
    assert rule(three, Standing.at(0.0, 3, [0]), RNG).item == 1


@pytest.mark.parametrize(
    ("content", "shares", "named"),
    [
        ("ab", {"a": 1.0}, "b"),
        ("a", {"a": -1.0}, "a"),
        ("a", {"a": np.nan}, "a"),
        ("a", {"a": 0.0}, "content"),
    ],
)
def test_shares_that_are_none_are_refused_by_area(content, shares, named) -> None:
    with pytest.raises(InvalidConstraint) as refused:
        ContentBalanced.of(MaximumInformation(), content, shares)
    assert refused.value.constraint == named
