"""Mantel-Haenszel DIF: published tables, the formulas written apart, planted DIF and none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, chi2, norm

from domain.cat.dif.groups import InvalidGroup
from domain.cat.dif.mantel_haenszel import ets_classes, mantel_haenszel
from domain.cat.errors import InvalidResponse
from domain.cat.types import MISSING

# Each row: reference right, reference wrong, focal right, focal wrong, in one stratum.
# Admissions to Berkeley by department (Bickel, Hammel & O'Connell 1975; R's UCBAdmissions): men, women.
BERKELEY = (
    (512, 313, 89, 19),
    (353, 207, 17, 8),
    (120, 205, 202, 391),
    (138, 279, 131, 244),
    (53, 138, 94, 299),
    (22, 351, 24, 317),
)
# Penicillin and rabbits by level (Agresti 1990, p. 231): cured or not, at once or after an hour and a half.
RABBITS = ((0, 6, 0, 5), (3, 3, 0, 6), (6, 0, 2, 4), (5, 1, 6, 0), (2, 0, 5, 0))


def people(tables):
    """One examinee for each count: response, group, stratum."""
    rows = [
        (right, group, stratum)
        for stratum, counts in enumerate(tables)
        for (group, right), count in zip(((0, 1), (0, 0), (1, 1), (1, 0)), counts, strict=True)
        for _ in range(count)
    ]
    response, group, stratum = np.array(rows).T
    return response[:, np.newaxis], group, stratum


def test_berkeleys_admissions_give_the_test_and_the_interval_that_r_prints():
    response, group, department = people(BERKELEY)
    corrected = mantel_haenszel(response, group, matching=department)
    # mantelhaen.test(UCBAdmissions): X-squared 1.4269, p 0.2323, odds ratio 0.9046968 (0.7719074, 1.0603298)
    assert corrected.chi_square[0] == pytest.approx(1.4269, abs=5e-5)
    assert corrected.p_value[0] == pytest.approx(0.2323, abs=5e-5)
    assert corrected.odds_ratio[0] == pytest.approx(0.9046968, abs=5e-8)
    reach = np.exp(norm.ppf(0.975) * corrected.log_odds_se[0])
    assert corrected.odds_ratio[0] / reach == pytest.approx(0.7719074, abs=5e-8)
    assert corrected.odds_ratio[0] * reach == pytest.approx(1.0603298, abs=5e-8)


def test_the_rabbits_give_the_published_probability_and_odds_ratio():
    response, group, level = people(RABBITS)
    found = mantel_haenszel(response, group, matching=level)
    assert found.p_value[0] == pytest.approx(0.047, abs=5e-4)  # R's page of mantelhaen.test
    assert found.odds_ratio[0] == pytest.approx(7.0, rel=1e-12)  # Agresti 1990
    assert found.strata[0] == 3  # nobody was cured at the lowest level, everybody at the highest


def by_the_book(responses, group, item, score):
    """Sums over strata as Holland and Thayer write them, and the variance as Phillips and Holland do."""
    a_sum = e_sum = v_sum = up = down = 0.0
    tables = []
    for level in np.unique(score):
        here = (score == level) & (responses[:, item] != MISSING)
        right, focal = responses[:, item] == 1, group == 1
        a, b = np.sum(here & ~focal & right), np.sum(here & ~focal & ~right)
        c, d = np.sum(here & focal & right), np.sum(here & focal & ~right)
        t = a + b + c + d
        if t < 2:
            continue
        a_sum += a
        e_sum += (a + b) * (a + c) / t
        v_sum += (a + b) * (c + d) * (a + c) * (b + d) / (t**2 * (t - 1))
        up += a * d / t
        down += b * c / t
        tables.append((a, b, c, d, t))
    alpha = up / down
    variance = sum((a * d + alpha * b * c) * (a + d + alpha * (b + c)) / t**2 for a, b, c, d, t in tables) / (
        2 * up**2
    )
    return a_sum - e_sum, v_sum, alpha, np.sqrt(variance)


def simulated(seed, *, people_each=300, items=15, shift=0.0, missing=0.0, impact=0.0):
    """Right and wrong answers; the first item is `shift` logits harder for the focal group."""
    rng = np.random.default_rng(seed)
    group = np.repeat([0, 1], people_each)
    ability = rng.normal(size=group.size) - impact * group
    difficulty = np.linspace(-1.5, 1.5, items) + np.outer(group, shift * (np.arange(items) == 0))
    right = rng.random(difficulty.shape) < 1 / (1 + np.exp(difficulty - ability[:, np.newaxis]))
    return np.where(rng.random(right.shape) < missing, MISSING, right.astype(int)), group


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), missing=st.sampled_from([0.0, 0.2]), correction=st.booleans())
def test_every_item_agrees_with_the_sums_of_the_papers(seed, missing, correction):
    responses, group = simulated(seed, people_each=150, items=6, missing=missing)
    found = mantel_haenszel(responses, group, correction=correction)
    score = np.where(responses == MISSING, 0, responses).sum(axis=1)
    for item in range(6):
        difference, variance, odds_ratio, error = by_the_book(responses, group, item, score)
        half = 0.5 if correction else 0.0
        statistic = (abs(difference) - half) ** 2 / variance
        assert found.chi_square[item] == pytest.approx(statistic, rel=1e-10)
        assert found.p_value[item] == pytest.approx(chi2.sf(statistic, 1), rel=1e-9)
        assert found.odds_ratio[item] == pytest.approx(odds_ratio, rel=1e-12)
        assert found.log_odds_se[item] == pytest.approx(error, rel=1e-10)
        assert found.delta[item] == pytest.approx(-2.35 * np.log(odds_ratio), rel=1e-10, abs=1e-12)
        assert found.delta_se[item] == pytest.approx(2.35 * error, rel=1e-10)


def test_real_answers_with_gaps_agree_with_the_sums_of_the_papers(sat12):
    """Six hundred examinees in two groups by number: nobody is favoured, and the sums are the sums."""
    group = np.arange(len(sat12)) % 2
    found = mantel_haenszel(sat12, group)
    score = np.where(sat12 == MISSING, 0, sat12).sum(axis=1)
    for item in range(sat12.shape[1]):
        difference, variance, odds_ratio, error = by_the_book(sat12, group, item, score)
        assert found.chi_square[item] == pytest.approx((abs(difference) - 0.5) ** 2 / variance, rel=1e-10)
        assert found.odds_ratio[item] == pytest.approx(odds_ratio, rel=1e-12)
        assert found.log_odds_se[item] == pytest.approx(error, rel=1e-10)
    assert (found.p_value < 0.05).sum() <= binom.ppf(0.999, sat12.shape[1], 0.05)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_exchanged_groups_turn_the_odds_ratio_over_and_keep_the_test(seed):
    responses, group = simulated(seed, people_each=100, items=5)
    straight, crossed = mantel_haenszel(responses, group), mantel_haenszel(responses, 1 - group)
    np.testing.assert_allclose(crossed.chi_square, straight.chi_square, rtol=1e-9)
    np.testing.assert_allclose(crossed.delta, -straight.delta, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(crossed.delta_se, straight.delta_se, rtol=1e-9)


def test_an_item_out_of_the_anchor_still_counts_in_the_score_for_its_own_test():
    responses, group = simulated(7, shift=1.5)
    found = mantel_haenszel(responses, group, purify=True)
    assert not found.anchor[0]
    assert found.settled
    assert found.rounds >= 2
    anchor_score = responses[:, found.anchor].sum(axis=1)
    for item in range(responses.shape[1]):
        score = anchor_score if found.anchor[item] else anchor_score + responses[:, item]
        difference, variance, odds_ratio, _ = by_the_book(responses, group, item, score)
        assert found.chi_square[item] == pytest.approx((abs(difference) - 0.5) ** 2 / variance, rel=1e-10)
        assert found.odds_ratio[item] == pytest.approx(odds_ratio, rel=1e-12)


def test_purification_frees_the_other_items_from_one_that_is_unfair():
    """Several strong items against the focal group make the rest look easy for it; purified they do not."""
    rng = np.random.default_rng(5)
    group = np.repeat([0, 1], 1500)
    unfair = np.arange(20) < 5
    difficulty = rng.uniform(-1.5, 1.5, 20) + np.outer(group, 1.2 * unfair)
    ability = rng.normal(size=(3000, 1))
    responses = (rng.random((3000, 20)) < 1 / (1 + np.exp(difficulty - ability))).astype(int)
    raw, pure = mantel_haenszel(responses, group), mantel_haenszel(responses, group, purify=True)
    assert (raw.p_value[~unfair] < 0.05).mean() > 0.5
    assert (pure.p_value[~unfair] < 0.05).mean() <= 0.2  # 3 of 15 at most; one in twenty is expected
    assert set(np.array(pure.ets_class)[unfair]) == {"C"}
    # in logits the planted difference is 1.2, on the delta scale -2.35 times that; 4 standard errors
    assert np.all(np.abs(pure.delta[unfair] + 2.35 * 1.2) < 4 * pure.delta_se[unfair])


def test_without_dif_five_percent_are_found_at_five_percent():
    """Forty data sets of fifteen items; the bounds hold all but one in a thousand binomial draws."""
    found = [
        mantel_haenszel(*simulated(seed, impact=0.5), correction=False).p_value < 0.05 for seed in range(40)
    ]
    low, high = binom.ppf([0.0005, 0.9995], 600, 0.05)
    assert low <= np.sum(found) <= high


def test_the_correction_makes_the_test_careful_and_is_subtracted_as_the_formula_says():
    response, group, stratum = people(((5, 5, 5, 5),))
    found = mantel_haenszel(response, group, matching=stratum)
    variance = 10 * 10 * 10 * 10 / (20**2 * 19)
    assert found.chi_square[0] == pytest.approx(0.25 / variance, rel=1e-12)
    assert mantel_haenszel(response, group, matching=stratum, correction=False).chi_square[0] == 0


def test_where_nothing_can_be_compared_no_class_is_given():
    responses = np.array([[1, 1, MISSING], [1, 0, 1], [1, 1, MISSING], [1, 0, MISSING]])
    found = mantel_haenszel(responses, [0, 0, 1, 1])
    assert np.isnan(found.chi_square[[0, 2]]).all()
    assert (found.ets_class[0], found.ets_class[2]) == ("-", "-")
    assert found.strata[0] == found.strata[2] == 0


def test_an_odds_ratio_without_end_has_no_class():
    response, group, stratum = people(((5, 0, 2, 3), (4, 0, 1, 1)))
    found = mantel_haenszel(response, group, matching=stratum)
    assert np.isinf(found.odds_ratio[0])
    assert found.delta[0] == -np.inf
    assert found.ets_class == ("-",)
    assert np.isfinite(found.chi_square[0])


@pytest.mark.parametrize(
    ("p_value", "delta", "error", "expected"),
    [
        (0.06, -3.0, 0.1, "A"),  # not significant
        (0.01, 0.99, 0.01, "A"),  # too small to matter
        (0.01, -1.2, 0.1, "B"),
        (0.01, 1.6, 0.4, "B"),  # large, but not surely above 1: 1.6 - 1.645 x 0.4 < 1
        (0.01, 1.6, 0.3, "C"),
        (0.01, -1.6, 0.3, "C"),
        (np.nan, -1.6, 0.3, "-"),
    ],
)
def test_the_classes_are_those_of_ets(p_value, delta, error, expected):
    assert ets_classes(np.array([p_value]), np.array([delta]), np.array([error])) == (expected,)


def test_the_labels_of_strata_may_be_texts_and_as_many_as_examinees():
    responses, group = simulated(3, people_each=50, items=4)
    names = np.where(responses.sum(axis=1) > 2, "upper", "lower")
    by_name = mantel_haenszel(responses, group, matching=names)
    by_number = mantel_haenszel(responses, group, matching=(names == "upper").astype(float))
    np.testing.assert_array_equal(by_name.chi_square, by_number.chi_square)
    alone = mantel_haenszel(responses, group, matching=np.arange(100))
    assert np.isnan(alone.chi_square).all()


@pytest.mark.parametrize(
    ("group", "row", "reason"),
    [
        ([0, 1, 2], 2, "neither 0"),
        ([0, 1], -1, "for 3 examinees"),
        ([0, 0, 0], -1, "nobody is in the focal group"),
        ([1, 1, 1], -1, "nobody is in the reference group"),
    ],
)
def test_groups_that_cannot_be_compared_are_refused(group, row, reason):
    with pytest.raises(InvalidGroup, match=reason) as refused:
        mantel_haenszel([[1, 0], [0, 1], [1, 1]], group)
    assert refused.value.row == row


@pytest.mark.parametrize(("wrong", "at"), [(2, (1, 0)), (-2, (1, 0)), (0.5, (1, 0)), (np.nan, (1, 0))])
def test_a_response_that_is_neither_right_nor_wrong_is_refused_by_row_and_column(wrong, at):
    with pytest.raises(InvalidResponse) as refused:
        mantel_haenszel([[1, 0], [wrong, 1]], [0, 1])
    assert (refused.value.row, refused.value.column) == at


def test_matching_values_must_be_finite_and_as_many_as_examinees():
    for matching in ([0.0, np.nan], [0.0, 1.0, 2.0], ["low"]):
        with pytest.raises(InvalidGroup):
            mantel_haenszel([[1, 0], [0, 1]], [0, 1], matching=matching)


def test_an_infinite_response_is_no_category() -> None:
    with pytest.raises(InvalidResponse) as refusal:
        mantel_haenszel([[1.0, 0.0], [0.0, np.inf]], [0, 1])
    assert (refusal.value.row, refusal.value.column) == (1, 1)
