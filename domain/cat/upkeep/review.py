"""The whole review of a bank: which operational items drift, and what the pretest items are worth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from domain.cat.calibration import Anchors, Calibration, calibrate
from domain.cat.errors import TooFewItems
from domain.cat.grid import DEFAULT_GRID
from domain.cat.items import LogisticItems
from domain.cat.types import Floats, Ints
from domain.cat.upkeep.drift import DriftScores, drift_scores
from domain.cat.upkeep.false_discovery import discoveries
from domain.cat.upkeep.fit import Fit, fit_of
from domain.cat.upkeep.population import normal_populations
from domain.cat.upkeep.predictive import Curves, as_given, evidence, normalised
from domain.cat.upkeep.sittings import Sittings

ALGORITHM_VERSION: Final = 1
"""To be raised when the same responses would lead to other numbers."""

_MOST_ROUNDS: Final = 5


@dataclass(frozen=True)
class Estimated:
    """An item as its responses say: a, b, c and d, standard errors of a, b and c (NaN: not known)."""

    parameters: tuple[float, float, float, float]
    errors: tuple[float, float, float]
    at_bound: bool
    fit: Fit
    misfits: bool


@dataclass(frozen=True, eq=False)
class BankReview:
    """See `review_bank`. Rows are those of the bank, operational items first.

    responses, right: (m,) how many. drift: of the operational items. drifts: (operational,) which are
    flagged. estimated: by row; pretest items, and operational ones that drift, with enough responses.
    log_likelihood: marginal, of all responses. rounds: how often drift was looked for.
    """

    responses: Ints
    right: Ints
    drift: DriftScores
    drifts: NDArray[np.bool_]
    rounds: int
    estimated: Mapping[int, Estimated]
    log_likelihood: float
    iterations: int
    converged: bool
    population_mean: float
    population_sd: float


def review_bank(  # noqa: PLR0913 - three of them are the limits of an alarm
    operational: LogisticItems,
    sittings: Sittings,
    pretest: int = 0,
    *,
    model: Literal["2pl", "3pl"] = "2pl",
    min_responses: int = 200,
    error_rate: float = 0.01,
    min_change: float = 0.05,
) -> BankReview:
    """What adaptive tests tell of the items that were given in them.

    operational: k items with the parameters by which they were chosen and counted: rows 0 to k - 1 of the
    sittings. pretest: how many items without parameters come behind them.

    1. Drift: a score test of each operational item against what was known of the examinee before the
       response (`drift`), false discoveries kept at `error_rate`, and a change of at least `min_change`.
       Items that drift no longer count for ability, and it is looked again, until nothing changes.
    2. Marginal maximum likelihood [Kim2006], operational items held fixed, so that the others come onto their
       scale; the distribution of ability is estimated along, so that estimates are not drawn to a mean that
       is not this group's. All that choosing an item depended on is among the responses, so leaving out what
       was not given does no harm [Mislevy1996].
    3. Fit of each pretest item to its curve (`fit`).

    Raises: TooFewItems without operational items: there would be no scale.

    >>> rng = np.random.default_rng(2)
    >>> bank = LogisticItems.of(1.5, [*np.linspace(-2, 2, 11), 0.5])
    >>> items = np.argsort(rng.random((2_000, 12)), axis=1)[:, :8]
    >>> theta = rng.standard_normal(2_000)
    >>> right = rng.random(items.shape) < np.take_along_axis(bank.correct(theta), items, axis=1)
    >>> found = review_bank(bank[:11], Sittings.of(items, right, np.zeros(2_000)), pretest=1)
    >>> a, b, _, _ = found.estimated[11].parameters
    >>> bool(abs(b - bank.b[11]) < 0.2), found.drifts.any()
    (True, np.False_)
    """
    if not len(operational):
        raise TooFewItems(0, 1)
    size = len(operational) + pretest
    responses, right = sittings.counts(size), sittings.right_counts(size)
    enough = responses >= min_responses
    curves = Curves.of(operational)
    trusted = np.ones(len(operational), dtype=np.bool_)
    rounds = 0
    while True:
        rounds += 1
        likely = evidence(sittings, curves, trusted)
        prior = normal_populations(likely, sittings.groups)
        drift = drift_scores(as_given(sittings, curves, trusted, prior), curves)
        tested = np.where(enough[: len(operational)], drift.p_value, np.nan)
        drifts = discoveries(tested, error_rate) & (drift.change >= min_change)
        if (drifts == ~trusted).all() or rounds == _MOST_ROUNDS:
            break
        trusted = ~drifts
    known = normalised(likely + prior)
    varied = (right > 0) & (right < responses)
    candidates = np.concatenate((drifts, np.ones(pretest, dtype=np.bool_)))
    free = np.flatnonzero(candidates & enough & varied)
    anchors = np.flatnonzero(~drifts & (responses[: len(operational)] > 0))
    if not free.size or not anchors.size:
        mean, sd = _moments(prior)
        total = float(np.logaddexp.reduce(likely + prior, axis=1).sum())
        return BankReview(responses, right, drift, drifts, rounds, {}, total, 0, True, mean, sd)
    table = sittings.responses_to(np.concatenate((anchors, free)), size)
    found = calibrate(
        table, model, anchors=Anchors(np.arange(anchors.size), operational[anchors]), max_iterations=1000
    )
    return BankReview(
        responses=responses,
        right=right,
        drift=drift,
        drifts=drifts,
        rounds=rounds,
        estimated=_estimated(found, free, anchors.size, table, known, (error_rate, min_change)),
        log_likelihood=found.log_likelihood,
        iterations=found.iterations,
        converged=found.converged,
        population_mean=found.population_mean,
        population_sd=found.population_sd,
    )


def _estimated(  # noqa: PLR0913, PLR0917 - a step of `review_bank`
    found: Calibration, free: Ints, anchors: int, table: Ints, known: Floats, limits: tuple[float, float]
) -> dict[int, Estimated]:
    assert isinstance(found.items, LogisticItems)
    assert found.standard_errors is not None
    items = found.items[anchors:]
    curves = items.correct(DEFAULT_GRID.points).T
    fits = []
    for column, curve in enumerate(curves):
        answers = table[:, anchors + column]
        people = np.flatnonzero(answers >= 0)
        fits.append(fit_of(curve, answers[people] == 1, known[people], 2 if found.model == "2pl" else 3))
    rate, least = limits
    misfits = discoveries([fit.p_value for fit in fits], rate) & (
        np.array([fit.misfit for fit in fits]) >= least
    )
    fixed = np.zeros(len(free))  # c of the 2PL
    errors = np.stack([found.standard_errors.get(name, fixed) for name in ("a", "b", "c")], axis=1)
    return {
        int(row): Estimated(
            parameters=(float(items.a[at]), float(items.b[at]), float(items.c[at]), float(items.d[at])),
            errors=(float(errors[at, 0]), float(errors[at, 1]), float(errors[at, 2])),
            at_bound=anchors + at in found.at_bound,
            fit=fits[at],
            misfits=bool(misfits[at]),
        )
        for at, row in enumerate(free)
    }


def _moments(log_weights: Floats) -> tuple[float, float]:
    """Mean and standard deviation over all examinees."""
    weights = np.exp(log_weights).mean(axis=0)
    mean = float(weights @ DEFAULT_GRID.points)
    return mean, float(np.sqrt(weights @ (DEFAULT_GRID.points - mean) ** 2))
