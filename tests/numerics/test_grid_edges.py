"""Grids at the limits of what they take, and what they say where they refuse."""

import numpy as np
import pytest

from domain.cat.errors import InvalidGrid
from domain.cat.grid import DEFAULT_GRID, Grid, grid_of, normal_grid


def test_a_grid_cannot_be_written_to() -> None:
    points, weights = np.array([0.0, 1.0]), np.array([0.5, 0.5])
    grid = Grid(points, weights)
    for values in (grid.points, grid.weights, DEFAULT_GRID.weights):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 9.0
    points[0] = weights[0] = 9.0  # the caller's own arrays stay the caller's
    assert (grid.points[0], grid.weights[0]) == (0.0, 0.5)


def test_weights_that_sum_to_one_but_for_rounding_are_made_to_sum_to_it() -> None:
    grid = Grid(np.array([0.0, 1.0]), np.array([0.5, 0.5 + 9e-10]))
    assert abs(grid.weights.sum() - 1) < 1e-15
    with pytest.raises(InvalidGrid):
        Grid(np.array([0.0, 1.0]), np.array([0.5, 0.5 + 1.1e-9]))


def test_two_points_are_a_grid_and_one_point_is_one_where_it_is_given() -> None:
    np.testing.assert_allclose(normal_grid(2, -1.0, 1.0).weights, [0.5, 0.5])
    assert Grid(np.array([0.3]), np.array([1.0])).sd == 0.0


def test_tails_of_a_normal_grid_underflow_to_nought_and_the_middle_stays() -> None:
    np.testing.assert_array_equal(normal_grid(3, -60.0, 60.0).weights, [0.0, 1.0, 0.0])


@pytest.mark.parametrize(
    ("points", "weights", "reason"),
    [
        ([0.0, 1.0], [0.5, 0.6], "the weights sum to 1.1"),
        ([0.0, 1.0], [1.5, -0.5], "a weight is negative"),
        ([0.0, 0.0], [0.5, 0.5], "the points do not ascend"),
        ([1.0, 0.0], [0.5, 0.5], "the points do not ascend"),
        ([0.0, np.inf], [0.5, 0.5], "a point or a weight is not finite"),
        ([0.0, 1.0], [0.5, np.nan], "a point or a weight is not finite"),
        ([[0.0, 1.0]], [[0.5, 0.5]], r"points of shape \(1, 2\)"),
        ([0.0, 1.0], [1.0], r"points of shape \(2,\) with weights of shape \(1,\)"),
        ([], [], r"points of shape \(0,\)"),
    ],
)
def test_what_is_wrong_with_a_grid_is_said(points, weights, reason) -> None:
    with pytest.raises(InvalidGrid, match=reason):
        Grid(np.array(points), np.array(weights))


@pytest.mark.parametrize("density", [[0.0, 0.0], [np.inf, 1.0], [np.nan, 1.0], [-2.0, 1.0]])
def test_a_density_without_a_sum_is_said_to_have_none(density) -> None:
    with pytest.raises(InvalidGrid, match="the density sums to"):
        grid_of([0.0, 1.0], np.array(density))


@pytest.mark.parametrize(
    "arguments",
    [
        {"count": 1},
        {"low": 1.0, "high": 1.0},
        {"low": 2.0, "high": 1.0},
        {"sd": 0.0},
        {"sd": np.inf},
        {"mean": np.nan},
        {"high": np.inf},
        {"low": -np.inf},
    ],
)
def test_what_was_asked_of_a_normal_grid_is_told_where_it_cannot_be(arguments) -> None:
    with pytest.raises(InvalidGrid, match="points from"):
        normal_grid(**arguments)
