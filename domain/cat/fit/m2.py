"""M2: does the model as a whole reproduce the means and the pairs?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.optimize import brentq
from scipy.special import chdtrc, chndtr

from domain.cat.errors import InvalidItem, TooFewItems
from domain.cat.fit.margins import expected_margins, margin_covariance, margin_slopes, observed_margins
from domain.cat.fit.q3 import pairwise_correlations
from domain.cat.fit.score_slopes import expected_score_slopes
from domain.cat.fit.scores import complete_responses, score_moments
from domain.cat.grid import DEFAULT_GRID, Grid
from domain.cat.items import Items
from domain.cat.types import Floats

_CONFIDENCE: Final = 0.90


@dataclass(frozen=True, eq=False)
class LimitedInformationFit:
    """M2 and what is made of it.

    Attributes:
        statistic, degrees_of_freedom, p_value: chi-square; NaN where no degree of freedom is left.
        rmsea: RMSEA2, the misfit per degree of freedom; [rmsea_low, rmsea_high] holds it with 90 %.
        srmsr: root mean square of `residual_correlations` over pairs; 0.05 is close [MaydeuOlivares2013].
        residual_correlations: (m, m), observed less expected correlations of the scores.
        cfi, tli: how much less misfit than if the items had nothing in common, 1 for none [CaiChungLee2023];
            NaN where M2 is, or where an item's scores are all equal.
        examinees: how many answered every item, and so entered.
    """

    statistic: float
    degrees_of_freedom: int
    p_value: float
    rmsea: float
    rmsea_low: float
    rmsea_high: float
    srmsr: float
    residual_correlations: Floats
    cfi: float
    tli: float
    examinees: int


def m2(
    items: Items,
    responses: ArrayLike,
    *,
    estimated: Sequence[str],
    equal: Sequence[str] = (),
    grid: Grid = DEFAULT_GRID,
) -> LimitedInformationFit:
    """M2 of [MaydeuOlivaresJoe2006]; for polytomous items M2* of [CaiHansen2013].

    e holds the observed less the expected means E(x_i) and products E(x_i x_j), i < j, of the item scores
    (categories 0 to K - 1), s = m + m (m - 1) / 2 of them; Ξ is the covariance of those of one examinee
    under the model and Δ (s, t) their derivatives by the t estimated parameters. With n examinees

        M2 = n · e' (Ξ⁻¹ - Ξ⁻¹ Δ (Δ' Ξ⁻¹ Δ)⁻¹ Δ' Ξ⁻¹) e,      df = s - rank Δ,

    is chi-square for any consistent estimates, and needs no full table of patterns. For items scored 0
    and 1 it is M2 exactly. RMSEA2 = sqrt(max(M2 - df, 0) / (n · df)) [MaydeuOlivaresJoe2014]. Examinees
    with a missing response are left out. Time grows with m⁶ (the factor of Ξ): 32 items take some
    hundredths of a second, 100 items some ten seconds.

    Args:
        items: m items of one ability dimension.
        responses: (n, m).
        estimated: the parameters that were estimated from these responses, by their names in the item
            class: ("a", "b") for the 2PL, () for a bank calibrated elsewhere.
        equal: those of them that were held equal over the items: ("a",) for the 1PL, and also where the
            slopes were fixed and the population's sd estimated instead, for the two move the margins alike.
        grid: the distribution of ability in the population, taken as known.

    Raises: TooFewItems for fewer than two items; InvalidResponse for an unknown category or no complete
        row; InvalidItem for a parameter that the items do not have, or for items whose scores hardly vary
        or determine each other in this population.

    >>> from domain.cat.items import LogisticItems
    >>> items = LogisticItems.of([1.0, 1.0, 1.0], [-1.0, 0.0, 1.0])
    >>> patterns = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 1, 0], [1, 0, 1]]
    >>> fit = m2(items, np.repeat(patterns, [18, 20, 20, 18, 12, 12], axis=0), estimated=())
    >>> fit.degrees_of_freedom, round(fit.srmsr, 3)
    (6, 0.166)
    """
    if len(items) < 2:
        raise TooFewItems(len(items), 2)
    scores = complete_responses(items, responses).astype(np.float64)
    moments = score_moments(items, grid.points)
    covariance = margin_covariance(moments.mean, moments.variance, grid.weights)
    slopes = expected_score_slopes(items, grid.points, estimated)
    statistic, degrees = _projected(
        observed_margins(scores) - expected_margins(moments.mean, grid.weights),
        covariance,
        margin_slopes(slopes, set(equal), moments.mean, grid.weights),
        len(scores),
    )
    rmsea, low, high = _rmsea(statistic, degrees, len(scores))
    cfi, tli = _incremental(statistic, degrees, *_without_ability(scores))
    residuals = _residual_correlations(scores, covariance[: len(items), : len(items)])
    return LimitedInformationFit(
        statistic=statistic,
        degrees_of_freedom=degrees,
        p_value=float(chdtrc(degrees, statistic)) if degrees else float("nan"),
        rmsea=rmsea,
        rmsea_low=low,
        rmsea_high=high,
        srmsr=float(np.sqrt(np.nanmean(residuals[np.triu_indices(len(items), k=1)] ** 2))),
        residual_correlations=residuals,
        cfi=cfi,
        tli=tli,
        examinees=len(scores),
    )


def _projected(residual: Floats, covariance: Floats, tangent: Floats, number: int) -> tuple[float, int]:
    """Whitened by Ξ, the residual loses what the tangent can reproduce; the rest is squared."""
    scale = np.sqrt(np.diag(covariance))
    if (scale <= 1e-12).any():
        raise InvalidItem(-1, "some scores hardly vary in this population")
    try:
        factor = cholesky(covariance / np.outer(scale, scale), lower=True)
    except LinAlgError as singular:
        raise InvalidItem(-1, "some scores determine each other in this population") from singular
    whitened = solve_triangular(factor, np.column_stack([residual, tangent]) / scale[:, None], lower=True)
    rest, directions = whitened[:, 0], whitened[:, 1:]
    lengths = np.linalg.norm(directions, axis=0)
    directions = directions[:, lengths > 0] / lengths[lengths > 0]  # a padding threshold moves nothing
    basis, strengths, _ = np.linalg.svd(directions, full_matrices=False)
    basis = basis[:, strengths > 1e-8 * strengths.max(initial=0.0)]
    degrees = len(rest) - basis.shape[1]
    if degrees == 0:
        return float("nan"), 0
    rest = rest - basis @ (basis.T @ rest)
    return float(number * (rest @ rest)), degrees


def _rmsea(statistic: float, degrees: int, number: int) -> tuple[float, float, float]:
    if degrees == 0:
        return float("nan"), float("nan"), float("nan")
    tail = (1 - _CONFIDENCE) / 2
    noncentralities = (
        max(statistic - degrees, 0.0),
        _noncentrality(statistic, degrees, 1 - tail),
        _noncentrality(statistic, degrees, tail),
    )
    value, low, high = (float(np.sqrt(each / (number * degrees))) for each in noncentralities)
    return value, low, high


def _noncentrality(statistic: float, degrees: int, probability: float) -> float:
    """The noncentrality under which a chi-square is below `statistic` with `probability`; 0 if none is."""

    def excess(noncentrality: float) -> float:
        return float(chndtr(statistic, degrees, noncentrality)) - probability

    if excess(0.0) <= 0:
        return 0.0
    high = statistic + degrees + 1.0
    while excess(high) > 0:
        high *= 2
    return float(brentq(excess, 0.0, high, xtol=1e-10))


def _without_ability(scores: Floats) -> tuple[float, int]:
    """M2 of independent items, each with the mean and the variance that it shows."""
    mean, variance = scores.mean(axis=0, keepdims=True), scores.var(axis=0, keepdims=True)
    if (variance == 0).any():
        return float("nan"), 0
    everybody = np.ones(1)
    return _projected(
        observed_margins(scores) - expected_margins(mean, everybody),
        margin_covariance(mean, variance, everybody),
        margin_slopes({"mean": [np.ones_like(mean)]}, set(), mean, everybody),
        len(scores),
    )


def _incremental(statistic: float, degrees: int, null: float, null_degrees: int) -> tuple[float, float]:
    """CFI = 1 - excess / excess without ability, excess = max(M2 - df, 0); TLI the same of M2 / df."""
    if degrees == 0 or null_degrees == 0:
        return float("nan"), float("nan")
    excess = max(statistic - degrees, 0.0)
    null_excess = max(null - null_degrees, excess)
    cfi = 1.0 if excess == 0 else 1.0 - excess / null_excess
    ratio, null_ratio = statistic / degrees, null / null_degrees
    return cfi, (null_ratio - ratio) / (null_ratio - 1) if null_ratio != 1 else float("nan")


def _residual_correlations(scores: Floats, covariance: Floats) -> Floats:
    spread = np.sqrt(np.diag(covariance))
    counted = np.ones(scores.shape, dtype=bool)
    residuals = pairwise_correlations(scores, counted) - covariance / np.outer(spread, spread)
    np.fill_diagonal(residuals, 0.0)
    return residuals
