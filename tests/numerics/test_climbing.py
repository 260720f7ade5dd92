"""The safeguarded search: finds each top, quickly, whatever the curvature it is told."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.cat.climbing import climb


def test_each_hill_is_climbed_in_its_own_bracket() -> None:
    tops = np.array([-0.7, 0.0, 0.3, 0.99])
    found = climb(lambda at, hill: (tops[hill] - at, -np.ones(len(at))), np.zeros(4), -np.ones(4), np.ones(4))
    np.testing.assert_allclose(found, tops, atol=1e-15)


@given(top=st.floats(-0.99, 0.99), steep=st.floats(0.1, 50), told=st.floats(-10, 100))
def test_a_wrong_curvature_costs_steps_and_not_digits(top, steep, told) -> None:
    found = climb(
        lambda at, _: (-np.sinh(steep * (at - top)), np.full(len(at), told * steep)),
        np.array([0.0]),
        np.array([-1.0]),
        np.array([1.0]),
    )
    assert found[0] == pytest.approx(top, abs=1e-12)


@pytest.mark.parametrize(("rise", "end"), [(1.0, 2.0), (-1.0, -3.0)])
def test_a_slope_that_points_out_ends_at_that_end(rise, end) -> None:
    found = climb(
        lambda at, _: (np.full(len(at), rise), np.zeros(len(at))),
        np.array([end]),
        np.array([-3.0]),
        np.array([2.0]),
    )
    assert found[0] == end


def test_nobody_steps_out_of_the_bracket() -> None:
    """Though the curvature told is ten times too small, and the step it asks for ends beyond."""
    asked = []

    def slope(at, _):
        asked.extend(at)
        return 0.95 - at, np.full(len(at), -0.1)

    found = climb(slope, np.array([0.9]), np.array([-1.0]), np.array([1.0]))
    assert found[0] == pytest.approx(0.95, abs=1e-12)
    assert max(np.abs(asked)) <= 1


def test_newton_s_digits_double() -> None:
    """A handful of steps is enough: also where rounding keeps the slope from ever being 0."""
    asked = 0
    squares = np.arange(2.0, 200.0)

    def slope(at, hill):
        nonlocal asked
        asked += 1
        return squares[hill] - at**2, -2 * at

    found = climb(slope, np.sqrt(squares) + 0.1, np.sqrt(squares) - 0.3, np.sqrt(squares) + 0.3)
    np.testing.assert_allclose(found, np.sqrt(squares), rtol=1e-15)
    assert asked <= 6
