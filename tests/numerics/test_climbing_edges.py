"""The safeguarded search where Newton's steps go round in circles, and where nothing rises or bends."""

import warnings

import numpy as np
import pytest

from domain.cat.climbing import climb

BELOW, ABOVE = np.array([-1.0]), np.array([1.0])


@pytest.mark.parametrize("told", [-0.5, -0.501, -0.49])
def test_steps_that_throw_the_search_from_side_to_side_are_given_up(told) -> None:
    """Half of the true curvature makes each step twice as long as it should be: back and forth for ever."""
    asked = 0

    def slope(at, _):
        nonlocal asked
        asked += 1
        return 0.3 - at, np.full(len(at), told)

    assert climb(slope, np.array([0.9]), BELOW, ABOVE)[0] == pytest.approx(0.3, abs=1e-12)
    assert asked < 100


@pytest.mark.parametrize("bend", [0.0, 0.5, -1e-320])
def test_where_nothing_rises_nobody_moves(bend) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = climb(
            lambda at, _: (np.zeros(len(at)), np.full(len(at), bend)), np.array([0.25]), BELOW, ABOVE
        )
    assert found[0] == 0.25


@pytest.mark.parametrize("bend", [0.0, 0.5, 3.0, -1e-320])
def test_without_a_curvature_to_go_by_the_bracket_is_halved_and_nothing_is_warned_of(bend) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = climb(lambda at, _: (0.7 - at, np.full(len(at), bend)), np.array([0.0]), BELOW, ABOVE)
    assert found[0] == pytest.approx(0.7, abs=2e-13)


def test_the_start_and_the_bracket_of_the_caller_stay_as_they_were() -> None:
    start, low, high = np.zeros(3), -np.ones(3), np.ones(3)
    climb(lambda at, _: (0.7 - at, -np.ones(len(at))), start, low, high)
    assert (start == 0).all()
    assert (low == -1).all()
    assert (high == 1).all()


def test_of_no_hills_there_are_no_tops() -> None:
    assert climb(lambda at, _: (at, at), np.zeros(0), np.zeros(0), np.zeros(0)).size == 0
