"""lz and lz*: against sums written out, another package, Snijders's own form and the null distribution."""

import mirt
import numpy as np
import pytest
from mirt.diagnostics.personfit import compute_personfit
from scipy.stats import kstest, norm

from domain.cat.ability import eap, map_, ml, wle
from domain.cat.errors import InvalidResponse
from domain.cat.fit.person_fit import person_fit
from domain.cat.items import GradedItems, LogisticItems, MixedItems, NominalItems
from domain.cat.types import MISSING
from tests.support.responding import answers


@pytest.fixture(scope="module")
def long_test():
    rng = np.random.default_rng(1)
    return LogisticItems.of(rng.uniform(0.8, 1.8, 40), np.linspace(-2, 2, 40), c=rng.uniform(0, 0.2, 40))


@pytest.fixture
def several_kinds():
    return MixedItems(
        (
            LogisticItems.of([1.2, 0.7, 1.6], [-0.5, 0.6, 0.0], c=[0.0, 0.2, 0.1]),
            GradedItems(a=[1.5, 0.9], b=[[-1.0, 1.0], [0.3, np.nan]]),
            NominalItems(slopes=[[0.0, 1.0, -0.5, 0.7]], intercepts=[[0.0, 0.3, 0.1, -0.4]]),
        ),
        rows=(np.array([0, 2, 5]), np.array([1, 4]), np.array([3])),
    )


def test_lz_is_the_log_likelihood_standardised_item_by_item(several_kinds):
    theta, responses = 0.4, [1, 2, 0, 3, MISSING, 1]
    found, mean, variance = 0.0, 0.0, 0.0
    for item, response in enumerate(responses):
        if response == MISSING:
            continue
        p = several_kinds.category_probabilities([theta])[0, item, : several_kinds.categories[item]]
        found += np.log(p[response])
        mean += (p * np.log(p)).sum()
        variance += (p * np.log(p) ** 2).sum() - (p * np.log(p)).sum() ** 2
    fit = person_fit(several_kinds, responses, theta)
    assert fit.log_likelihood == pytest.approx([found], rel=1e-12)
    assert fit.lz == pytest.approx([(found - mean) / np.sqrt(variance)], rel=1e-12)


def test_lz_is_the_zh_of_pypi_mirt(long_test):
    rng = np.random.default_rng(2)
    theta = rng.normal(size=200)
    responses = answers(long_test, theta, rng)
    responses[rng.random(responses.shape) < 0.1] = MISSING
    model = mirt.ThreeParameterLogistic(n_items=40)
    model.set_parameters(discrimination=long_test.a, difficulty=long_test.b, guessing=long_test.c)
    theirs = compute_personfit(model, responses, theta, "lz")["lz"]
    assert person_fit(long_test, responses, theta).lz == pytest.approx(theirs, rel=1e-8, abs=1e-8)


def of_snijders(items, response, theta, r0):
    """His lz* for items scored 0 and 1, as he writes it, with the r0 of the estimator."""
    p = items.correct([theta])[0]
    step = 1e-5
    slope = (items.correct([theta + step])[0] - items.correct([theta - step])[0]) / (2 * step)
    w, r = np.log(p / (1 - p)), slope / (p * (1 - p))
    c = (slope * w).sum() / (slope * r).sum()
    above = ((response - p) * w).sum() + c * r0
    return above / np.sqrt((p * (1 - p) * (w - c * r) ** 2).sum())


def warm_r0(items, theta):
    p = items.correct([theta])[0]
    step = 1e-4
    ahead, behind = items.correct([theta + step])[0], items.correct([theta - step])[0]
    first, second = (ahead - behind) / (2 * step), (ahead - 2 * p + behind) / step**2
    return (first * second / (p * (1 - p))).sum() / (2 * (first**2 / (p * (1 - p))).sum())


@pytest.mark.parametrize("estimator", ["ml", "map", "wle"])
def test_lz_star_is_snijders_form_without_asking_for_the_estimator(long_test, estimator):
    rng = np.random.default_rng(3)
    responses = answers(long_test, rng.normal(size=25), rng)
    match estimator:
        case "ml":
            theta = ml(long_test, responses).theta
            r0 = np.zeros(25)
        case "map":
            theta = map_(long_test, responses, mean=0.3, sd=0.8).theta
            r0 = (0.3 - theta) / 0.8**2
        case _:
            theta = wle(long_test, responses).theta
            r0 = np.array([warm_r0(long_test, each) for each in theta])
    assert np.abs(theta).max() < 6  # at a bound no equation holds
    expected = [of_snijders(long_test, *each) for each in zip(responses, theta, r0, strict=True)]
    # Differences of 1e-4 in the second derivative are good to 1e-7 or so.
    assert person_fit(long_test, responses, theta).lz_star == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("estimator", [ml, wle, map_, eap])
def test_at_estimates_lz_star_is_standard_normal_where_lz_is_too_narrow(estimator):
    rng = np.random.default_rng(4)
    # Where half of the items are hard and half easy, lz, too, is nearly right; so most are easy here.
    items = LogisticItems.of(rng.uniform(0.8, 2.0, 60), np.linspace(-2.5, 0.5, 60))
    responses = answers(items, rng.normal(size=2000) * 0.5, rng)
    fit = person_fit(items, responses, estimator(items, responses).theta)
    assert fit.lz_star.std() == pytest.approx(1.0, abs=0.05)  # standard error 0.016
    assert fit.lz.std() < 0.85
    # 60 items are not infinitely many: a little skewness stays. The 5 % point is what matters.
    assert (fit.p_value < 0.05).mean() == pytest.approx(0.05, abs=0.02)  # standard error 0.005


def test_at_the_true_ability_lz_is_standard_normal():
    rng = np.random.default_rng(5)
    items = LogisticItems.of(rng.uniform(0.5, 1.2, 400), np.linspace(-2.5, 2.5, 400))
    theta = rng.normal(size=500)
    fit = person_fit(items, answers(items, theta, rng), theta)
    assert kstest(fit.lz, "norm").pvalue > 0.01


def test_graded_answers_too_give_a_standard_normal_lz_star():
    rng = np.random.default_rng(6)
    items = GradedItems(a=rng.uniform(0.8, 1.5, 40), b=np.sort(rng.normal(size=(40, 3)), axis=1))
    responses = answers(items, rng.normal(size=1500), rng)
    fit = person_fit(items, responses, wle(items, responses).theta)
    assert fit.lz_star.mean() == pytest.approx(0.0, abs=0.1)
    assert fit.lz_star.std() == pytest.approx(1.0, abs=0.06)


def test_careless_examinees_are_found(long_test):
    rng = np.random.default_rng(7)
    responses = answers(long_test, rng.normal(size=400) * 0.5, rng)
    responses[:100] = rng.integers(0, 2, size=(100, 40))
    p_values = person_fit(long_test, responses, wle(long_test, responses).theta).p_value
    assert (p_values[:100] < 0.05).mean() > 0.8
    assert (p_values[100:] < 0.05).mean() < 0.1


def test_p_values_are_of_the_lower_tail(long_test):
    rng = np.random.default_rng(8)
    responses = answers(long_test, rng.normal(size=5), rng)
    fit = person_fit(long_test, responses, eap(long_test, responses).theta)
    assert fit.p_value == pytest.approx(norm.cdf(fit.lz_star), rel=1e-12)


def test_a_missing_response_is_as_if_the_item_had_not_been_there(long_test):
    rng = np.random.default_rng(9)
    responses = answers(long_test, [0.5], rng)
    holed = responses.copy()
    holed[0, 20:] = MISSING
    short = person_fit(long_test[np.arange(20)], responses[:, :20], 0.5)
    found = person_fit(long_test, holed, 0.5)
    assert found.lz == pytest.approx(short.lz, rel=1e-12)
    assert found.lz_star == pytest.approx(short.lz_star, rel=1e-12)


def test_where_nothing_can_be_said_there_is_no_index():
    even = LogisticItems.of(1.0, np.zeros(4))
    fit = person_fit(even, [[MISSING] * 4, [1, 0, 1, 1]], [0.0, 0.0])
    assert np.isnan(fit.log_likelihood).tolist() == [True, False]
    assert np.isnan(fit.lz).all()
    assert np.isnan(fit.lz_star).all()
    assert np.isnan(fit.p_value).all()


def test_items_all_alike_leave_a_pattern_nothing_to_say_beyond_its_score():
    alike = LogisticItems.of(1.3, np.full(7, 0.2))
    fit = person_fit(alike, [[1, 0, 1, 1, 0, 1, 0], [1, 1, 1, 1, 1, 1, 0]], [0.7, 1.1])
    assert np.isfinite(fit.lz).all()
    assert np.isnan(fit.lz_star).all()  # not rounding over rounding


def test_items_of_one_slope_seen_from_afar_stay_finite():
    items = LogisticItems.of(3.0, np.linspace(-2, 2, 10))
    fit = person_fit(items, [[1] * 10, [0] * 10], [6.0, -6.0])
    assert np.isfinite(fit.lz).all()
    assert np.isfinite(fit.lz_star).all()


def test_a_response_next_to_impossible_counts_with_its_full_weight():
    items = LogisticItems.of([1.0, 1.0, 1.0], [0.0, 0.5, -800.0])
    fit = person_fit(items, [[1, 0, 0]], [0.0])
    assert fit.log_likelihood[0] < -790
    assert fit.lz[0] < -100


def test_rows_and_abilities_must_match(long_test):
    with pytest.raises(InvalidResponse, match="1 rows for 2 abilities"):
        person_fit(long_test, [[1] * 40], [0.0, 1.0])
