"""A blueprint as an integer linear program: which columns there are, and which rows limit them."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from domain.cat.blueprint import LENGTH, Blueprint, CountBetween, Enemies, SumBetween, Testlet
from domain.cat.types import Floats, Ints


@dataclass(frozen=True, eq=False)
class Program:
    """Maximise cost · y with row_low <= matrix y <= row_high and y in {0, 1}.

    A column is an item, a testlet that is taken as a whole, or (the last columns) whether a testlet with
    limits is in the test; `switched`: the columns of the items of each of these. `column_of` (m,): the
    column that brings each item into the test. `row_names`: the constraint each row belongs to; several
    rows may belong to one.
    """

    matrix: sparse.csc_matrix
    row_low: Floats
    row_high: Floats
    row_names: tuple[str, ...]
    column_of: Ints
    switched: tuple[Ints, ...]

    @property
    def columns(self) -> int:
        return int(self.matrix.shape[1])

    def costs(self, per_item: Floats) -> Floats:
        """(columns,): the criterion (m,) added up over the items of each column."""
        costs = np.bincount(self.column_of, weights=per_item, minlength=self.columns)
        return costs.astype(np.float64, copy=False)

    def solution_of(self, items: Ints) -> Floats:
        """(columns,): the 0/1 vector of a test of these items; switches are on where a testlet is in it."""
        at = np.zeros(self.columns)
        at[self.column_of[items]] = 1.0
        for place, members in enumerate(self.switched):
            at[self.columns - len(self.switched) + place] = at[members].max()
        return at


def program_of(blueprint: Blueprint, *, testlets_whole: bool = True) -> Program:
    """The program whose solutions are the tests that meet the blueprint.

    A testlet that is all or none is one column: fewer columns, fewer rows and a tighter relaxation than
    rows that tie its items together. With `testlets_whole` False it is such rows, which can be left out
    one by one when it is asked which constraints contradict each other.
    """
    size = blueprint.bank_size
    column_of = np.arange(size)
    merged = [each for each in blueprint.testlets if each.whole and testlets_whole]
    for testlet in merged:
        column_of[testlet.items] = testlet.items[0]
    used, column_of = np.unique(column_of, return_inverse=True)
    bounded = [each for each in blueprint.testlets if not (each.whole and testlets_whole)]
    columns = used.size + len(bounded)

    names, low, high, rows = [LENGTH], [float(blueprint.length)], [float(blueprint.length)], [np.ones(size)]
    for each in blueprint.constraints:
        match each:
            case CountBetween(items=items):
                limits = (float(each.low), np.inf if each.high is None else float(each.high))
                amounts = np.bincount(items, minlength=size).astype(np.float64)
            case SumBetween():
                limits, amounts = (each.low, each.high), each.amounts
            case Enemies(items=items):
                limits, amounts = (-np.inf, 1.0), np.bincount(items, minlength=size).astype(np.float64)
            case Testlet():
                continue
        names.append(each.name)
        low.append(limits[0])
        high.append(limits[1])
        rows.append(amounts)
    gather = sparse.csr_matrix((np.ones(size), (np.arange(size), column_of)), shape=(size, columns))
    matrix = sparse.vstack([sparse.csr_matrix(np.array(rows)) @ gather, *_ties(bounded, column_of, columns)])
    for testlet in bounded:
        names += [testlet.name, testlet.name]
        low += [0.0, -np.inf]
        high += [np.inf, 0.0]
    return Program(
        matrix=sparse.csc_matrix(matrix),
        row_low=np.array(low),
        row_high=np.array(high),
        row_names=tuple(names),
        column_of=column_of.astype(np.int64),
        switched=tuple(column_of[each.items] for each in bounded),
    )


def _ties(bounded: list[Testlet], column_of: Ints, columns: int) -> list[sparse.csr_matrix]:
    """Two rows a testlet, with its switch z: Σ y - low z >= 0 and Σ y - high z <= 0."""
    found = []
    for place, testlet in enumerate(bounded):
        at = np.append(column_of[testlet.items], columns - len(bounded) + place)
        for limit in testlet.limits:
            values = np.append(np.ones(testlet.items.size), -float(limit))
            found.append(sparse.csr_matrix((values, (np.zeros(at.size, dtype=int), at)), shape=(1, columns)))
    return found
