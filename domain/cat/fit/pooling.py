"""Sparse tables of observed and expected counts, pooled until a chi-square may be taken of them."""

import numpy as np

from domain.cat.types import Floats

# A group's expected counts sum to a whole number only up to rounding; without this a lone examinee would
# be sparse or not by the order of the sums.
_ROUNDING = 1.0 - 1e-10


def pool_tails(observed: Floats, expected: Floats) -> tuple[Floats, Floats]:
    """Scores at both ends at which not all K categories can be, added to the nearest score where they can.

    Rows are the scores 1 to S - 1, columns the categories. Below a score of K - 1 the highest category is
    impossible, above S - (K - 1) the lowest. With two categories there is nothing to pool.
    """
    spare = observed.shape[1] - 2
    if spare <= 0 or len(observed) == 0:
        return observed, expected
    first, last = spare, len(observed) - 1 - spare
    if last < first:  # so short a test that no score leaves all categories open
        return observed.sum(axis=0, keepdims=True), expected.sum(axis=0, keepdims=True)

    def pooled(counts: Floats) -> Floats:
        inner = counts[first : last + 1].copy()
        inner[0] += counts[:first].sum(axis=0)
        inner[-1] += counts[last + 1 :].sum(axis=0)
        return inner

    return pooled(observed), pooled(expected)


def pool_groups(observed: Floats, expected: Floats, minimum: float) -> tuple[Floats, Floats]:
    """Score groups (rows) joined to neighbours until each cell expects `minimum`, or one group is left.

    From both ends towards the middle first, where the sparse groups are; a sparse group that is left in
    the middle goes to the neighbour that expects fewer.
    """
    seen, due = list(observed), list(expected)

    def sparse(row: int) -> bool:
        return bool(due[row].min() < minimum * _ROUNDING)

    def join(row: int, neighbour: int) -> None:
        for counts in (seen, due):
            counts[neighbour] = counts[neighbour] + counts[row]
            del counts[row]

    while len(due) > 1 and sparse(0):
        join(0, 1)
    while len(due) > 1 and sparse(len(due) - 1):
        join(len(due) - 1, len(due) - 2)
    while len(due) > 1 and any(sparse(row) for row in range(len(due))):
        row = next(row for row in range(len(due)) if sparse(row))
        join(row, _smaller_neighbour([float(counts.sum()) for counts in due], row))
    return np.array(seen).reshape(-1, observed.shape[1]), np.array(due).reshape(-1, observed.shape[1])


def pool_categories(observed: Floats, expected: Floats, minimum: float) -> tuple[Floats, Floats]:
    """Within one score group, the sparsest category joined to its sparser neighbour until none is sparse."""
    seen, due = list(observed), list(expected)
    while len(due) > 1 and min(due) < minimum * _ROUNDING:
        row = due.index(min(due))
        neighbour = _smaller_neighbour(due, row)
        for counts in (seen, due):
            counts[neighbour] += counts[row]
            del counts[row]
    return np.array(seen), np.array(due)


def _smaller_neighbour(sizes: list[float], row: int) -> int:
    neighbours = [at for at in (row - 1, row + 1) if 0 <= at < len(sizes)]
    return min(neighbours, key=lambda at: sizes[at])
