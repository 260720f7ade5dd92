"""The best 0/1 solution of a program, with proof: linear relaxation, then branch and bound over a small core.

In a relaxation of few rows nearly every column is settled: a column at its bound whose reduced cost
exceeds the distance between the relaxation's value and the best known solution has that same value in
every better solution [Dantzig1954]. What is left, the core, is a few dozen columns out of thousands; its
branch and bound starts from the basis at hand and takes some ten small linear programs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import highspy
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from domain.cat.shadow.program import Program
from domain.cat.types import Floats, Ints

How = Literal["relaxed", "searched", "programmed"]

_WHOLE: Final = 1e-6  # as near to 0 or 1 as this is 0 or 1
_ROOM: Final = 1e-9  # of the largest amount in a row: amounts are floats
_SAME: Final = 1e-9  # of the value: two solutions this near are equally good
_FIRST_CORE: Final = 1e-3  # of the bound: columns whose reduced cost is below are searched first
_LARGEST_CORE: Final = 400  # columns, and
_MOST_NODES: Final = 2_000  # programs, beyond which HiGHS' own search is the better one
_MOST_PROOF_NODES: Final = 20_000
# Every column is bounded: a program that may be unbounded is infeasible.
_IMPOSSIBLE: Final = (
    highspy.HighsModelStatus.kInfeasible,
    highspy.HighsModelStatus.kUnboundedOrInfeasible,
)


@dataclass(frozen=True, eq=False)
class Solution:
    """The best solution found, and how good it is.

    at: (columns,) 0 or 1. No solution has more than `bound`. prices: (rows,), the value of one more unit of
    each row's limit. basis: where to start the next search.
    """

    at: Floats
    value: float
    bound: float
    how: How
    prices: Floats
    basis: highspy.HighsBasis


class IntegerSearch:
    """Solves one program again and again, for other costs and other fixed columns."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._by_row = sparse.csr_matrix(program.matrix)
        largest = np.asarray(abs(self._by_row).max(axis=1).todense(), dtype=np.float64).ravel()
        self._room = _ROOM * np.maximum(1.0, largest)
        self._whole = _quiet(presolve="off")
        zero = np.zeros(program.columns)
        self._whole.passModel(_lp(program.matrix, zero, program.row_low, program.row_high))
        self._core = _quiet(presolve="off", simplex_scale_strategy=0)

    def meets(self, at: Floats) -> bool:
        """Whether a 0/1 vector keeps to every row."""
        sums = self._by_row @ at
        low, high = self.program.row_low, self.program.row_high
        return bool((sums >= low - self._room).all() and (sums <= high + self._room).all())

    def solve(
        self,
        costs: Floats,
        bounds: tuple[Floats, Floats],
        gap: float = 0.0,
        known: Sequence[Floats] = (),
        start: highspy.HighsBasis | None = None,
    ) -> Solution | None:
        """The largest costs · y with y within the bounds, to within `gap` of its value; None: there is none.

        known: solutions of which one may be good enough. The answer depends on these arguments alone.
        """
        low, high = bounds
        self._whole.changeColsCost(costs.size, np.arange(costs.size, dtype=np.int32), costs)
        self._whole.changeColsBounds(costs.size, np.arange(costs.size, dtype=np.int32), low, high)
        self._whole.clearSolver()
        if start is not None:
            self._whole.setBasis(start)
        try:
            root = _vertex(self._whole)
        except ArithmeticError:  # the basis led astray
            self._whole.clearSolver()
            root = _vertex(self._whole)
        if root is None:
            return None
        incumbent = _Incumbent(costs, gap)
        for at in (np.round(root.at) if root.whole else None, *known):
            if at is not None and (low <= at).all() and (at <= high).all() and self.meets(at):
                incumbent.offer(at)
        how: How = "relaxed"
        limit = root.value
        if root.value > incumbent.enough:
            how = "searched"
            if not self._search_cores(root, incumbent, low, high):
                how = "programmed"
                limit = min(limit, self._search_whole(incumbent, low, high))
        if incumbent.at is None:
            return None
        bound = limit if how == "programmed" else min(limit, incumbent.enough)
        return Solution(
            at=incumbent.at,
            value=incumbent.value,
            bound=max(incumbent.value, bound),
            how=how,
            prices=root.prices,
            basis=self._whole.getBasis(),
        )

    def _search_cores(self, root: "_Vertex", incumbent: "_Incumbent", low: Floats, high: Floats) -> bool:
        """Ever larger cores, until the columns left out provably do not matter; False: gave up."""
        free = low < high
        steepness = np.abs(root.reduced)
        reach = _FIRST_CORE * max(abs(root.value), 1e-6)
        budget = _MOST_NODES
        while True:
            # A column left out costs more than `reach` to change: none of that matters to a solution
            # better than `enough` once reach >= root.value - enough.
            reach = min(reach, (root.value - incumbent.enough) * (1 + _SAME))
            core = np.flatnonzero(free & (steepness <= reach))
            if core.size > _LARGEST_CORE:
                return False
            settled = np.where(free, np.round(root.at), low)
            settled[core] = 0.0
            budget = self._search_core(core, settled, incumbent, budget)
            if budget <= 0:
                return False
            if root.value - incumbent.enough <= reach or core.size == np.count_nonzero(free):
                return True
            reach *= 4

    def _search_core(self, core: Ints, settled: Floats, incumbent: "_Incumbent", budget: int) -> int:
        """Depth first: the column whose rounding costs most, nearer value first. Answers the budget left."""
        if not core.size:
            if self.meets(settled):
                incumbent.offer(settled)
            return budget
        base = float(incumbent.costs @ settled)
        self._core.passModel(self._core_program(core, settled, incumbent.costs[core]))
        index = np.arange(core.size, dtype=np.int32)
        nodes = [(np.inf, np.zeros(core.size), np.ones(core.size))]
        while nodes and budget > 0:
            limit, low, high = nodes.pop()
            if limit + base <= incumbent.enough:
                continue
            budget -= 1
            self._core.changeColsBounds(core.size, index, low, high)
            try:
                node = _vertex(self._core, incumbent.enough - base)
            except ArithmeticError:
                return 0  # HiGHS' own search knows more ways out
            if node is None:
                continue
            if node.whole:
                at = settled.copy()
                at[core] = np.round(node.at)
                if self.meets(at):
                    incumbent.offer(at)
                    continue
            slack = node.value + base - incumbent.enough
            nodes += _branches(node, (low, high), slack, incumbent.costs[core])
        return budget

    def _core_program(self, core: Ints, settled: Floats, costs: Floats) -> highspy.HighsLp:
        """The program over the core, without the rows that it cannot break whatever it does."""
        used = self._by_row @ settled
        low, high = self.program.row_low - used, self.program.row_high - used
        part = self.program.matrix[:, core].toarray()
        least, most = np.minimum(part, 0.0).sum(axis=1), np.maximum(part, 0.0).sum(axis=1)
        rows = np.flatnonzero((least < low) | (most > high))
        columns, entries = np.nonzero(part[rows].T)
        starts = np.concatenate([[0], np.cumsum(np.bincount(columns, minlength=core.size))])
        values = part[rows[entries], columns]
        matrix = sparse.csc_matrix((values, entries, starts), shape=(rows.size, core.size))
        return _lp(matrix, costs, low[rows], high[rows])

    def _search_whole(self, incumbent: "_Incumbent", low: Floats, high: Floats) -> float:
        """HiGHS' own search; answers the bound that it proved."""
        program = self.program
        highs = _quiet(mip_rel_gap=incumbent.gap)
        lp = _lp(program.matrix, incumbent.costs, program.row_low, program.row_high)
        lp.col_lower_, lp.col_upper_ = low, high
        lp.integrality_ = [highspy.HighsVarType.kInteger] * program.columns
        highs.passModel(lp)
        if incumbent.at is not None:
            highs.setSolution(program.columns, np.arange(program.columns, dtype=np.int32), incumbent.at)
        found = _vertex(highs)
        if found is not None and self.meets(np.round(found.at)):
            incumbent.offer(np.round(found.at))
        return float(highs.getInfo().mip_dual_bound)


def can_be_met(program: Program, rows: NDArray[np.bool_], low: Floats) -> bool:
    """Whether a 0/1 vector of at least `low` meets these rows; True too where the search was given up."""
    highs = _quiet(mip_max_nodes=_MOST_PROOF_NODES)
    matrix = sparse.csc_matrix(sparse.csr_matrix(program.matrix)[np.flatnonzero(rows)])
    lp = _lp(matrix, np.zeros(program.columns), program.row_low[rows], program.row_high[rows])
    lp.col_lower_ = low
    lp.integrality_ = [highspy.HighsVarType.kInteger] * program.columns
    highs.passModel(lp)
    highs.run()
    return highs.getModelStatus() not in _IMPOSSIBLE


class _Incumbent:
    """The best solution so far; `enough` is what another must exceed to matter."""

    def __init__(self, costs: Floats, gap: float) -> None:
        self.costs = costs
        self.gap = gap
        self.at: Floats | None = None
        self.value = -np.inf
        self.enough = -np.inf

    def offer(self, at: Floats) -> None:
        value = float(self.costs @ at)
        if value > self.value:
            self.at, self.value = at, value
            self.enough = value + (self.gap + _SAME) * max(abs(value), _SAME)


@dataclass(frozen=True, eq=False)
class _Vertex:
    """An optimal vertex of a relaxation: values, reduced costs and row multipliers."""

    value: float
    at: Floats
    reduced: Floats
    prices: Floats

    @property
    def whole(self) -> bool:
        return bool((np.abs(self.at - np.round(self.at)) <= _WHOLE).all())


def _branches(
    node: _Vertex, bounds: tuple[Floats, Floats], slack: float, costs: Floats
) -> list[tuple[float, Floats, Floats]]:
    """The two halves of a node, the one to look at first last; columns that cannot change are fixed.

    slack: how far the node's value lies above what is enough.
    """
    low, high = bounds
    nearest = np.round(node.at)
    fraction = np.abs(node.at - nearest)
    column = int(np.argmax(np.where(low == high, -1.0, fraction * (np.abs(costs) + _SAME))))
    if low[column] == high[column]:
        return []  # all fixed, and not within the rows exactly
    stays = (np.abs(node.reduced) > slack) & (fraction <= _WHOLE)
    stays[column] = False
    low = np.where(stays, nearest, low)
    high = np.where(stays, nearest, high)
    upper_low, lower_high = low.copy(), high.copy()
    upper_low[column], lower_high[column] = 1.0, 0.0
    upper, lower = (node.value, upper_low, high), (node.value, low, lower_high)
    return [lower, upper] if node.at[column] > 0.5 else [upper, lower]


def _vertex(highs: highspy.Highs, enough: float = -np.inf) -> _Vertex | None:
    """The solution; None where there is none above `enough`.

    Raises: ArithmeticError where the solver is at a loss.
    """
    highs.run()
    status = highs.getModelStatus()
    if status in _IMPOSSIBLE:
        return None
    if status != highspy.HighsModelStatus.kOptimal:
        raise ArithmeticError(f"HiGHS: {highs.modelStatusToString(status)}")
    value = float(highs.getObjectiveValue())
    if value <= enough:
        return None
    found = highs.getSolution()
    return _Vertex(
        value,
        np.array(found.col_value),
        np.array(found.col_dual),
        np.array(found.row_dual),
    )


class _QuietHighs(highspy.Highs):
    """HiGHS greets on standard output as soon as callbacks are enabled, in its constructor: not here."""

    def enableCallbacks(self) -> None:  # noqa: N802 - HiGHS' name
        self.setOptionValue("output_flag", False)
        super().enableCallbacks()  # type: ignore[no-untyped-call]


def _quiet(**options: float | str) -> highspy.Highs:
    highs = _QuietHighs()  # type: ignore[no-untyped-call]
    for tolerance in ("primal_feasibility", "dual_feasibility", "mip_feasibility"):
        highs.setOptionValue(f"{tolerance}_tolerance", _ROOM)
    for name, value in {"threads": 1, **options}.items():
        highs.setOptionValue(name, value)
    return highs


def _lp(matrix: sparse.csc_matrix, costs: Floats, row_low: Floats, row_high: Floats) -> highspy.HighsLp:
    lp = highspy.HighsLp()
    lp.num_row_, lp.num_col_ = matrix.shape
    lp.sense_ = highspy.ObjSense.kMaximize
    lp.col_cost_ = costs
    lp.col_lower_, lp.col_upper_ = np.zeros(costs.size), np.ones(costs.size)
    lp.row_lower_, lp.row_upper_ = row_low, row_high
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix.indptr, matrix.indices, matrix.data
    return lp
