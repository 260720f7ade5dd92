"""Shares of content areas, and constraints that hold in every test."""

from collections import Counter

import numpy as np
import pytest

from domain.attempts.adaptive import opened
from domain.cat.errors import CatError, Infeasible
from domain.exams.adaptive import (
    AdaptiveRules,
    AreaCount,
    AreaShare,
    Enemies,
    Progressive,
    SympsonHetter,
)
from domain.exams.adaptive import (
    Testlet as Together,  # else it is taken for a class of tests
)
from tests.support.adaptive_sitting import (
    PRIOR,
    by_model,
    item_id,
    live_test,
    parameters,
    pool_of,
    take,
)

TABLE = parameters(60)
POOL = pool_of(TABLE, "xyz")


def ids(*rows):
    return tuple(map(item_id, rows))


def areas_of(rows):
    return Counter("xyz"[row % 3] for row in rows)


def shares(**parts):
    return tuple(AreaShare(area, part) for area, part in parts.items())


@pytest.mark.parametrize("theta", [-2.0, 0.0, 2.0])
def test_each_area_gets_its_share(theta):
    rules = AdaptiveRules(shares=shares(x=2, y=1, z=1), stop_se=None, max_items=20)
    assert areas_of(take(live_test(rules, POOL), by_model(TABLE, theta, 1)).rows) == {"x": 10, "y": 5, "z": 5}


def test_where_an_area_has_run_out_the_others_go_on():
    small = pool_of(TABLE[:12], "xyyyyy")
    rules = AdaptiveRules(shares=shares(x=1, y=1), stop_se=None, max_items=12)
    taken = take(live_test(rules, small))
    assert sorted(taken.rows) == list(range(12))
    assert {row % 6 == 0 for row in taken.rows[:4]} == {True, False}


def test_an_area_with_a_share_of_nothing_comes_last_of_all():
    rules = AdaptiveRules(shares=shares(z=0, x=1, y=1), stop_se=None, max_items=50)
    rows = take(live_test(rules, POOL)).rows
    assert areas_of(rows[:40]) == {"x": 20, "y": 20}
    assert areas_of(rows[40:]) == {"z": 10}


CONSTRAINTS = (
    AreaCount("x", 5, 6),
    AreaCount("y", 0, 4),
    AreaCount("z", 6),
    Enemies(ids(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)),
    Enemies(ids(9, 10, 11)),
    Together(ids(20, 21, 22)),
    Together(ids(30, 31, 32, 33), 2, 3),
)


def broken(rows):
    """Written apart from the engine: what a test of these rows would violate."""
    counts, found = areas_of(rows), []
    chosen = set(rows)
    if not 5 <= counts["x"] <= 6:
        found.append("x")
    if counts["y"] > 4:
        found.append("y")
    if counts["z"] < 6:
        found.append("z")
    if len(chosen & set(range(10))) > 1:
        found.append("first enemies")
    if len(chosen & {9, 10, 11}) > 1:
        found.append("second enemies")
    if len(chosen & {20, 21, 22}) not in (0, 3):
        found.append("whole testlet")
    if len(chosen & {30, 31, 32, 33}) not in (0, 2, 3):
        found.append("testlet with limits")
    return found


def appear_together(rows, testlet):
    places = [place for place, row in enumerate(rows) if row in testlet]
    return not places or places[-1] - places[0] == len(places) - 1


@pytest.mark.parametrize(
    "exposure",
    [None, Progressive(), SympsonHetter(tuple(np.linspace(0.2, 1, 60).tolist()))],
    ids=["no control", "progressive", "sympson-hetter"],
)
@pytest.mark.parametrize("stop_se", [None, 0.45], ids=["fixed length", "stops early"])
def test_every_constraint_holds_in_every_test(exposure, stop_se):
    rules = AdaptiveRules(constraints=CONSTRAINTS, exposure=exposure, stop_se=stop_se, max_items=16)
    test = live_test(rules, POOL)
    lengths = set()
    for seed in range(30):
        taken = take(test, by_model(TABLE, np.linspace(-3, 3, 30)[seed], seed), seed=seed)
        assert broken(taken.rows) == []
        assert appear_together(taken.rows, {20, 21, 22})
        assert appear_together(taken.rows, {30, 31, 32, 33})
        lengths.add(len(taken.rows))
    assert (lengths == {16}) == (stop_se is None)


def test_without_constraints_those_tests_would_break_them():
    test = live_test(AdaptiveRules(stop_se=None, max_items=16), POOL)
    assert all(broken(take(test, by_model(TABLE, theta, 1)).rows) for theta in (-2.0, 0.0, 2.0))


def test_a_test_that_knows_enough_goes_on_until_its_testlet_is_whole():
    table = np.tile([2.5, 0.0, 0.0, 1.0], (12, 1))
    rules = AdaptiveRules(constraints=(Together(ids(0, 1, 2, 3)),), stop_se=0.6, max_items=10)
    taken = take(live_test(rules, pool_of(table)))

    enough = next(update.step for update in taken.updates if update.se < 0.6)
    assert taken.rows[0] in {0, 1, 2, 3}
    assert enough < 4
    assert (len(taken.rows), taken.result.stop_reason) == (4, "se")


def test_the_constraint_that_costs_information_is_named():
    test = live_test(AdaptiveRules(constraints=(AreaCount("x", 10, 10),), stop_se=None, max_items=10), POOL)
    told = test.explain(take(test).sitting)
    assert told.shadow is None, "it is over"

    shadow = test.explain(opened(PRIOR, 1)).shadow
    assert "x" in shadow.binding
    assert set(shadow.items % 3) == {0}


def test_constraints_that_contradict_each_other_are_refused_with_their_names():
    impossible = (AreaCount("x", 12), AreaCount("y", 9), Enemies(ids(0, 1)))
    with pytest.raises(Infeasible) as refused:
        live_test(AdaptiveRules(constraints=impossible, max_items=20), POOL)
    assert "x" in refused.value.detail()
    assert "y" in refused.value.detail()


def test_a_testlet_that_is_too_small_without_its_pretest_items_is_refused():
    pool = pool_of(TABLE[:20], pretest=2)
    with pytest.raises(CatError, match="testlet 0"):
        live_test(AdaptiveRules(constraints=(Together(ids(18, 20, 21), 2),), max_items=10), pool)
