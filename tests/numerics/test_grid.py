"""Grids are distributions; responses are categories."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from domain.cat.errors import InvalidGrid, InvalidResponse
from domain.cat.grid import DEFAULT_GRID, Grid, grid_of, normal_grid
from domain.cat.types import as_responses

TWO = np.array([2, 2])


def test_the_default_grid_is_standard_normal_on_61_points() -> None:
    density = norm.pdf(np.linspace(-6, 6, 61))
    np.testing.assert_allclose(DEFAULT_GRID.weights, density / density.sum(), rtol=1e-12)
    assert DEFAULT_GRID.mean == pytest.approx(0, abs=1e-15)
    # The rectangular rule is exact for a normal density up to its tails: beyond 6 lies 2e-9.
    assert DEFAULT_GRID.sd == pytest.approx(1, abs=1e-7)


@given(mean=st.floats(-2, 2), sd=st.floats(0.3, 2))
def test_a_normal_grid_has_the_mean_and_sd_asked_for(mean, sd) -> None:
    grid = normal_grid(201, mean - 8 * sd, mean + 8 * sd, mean, sd)
    assert grid.weights.sum() == pytest.approx(1, abs=1e-14)
    assert grid.mean == pytest.approx(mean, abs=1e-12)
    assert grid.sd == pytest.approx(sd, rel=1e-12)


def test_a_grid_far_from_the_mean_still_is_a_distribution() -> None:
    assert normal_grid(3, 100.0, 102.0).weights == pytest.approx([1, 0, 0])


def test_a_grid_takes_any_density() -> None:
    skewed = grid_of([0.0, 1.0, 2.0], lambda x: 3 - x)
    np.testing.assert_allclose(skewed.weights, [3 / 6, 2 / 6, 1 / 6])


@pytest.mark.parametrize(
    ("points", "weights"),
    [
        ([0.0, 1.0], [0.5, 0.6]),
        ([0.0, 1.0], [1.5, -0.5]),
        ([1.0, 0.0], [0.5, 0.5]),
        ([0.0, 0.0], [0.5, 0.5]),
        ([0.0, np.nan], [0.5, 0.5]),
        ([0.0, 1.0], [1.0]),
        ([], []),
    ],
)
def test_what_is_no_distribution_is_refused(points, weights) -> None:
    with pytest.raises(InvalidGrid):
        Grid(np.array(points), np.array(weights))


@pytest.mark.parametrize(
    "arguments", [{"count": 1}, {"low": 1.0, "high": 1.0}, {"sd": 0.0}, {"mean": np.nan}, {"high": np.inf}]
)
def test_a_normal_grid_of_nothing_is_refused(arguments) -> None:
    with pytest.raises(InvalidGrid):
        normal_grid(**arguments)


@pytest.mark.parametrize("density", [[0.0, 0.0], [np.inf, 1.0], [2.0, -1.0]])
def test_a_density_that_is_none_is_refused(density) -> None:
    with pytest.raises(InvalidGrid):
        grid_of([0.0, 1.0], np.array(density))


@pytest.mark.parametrize("given", [[[True, False]], [[1.0, 0.0]], np.array([[1, 0]], dtype=np.uint8), [1, 0]])
def test_responses_may_be_any_whole_numbers(given) -> None:
    taken = as_responses(given, TWO)
    np.testing.assert_array_equal(taken, [[1, 0]])
    assert taken.dtype == np.int64


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ([[0, 1], [0, 2]], (1, 1)),
        ([[0, 1], [-2, 0]], (1, 0)),
        ([[0, 1], [0.5, 0]], (1, 0)),
        ([[0, 1], [np.nan, 0]], (1, 0)),
        ([[0, 1, 1]], (-1, -1)),
        ([["a", "b"]], (-1, -1)),
        ([[[0, 1]]], (-1, -1)),
    ],
)
def test_what_is_no_response_is_refused_with_its_place(given, place) -> None:
    with pytest.raises(InvalidResponse) as refused:
        as_responses(given, TWO)
    assert (refused.value.row, refused.value.column) == place
