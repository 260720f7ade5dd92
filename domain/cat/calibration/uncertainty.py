"""Standard errors of item parameters: the covariance of all that was estimated, and each item's part of it.

Observed information by Oakes' identity [Oakes1999]: the curvature of the M-step's function less what the
unknown abilities take away, Σ_n Cov_n(s), s the score of a person's complete data [Louis1982]. The cheaper
cross-product is Σ_n E_n(s) E_n(s)'.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from domain.cat.calibration.curves import Traces
from domain.cat.calibration.expectation import Expected, ResponseTable
from domain.cat.calibration.maximisation import ItemStep
from domain.cat.calibration.population import Population
from domain.cat.types import Floats, Ints

Method = Literal["observed", "cross-product"]

_STEP: Final = 1e-5
_NEGLIGIBLE: Final = 1e-14


@dataclass(frozen=True, eq=False)
class Solution:
    """An optimum and what was computed at it."""

    table: ResponseTable
    model: ItemStep
    population: Population
    items: Floats
    tilt: Floats
    traces: Traces
    expected: Expected


def covariance(found: Solution, method: Method) -> Floats:
    """(size, size): of the items' free parameters and then the population's; NaN where it cannot be known.

    That is for items at a bound, and for everything where the information is not positive definite (too few
    people, or no maximum).
    """
    size = found.model.layout.size + found.population.size
    cross, spread = _score_products(found, with_spread=method == "observed")
    information = (
        _complete_information(found) - spread if method == "observed" else cross + _prior_bend(found)
    )
    # An item at the end of its range counts as known there: the others' errors still mean something.
    layout = found.model.layout
    lost = layout.index[layout.at_bound(found.items)]
    keep = np.setdiff1d(np.arange(size), lost[lost >= 0])
    result = np.full((size, size), np.nan)
    kept = information[np.ix_(keep, keep)]
    try:
        np.linalg.cholesky(kept)
    except np.linalg.LinAlgError:
        return result
    result[np.ix_(keep, keep)] = np.linalg.inv(kept)
    return result


@dataclass(frozen=True, eq=False)
class NaturalCovariances:
    """Of the r parameters of each of m items, as the items name them.

    by_item: (m, r, r). joint: (m r, m r), of all items, item after item. 0 for what was fixed; NaN for
    padding.
    """

    names: tuple[str, ...]
    by_item: Floats
    joint: Floats


def of_items(found: Solution, covariances: Floats) -> NaturalCovariances:
    """By the delta method, from the covariances (size, size) of the free parameters."""
    layout = found.model.layout
    names, turn = _turn(found)
    free = layout.index >= 0
    # A row and a column of zeros for what is fixed.
    padded = np.pad(covariances, (0, 1))
    index = np.where(free, layout.index, len(covariances))
    real = np.asarray(~np.isnan(turn).any(axis=2))
    turn = np.nan_to_num(turn)
    own = padded[index[:, :, np.newaxis], index[:, np.newaxis, :]]
    by_item = turn @ own @ turn.transpose(0, 2, 1)
    half = (turn @ padded[index]).reshape(real.size, len(padded))
    joint = np.einsum("smp,mrp->smr", half[:, index], turn).reshape(real.size, real.size)
    known = real.ravel()
    return NaturalCovariances(
        names,
        np.where(real[:, :, np.newaxis] & real[:, np.newaxis, :], by_item, np.nan),
        np.where(known[:, np.newaxis] & known, joint, np.nan),
    )


def _turn(found: Solution) -> tuple[tuple[str, ...], Floats]:
    """Names of the natural parameters, and their derivatives (m, r, p) by those of the calibration."""
    x = found.model.layout.items(found.items)
    names, _ = _natural(found.model, x)
    turn = np.empty((len(x), len(names), x.shape[1]))
    for at in range(x.shape[1]):
        nudge = np.zeros(x.shape[1])
        nudge[at] = _STEP
        turn[:, :, at] = (_natural(found.model, x + nudge)[1] - _natural(found.model, x - nudge)[1]) / (
            2 * _STEP
        )
    return names, turn


def _natural(model: ItemStep, x: Floats) -> tuple[tuple[str, ...], Floats]:
    """The natural parameters as columns (m, r), with their names."""
    names: list[str] = []
    columns: list[Floats] = []
    for name, values in model.curves.natural(x).items():
        if values.ndim == 1:
            names.append(name)
            columns.append(values[:, np.newaxis])
        else:
            names += [f"{name}_{number}" for number in range(1, values.shape[1] + 1)]
            columns.append(values)
    return tuple(names), np.hstack(columns)


def _complete_information(found: Solution) -> Floats:
    """Minus the second derivative of the M-step's function at fixed counts: differences of its slope."""
    layout, model = found.model.layout, found.model
    x = layout.items(found.items)
    items, size = x.shape
    bends = np.empty((items, size, size))
    for at in range(size):
        nudge = np.zeros(size)
        nudge[at] = _STEP
        bends[:, :, at] = (
            model.slope(x - nudge, found.expected) - model.slope(x + nudge, found.expected)
        ) / (2 * _STEP)
    bends = (bends + bends.transpose(0, 2, 1)) / 2
    total = np.zeros((layout.size + found.population.size,) * 2)
    spare = np.where(layout.index >= 0, layout.index, layout.size)
    whole = np.zeros((layout.size + 1, layout.size + 1))
    np.add.at(whole, (spare[:, :, np.newaxis], spare[:, np.newaxis, :]), bends)
    total[: layout.size, : layout.size] = whole[:-1, :-1]
    if found.population.size:
        scores = found.population.scores(found.tilt)
        weights = np.exp(found.population.tilted(found.tilt))
        people = found.expected.people.sum()
        total[layout.size :, layout.size :] = people * (scores * weights) @ scores.T
    return total


def _prior_bend(found: Solution) -> Floats:
    layout = found.model.layout
    bends = found.model.prior_bend(found.items)
    free = layout.index >= 0
    diagonal = np.bincount(
        layout.index[free], weights=bends[free], minlength=layout.size + found.population.size
    )
    return np.diag(diagonal)


def _score_products(found: Solution, *, with_spread: bool) -> tuple[Floats, Floats]:
    """Σ_n E_n(s) E_n(s)', and Σ_n Cov_n(s) where it is asked for."""
    table, layout = found.table, found.model.layout
    log_weights = found.population.tilted(found.tilt)
    q = log_weights.size
    by_column, common = table.columns_of(found.traces.scores)  # (columns, p, q), (m, p, q)
    columns = len(by_column)
    size = layout.size + found.population.size
    # A row for each column of the table, and one for what all have at a point: s = answers·D + last row.
    turns = np.zeros((columns + 1, size + 1, q))
    index = np.where(layout.index >= 0, layout.index, size)
    rows = np.arange(columns)[:, np.newaxis]
    np.add.at(turns, (rows, index[table.column_items]), by_column)
    np.add.at(turns[-1], index, common)
    turns = turns[:, :-1]
    turns[-1, layout.size :] = found.population.scores(found.tilt)
    cross, second = np.zeros((size, size)), np.zeros((size, size))
    likely = np.flatnonzero(found.expected.people > _NEGLIGIBLE * found.expected.people.sum())
    pairs = np.zeros((likely.size, columns + 1, columns + 1)) if with_spread else np.zeros((0, 0, 0))
    parameter_columns = _parameters_by_slot(index, table.column_items, size)
    people = table.blocks(found.traces.logs, log_weights)
    for answers, posterior, frequencies in people:
        person = np.hstack((answers, np.ones((len(answers), 1))))
        means = posterior @ turns[-1].T
        for parameter, mine in parameter_columns:
            # E_n of a column's turn, for the people who gave that answer.
            means[:, parameter] += (person[:, mine] * (posterior @ turns[mine, parameter].T)).sum(axis=1)
        cross += (means * frequencies[:, np.newaxis]).T @ means
        if with_spread:
            for at, point in enumerate(likely):
                weighted = person * (posterior[:, point] * frequencies)[:, np.newaxis]
                pairs[at] += weighted.T @ person
    if with_spread:
        for at, point in enumerate(likely):
            second += turns[:, :, point].T @ pairs[at] @ turns[:, :, point]
        second -= cross
    return cross, second


def _parameters_by_slot(index: Ints, column_items: Ints, size: int) -> list[tuple[int, Ints]]:
    """For each free parameter the columns of the table that bear on it."""
    return [
        (parameter, np.flatnonzero((index[column_items] == parameter).any(axis=1)))
        for parameter in range(size)
        if (index == parameter).any()
    ]
