"""Ability where little is known, or where one step of the search would decide between two hills."""

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar

from domain.cat.ability import eap, map_, ml, posterior, wle
from domain.cat.grid import DEFAULT_GRID
from domain.cat.items import LogisticItems

PATTERN = [[1, 1, 1, 0, 1, 1]]


def with_two_hills(last: float, shift: float) -> LogisticItems:
    """One easy item failed and harder ones solved: one top near -1.7, another above 0; `last` tilts them."""
    b = np.array([-0.2, 0.0, 1.4, -2.0, 0.4, last]) + shift
    return LogisticItems.of([2.5, 2.2, 1.7, 2.5, 2.0, 2.6], b, 0.2)


def lead_of_the_right_hill(last: float) -> float:
    def height(at: float) -> float:
        return float(with_two_hills(last, 0.0).log_likelihood(PATTERN, [at])[0, 0])

    left, right = (
        minimize_scalar(lambda at: -height(at), bounds=bounds, method="bounded", options={"xatol": 1e-10})
        for bounds in ((-2.5, -1.0), (-1.0, 1.5))
    )
    return left.fun - right.fun


def test_the_higher_hill_wins_by_a_lead_far_below_what_the_search_s_points_show() -> None:
    even = brentq(lead_of_the_right_hill, -1.7, -1.3, xtol=1e-12)
    slope = (lead_of_the_right_hill(even + 1e-4) - lead_of_the_right_hill(even - 1e-4)) / 2e-4
    # Between points 0.1 apart a top may lie 2e-3 higher than its nearest point; the lead is a tenth of that.
    for shift in np.arange(0, 0.1, 0.01):
        for lead in (-2e-4, 2e-4):
            theta = ml(with_two_hills(even + lead / slope, shift), PATTERN).theta[0] - shift
            assert (theta > -1) == (lead > 0)


@pytest.mark.parametrize("people", [0, 3])
def test_a_bank_without_items_tells_nothing(people) -> None:
    nothing, nobody = LogisticItems.of([], []), np.zeros((people, 0), dtype=int)
    for method, se in ((eap, DEFAULT_GRID.sd), (map_, 1.0), (ml, np.inf), (wle, np.inf)):
        found = method(nothing, nobody)
        np.testing.assert_allclose(found.theta, np.zeros(people), atol=1e-15)
        np.testing.assert_allclose(found.se, np.full(people, se))
    np.testing.assert_allclose(posterior(nothing, nobody), np.tile(DEFAULT_GRID.weights, (people, 1)))


def test_items_so_steep_that_they_inform_nowhere_else_leave_warm_s_estimate_beside_them() -> None:
    items = LogisticItems.of(300.0, [1.02, 1.04, 1.06])
    found = wle(items, [[1, 1, 1], [0, 0, 0], [1, 0, 0]])
    assert (np.abs(found.theta - 1.04) < 0.1).all()
    assert np.isfinite(found.se).all()


def test_a_weight_of_nought_leaves_an_ability_out_whatever_was_answered() -> None:
    from domain.cat.grid import grid_of

    grid = grid_of([-1.0, 0.0, 1.0], np.array([0.5, 0.5, 0.0]))
    shares = posterior(LogisticItems.of(2.0, [0.0, 0.0]), [[1, 1]], grid)
    assert shares[0, 2] == 0
    assert shares[0].sum() == pytest.approx(1, abs=1e-15)
