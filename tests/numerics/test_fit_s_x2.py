"""S-X2 against published values, the full table of patterns, another package and its null distribution."""

import itertools

import mirt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirt.diagnostics.itemfit import compute_s_x2
from scipy.stats import kstest

from domain.cat.errors import InvalidResponse, TooFewItems
from domain.cat.fit.pooling import pool_categories, pool_groups, pool_tails
from domain.cat.fit.rest_scores import rest_score_distributions
from domain.cat.fit.s_x2 import s_x2
from domain.cat.grid import DEFAULT_GRID, grid_of
from domain.cat.items import GradedItems, LogisticItems, MixedItems, PartialCreditItems
from domain.cat.sum_scores import sum_score_probabilities
from domain.cat.types import MISSING
from tests.support.responding import answers


@pytest.fixture
def three_kinds():
    return MixedItems(
        (
            LogisticItems.of([1.2, 0.8], [-0.5, 0.6], c=[0.0, 0.2]),
            GradedItems(a=[1.5], b=[[-1.0, 1.0]]),
            PartialCreditItems(a=[0.9], b=[[0.5, -0.5, 1.0]]),
        ),
        rows=(np.array([0, 2]), np.array([1]), np.array([3])),
    )


def by_enumeration(items, responses):
    """S-X2 unpooled but for the tails, from the probability of every single pattern of responses."""
    patterns = np.array(list(itertools.product(*(range(count) for count in items.categories))))
    likelihood = np.exp(items.log_likelihood(patterns, DEFAULT_GRID.points)) @ DEFAULT_GRID.weights
    pattern_scores, scores = patterns.sum(axis=1), responses.sum(axis=1)
    highest = int((items.categories - 1).sum())
    found = []
    for item, count in enumerate(items.categories):
        groups = {}
        for score in range(1, highest):
            at_score = pattern_scores == score
            shares = [likelihood[at_score & (patterns[:, item] == k)].sum() for k in range(count)]
            expected = np.array(shares) / np.sum(shares) * (scores == score).sum()
            observed = np.array([((scores == score) & (responses[:, item] == k)).sum() for k in range(count)])
            group = min(max(score, count - 1), highest - (count - 1))
            old_observed, old_expected = groups.get(group, (0, 0))
            groups[group] = (old_observed + observed, old_expected + expected)
        statistic = sum(((o - e) ** 2 / e).sum() for o, e in groups.values() if np.sum(e) > 0)
        cells = sum(len(e) - 1 for _, e in groups.values() if np.sum(e) > 0)
        found.append((statistic, cells))
    return np.array(found)


def test_lsat7_gives_the_statistics_that_are_published_for_its_2pl_fit(lsat7, lsat7_items):
    fit = s_x2(lsat7_items, lsat7, parameters=2)
    # R mirt's own test suite, itemfit(mod, 'S_X2'), for a run that stopped a little elsewhere than the one
    # whose parameters are published: that is what the tolerance is for.
    assert fit.statistic == pytest.approx([4.749440, 14.451071, 1.270381, 5.237400, 0.941125], abs=2e-3)
    assert fit.degrees_of_freedom.tolist() == [2, 2, 2, 2, 2]
    assert fit.examinees == 1000


def test_expected_counts_are_those_of_all_patterns_summed(three_kinds):
    rng = np.random.default_rng(11)
    responses = answers(three_kinds, rng.normal(size=500), rng)
    fit = s_x2(three_kinds, responses, parameters=0, minimum_expected=0.0)
    expected = by_enumeration(three_kinds, responses)
    # Two ways to one sum: only rounding differs.
    assert fit.statistic == pytest.approx(expected[:, 0], rel=1e-10)
    assert fit.degrees_of_freedom.tolist() == expected[:, 1].tolist()


def test_a_3pl_test_gives_what_pypi_mirt_gives():
    rng = np.random.default_rng(5)
    items = LogisticItems.of(rng.uniform(0.7, 2.0, 12), rng.normal(size=12), rng.uniform(0.05, 0.3, 12))
    responses = answers(items, rng.normal(size=3000), rng)
    model = mirt.ThreeParameterLogistic(n_items=12)
    model.set_parameters(discrimination=items.a, difficulty=items.b, guessing=items.c)
    theirs = compute_s_x2(
        model,
        responses,
        min_expected=0.0,  # the packages pool sparse cells in different orders
        quadrature_points=DEFAULT_GRID.points,
        quadrature_weights=DEFAULT_GRID.weights,
    )
    ours = s_x2(items, responses, parameters=3, minimum_expected=0.0)
    assert ours.statistic == pytest.approx(theirs["S_X2"], rel=1e-8)
    assert ours.degrees_of_freedom.tolist() == theirs["df"].tolist()
    assert ours.p_value == pytest.approx(theirs["p_value"], rel=1e-6)


def test_a_graded_test_gives_what_pypi_mirt_gives():
    rng = np.random.default_rng(6)
    items = GradedItems(a=rng.uniform(0.8, 2.0, 6), b=np.sort(rng.normal(size=(6, 3)) * 1.2, axis=1))
    responses = answers(items, rng.normal(size=2000), rng)
    model = mirt.GradedResponseModel(n_items=6, n_categories=4)
    model.set_parameters(discrimination=items.a, thresholds=items.b)
    theirs = compute_s_x2(
        model,
        responses,
        min_expected=0.0,
        quadrature_points=DEFAULT_GRID.points,
        quadrature_weights=DEFAULT_GRID.weights,
    )
    ours = s_x2(items, responses, parameters=4, minimum_expected=0.0)
    assert ours.statistic == pytest.approx(theirs["S_X2"], rel=1e-8)
    assert ours.degrees_of_freedom.tolist() == theirs["df"].tolist()


@pytest.mark.parametrize("kind", ["right or wrong", "graded"])
def test_under_the_model_with_known_parameters_p_values_are_uniform(kind):
    rng = np.random.default_rng(20)
    if kind == "graded":
        items = GradedItems(a=np.full(6, 1.3), b=np.linspace(-1, 1, 6)[:, None] + [-0.8, 0.8])
    else:
        items = LogisticItems.of(rng.uniform(0.8, 1.8, 8), np.linspace(-1.5, 1.5, 8))
    p_values = [
        # One item of each sample: those of one sample are not independent of each other.
        s_x2(items, answers(items, rng.normal(size=800), rng), parameters=0).p_value[sample % len(items)]
        for sample in range(300)
    ]
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_an_item_that_is_guessed_is_found_where_the_model_knows_no_guessing():
    rng = np.random.default_rng(8)
    b = np.linspace(-1.5, 1.5, 16)
    true = LogisticItems.of(1.5, b, c=np.where(np.arange(16) == 12, 0.35, 0.0))
    fit = s_x2(LogisticItems.of(1.5, b), answers(true, rng.normal(size=3000), rng), parameters=0)
    assert fit.p_value[12] < 1e-8
    assert np.argmin(fit.p_value) == 12


def test_examinees_with_a_missing_response_are_left_out(lsat7, lsat7_items):
    holed = lsat7.copy()
    holed[::7, 2] = MISSING
    fit = s_x2(lsat7_items, holed, parameters=2)
    complete = np.delete(lsat7, np.s_[::7], axis=0)
    assert fit.examinees == len(complete)
    assert fit.statistic == pytest.approx(s_x2(lsat7_items, complete, parameters=2).statistic, rel=1e-12)


def test_more_parameters_than_cells_leave_no_test(lsat7, lsat7_items):
    fit = s_x2(lsat7_items, lsat7, parameters=np.array([4, 5, 3, 0, 2]))
    assert fit.degrees_of_freedom.tolist() == [0, 0, 1, 4, 2]
    assert np.isnan(fit.p_value).tolist() == [True, True, False, False, False]


def test_sparse_cells_are_pooled_until_each_expects_the_minimum():
    rng = np.random.default_rng(9)
    items = LogisticItems.of(1.5, np.linspace(-2, 2, 10))
    responses = answers(items, rng.normal(size=60), rng)
    cells = [
        s_x2(items, responses, parameters=0, minimum_expected=minimum).degrees_of_freedom.sum()
        for minimum in (0.0, 1.0, 5.0)
    ]
    assert cells[0] > cells[1] > cells[2] > 0
    assert s_x2(items, responses, parameters=0).degrees_of_freedom.sum() == cells[1]


def test_a_response_that_the_model_excludes_makes_the_statistic_infinite():
    items = LogisticItems.of([1.0, 1.0, 100.0], [0.0, 0.5, -40.0])
    fit = s_x2(items, [[1, 0, 0], [0, 1, 1], [1, 0, 1], [0, 0, 0], [1, 1, 1]], parameters=0)
    assert fit.statistic[2] == np.inf


def test_a_single_item_has_no_rest_to_be_judged_by():
    with pytest.raises(TooFewItems):
        s_x2(LogisticItems.of(1.0, [0.0]), [[1], [0]], parameters=0)


def test_nobody_who_answered_everything_is_refused(lsat7_items):
    with pytest.raises(InvalidResponse, match="no examinee answered every item"):
        s_x2(lsat7_items, [[1, 0, 1, 0, MISSING]], parameters=0)


def test_rest_scores_are_those_of_the_test_without_the_item(three_kinds):
    points = grid_of([-1.0, 0.5], [1.0, 1.0])
    probabilities = three_kinds.category_probabilities(points.points)
    for item, found in enumerate(rest_score_distributions(probabilities, three_kinds.categories)):
        others = three_kinds[[other for other in range(4) if other != item]]
        assert pytest.approx(sum_score_probabilities(others, points), abs=1e-15) == found.T


def test_an_item_that_everybody_solves_does_not_spoil_the_rest_scores_of_the_others():
    items = LogisticItems.of([1.0, 1.0, 30.0], [0.0, 0.5, -40.0])
    rest = rest_score_distributions(items.category_probabilities([0.0]), items.categories)
    (right, also_right) = items[[0, 1]].correct([0.0])[0]
    both = [(1 - right) * (1 - also_right), right + also_right - 2 * right * also_right, right * also_right]
    assert rest[2][0] == pytest.approx(both, abs=1e-15)
    assert rest[0][0] == pytest.approx([0.0, 1 - also_right, also_right], abs=1e-15)


counts = st.lists(st.tuples(*[st.floats(0.0, 9.0)] * 2), min_size=1, max_size=12).map(np.array)


@given(expected=counts, minimum=st.floats(0.1, 3.0))
def test_pooled_groups_keep_their_sum_and_are_not_sparse_unless_one_is_left(expected, minimum):
    observed = expected[:, ::-1]
    seen, due = pool_groups(observed, expected, minimum)
    assert due.sum(axis=0) == pytest.approx(expected.sum(axis=0))
    assert seen.sum(axis=0) == pytest.approx(observed.sum(axis=0))
    assert len(due) == 1 or due.min() >= minimum * (1 - 1e-9)


@given(
    expected=st.lists(st.floats(0.0, 9.0), min_size=1, max_size=8).map(np.array), minimum=st.floats(0.1, 3.0)
)
def test_pooled_categories_keep_their_sum_and_are_not_sparse_unless_one_is_left(expected, minimum):
    seen, due = pool_categories(expected[::-1].copy(), expected, minimum)
    assert due.sum() == pytest.approx(expected.sum())
    assert seen.sum() == pytest.approx(expected.sum())
    assert len(due) == 1 or due.min() >= minimum * (1 - 1e-9)


def test_groups_that_are_not_sparse_are_left_alone():
    expected = np.array([[2.0, 3.0], [4.0, 5.0], [6.0, 1.5]])
    seen, due = pool_groups(expected + 1, expected, 1.0)
    assert due.tolist() == expected.tolist()
    assert seen.tolist() == (expected + 1).tolist()


def test_an_expected_count_that_misses_the_minimum_by_rounding_is_not_sparse():
    expected = np.array([[1.0 - 1e-14, 3.0], [4.0, 5.0]])
    assert len(pool_groups(expected, expected, 1.0)[1]) == 2
    assert len(pool_categories(expected[0], expected[0], 1.0)[1]) == 2


def test_sparse_groups_go_inwards_from_both_ends_and_then_to_the_smaller_neighbour():
    expected = np.array([[0.4, 9.0], [0.7, 9.0], [5.0, 9.0], [0.5, 4.0], [4.0, 4.0], [9.0, 2.0], [9.0, 0.5]])
    _, due = pool_groups(expected, expected, 1.0)
    assert due.tolist() == [[1.1, 18.0], [5.0, 9.0], [4.5, 8.0], [18.0, 2.5]]


def test_a_test_so_short_that_no_score_leaves_every_category_open_is_one_group():
    expected = np.arange(12.0).reshape(3, 4)  # scores 1 to 3 of an item of three points and one of one point
    seen, due = pool_tails(expected + 1, expected)
    assert due.tolist() == [[12.0, 15.0, 18.0, 21.0]]
    assert seen.tolist() == [[15.0, 18.0, 21.0, 24.0]]


def test_scores_at_which_a_category_is_impossible_go_to_the_next_score():
    expected = np.arange(15.0).reshape(5, 3)  # scores 1 to 5 of a test with at most 6 points
    _, due = pool_tails(expected, expected)
    assert due.tolist() == [[3.0, 5.0, 7.0], [6.0, 7.0, 8.0], [21.0, 23.0, 25.0]]
