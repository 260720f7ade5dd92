"""EAP, MAP, ML and WLE: against published scores, PyPI mirt, and slow formulas written apart."""

import mirt
import mirt.models
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import norm

from domain.cat.ability import eap, map_, ml, posterior, wle
from domain.cat.errors import InvalidGrid, InvalidResponse
from domain.cat.grid import DEFAULT_GRID, grid_of, normal_grid
from domain.cat.items import GradedItems, LogisticItems, MixedItems, NominalItems, PartialCreditItems
from domain.cat.types import MISSING

# R mirt, page of `fscores`, `mirt(Science)`: the first patterns of its tables, categories from 1.
SCIENCE_PATTERNS = (
    np.array([(1, 1, 1, 1), (1, 3, 2, 1), (1, 4, 2, 3), (1, 4, 3, 1), (2, 1, 1, 1), (2, 1, 2, 4)]) - 1
)
SCIENCE_EAP = (-2.7492669, -1.4198318, -0.7141976, -0.4469265, -2.5437807, -1.2478570)
SCIENCE_EAP_SE = (0.6293525, 0.5772364, 0.6200139, 0.6509531, 0.5909114, 0.5840105)
SCIENCE_ML = (-2.105, -1.151, -0.781, -4.400, -1.864)  # from the second pattern on; the first has none
SCIENCE_MAP = {(1, 2, 3, 4): -0.370, (2, 2, 1, 3): -1.694}

EVERY_METHOD = pytest.mark.parametrize("method", [eap, map_, ml, wle])
SEARCHED = pytest.mark.parametrize("method", [map_, ml, wle])


def three_parameter_bank(count: int = 25) -> LogisticItems:
    rng = np.random.default_rng(11)
    return LogisticItems.of(
        rng.uniform(0.6, 2.5, count), rng.normal(0, 1.2, count), rng.uniform(0.05, 0.3, count)
    )


def mixed_bank() -> MixedItems:
    graded = GradedItems([1.5, 0.9], [[-1.0, 0.0, 1.2], [0.2, 1.0, np.nan]])
    credit = PartialCreditItems([0.8, 1.1], [[0.5, -0.5], [-1.0, 0.4]])
    nominal = NominalItems([[0.0, 1.0, 2.2]], [[0.0, 0.2, -0.4]])
    right_or_wrong = LogisticItems.of([1.3, 0.7, 2.0], [0.0, -1.0, 0.8], [0.0, 0.2, 0.0])
    return MixedItems(
        (right_or_wrong, graded, credit, nominal),
        (np.array([0, 3, 6]), np.array([1, 7]), np.array([2, 4]), np.array([5])),
    )


def drawn(items, people: int, seed: int, missing: float = 0.0) -> np.ndarray:
    """Responses of people whose abilities are normal, some of them missing."""
    rng = np.random.default_rng(seed)
    probabilities = items.category_probabilities(rng.normal(0, 1.2, people))
    chances = rng.uniform(size=probabilities.shape[:2])[..., None]
    responses = (chances > probabilities.cumsum(axis=-1)[..., :-1]).sum(axis=-1)
    responses[rng.uniform(size=responses.shape) < missing] = MISSING
    return responses


# Published


def test_eap_scores_of_graded_items_are_the_published_ones(science_items) -> None:
    found = eap(science_items, SCIENCE_PATTERNS, normal_grid(121))
    # Printed with seven decimals, from parameters printed with seven decimals; 121 points, as there: the
    # first pattern's posterior still has 1e-6 of its mass at the end of the grid.
    np.testing.assert_allclose(found.theta, SCIENCE_EAP, atol=3e-7)
    np.testing.assert_allclose(found.se, SCIENCE_EAP_SE, atol=3e-7)


def test_ml_scores_of_graded_items_are_the_published_ones(science_items) -> None:
    found = ml(science_items, SCIENCE_PATTERNS)
    np.testing.assert_allclose(found.theta[1:], SCIENCE_ML, atol=1.1e-3)  # printed with three, found to 1e-4
    assert (found.theta[0], found.se[0]) == (-6.0, np.inf)  # there: -Inf


def test_map_scores_of_graded_items_are_the_published_ones(science_items) -> None:
    found = map_(science_items, np.array(list(SCIENCE_MAP)) - 1)
    np.testing.assert_allclose(found.theta, list(SCIENCE_MAP.values()), atol=6e-4)


# PyPI mirt


def test_map_scores_and_errors_of_lsat6_are_those_that_ltm_prints() -> None:
    # R's ltm, `factor.scores(ltm(LSAT ~ z1))`, empirical Bayes, with the coefficients that it prints.
    a = [0.8253715, 0.7229499, 0.8904748, 0.6885502, 0.6574516]
    b = [-3.3597341, -1.3696497, -0.2798983, -1.8659189, -3.1235725]
    patterns = [[0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 1, 1, 1, 1], [1, 0, 1, 0, 0], [1, 1, 1, 1, 1]]
    found = map_(LogisticItems.of(a, b), patterns)
    np.testing.assert_allclose(found.theta, [-1.895, -1.479, 0.023, -0.803, 0.606], atol=6e-4)
    np.testing.assert_allclose(found.se, [0.795, 0.796, 0.828, 0.804, 0.855], atol=6e-4)


def test_scores_of_lsat7_are_those_of_mirt(lsat7, lsat7_items) -> None:
    peer = mirt.models.TwoParameterLogistic(n_items=5)
    peer.set_parameters(discrimination=lsat7_items.a, difficulty=lsat7_items.b)
    peer._is_fitted = True

    # There EAP is by 61 Gauss-Hermite points and the others stop at a bounded search's 1e-5 to 1e-6.
    for method, name, close in (
        (eap, "EAP", 1e-6),
        (map_, "MAP", 1e-4),
        (ml, "ML", 1e-4),
        (wle, "WLE", 1e-4),
    ):
        wanted = mirt.fscores(peer, lsat7, method=name, n_quadpts=61)
        found = method(lsat7_items, lsat7)
        np.testing.assert_allclose(found.theta, wanted.theta.ravel(), atol=close, err_msg=name)
        if method is not map_:  # there by observed information of finite differences
            np.testing.assert_allclose(found.se, wanted.standard_error.ravel(), atol=10 * close, err_msg=name)


def test_map_standard_errors_of_the_2pl_are_those_of_mirt(lsat7, lsat7_items) -> None:
    # In the 2PL observed and expected information are the same.
    peer = mirt.models.TwoParameterLogistic(n_items=5)
    peer.set_parameters(discrimination=lsat7_items.a, difficulty=lsat7_items.b)
    peer._is_fitted = True
    wanted = mirt.fscores(peer, lsat7[:50], method="MAP").standard_error.ravel()
    np.testing.assert_allclose(map_(lsat7_items, lsat7[:50]).se, wanted, atol=1e-4)


# Slow formulas, for one person at a time


def slow_terms(items: LogisticItems, answers, theta: float) -> dict[str, float]:
    """Sums over the items answered of P'(u - P)/PQ, P'²/PQ and P'P''/PQ, from the textbook's P."""
    slope = information = skew = 0.0
    for a, b, c, d, answer in zip(items.a, items.b, items.c, items.d, answers, strict=True):
        if answer == MISSING:
            continue
        z = expit(a * (theta - b))
        right = c + (d - c) * z
        first = a * (d - c) * z * (1 - z)
        second = a**2 * (d - c) * z * (1 - z) * (1 - 2 * z)
        spread = right * (1 - right)
        slope += first * (answer - right) / spread
        information += first**2 / spread
        skew += first * second / spread
    return {"slope": slope, "information": information, "skew": skew}


def slow_root(function, near: float) -> float:
    """The root next to `near`: the one that the fast search claims, refined by bisection."""
    return brentq(function, near - 0.02, near + 0.02, xtol=1e-15, rtol=1e-15)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_ml_is_the_root_of_the_slope(missing) -> None:
    items = three_parameter_bank()
    responses = drawn(items, 60, seed=1, missing=missing)
    found = ml(items, responses)
    inside = np.flatnonzero(np.isfinite(found.se))
    assert inside.size > 40

    for person in inside:
        answers = responses[person]
        root = slow_root(lambda at, of=answers: slow_terms(items, of, at)["slope"], found.theta[person])
        # Both are at rounding: slope errors of 1e-14 over an information of 1 and more.
        assert found.theta[person] == pytest.approx(root, abs=2e-13)
        wanted = slow_terms(items, answers, root)["information"] ** -0.5
        assert found.se[person] == pytest.approx(wanted, rel=1e-11)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_map_is_the_root_of_the_slope_and_the_prior_s(missing) -> None:
    items = three_parameter_bank()
    responses = drawn(items, 60, seed=2, missing=missing)
    found = map_(items, responses, 0.5, 0.8)

    for person, answers in enumerate(responses):
        root = slow_root(
            lambda at, of=answers: slow_terms(items, of, at)["slope"] - (at - 0.5) / 0.64, found.theta[person]
        )
        assert found.theta[person] == pytest.approx(root, abs=2e-13)
        information = slow_terms(items, answers, root)["information"]
        assert found.se[person] == pytest.approx((information + 1 / 0.64) ** -0.5, rel=1e-11)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_wle_is_the_root_of_warm_s_equation(missing) -> None:
    items = three_parameter_bank()
    responses = drawn(items, 60, seed=3, missing=missing)
    found = wle(items, responses)
    inside = np.flatnonzero(np.abs(found.theta) < 6)
    assert inside.size > 50

    for person in inside:

        def equation(at: float, answers=responses[person]) -> float:
            terms = slow_terms(items, answers, at)
            return terms["slope"] + terms["skew"] / (2 * terms["information"])

        root = slow_root(equation, found.theta[person])
        assert found.theta[person] == pytest.approx(root, abs=5e-13)
        wanted = slow_terms(items, responses[person], root)["information"] ** -0.5
        assert found.se[person] == pytest.approx(wanted, rel=1e-11)


def test_wle_of_graded_items_is_the_root_of_warm_s_equation(science_items) -> None:
    """J = Σ_k P_k' P_k'' / P_k, from differences of the cumulative curves and their derivatives."""

    def equation(at: float, answers) -> float:
        slope = information = skew = 0.0
        for a, thresholds, answer in zip(science_items.a, science_items.b, answers, strict=True):
            z = np.concatenate(([1.0], expit(a * (at - thresholds)), [0.0]))
            p, first, second = (
                -np.diff(each) for each in (z, a * z * (1 - z), a**2 * z * (1 - z) * (1 - 2 * z))
            )
            slope += first[answer] / p[answer]
            information += (first**2 / p).sum()
            skew += (first * second / p).sum()
        return slope + skew / (2 * information)

    found = wle(science_items, SCIENCE_PATTERNS)
    for person, answers in enumerate(SCIENCE_PATTERNS):
        root = slow_root(lambda at, of=answers: equation(at, of), found.theta[person])
        # The differences of curves lose a few digits in rare categories.
        assert found.theta[person] == pytest.approx(root, abs=1e-11)


def slow_eap(items, answers, prior) -> tuple[float, float]:
    """Mean and standard deviation of the posterior by the trapezoidal rule, which is exact to rounding here.

    For a smooth density that has died away at both ends its error falls exponentially with the spacing.
    """
    fine = np.linspace(-12, 12, 4801)
    density = prior(fine)
    for item, answer in enumerate(answers):
        if answer != MISSING:
            density = density * items.category_probabilities(fine)[:, item, answer]
    mean = (density @ fine) / density.sum()
    return mean, np.sqrt(density @ (fine - mean) ** 2 / density.sum())


@pytest.mark.parametrize("bank", [three_parameter_bank(10), mixed_bank()], ids=["3pl", "mixed"])
def test_eap_is_the_mean_of_the_posterior(bank) -> None:
    responses = drawn(bank, 12, seed=4, missing=0.2)
    found = eap(bank, responses)
    for person, answers in enumerate(responses):
        mean, sd = slow_eap(bank, answers, norm.pdf)
        # 61 points 0.2 apart on [-6, 6]: what is cut off beyond 6 is 1e-8 of the posterior at most.
        assert found.theta[person] == pytest.approx(mean, abs=1e-7)
        assert found.se[person] == pytest.approx(sd, abs=1e-6)


def test_eap_takes_any_prior() -> None:
    bank = three_parameter_bank(10)
    responses = drawn(bank, 5, seed=5)

    def two_groups(at):
        return 0.7 * norm.pdf(at, -1, 0.6) + 0.3 * norm.pdf(at, 1.5, 0.8)

    found = eap(bank, responses, grid_of(np.linspace(-8, 8, 161), two_groups))
    for person, answers in enumerate(responses):
        assert found.theta[person] == pytest.approx(slow_eap(bank, answers, two_groups)[0], abs=1e-9)


# Identities


@EVERY_METHOD
@pytest.mark.parametrize("bank", [three_parameter_bank(12), mixed_bank()], ids=["3pl", "mixed"])
def test_a_missing_response_is_as_if_the_item_were_not_there(method, bank) -> None:
    responses = drawn(bank, 40, seed=6)
    shown = np.array([0, 2, 3, 5, 6, 7])
    gaps = np.full_like(responses, MISSING)
    gaps[:, shown] = responses[:, shown]

    with_gaps, apart = method(bank, gaps), method(bank[shown], responses[:, shown])
    np.testing.assert_allclose(with_gaps.theta, apart.theta, atol=1e-12)
    np.testing.assert_allclose(with_gaps.se, apart.se, rtol=1e-11)


def test_without_any_response_the_bayesian_methods_give_the_prior() -> None:
    nothing = np.full((2, 25), MISSING)
    bank = three_parameter_bank()

    by_mean = eap(bank, nothing, normal_grid(mean=0.5, sd=0.7, low=-8, high=8, count=161))
    np.testing.assert_allclose((by_mean.theta, by_mean.se), [[0.5, 0.5], [0.7, 0.7]], rtol=1e-12)
    by_mode = map_(bank, nothing, 0.5, 0.7)
    np.testing.assert_allclose((by_mode.theta, by_mode.se), [[0.5, 0.5], [0.7, 0.7]], rtol=1e-12)
    np.testing.assert_allclose(posterior(bank, nothing)[0], DEFAULT_GRID.weights, rtol=1e-12)


@pytest.mark.parametrize("method", [ml, wle])
@pytest.mark.parametrize(("low", "high", "theta"), [(-6, 6, 0.0), (1, 3, 1.0), (-3, -2, -2.0)])
def test_without_any_response_the_others_know_nothing(method, low, high, theta) -> None:
    found = method(three_parameter_bank(), np.full((1, 25), MISSING), low=low, high=high)
    assert (found.theta[0], found.se[0]) == (theta, np.inf)


@pytest.mark.parametrize(("answer", "bound"), [(0, -4.0), (1, 4.0)])
def test_all_right_or_all_wrong_has_no_maximum_likelihood(answer, bound) -> None:
    found = ml(three_parameter_bank(), np.full((1, 25), answer), low=-4, high=4)
    assert (found.theta[0], found.se[0]) == (bound, np.inf)


def test_a_3pl_pattern_that_no_ability_explains_has_no_maximum_likelihood() -> None:
    # Right on the hard item by guessing, wrong on the easy ones: the likelihood only rises downwards.
    found = ml(LogisticItems.of([1.5, 1.5, 1.5], [-2.0, -1.5, 2.0], 0.3), [[0, 0, 1]])
    assert (found.theta[0], found.se[0]) == (-6.0, np.inf)


@pytest.mark.parametrize("answer", [0, 1])
def test_all_right_and_all_wrong_have_finite_scores_by_the_other_methods(answer, lsat7_items) -> None:
    responses = np.full((1, 5), answer)
    for method in (eap, map_, wle):
        found = method(lsat7_items, responses)
        assert np.isfinite(found.se).all()
        assert (found.theta[0] > 0) == bool(answer)
        assert abs(found.theta[0]) < 6


def test_without_guessing_warm_s_estimate_is_the_mode_under_jeffreys_prior() -> None:
    # The identity of [Magis2012] for the 2PL; for the 3PL the two differ.
    for guessing, same in ((0.0, True), (0.25, False)):
        items = LogisticItems.of([1.0, 1.4, 0.8, 2.0], [-1.0, 0.0, 0.5, 1.0], guessing)
        found = wle(items, [[1, 1, 0, 0]]).theta[0]
        fine = np.arange(found - 0.5, found + 0.5, 1e-4)
        heights = (
            items.log_likelihood([[1, 1, 0, 0]], fine)[0] + np.log(items.information(fine).sum(axis=1)) / 2
        )
        assert (abs(fine[np.argmax(heights)] - found) < 1e-4) == same


def test_of_several_maxima_the_highest_is_taken() -> None:
    # Two maxima, as [Samejima1973] showed for the 3PL.
    items = LogisticItems.of([2.5, 2.2, 1.7, 2.5, 2.0, 2.6], [-0.2, 0.0, 1.4, -2.0, 0.4, -1.5], 0.2)
    responses = [[1, 1, 1, 0, 1, 1]]
    fine = np.linspace(-6, 6, 120_001)
    heights = items.log_likelihood(responses, fine)[0]
    tops = np.flatnonzero((heights[1:-1] > heights[:-2]) & (heights[1:-1] > heights[2:])) + 1
    assert len(tops) == 2

    highest = fine[tops[np.argmax(heights[tops])]]
    assert ml(items, responses).theta[0] == pytest.approx(highest, abs=1e-4)


def test_map_with_a_flat_prior_is_maximum_likelihood(lsat7_items) -> None:
    responses = drawn(lsat7_items, 100, seed=8)
    free = ml(lsat7_items, responses)
    inside = np.isfinite(free.se)
    flat = map_(lsat7_items, responses, sd=1e6)
    # The prior still pulls by θ / sd², 6e-12, over an information of 0.1 and more.
    np.testing.assert_allclose(flat.theta[inside], free.theta[inside], atol=1e-9)


def test_the_higher_of_two_tops_between_points_is_taken() -> None:
    """Where two hills are nearly of one height, the side taken is that of the truth, not of the scan."""
    chosen = set()
    for last in np.arange(-1.6, -1.4, 0.005):
        items = LogisticItems.of([2.5, 2.2, 1.7, 2.5, 2.0, 2.6], [-0.2, 0.0, 1.4, -2.0, 0.4, last], 0.2)
        found = ml(items, [[1, 1, 1, 0, 1, 1]])
        fine = np.linspace(-6, 6, 24_001)
        highest = fine[np.argmax(items.log_likelihood([[1, 1, 1, 0, 1, 1]], fine)[0])]
        assert found.theta[0] == pytest.approx(highest, abs=1e-3)
        chosen.add(found.theta[0] > -1)
    assert chosen == {True, False}  # the range crosses from one hill to the other


@SEARCHED
@given(shift=st.floats(-1, 1), seed=st.integers(0, 1000))
def test_moving_the_items_moves_the_people(method, shift, seed) -> None:
    items = three_parameter_bank(8)
    responses = drawn(items, 10, seed=seed)
    moved = LogisticItems.of(items.a, items.b + shift, items.c)
    prior = {"mean": shift} if method is map_ else {}

    before = method(items, responses)
    after = method(moved, responses, low=-6 + shift, high=6 + shift, **prior)
    np.testing.assert_allclose(after.theta, before.theta + shift, atol=1e-9)
    np.testing.assert_allclose(after.se, before.se, rtol=1e-7)


@EVERY_METHOD
@given(seed=st.integers(0, 1000))
def test_swapping_right_and_wrong_and_easy_and_hard_mirrors_the_scale(method, seed) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0.5, 2, 8), rng.normal(size=8)
    responses = rng.integers(0, 2, size=(6, 8))
    one, other = method(LogisticItems.of(a, b), responses), method(LogisticItems.of(a, -b), 1 - responses)
    np.testing.assert_allclose(one.theta, -other.theta, atol=1e-10)
    np.testing.assert_allclose(one.se, other.se, rtol=1e-9)


@EVERY_METHOD
@given(seed=st.integers(0, 1000), item=st.integers(0, 7))
def test_one_more_right_answer_never_lowers_the_score_in_the_2pl(method, seed, item) -> None:
    rng = np.random.default_rng(seed)
    items = LogisticItems.of(rng.uniform(0.5, 2, 8), rng.normal(size=8))
    responses = rng.integers(0, 2, size=(1, 8))
    responses[0, item] = 0
    better = responses.copy()
    better[0, item] = 1
    assert method(items, better).theta[0] >= method(items, responses).theta[0] - 1e-12


@EVERY_METHOD
def test_everybody_is_scored_as_if_alone(method) -> None:
    bank = mixed_bank()
    responses = drawn(bank, 30, seed=9, missing=0.2)
    together = method(bank, responses)
    for person in range(30):
        alone = method(bank, responses[person])
        assert alone.theta[0] == pytest.approx(together.theta[person], abs=1e-12)


@EVERY_METHOD
def test_many_people_are_scored_in_portions_without_a_seam(method) -> None:
    items = three_parameter_bank(4)
    responses = np.tile(np.array([[1, 0, 1, 1], [0, 0, 1, MISSING], [1, 1, 0, 0]]), (30_000, 1))
    found = method(items, responses)
    # The order in which a matrix product adds up depends on the number of rows.
    np.testing.assert_allclose(found.theta, np.tile(found.theta[:3], 30_000), rtol=1e-12)
    np.testing.assert_allclose(found.se, np.tile(found.se[:3], 30_000), rtol=1e-12)


def test_real_answers_are_scored_at_the_top_of_their_likelihood(sat12) -> None:
    share = (sat12 == 1).sum(axis=0) / (sat12 != MISSING).sum(axis=0)
    items = LogisticItems.of(1.2, -np.log(share / (1 - share)) / 1.2, 0.1)
    fine = np.linspace(-6, 6, 2401)
    likelihood = items.log_likelihood(sat12, fine)
    at = items.log_likelihood
    for found, height in (
        (ml(items, sat12), likelihood),
        (map_(items, sat12), likelihood - fine**2 / 2),
    ):
        is_map = height is not likelihood
        reached = np.array([at(sat12[[i]], theta)[0, 0] for i, theta in enumerate(found.theta)])
        reached -= found.theta**2 / 2 if is_map else 0
        # No point of a scan 0.005 apart is higher, but for rounding in sums of 32 logarithms.
        assert (reached >= height.max(axis=1) - 1e-12).all()


@EVERY_METHOD
def test_nobody_is_scored_as_nobody(method) -> None:
    found = method(three_parameter_bank(), np.zeros((0, 25), dtype=np.int64))
    assert found.theta.shape == found.se.shape == (0,)


@EVERY_METHOD
def test_a_response_that_an_item_does_not_have_is_refused(method) -> None:
    with pytest.raises(InvalidResponse):
        method(three_parameter_bank(2), [[0, 2]])


@SEARCHED
@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (-np.inf, 6.0)])
def test_a_range_that_is_none_is_refused(method, low, high) -> None:
    with pytest.raises(InvalidGrid):
        method(three_parameter_bank(2), [[0, 1]], low=low, high=high)


def test_a_prior_without_spread_is_refused() -> None:
    with pytest.raises(InvalidGrid):
        map_(three_parameter_bank(2), [[0, 1]], sd=0.0)


@pytest.mark.parametrize(
    "items",
    [
        LogisticItems.of(10.0, [0.0, 0.1], 0.2),
        LogisticItems.of(3.0, [-6.5, -6.6], 0.2),
        LogisticItems.of(12.0, [0.0, 0.1], 0.2, 0.9),  # flat to the last digit from 3 logits above b on
    ],
    ids=["steep", "easy", "with a ceiling"],
)
def test_all_right_has_no_maximum_where_the_likelihood_is_flat_to_the_last_digit(items) -> None:
    found = ml(items, [[1, 1]])
    assert found.theta.tolist() == [6.0]
    assert np.isinf(found.se).all()


def test_all_wrong_has_no_maximum_where_the_likelihood_is_flat_to_the_last_digit() -> None:
    found = ml(LogisticItems.of(12.0, [0.0, 0.1], 0.2, 0.9), [[0, 0]])
    assert found.theta.tolist() == [-6.0]
    assert np.isinf(found.se).all()


@pytest.mark.parametrize("seed", [3, 18, 208, 231, 232, 355])
def test_the_higher_of_two_roots_of_warm_s_equation_is_taken_though_they_are_nearly_as_high(seed) -> None:
    # 4PL items with two hills each: the weight must be integrated finely to tell which is the higher.
    rng = np.random.default_rng(seed)
    axis = np.linspace(-6, 6, 6001)
    count = int(rng.integers(4, 11))
    items = LogisticItems.of(
        1.5 * np.exp(rng.normal(0, 0.8, count)),
        rng.normal(0, 1.5, count),
        rng.uniform(0, 0.4, count),
        rng.uniform(0.7, 1, count),
    )
    responses = rng.integers(0, 2, (50, count))
    information, skew = (each.sum(axis=1) for each in items.information_and_skew(axis))
    pull = np.divide(skew, 2 * information, out=np.zeros_like(skew), where=information > 0)
    weight = np.concatenate(([0.0], np.cumsum((pull[1:] + pull[:-1]) / 2 * np.diff(axis))))
    height = items.log_likelihood(responses, axis) + weight

    found = wle(items, responses).theta

    reached = [np.interp(at, axis, each) for at, each in zip(found, height, strict=True)]
    # The parabolas of the first search are good to some 1e-4 of height, and so is the axis here.
    np.testing.assert_allclose(reached, height.max(axis=1), rtol=0, atol=2e-4)


@pytest.mark.parametrize(("ratio", "worst"), [(0.7, 0.0015), (0.6, 0.013), (0.5, 0.08)])
def test_a_grid_holds_a_posterior_that_is_not_much_narrower_than_its_steps(ratio, worst) -> None:
    # Items so many and so alike that the posterior is normal, of standard deviation `ratio` times the step.
    information = 1 / (ratio * 0.2) ** 2 - 1  # the prior adds 1
    items = LogisticItems.of(2 * np.sqrt(information / 400), np.zeros(400))
    right = np.arange(0, 41) + 200
    responses = (np.arange(400) < right[:, np.newaxis]).astype(int)
    coarse, fine = eap(items, responses), eap(items, responses, normal_grid(count=1201))
    assert np.abs(coarse.theta - fine.theta).max() < worst * ratio * 0.2
    np.testing.assert_allclose(coarse.se, fine.se, rtol=worst)
    assert np.abs(coarse.se / fine.se - 1).max() > worst / 3  # no more is promised than is so
