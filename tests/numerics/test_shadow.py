"""The shadow test against enumeration, against another solver, and against its own promises."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

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
from domain.cat.grid import DEFAULT_GRID
from domain.cat.items import LogisticItems
from domain.cat.shadow import GIVEN, ShadowAssembler
from domain.cat.shadow.program import program_of

# Two tests whose values differ by less than the search can tell apart (1e-9 of the value) are equally good.
SAME = 1e-8


def by_enumeration(blueprint, criterion, given=(), barred=()):
    """The largest value of a test that meets the blueprint, of all there are; None: there is none."""
    values = [
        criterion[list(items)].sum()
        for items in combinations(range(blueprint.bank_size), blueprint.length)
        if set(given) <= set(items) and not set(barred) & set(items) and not blueprint.broken(items)
    ]
    return max(values, default=None)


@st.composite
def small_tasks(draw):
    """A bank of at most 11 items with constraints of every kind, some of which contradict each other."""
    size = draw(st.integers(4, 11))
    length = draw(st.integers(2, size - 1))
    rows = st.lists(st.integers(0, size - 1), min_size=1, max_size=size, unique=True)
    constraints = []
    for number in range(draw(st.integers(0, 2))):
        low, high = sorted((draw(st.integers(0, 3)), draw(st.integers(0, 4))))
        constraints.append(CountBetween(f"count {number}", draw(rows), low, high))
    if draw(st.booleans()):
        words = np.array(draw(st.lists(st.integers(10, 99), min_size=size, max_size=size)), dtype=float)
        constraints.append(SumBetween("words", words, 0.0, 50.0 * length * draw(st.floats(0.5, 1.5))))
    constraints += [Enemies(f"enemies {number}", draw(rows)) for number in range(draw(st.integers(0, 2)))]
    cut = draw(st.integers(0, size))
    shuffled = draw(st.permutations(range(size)))
    if cut >= 2:
        limits = draw(st.sampled_from([(None, None), (1, 2), (2, None)]))
        constraints.append(content.Testlet("testlet", shuffled[:cut], *limits))
    if size - cut >= 2 and draw(st.booleans()):
        constraints.append(content.Testlet("another", shuffled[cut : cut + 2]))
    criterion = np.array(draw(st.lists(st.floats(0, 2), min_size=size, max_size=size)))
    known = draw(st.lists(st.integers(0, size - 1), max_size=2, unique=True))
    return Blueprint(size, length, tuple(constraints)), criterion, known


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(small_tasks())
def test_no_test_of_a_small_bank_is_better_than_the_shadow_test(task) -> None:
    blueprint, criterion, known = task
    expected = by_enumeration(blueprint, criterion, known)
    if expected is None:
        with pytest.raises(Infeasible):
            ShadowAssembler(blueprint).assemble(criterion, known)
        return
    found = ShadowAssembler(blueprint, gap=0.0).assemble(criterion, known)
    assert blueprint.broken(found.items) == ()
    assert set(known) <= set(found.items.tolist())
    assert found.value == pytest.approx(expected, abs=SAME)
    assert found.bound >= expected - SAME


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(small_tasks())
def test_constraints_that_contradict_each_other_are_named_and_none_of_them_could_be_left_out(task) -> None:
    blueprint, criterion, known = task
    if by_enumeration(blueprint, criterion, known) is not None:
        return
    with pytest.raises(Infeasible) as refused:
        ShadowAssembler(blueprint).assemble(criterion, known)
    named = refused.value.constraints
    assert named

    def possible(names):
        """By enumeration, over tests of any length where the length is not among the names."""
        kept = tuple(each for each in blueprint.constraints if each.name in names)
        lengths = [blueprint.length] if "length" in names else range(1, blueprint.bank_size + 1)
        held = known if GIVEN in names else ()
        none_given = not held and "length" not in names and all(_allows_nothing(each) for each in kept)
        return none_given or any(
            by_enumeration(Blueprint(blueprint.bank_size, length, kept), criterion, held) is not None
            for length in lengths
        )

    assert not possible(named)
    for name in named:
        assert possible(tuple(each for each in named if each != name)), name


def _allows_nothing(constraint) -> bool:
    return not isinstance(constraint, CountBetween | SumBetween) or constraint.low <= 0


def a_pool(seed, size=200, length=15):
    """A bank with areas, levels, word counts and enemies; the limits always leave room for a test."""
    rng = np.random.default_rng(seed)
    bank = LogisticItems.of(rng.lognormal(0, 0.3, size), rng.normal(0, 1, size), rng.beta(5, 17, size))
    area, level = rng.integers(0, 4, size), rng.integers(0, 3, size)
    constraints = (
        *counts_per_area([f"area {each}" for each in area], {f"area {each}": (3, 5) for each in range(4)}),
        *(CountBetween(f"level {each}", np.flatnonzero(level == each), 4, 6) for each in range(3)),
        SumBetween("words", rng.integers(20, 120, size).astype(float), 700, 900),
        *(Enemies(f"enemies {each}", rng.choice(size, 4, replace=False)) for each in range(8)),
    )
    return bank, Blueprint(size, length, constraints)


def by_scipy(blueprint, criterion, given):
    program = program_of(blueprint, testlets_whole=False)
    low = np.zeros(program.columns)
    low[program.column_of[list(given)]] = 1.0
    found = milp(
        -program.costs(criterion),
        integrality=np.ones(program.columns),
        bounds=Bounds(low, np.ones(program.columns)),
        constraints=LinearConstraint(program.matrix, program.row_low, program.row_high),
        options={"mip_rel_gap": 0.0},
    )
    return -found.fun


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_shadow_test_of_an_adaptive_test_is_within_the_gap_of_scipys_best_and_all_constraints_hold(
    seed,
) -> None:
    bank, blueprint = a_pool(seed)
    assembler, rng = ShadowAssembler(blueprint), np.random.default_rng(seed)
    posterior, items, before = DEFAULT_GRID.weights, [], None
    while len(items) < blueprint.length:
        criterion = bank.information(posterior @ DEFAULT_GRID.points)[0]
        step = assembler.next_item(criterion, items, before=before)
        test = step.test
        best = by_scipy(blueprint, criterion, items)
        assert test.value >= best * (1 - 1e-4) - SAME
        assert test.bound >= best - SAME
        assert test.gap <= 1e-4 + SAME
        assert blueprint.broken(test.items) == ()
        assert set(items) <= set(test.items.tolist())
        free = [each for each in test.items.tolist() if each not in items]
        assert step.choice.item == max(free, key=lambda row, worth=criterion: (worth[row], -row))
        items.append(step.choice.item)
        right = int(rng.random() < 0.5)
        posterior = posterior * bank.category_probabilities(DEFAULT_GRID.points)[:, items[-1], right]
        posterior, before = posterior / posterior.sum(), test
    assert blueprint.broken(items) == ()


def test_a_shadow_test_is_at_least_as_informative_as_any_greedy_test_that_meets_the_constraints() -> None:
    bank, blueprint = a_pool(4, size=60)
    assembler = ShadowAssembler(blueprint)
    for theta in (-2.0, 1.0):
        criterion = bank.information(theta)[0]
        chosen: list[int] = []
        for row in np.argsort(-criterion):  # the best item that a whole test can still be built around
            try:
                assembler.assemble(np.zeros(len(bank)), [*chosen, int(row)])
            except Infeasible:
                continue
            chosen.append(int(row))
            if len(chosen) == blueprint.length:
                break
        assert blueprint.broken(chosen) == ()
        assert assembler.assemble(criterion).value * (1 + 1e-4) >= criterion[chosen].sum()


def test_the_same_arguments_give_the_same_test_whatever_was_assembled_before() -> None:
    bank, blueprint = a_pool(5)
    used, fresh = ShadowAssembler(blueprint), ShadowAssembler(blueprint)
    for theta in np.linspace(-3, 3, 9):
        used.assemble(bank.information(theta)[0], [3, 50])
    criterion = bank.information(0.3)[0]
    first = [each.assemble(criterion) for each in (used, fresh)]
    assert first[0].items.tolist() == first[1].items.tolist()
    later = bank.information(0.4)[0]
    second = [each.assemble(later, before=first[0]) for each in (used, fresh)]
    assert second[0].items.tolist() == second[1].items.tolist()
    assert second[0].bound == second[1].bound


def test_where_nothing_binds_no_program_is_solved() -> None:
    bank, blueprint = a_pool(6)
    loose = Blueprint(
        len(bank), 10, (CountBetween("some", np.arange(100), 0, 10), *blueprint.constraints[-8:])
    )
    test = ShadowAssembler(loose).assemble(bank.information(0.0)[0])
    assert (test.how, test.binding, test.gap) == ("greedy", (), 0.0)
    assert test.items.tolist() == sorted(np.argsort(-bank.information(0.0)[0])[:10].tolist())


def test_constraints_that_cost_information_are_said_to_bind() -> None:
    criterion = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    blueprint = Blueprint(5, 2, (CountBetween("first", [0, 1], high=1), CountBetween("last", [3, 4], high=2)))
    test = ShadowAssembler(blueprint).assemble(criterion)
    assert test.items.tolist() == [0, 2]
    assert "first" in test.binding
    assert "last" not in test.binding


def test_a_testlet_that_is_begun_is_finished_first() -> None:
    blueprint = Blueprint(6, 4, (content.Testlet("passage", [1, 3, 5]),))
    criterion = np.array([0.9, 1.0, 0.8, 0.1, 0.7, 0.2])
    assembler = ShadowAssembler(blueprint, gap=0.0)
    items = [1]
    while len(items) < 4:
        items.append(assembler.next_item(criterion, items).choice.item)
    assert items == [1, 5, 3, 0]


def test_a_testlet_with_limits_is_left_out_or_kept_within_them() -> None:
    blueprint = Blueprint(6, 3, (content.Testlet("passage", [0, 1, 2, 3], low=2, high=2),))
    assembler = ShadowAssembler(blueprint, gap=0.0)
    assert assembler.assemble([9, 8, 7, 6, 2, 1.0]).items.tolist() == [0, 1, 4]
    with pytest.raises(Infeasible):
        assembler.assemble([9, 8, 7, 6, 1, 1.0], given=[0, 1, 2])


def test_items_held_back_are_left_out_and_let_in_only_where_there_is_no_other_test() -> None:
    blueprint = Blueprint(5, 2, (CountBetween("rare", [0, 1], low=1),))
    assembler = ShadowAssembler(blueprint)
    criterion = np.array([3.0, 2.0, 5.0, 4.0, 1.0])
    held = assembler.assemble(criterion, eligible=[False, True, False, True, True])
    assert (held.items.tolist(), held.eligible_only) == ([1, 3], True)
    let_in = assembler.assemble(criterion, eligible=[False, False, True, True, True])
    assert (let_in.items.tolist(), let_in.eligible_only) == ([0, 2], False)
    begun = assembler.assemble(criterion, given=[2], eligible=[True, True, False, True, True])
    assert (begun.items.tolist(), begun.eligible_only) == ([0, 2], True)


def test_ties_go_to_the_lowest_row() -> None:
    step = ShadowAssembler(Blueprint(4, 3, (Enemies("pair", [0, 1]),))).next_item([0.2, 0.5, 0.5, 0.5])
    assert step.choice.item == 1
    assert step.choice.candidates.tolist() == [1, 2, 3]


def test_a_blueprint_that_cannot_be_met_is_refused_before_anything_starts() -> None:
    contradictory = Blueprint(
        10,
        5,
        (
            CountBetween("algebra", [0, 1, 2, 3], low=3),
            CountBetween("geometry", [4, 5, 6], low=3),
            SumBetween("words", np.arange(10.0), high=1000),
        ),
    )
    with pytest.raises(Infeasible) as refused:
        ShadowAssembler(contradictory)
    assert set(refused.value.constraints) == {"length", "algebra", "geometry"}


def test_items_given_that_leave_no_test_are_named() -> None:
    assembler = ShadowAssembler(Blueprint(5, 3, (Enemies("twins", [0, 1]), Enemies("others", [2, 3]))))
    with pytest.raises(Infeasible) as refused:
        assembler.assemble(np.ones(5), given=[0, 1])
    assert set(refused.value.constraints) == {"twins", GIVEN}


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Blueprint(3, 2, (Enemies("e", [0, 3]),)), "e"),
        (lambda: Blueprint(3, 2, (Enemies("e", [0, 1]), CountBetween("e", [2]))), "e"),
        (lambda: Blueprint(3, 2, (SumBetween("words", np.ones(4)),)), "words"),
        (lambda: SumBetween("words", np.array([1.0, np.nan])), "words"),
        (lambda: CountBetween("area", [0], low=2, high=1), "area"),
        (lambda: CountBetween("area", [-1]), "area"),
        (lambda: content.Testlet("t", [0, 1], low=3), "t"),
        (lambda: Blueprint(4, 2, (content.Testlet("t", [0, 1]), content.Testlet("u", [1, 2]))), "u"),
        (lambda: counts_per_area("aab", {"b": (2, 3)}), "b"),
        (lambda: Blueprint(3, 0), "length"),
    ],
)
def test_a_constraint_that_makes_no_sense_is_refused_by_name(make, named) -> None:
    with pytest.raises(InvalidConstraint) as refused:
        make()
    assert refused.value.constraint == named
    assert named in refused.value.detail()


def test_a_bank_smaller_than_the_test_a_finished_test_and_senseless_numbers_are_refused() -> None:
    with pytest.raises(TooFewItems):
        Blueprint(3, 4)
    assembler = ShadowAssembler(Blueprint(3, 2))
    with pytest.raises(TooFewItems):
        assembler.next_item(np.ones(3), given=[0, 1])
    for criterion in (np.ones(4), np.array([1.0, np.nan, 1.0])):
        with pytest.raises(InvalidItem):
            assembler.assemble(criterion)
    for given_rows in ([3], [-1], [1, 1]):
        with pytest.raises(InvalidItem) as refused:
            assembler.assemble(np.ones(3), given=given_rows)
        assert refused.value.row == given_rows[0]
    with pytest.raises(InvalidItem):
        assembler.assemble(np.ones(3), eligible=[True])
    with pytest.raises(InvalidConstraint):
        ShadowAssembler(Blueprint(3, 2), gap=-1.0)


def test_a_test_that_is_all_given_is_itself() -> None:
    blueprint = Blueprint(4, 2, (SumBetween("words", np.array([10.0, 20.0, 30.0, 40.0]), 0.0, 50.0),))
    test = ShadowAssembler(blueprint).assemble([4.0, 3.0, 2.0, 1.0], given=[0, 3], eligible=[True] * 4)
    assert test.items.tolist() == [0, 3]
    with pytest.raises(Infeasible):
        ShadowAssembler(blueprint).assemble([4.0, 3.0, 2.0, 1.0], given=[1, 3])


def test_amounts_that_are_no_whole_numbers_hold_to_the_last_digit() -> None:
    rng = np.random.default_rng(12)
    for _ in range(10):
        seconds = rng.lognormal(4, 0.5, 40)
        blueprint = Blueprint(40, 8, (SumBetween("seconds", seconds, 300.0, 350.0),))
        criterion = rng.random(40)
        test = ShadowAssembler(blueprint, gap=0.0).assemble(criterion)
        assert 300.0 - 1e-6 <= seconds[test.items].sum() <= 350.0 + 1e-6
        assert test.value == pytest.approx(by_scipy(blueprint, criterion, []), rel=1e-6)


def test_what_the_search_gives_up_highs_own_search_settles(monkeypatch) -> None:
    bank, blueprint = a_pool(7)
    criterion = bank.information(0.5)[0]
    expected = ShadowAssembler(blueprint, gap=0.0).assemble(criterion)
    assert expected.how == "searched"
    for limit in ("_MOST_NODES", "_LARGEST_CORE"):
        with monkeypatch.context() as patched:
            patched.setattr(f"domain.cat.shadow.search.{limit}", 2)
            programmed = ShadowAssembler(blueprint, gap=0.0).assemble(criterion)
        assert programmed.how == "programmed"
        assert programmed.value == pytest.approx(expected.value, abs=SAME)
        assert programmed.gap <= SAME


def test_the_solver_prints_nothing(capfd) -> None:
    ShadowAssembler(Blueprint(5, 2, (Enemies("twins", [0, 1]),))).assemble([5.0, 4.0, 3.0, 2.0, 1.0])
    with pytest.raises(Infeasible):
        ShadowAssembler(Blueprint(5, 2, (CountBetween("none", range(5), high=1),)))
    assert capfd.readouterr().out == ""


def test_an_ineligible_item_that_comes_with_a_testlet_already_begun_is_told() -> None:
    blueprint = Blueprint(4, 3, (content.Testlet("passage", [0, 1]),))
    eligible = np.array([True, False, True, True])
    test = ShadowAssembler(blueprint).assemble([1.0, 1.0, 0.5, 0.4], given=[0], eligible=eligible)
    assert test.items.tolist() == [0, 1, 2]
    assert not test.eligible_only
    without = ShadowAssembler(Blueprint(4, 3)).assemble([1.0, 1.0, 0.5, 0.4], given=[1], eligible=eligible)
    assert without.eligible_only  # what was given is past choosing
