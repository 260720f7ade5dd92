"""Stopping rules: each stops where it says, and says why; the sequential test keeps to its error rates."""

import numpy as np
import pytest
from scipy.stats import norm

from domain.cat.errors import InvalidGrid, InvalidLimits
from domain.cat.items import GradedItems, LogisticItems
from domain.cat.stopping import (
    DEFAULT_STOPPING,
    ConfidenceInterval,
    InformationBelow,
    MaximumItems,
    ProbabilityRatio,
    Progress,
    StandardErrorBelow,
    Stop,
    TimeIsUp,
    all_of,
    any_of,
    at_least,
)


def progress(count=10, *, theta=0.0, se=1.0, responses=None, **more) -> Progress:
    given = np.ones(count, dtype=int) if responses is None else np.asarray(responses)
    return Progress(theta, se, np.arange(count), given, **more)


@pytest.mark.parametrize(
    ("count", "se", "reason"),
    [
        (1, 0.2999, "se"),
        (49, 0.3, None),
        (50, 0.3, "max_items"),
        (50, 0.1, "se"),
        (0, 1.0, None),
    ],
)
def test_the_default_is_a_standard_error_below_0_3_or_50_items(count, se, reason) -> None:
    stop = DEFAULT_STOPPING(progress(count, se=se))
    assert (None if stop is None else stop.reason) == reason


def test_time_and_information_stop_at_their_limits() -> None:
    assert TimeIsUp(60)(progress(elapsed_s=59.9)) is None
    assert TimeIsUp(60)(progress(elapsed_s=60.0)) == Stop("time")
    assert InformationBelow(0.1)(progress(information_left=0.1)) is None
    assert InformationBelow(0.1)(progress(information_left=0.0999)) == Stop("min_information")
    assert InformationBelow(0.1)(progress(information_left=-np.inf)) == Stop("min_information")
    assert InformationBelow(0.1)(progress()) is None


def test_rules_combine_and_keep_their_reasons() -> None:
    precise, long, late = StandardErrorBelow(0.3), MaximumItems(20), TimeIsUp(100)
    either, both = any_of(precise, long, late), all_of(precise, long)
    assert either(progress(20, se=0.2)) == Stop("se")
    assert either(progress(20, se=0.4, elapsed_s=200)) == Stop("max_items")
    assert either(progress(5, se=0.4)) is None
    assert both(progress(20, se=0.4)) is None
    assert both(progress(19, se=0.2)) is None
    assert both(progress(20, se=0.2)) == Stop("se+max_items")
    assert all_of()(progress()) is None
    assert any_of()(progress()) is None
    nested = any_of(at_least(15, precise), long)
    assert nested(progress(14, se=0.1)) is None
    assert nested(progress(15, se=0.1)) == Stop("se")
    assert nested(progress(20, se=0.9)) == Stop("max_items")


def test_a_classification_survives_being_combined() -> None:
    rule = all_of(MaximumItems(5), ConfidenceInterval([0.0]))
    assert rule(progress(5, theta=2.0, se=0.5)) == Stop("max_items+confidence_interval", category=1)


@pytest.mark.parametrize(
    ("theta", "se", "category"),
    [(-2.0, 0.5, 0), (0.0, 0.5, 1), (2.0, 0.5, 2), (0.0, 0.52, None), (1.0, 0.01, None), (-2.0, 3.0, None)],
)
def test_the_interval_classifies_where_it_holds_no_cut(theta, se, category) -> None:
    stop = ConfidenceInterval([-1.0, 1.0], confidence=0.95)(progress(theta=theta, se=se))
    assert stop == (None if category is None else Stop("confidence_interval", category))


def test_the_width_of_the_interval_is_the_normal_quantile() -> None:
    z = norm.ppf(0.95)
    rule = ConfidenceInterval([0.0], confidence=0.9)
    assert rule(progress(theta=z * 0.4 + 1e-9, se=0.4)) is not None
    assert rule(progress(theta=z * 0.4 - 1e-9, se=0.4)) is None


def test_the_sequential_test_holds_the_likelihoods_at_both_ends_against_each_other() -> None:
    rng = np.random.default_rng(0)
    bank = LogisticItems.of(rng.lognormal(0, 0.3, 99), rng.normal(0, 1, 99), rng.beta(5, 17, 99))
    rule = ProbabilityRatio(bank, [-0.5, 0.7], half_width=0.4, alpha=0.1, beta=0.05)

    def log_likelihood(theta, rows, responses):
        p = bank.c[rows] + (1 - bank.c[rows]) / (1 + np.exp(-bank.a[rows] * (theta - bank.b[rows])))
        return np.where(responses == 1, np.log(p), np.log(1 - p)).sum()

    seen = set()
    for count in range(1, 100, 2):
        for share in (0.1, 0.5, 0.65, 0.9):
            rows, responses = np.arange(count), (rng.random(count) < share).astype(int)
            ratios = [
                log_likelihood(cut + 0.4, rows, responses) - log_likelihood(cut - 0.4, rows, responses)
                for cut in (-0.5, 0.7)
            ]
            sides = [
                1 if ratio >= np.log(0.95 / 0.1) else 0 if ratio <= np.log(0.05 / 0.9) else None
                for ratio in ratios
            ]
            expected = {(0, 0): 0, (1, 0): 1, (1, 1): 2}.get(tuple(sides))
            found = rule(progress(count, responses=responses))
            assert found == (None if expected is None else Stop("probability_ratio", expected))
            seen.add(expected)
    assert seen == {None, 0, 1, 2}


@pytest.mark.parametrize(("theta", "wrong"), [(-0.5, 1), (0.5, 0)])
def test_the_sequential_test_errs_no_more_often_than_it_says(theta, wrong) -> None:
    bank = LogisticItems.of(1.5, np.zeros(200))
    rule = ProbabilityRatio(bank, [0.0], half_width=0.5, alpha=0.05, beta=0.05)
    rng = np.random.default_rng(1)
    errors = 0
    for _ in range(400):
        answers = (rng.random(200) < bank.correct(theta)[0]).astype(int)
        stop = next(
            found
            for count in range(1, 201)
            if (found := rule(progress(count, responses=answers[:count]))) is not None
        )
        errors += stop.category == wrong
    # Wald's bound is alpha / (1 - beta) = 0.053; four sampling errors above it.
    assert errors / 400 < 0.053 + 4 * np.sqrt(0.053 * 0.947 / 400)


def test_the_sequential_test_takes_polytomous_items_and_says_nothing_before_the_first() -> None:
    bank = GradedItems(np.full(30, 1.5), np.tile([-1.0, 0.0, 1.0], (30, 1)))
    rule = ProbabilityRatio(bank, [0.0], half_width=0.4)
    assert rule(progress(0)) is None
    assert rule(progress(30, responses=np.full(30, 3))) == Stop("probability_ratio", 1)
    assert rule(progress(30, responses=np.zeros(30, dtype=int))) == Stop("probability_ratio", 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda bank: ProbabilityRatio(bank, [0.5, 0.5], half_width=0.3),
        lambda bank: ProbabilityRatio(bank, [], half_width=0.3),
        lambda bank: ProbabilityRatio(bank, [0.0], half_width=0.0),
        lambda bank: ProbabilityRatio(bank, [0.0], half_width=0.3, alpha=0.5),
        lambda _: ConfidenceInterval([np.nan]),
        lambda _: ConfidenceInterval([0.0], confidence=1.0),
    ],
)
def test_cuts_and_error_rates_that_make_no_sense_are_refused(make) -> None:
    with pytest.raises(InvalidGrid):
        make(LogisticItems.of(1.0, [0.0]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: StandardErrorBelow(0.0),
        lambda: StandardErrorBelow(float("nan")),
        lambda: MaximumItems(0),
        lambda: InformationBelow(-0.1),
        lambda: TimeIsUp(-1.0),
    ],
)
def test_a_limit_that_is_never_or_at_once_reached_is_refused(make) -> None:
    with pytest.raises(InvalidLimits):
        make()
