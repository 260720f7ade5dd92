"""Marginal maximum likelihood calibration by accelerated EM  [Bock1981]."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.cat.calibration.acceleration import Watching, ascend, watch_nothing
from domain.cat.calibration.curves import (
    Curves,
    GradedCurves,
    LogisticCurves,
    NominalCurves,
    PartialCreditCurves,
    RatingScaleCurves,
)
from domain.cat.calibration.expectation import ResponseTable
from domain.cat.calibration.maximisation import ItemStep, Layout
from domain.cat.calibration.population import Population
from domain.cat.calibration.priors import Priors
from domain.cat.calibration.uncertainty import Method, Solution, covariance, of_items
from domain.cat.errors import InvalidItem, InvalidResponse, TooFewItems
from domain.cat.grid import DEFAULT_GRID, Grid
from domain.cat.items import Items, LogisticItems, MixedItems
from domain.cat.mixed import Kind
from domain.cat.types import MISSING, Floats, Ints, as_responses

Model = Literal["1pl", "2pl", "3pl", "4pl", "grm", "gpcm", "pcm", "rsm", "nominal"]
Errors = Method | None

TOLERANCE: Final = 1e-5
"""Largest change of a parameter in an EM step at which the climb ends. On 5,000 x 100 and on LSAT7 the
log-likelihood is then within 0.001 of where it is with a tolerance a hundred times smaller."""

_LOGISTIC: Final = {"1pl": 2, "2pl": 2, "3pl": 3, "4pl": 4}
_COMMON_SLOPE: Final = ("1pl", "pcm", "rsm")
_PEOPLE_AT_A_TIME: Final = 4096


@dataclass(frozen=True, eq=False)
class Anchors:
    """Items that are known: their columns (k,) in the responses, and the items, in the same order.

    Raises: InvalidItem (row -1) where columns and items differ in number, a column comes twice, or the items
    have more than one ability.
    """

    columns: Ints
    items: Items

    def __post_init__(self) -> None:
        if not isinstance(self.items, Kind | MixedItems):
            raise InvalidItem(-1, f"anchors of type {type(self.items).__name__} have more than one ability")
        columns = np.atleast_1d(np.asarray(self.columns, dtype=np.int64))
        if columns.shape != (len(self.items),) or len(np.unique(columns)) != columns.size:
            raise InvalidItem(-1, f"{columns.size} columns for {len(self.items)} anchors, each column once")
        object.__setattr__(self, "columns", columns)


@dataclass(frozen=True, eq=False)
class Calibration:
    """What a calibration found, and how far it can be trusted.

    items: all columns of the responses, in their order; anchors as they were given.
    log_likelihood: marginal, at these items, WITHOUT priors, on `grid`. iterations: E-steps. last_change: the
    largest change of a parameter (log a, intercept, logit of an asymptote) in the last EM step; converged:
    whether it was within the tolerance. at_bound: columns whose likelihood has no maximum inside the range of
    parameters (an item that does not discriminate, say): look at those before they are used.
    calibrated: (k,) the columns that were estimated; standard_errors: by name of the items' field, rows as
    in `calibrated`, NaN for padding, for items at a bound and where the information is not positive definite,
    0 for what was fixed; covariances: (k, r, r) of each item's `parameter_names`; joint_covariance: (k r,
    k r) of all of them, item after item. None: not asked for.
    population_mean, population_sd: of ability; estimated where there are anchors or a fixed slope; `grid` has
    that distribution. parameters: how many numbers were estimated. examinees: those who gave any response.
    priors: what was assumed.
    """

    items: Items
    model: Model
    log_likelihood: float
    iterations: int
    last_change: float
    converged: bool
    at_bound: Ints
    calibrated: Ints
    standard_errors: Mapping[str, Floats] | None
    covariances: Floats | None
    joint_covariance: Floats | None
    parameter_names: tuple[str, ...]
    population_mean: float
    population_sd: float
    parameters: int
    examinees: int
    priors: Priors
    grid: Grid = field(repr=False)

    @property
    def aic(self) -> float:
        """-2 log L + 2 parameters  [Akaike1974]."""
        return -2 * self.log_likelihood + 2 * self.parameters

    @property
    def bic(self) -> float:
        """-2 log L + log(examinees) parameters  [Schwarz1978]."""
        return -2 * self.log_likelihood + float(np.log(self.examinees)) * self.parameters


def calibrate(  # noqa: PLR0913 - a calibration has as many choices; all but two have a usual one
    responses: ArrayLike,
    model: Model = "2pl",
    *,
    grid: Grid = DEFAULT_GRID,
    priors: Priors | None = None,
    anchors: Anchors | None = None,
    slope: float | None = None,
    errors: Errors = "observed",
    tolerance: float = TOLERANCE,
    max_iterations: int = 500,
    progress: Watching = watch_nothing,
) -> Calibration:
    """Item parameters that make the responses (n, m) most likely, abilities integrated out over the grid.

    Maximises Σ_n log Σ_q w_q Π_i P_i(x_ni | θ_q) + log priors. Missing responses (-1) are left out, as if the
    item had not been given. Scale: ability has the grid's distribution, N(0, 1) by default, and a is above 0.

    1pl, pcm, rsm: one slope a for all items, estimated; with `slope` it is fixed (1.0: Rasch, Masters,
    Andrich) and the sd of ability is estimated in its place. 2pl, 3pl, 4pl, grm, gpcm: a slope for each item.
    nominal: slopes and intercepts of each category, category 0 at 0; the categories' numbers should ascend
    roughly with ability in most items, which is how the two directions of the scale are told apart.
    priors: None takes `Priors.usual(model)`, which for the 3PL is beta(5, 17) on c: without it c is poorly
    determined. `Priors()` is none at all.
    anchors: items held as they are, so that the others come onto their scale; the mean and sd of ability in
    this group are then estimated (the grid bent to the normal with those), as for pretest items [Kim2006].
    errors: "observed" (Oakes' identity), "cross-product" (cheaper, for many categories), or None.
    progress: told of each EM step that counted, with the E-steps so far and the largest change of a
    parameter, which falls below `tolerance` in the end.

    Raises: InvalidResponse where a response is no category, or nobody gave any; InvalidItem where a category
    (0 up to the highest seen) was given by nobody: it has no parameters, merge it first; where `slope` is not
    above 0 or the model has none to fix; where rsm items differ in their categories; where `model` is none.
    TooFewItems where the model is not determined (fewer than three items, two for a common slope), unless
    there are anchors.

    >>> rng = np.random.default_rng(1)
    >>> truth = LogisticItems.of([0.8, 1.0, 1.5, 2.0], [-1.0, 0.0, 0.5, 1.0])
    >>> chance = truth.correct(rng.standard_normal(20_000))
    >>> found = calibrate(rng.random(chance.shape) < chance)
    >>> bool(np.abs(found.items.a - truth.a).max() < 0.2), found.converged
    (True, True)
    """
    given, categories = _read(responses, model, anchors)
    known = anchors.columns if anchors is not None else np.zeros(0, dtype=np.int64)
    free = np.setdiff1d(np.arange(given.shape[1]), known)
    _refuse_too_few(len(free), model, anchors)
    if slope is not None and (model not in _COMMON_SLOPE or not 0 < slope < np.inf):
        raise InvalidItem(-1, f"a fixed slope of {slope} for model {model}")
    assumed = Priors.usual(model) if priors is None else priors
    fixed_logs = anchors.items.log_likelihood(given[:, known], grid.points) if anchors is not None else None
    table = ResponseTable(given[:, free], categories[free], fixed_logs, columns=free)
    with np.errstate(divide="ignore"):  # a weight of 0 is a probability of 0
        log_weights = np.log(grid.weights)
    population = Population(
        grid.points, log_weights, (anchors is not None, anchors is not None or slope is not None)
    )
    curves = _curves(model, categories[free], free)
    start = curves.start(table.shares, np.full(len(free), slope or 1.0))
    step = ItemStep(curves, _layout(model, start, categories[free], slope), assumed, grid.points)
    size = step.layout.size

    def evaluate(vector: Floats) -> tuple[float, Floats]:
        items, tilt = vector[:size], vector[size:]
        traces = step.traces(items)
        expected = table.expect(traces.logs, population.tilted(tilt))
        after = step.step(items, traces, expected), population.step(tilt, expected.people)
        return expected.log_likelihood + step.log_prior(items), np.concatenate(after)

    def within(vector: Floats) -> Floats:
        return np.concatenate((step.layout.within_bounds(vector[:size]), vector[size:]))

    top = ascend(
        evaluate,
        np.concatenate((step.layout.vector(start), np.zeros(population.size))),
        within,
        tolerance=tolerance,
        max_evaluations=max_iterations,
        watching=progress,
    )
    items, tilt = top.point[:size], top.point[size:]
    mean, sd = population.moments(tilt)
    standard_errors = covariances = joint = None
    names: tuple[str, ...] = ()
    if errors is not None:
        traces = step.traces(items)
        expected = table.expect(traces.logs, population.tilted(tilt))
        solution = Solution(table, step, population, items, tilt, traces, expected)
        natural = of_items(solution, covariance(solution, errors))
        names, covariances, joint = natural.names, natural.by_item, natural.joint
        standard_errors = _by_field(np.sqrt(np.diagonal(covariances, axis1=1, axis2=2)), names)
    x = step.layout.items(items)
    return Calibration(
        items=_together(curves.items(x), free, anchors),
        model=model,
        log_likelihood=top.height - step.log_prior(items),
        iterations=top.evaluations,
        last_change=top.last_change,
        converged=top.converged,
        at_bound=free[step.layout.at_bound(items)],
        calibrated=free,
        standard_errors=standard_errors,
        covariances=covariances,
        joint_covariance=joint,
        parameter_names=names,
        population_mean=mean,
        population_sd=sd,
        parameters=size + population.size,
        examinees=int((given != MISSING).any(axis=1).sum()),
        priors=assumed,
        grid=Grid(grid.points, np.exp(population.tilted(tilt))),
    )


def marginal_log_likelihood(items: Items, responses: ArrayLike, grid: Grid = DEFAULT_GRID) -> float:
    """Σ_n log Σ_q w_q Π_i P_i(x_ni | θ_q), without priors: whose estimates are better, by one measure.

    responses: (n, m), missing ones left out.

    Raises: InvalidResponse.

    >>> items = LogisticItems.of(1.0, [0.0, 0.0])
    >>> round(marginal_log_likelihood(items, [[1, 0]]), 4)
    -1.5769
    """
    given = as_responses(responses, items.categories)
    total = 0.0
    for low in range(0, len(given), _PEOPLE_AT_A_TIME):
        logs = items.log_likelihood(given[low : low + _PEOPLE_AT_A_TIME], grid.points)
        highest = logs.max(axis=1, keepdims=True)
        total += float((np.log(np.exp(logs - highest) @ grid.weights) + highest[:, 0]).sum())
    return total


def _read(responses: ArrayLike, model: Model, anchors: Anchors | None) -> tuple[Ints, Ints]:
    """Responses as checked integers, and the number of categories of each column."""
    if model not in get_args(Model):
        raise InvalidItem(-1, f"{model!r} is no model; there are {', '.join(get_args(Model))}")
    raw = np.atleast_2d(np.asarray(responses))
    if raw.ndim != 2 or raw.size == 0 or raw.dtype.kind not in "biuf":
        raise InvalidResponse(-1, -1, f"a table of shape {raw.shape} and type {raw.dtype}")
    highest = np.nanmax(np.where(np.isfinite(raw), raw, MISSING) if raw.dtype.kind == "f" else raw, axis=0)
    categories = np.maximum(highest.astype(np.int64) + 1, 2)
    if model in _LOGISTIC:
        categories[:] = 2
    if anchors is not None:
        if (anchors.columns < 0).any() or (anchors.columns >= raw.shape[1]).any():
            raise InvalidItem(
                -1, f"an anchor in a column that the {raw.shape[1]} of the responses do not have"
            )
        categories[anchors.columns] = anchors.items.categories
    given = as_responses(raw, categories)
    if not (given != MISSING).any():
        raise InvalidResponse(-1, -1, "nobody gave any response")
    return given, categories


def _refuse_too_few(items: int, model: Model, anchors: Anchors | None) -> None:
    wanted = 1 if anchors is not None else 2 if model in _COMMON_SLOPE else 3
    if items < wanted:
        raise TooFewItems(items, wanted)


def _curves(model: Model, categories: Ints, columns: Ints) -> Curves:
    if model in _LOGISTIC:
        return LogisticCurves(_LOGISTIC[model])
    if model == "rsm":
        differ = categories != categories[0]
        if differ.any():
            at = int(np.argmax(differ))
            raise InvalidItem(
                int(columns[at]), f"{categories[at]} categories, not {categories[0]}: no common rating scale"
            )
        return RatingScaleCurves(categories)
    if model == "grm":
        return GradedCurves(categories)
    if model == "nominal":
        return NominalCurves(categories)
    return PartialCreditCurves(categories)


def _layout(model: Model, start: Floats, categories: Ints, slope: float | None) -> Layout:
    items, size = start.shape
    index = np.arange(items * size).reshape(items, size)
    column = np.arange(size)
    if model == "nominal":
        half = size // 2
        index[column % half >= categories[:, np.newaxis] - 1] = -1
    elif model not in _LOGISTIC:
        index[column >= categories[:, np.newaxis]] = -1
    if model in _COMMON_SLOPE:
        index[:, 0] = index[0, 0] if slope is None else -1
    if model == "rsm":
        index[:, 2:] = index[0, 2:]
    # Numbers without gaps, in the same order.
    _, dense = np.unique(np.append(index, -1), return_inverse=True)
    return Layout(
        dense[:-1].reshape(items, size) - 1, start, slopes=model != "nominal", logistic=model in _LOGISTIC
    )


def _together(found: Kind, columns: Ints, anchors: Anchors | None) -> Items:
    """All items in the order of the columns; logistic items stay one simple bank."""
    if anchors is None:
        return found
    known = anchors.items
    if isinstance(found, LogisticItems) and isinstance(known, LogisticItems):
        order = np.argsort(np.concatenate((columns, anchors.columns)))
        names = ("a", "b", "c", "d")
        return LogisticItems(
            *(np.concatenate((getattr(found, name), getattr(known, name)))[order] for name in names)
        )
    if isinstance(known, MixedItems):
        parts, rows = list(known.parts), [anchors.columns[own] for own in known.rows]
    else:
        assert isinstance(known, Kind)  # no others become anchors
        parts, rows = [known], [anchors.columns]
    return MixedItems((found, *parts), rows=(columns, *rows))


def _by_field(errors: Floats, names: tuple[str, ...]) -> dict[str, NDArray[np.float64]]:
    """Standard errors (m, r) by the field of the items that they belong to."""
    fields = list(dict.fromkeys(name.split("_")[0] for name in names))
    found = {name: errors[:, [each.split("_")[0] == name for each in names]] for name in fields}
    return {name: values if f"{name}_1" in names else values[:, 0] for name, values in found.items()}
