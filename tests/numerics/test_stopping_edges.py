"""Stopping rules exactly at their limits, with their defaults, and with cuts that are none."""

import math

import numpy as np
import pytest

from domain.cat.errors import InvalidGrid
from domain.cat.items import LogisticItems
from domain.cat.stopping import (
    ConfidenceInterval,
    MaximumItems,
    ProbabilityRatio,
    Progress,
    StandardErrorBelow,
    Stop,
    TimeIsUp,
    all_of,
)

BANK = LogisticItems.of(1.0, [0.0])


def after(count: int, theta: float = 0.0, se: float = 1.0) -> Progress:
    return Progress(theta, se, np.arange(count), np.ones(count, dtype=int))


def test_no_time_has_passed_unless_it_is_said() -> None:
    assert TimeIsUp(1e-9)(after(3)) is None


def test_the_defaults_are_those_of_the_literature() -> None:
    assert (StandardErrorBelow().limit, MaximumItems().count) == (0.3, 50)
    assert ConfidenceInterval([0.0]).confidence == 0.95
    rule = ProbabilityRatio(BANK, [0.0], half_width=0.3)
    assert (rule.alpha, rule.beta) == (0.05, 0.05)


def test_the_sequential_test_stops_with_the_first_answer_that_takes_it_to_walds_bound() -> None:
    # One right answer to an item at the cut is worth log P(δ) - log P(-δ) = δ·a.
    bank = LogisticItems.of(2.0, np.zeros(40))
    for alpha, beta in ((0.05, 0.1), (0.2, 0.02)):
        rule = ProbabilityRatio(bank, [0.0], half_width=0.25, alpha=alpha, beta=beta)
        needed = math.ceil(math.log((1 - beta) / alpha) / 0.5)
        assert rule(after(needed - 1)) is None
        assert rule(after(needed)) == Stop("probability_ratio", 1)
        wrong = math.ceil(math.log((1 - alpha) / beta) / 0.5)
        for count, stop in ((wrong - 1, None), (wrong, Stop("probability_ratio", 0))):
            assert rule(Progress(0.0, 1.0, np.arange(count), np.zeros(count, dtype=int))) == stop


def test_an_estimate_whose_interval_ends_at_the_cut_is_not_classified() -> None:
    rule = ConfidenceInterval([0.0])
    for sign in (-1, 1):
        assert rule(after(5, theta=sign * 1.0, se=0.0)) is not None
    assert rule(after(5, theta=0.0, se=0.0)) is None


def test_the_category_of_two_rules_is_that_of_the_first_that_has_one() -> None:
    low, high = ConfidenceInterval([-1.0]), ConfidenceInterval([-3.0, -2.0])
    assert all_of(StandardErrorBelow(2.0), low, high)(after(5, theta=3.0)) == Stop(
        "se+confidence_interval+confidence_interval", category=1
    )


@pytest.mark.parametrize(
    "cuts", [[0.0, np.nan], [0.0, np.inf], [-np.inf, 0.0], [0.0, 0.0], [1.0, 0.0], [], [[0.0, 1.0]]]
)
def test_cuts_that_are_not_finite_and_ascending_are_refused_one_bad_among_good(cuts) -> None:
    with pytest.raises(InvalidGrid, match="cut scores"):
        ConfidenceInterval(cuts)
    with pytest.raises(InvalidGrid, match="cut scores"):
        ProbabilityRatio(BANK, cuts, half_width=0.3)


@pytest.mark.parametrize(
    "rates", [{"alpha": 0.0}, {"alpha": 0.5}, {"beta": 0.0}, {"beta": 0.5}, {"half_width": 0.0}]
)
def test_error_rates_are_between_nothing_and_a_half(rates) -> None:
    with pytest.raises(InvalidGrid, match="alpha"):
        ProbabilityRatio(BANK, [0.0], **{"half_width": 0.3, **rates})


@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_a_confidence_is_between_nothing_and_all(confidence) -> None:
    with pytest.raises(InvalidGrid, match="confidence"):
        ConfidenceInterval([0.0], confidence)


def test_cuts_cannot_be_written_to_and_the_caller_s_array_stays_the_callers() -> None:
    cuts = np.array([0.0, 1.0])
    rule = ConfidenceInterval(cuts)
    cuts[0] = 0.5
    assert rule.cuts[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        rule.cuts[0] = 0.5
