"""How long the leading sequencer waits between two looks."""

import pytest

from infra.sequencer.pace import FULL_RATE_EVENTS, FULL_RATE_LASTS_S, Pace

BUSY_S, IDLE_S = 0.002, 0.02


@pytest.fixture
def pace():
    return Pace(BUSY_S, IDLE_S)


def test_looks_that_find_nothing_become_rarer_up_to_the_idle_interval(pace):
    pauses = [pace.pause_s(0, now) for now in range(6)]
    assert pauses == [0.004, 0.008, 0.016, IDLE_S, IDLE_S, IDLE_S]


def test_an_event_makes_it_look_often_again(pace):
    for now in range(5):
        pace.pause_s(0, now)
    assert pace.pause_s(1, 5) == BUSY_S
    assert pace.pause_s(0, 5) == BUSY_S * 2


def test_a_gap_between_two_bursts_at_full_rate_is_not_taken_for_the_end(pace):
    pace.pause_s(FULL_RATE_EVENTS, 10.0)
    within = [10.0 + FULL_RATE_LASTS_S * share for share in (0.1, 0.5, 0.9)]
    assert [pace.pause_s(0, now) for now in within] == [BUSY_S] * 3


def test_after_the_last_burst_it_becomes_quiet(pace):
    pace.pause_s(FULL_RATE_EVENTS, 10.0)
    pauses = [pace.pause_s(0, 10.0 + FULL_RATE_LASTS_S + more) for more in range(5)]
    assert pauses[-1] == IDLE_S


def test_single_events_do_not_keep_it_looking_often(pace):
    """A school at work sends an answer now and then: to look every other millisecond would cost too much."""
    pace.pause_s(FULL_RATE_EVENTS - 1, 10.0)
    assert pace.pause_s(0, 10.0) > BUSY_S
