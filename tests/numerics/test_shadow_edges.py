"""Blueprints and shadow tests at their limits: what just fits, what just does not, and what is said of it."""

import numpy as np
import pytest

from domain.cat import blueprint as content
from domain.cat.blueprint import (
    Blueprint,
    CountBetween,
    Enemies,
    InvalidConstraint,
    SumBetween,
    counts_per_area,
)
from domain.cat.errors import Infeasible, InvalidItem, TooFewItems
from domain.cat.shadow import ShadowAssembler
from domain.cat.shadow.program import program_of
from domain.cat.shadow.search import IntegerSearch, _Incumbent, _lp, _quiet, _vertex

VALUES = np.array([5.0, 4.0, 3.0, 2.0, 1.0])


@pytest.mark.parametrize(
    ("constraint", "met", "broken"),
    [
        (CountBetween("x", [0, 1], 1, 1), [[0, 2], [1, 4]], [[0, 1], [2, 3]]),
        (CountBetween("x", [0, 1]), [[0, 1], [2, 3], [0, 4]], []),
        (CountBetween("x", [0, 1], low=2), [[0, 1]], [[0, 2], [3, 4]]),
        (CountBetween("x", [0, 1], high=0), [[2, 3]], [[0, 2], [0, 1]]),
        (SumBetween("x", VALUES, 5.0, 6.0), [[1, 3], [0, 4], [2, 3]], [[0, 3], [3, 4]]),
        (SumBetween("x", VALUES), [[0, 1], [3, 4]], []),
        (SumBetween("x", -VALUES, high=-6.0), [[0, 4], [0, 1]], [[2, 3]]),
        (Enemies("x", [0, 1, 2]), [[0, 3], [3, 4]], [[0, 1], [1, 2]]),
        (content.Testlet("x", [0, 1]), [[0, 1], [2, 3]], [[0, 2], [1, 4]]),
        (content.Testlet("x", [0, 1, 2], low=2), [[0, 1], [3, 4]], [[0, 3]]),
        (content.Testlet("x", [0, 1, 2], high=1), [[0, 3], [3, 4]], [[0, 1]]),
    ],
)
def test_a_constraint_is_met_up_to_its_limits_and_the_solver_sees_it_so_too(constraint, met, broken) -> None:
    blueprint = Blueprint(5, 2, (constraint,))
    for items in met:
        assert blueprint.broken(items) == ()
        assert ShadowAssembler(blueprint).assemble(VALUES, given=items).items.tolist() == items
    for items in broken:
        assert blueprint.broken(items) == ("x",)
        with pytest.raises(Infeasible):
            ShadowAssembler(blueprint).assemble(VALUES, given=items)
    best = max(
        (VALUES[[i, j]].sum() for i in range(5) for j in range(i) if not blueprint.broken([i, j])),
    )
    assert ShadowAssembler(blueprint, gap=0.0).assemble(VALUES).value == best


def test_sums_of_floats_have_a_rounding_s_room_and_no_more() -> None:
    amounts = np.array([0.1, 0.2, 0.3, 1e-6, 0.7])
    exact = Blueprint(5, 2, (SumBetween("x", amounts, 0.3, 0.3),))
    assert exact.broken([0, 1]) == ()  # 0.30000000000000004
    assert exact.broken([2, 3]) == ("x",)
    assert ShadowAssembler(exact).assemble(VALUES).items.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Blueprint(3, 0), "length: a test of 0 items"),
        (lambda: Blueprint(3, 2, (Enemies("length", [0]),)), "length: the name is used twice"),
        (lambda: Blueprint(3, 2, (Enemies("e", [0, 3]),)), "e: there is no item 3"),
        (lambda: Enemies("e", [-1, 2]), "e: there is no item -1"),
        (lambda: Blueprint(3, 2, (SumBetween("w", np.ones(4)),)), "w: 4 amounts for 3 items"),
        (lambda: SumBetween("w", np.ones((2, 2))), "w: an amount is not finite, or amounts are not one"),
        (lambda: SumBetween("w", np.array([1.0, np.inf])), "w: an amount is not finite"),
        (lambda: SumBetween("w", np.ones(3), 2.0, 1.0), "w: from 2.0 to 1.0"),
        (lambda: SumBetween("w", np.ones(3), np.nan), "w: from nan to inf"),
        (lambda: CountBetween("c", [0], 2, 1), "c: from 2 to 1"),
        (lambda: content.Testlet("t", [0, 1], low=0), "t: at least 0 of 2 items"),
        (lambda: content.Testlet("t", [0, 1], low=3, high=4), "t: at least 3 of 2 items"),
        (lambda: content.Testlet("t", []), "t: at least 0 of 0 items"),
        (lambda: counts_per_area("aab", {"b": (2, 3)}), "b: 2 items are wanted and the bank has 1"),
        (lambda: ShadowAssembler(Blueprint(3, 2), gap=-1e-9), "gap: a gap of"),
        (lambda: ShadowAssembler(Blueprint(3, 2), gap=np.nan), "gap: a gap of"),
    ],
)
def test_what_is_wrong_with_a_constraint_is_said(make, said) -> None:
    with pytest.raises(InvalidConstraint) as refused:
        make()
    assert f"Constraint {said}" in refused.value.detail()


def test_limits_at_their_least_and_empty_constraints_are_taken() -> None:
    Blueprint(1, 1)
    Blueprint(3, 2, (CountBetween("none", []), Enemies("nobody", []), content.Testlet("all", [0, 1], 2, 2)))
    assert counts_per_area("aab", {"a": (2, None)})[0].high is None
    assert content.Testlet("t", [0, 1, 2], low=2).limits == (2, 3)
    assert content.Testlet("t", [0, 1, 2], high=2).limits == (1, 2)
    assert (content.Testlet("t", [0, 1, 2]).limits, content.Testlet("t", [0, 1, 2]).whole) == ((3, 3), True)
    assert not content.Testlet("t", [0, 1, 2], low=1).whole
    assert not content.Testlet("t", [0, 1, 2], high=3).whole
    with pytest.raises(TooFewItems) as few:
        Blueprint(3, 4)
    assert few.value.data() == {"have": 3, "wanted": 4}


def test_what_a_constraint_holds_cannot_be_written_to() -> None:
    words, rows = np.ones(3), np.array([0, 1])
    for values in (SumBetween("w", words).amounts, Enemies("e", rows).items):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 2
    assert CountBetween("c", [2, 0, 2]).items.tolist() == [0, 2]


def test_a_program_has_a_column_an_item_or_a_whole_testlet_and_a_switch_for_each_testlet_with_limits() -> (
    None
):
    blueprint = Blueprint(
        7,
        4,
        (
            content.Testlet("whole", [1, 3]),
            content.Testlet("part", [4, 5, 6], low=2),
            CountBetween("c", [0, 1], 1, 2),
        ),
    )
    program = program_of(blueprint)
    assert program.columns == 6 + 1
    assert program.column_of.tolist() == [0, 1, 2, 1, 3, 4, 5]
    assert program.row_names == ("length", "c", "part", "part")
    np.testing.assert_array_equal(program.costs(np.arange(7.0)), [0, 4, 2, 4, 5, 6, 0])
    np.testing.assert_array_equal(program.solution_of(np.array([1, 3, 4, 5])), [0, 1, 0, 1, 1, 0, 1])
    np.testing.assert_array_equal(program.solution_of(np.array([0, 2])), [1, 0, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(
        program.matrix.toarray(),
        [
            [1, 2, 1, 1, 1, 1, 0],
            [1, 1, 0, 0, 0, 0, 0],
            [0, 0, 0, 1, 1, 1, -2],
            [0, 0, 0, 1, 1, 1, -3],
        ],
    )
    np.testing.assert_array_equal(program.row_low, [4, 1, 0, -np.inf])
    np.testing.assert_array_equal(program.row_high, [4, 2, np.inf, 0])
    apart = program_of(blueprint, testlets_whole=False)
    assert apart.columns == 7 + 2
    assert apart.row_names == ("length", "c", "whole", "whole", "part", "part")


@pytest.mark.parametrize(
    ("arguments", "row"),
    [
        ({"criterion": np.ones(4)}, -1),
        ({"criterion": np.ones((5, 1))}, -1),
        ({"criterion": np.array([1.0, 1.0, np.nan, 1.0, np.inf])}, 2),
        ({"criterion": VALUES, "eligible": [True]}, -1),
        ({"criterion": VALUES, "given": [0, 5]}, 5),
        ({"criterion": VALUES, "given": [1, -1]}, -1),
        ({"criterion": VALUES, "given": [3, 1, 3]}, 3),
    ],
)
def test_a_shadow_test_of_senseless_numbers_is_refused_with_their_place(arguments, row) -> None:
    with pytest.raises(InvalidItem) as refused:
        ShadowAssembler(Blueprint(5, 3)).assemble(**arguments)
    assert refused.value.row == row


def test_a_test_that_is_complete_has_no_next_item() -> None:
    assembler = ShadowAssembler(Blueprint(5, 2, (Enemies("twins", [0, 1]),)))
    assert assembler.next_item(VALUES, [0]).choice.item == 2
    with pytest.raises(TooFewItems) as few:
        assembler.next_item(VALUES, [0, 2])
    assert few.value.data() == {"have": 2, "wanted": 3}


def test_all_who_begin_alike_begin_with_the_very_same_test_and_nobody_else_does() -> None:
    assembler = ShadowAssembler(Blueprint(5, 2, (Enemies("twins", [0, 1]),)))
    first = assembler.assemble(VALUES)
    assert assembler.assemble(VALUES) is first
    assert assembler.assemble(VALUES[::-1]) is not first
    again = assembler.assemble(VALUES)
    assert again.items.tolist() == first.items.tolist() == [0, 2]
    assert assembler.assemble(VALUES, before=again) is not again
    worth = VALUES.copy()
    kept = assembler.assemble(worth)
    worth[:] = worth[::-1].copy()
    assert assembler.assemble(worth).items.tolist() == [3, 4]
    assert kept.items.tolist() == [0, 2]


def test_the_gap_is_a_share_of_the_value_of_either_sign() -> None:
    blueprint = Blueprint(4, 2, (Enemies("twins", [0, 1]),))
    for values in (np.array([4.0, 3.0, 2.0, 1.0]), -np.array([4.0, 3.0, 2.0, 1.0]), np.zeros(4)):
        test = ShadowAssembler(blueprint, gap=0.0).assemble(values)
        assert test.gap == pytest.approx((test.bound - test.value) / max(abs(test.value), 1e-300))
        assert 0 <= test.gap <= 1e-8
        best = max(values[[i, j]].sum() for i in range(4) for j in range(i) if {i, j} != {0, 1})
        assert test.value == pytest.approx(best)


def test_a_testlet_begun_comes_first_only_while_the_test_has_more_of_it() -> None:
    blueprint = Blueprint(6, 4, (content.Testlet("passage", [0, 1, 2], low=2, high=2),))
    worth = np.array([0.2, 0.3, 0.1, 0.9, 0.8, 0.7])
    assembler = ShadowAssembler(blueprint, gap=0.0)
    assert assembler.next_item(worth, [1]).choice.item == 0
    assert assembler.next_item(worth, [1, 0]).choice.item == 3
    assert assembler.next_item(worth, [1, 3]).choice.item == 4  # the last given is of no testlet


def test_highs_own_search_is_asked_for_the_very_gap(monkeypatch) -> None:
    rng = np.random.default_rng(3)
    size = 120
    constraints = (
        SumBetween("words", rng.integers(20, 120, size).astype(float), 600, 640),
        *(CountBetween(f"area {k}", np.flatnonzero(rng.integers(0, 4, size) == k), 2, 4) for k in range(4)),
    )
    blueprint = Blueprint(size, 10, constraints)
    criteria = [rng.lognormal(0, 0.5, size) for _ in range(12)]
    wanted = [ShadowAssembler(blueprint, gap=0.0).assemble(each) for each in criteria]
    monkeypatch.setattr("domain.cat.shadow.search._MOST_NODES", 0)
    for each, best in zip(criteria, wanted, strict=True):
        found = ShadowAssembler(blueprint, gap=0.0).assemble(each)
        assert found.value == pytest.approx(best.value, rel=1e-8)
        assert found.gap <= 1e-8


def test_a_solver_that_is_stopped_before_the_end_is_at_a_loss_and_does_not_answer() -> None:
    program = program_of(Blueprint(6, 3, (SumBetween("w", np.arange(6.0), 5.5, 6.5),)))
    stopped = _quiet(presolve="off", simplex_iteration_limit=0)
    stopped.passModel(_lp(program.matrix, np.arange(6.0), program.row_low, program.row_high))
    with pytest.raises(ArithmeticError, match="HiGHS"):
        _vertex(stopped)


def test_each_testlet_with_limits_has_the_switch_of_its_own_place() -> None:
    parts = [content.Testlet(f"part {k}", [2 * k, 2 * k + 1], low=1) for k in range(3)]
    program = program_of(Blueprint(7, 3, tuple(parts)))
    assert program.columns == 7 + 3
    assert program.solution_of(np.array([0, 4, 6]))[7:].tolist() == [1, 0, 1]
    assert program.solution_of(np.array([2, 3, 6]))[7:].tolist() == [0, 1, 0]


def test_where_every_column_is_settled_the_settled_test_counts_only_if_it_is_one() -> None:
    program = program_of(Blueprint(4, 2, (Enemies("twins", [0, 1]),)))
    search, none = IntegerSearch(program), np.zeros(0, dtype=np.int64)
    for settled, taken in (([1.0, 0, 1, 0], True), ([1.0, 1, 0, 0], False)):
        incumbent = _Incumbent(np.ones(4), 0.0)
        assert search._search_core(none, np.array(settled), incumbent, 5) == 5
        assert (incumbent.at is not None) == taken
