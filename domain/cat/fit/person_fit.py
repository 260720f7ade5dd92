"""lz and lz*: is an examinee's pattern of responses as likely as the model says?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from domain.cat.errors import InvalidResponse
from domain.cat.items import Items
from domain.cat.types import MISSING, Floats, Ints, as_responses, as_theta


@dataclass(frozen=True, eq=False)
class PersonFit:
    """Per examinee, each (n,); NaN where no response says anything (none given, or all certain).

    Attributes:
        log_likelihood: l0 = Σ log P(response | theta).
        lz: l0, standardised as if theta were known.
        lz_star: l0, standardised for an estimated theta: standard normal under the model.
    """

    log_likelihood: Floats
    lz: Floats
    lz_star: Floats

    @property
    def p_value(self) -> Floats:
        """(n,): P(Z <= lz*): small where the pattern is less likely than it should be."""
        return np.asarray(ndtr(self.lz_star), dtype=np.float64)


def person_fit(items: Items, responses: ArrayLike, theta: ArrayLike) -> PersonFit:
    """Index lz of [DrasgowLevineWilliams1985], and lz* of [Snijders2001], polytomous as in [Sinharay2016].

    With P_ik the probability of category k of item i at theta and δ_ik = 1 for the category chosen,

        lz  = Σ_i Σ_k (δ_ik - P_ik) log P_ik / sqrt(Σ_i Var(log P_ix))

    At an estimate of theta lz has a variance below 1. lz* takes out of the weights log P_ik what the
    estimate has already used: the weights become

        w_ik = log P_ik - c (log P_ik)',    c = Σ P (log P) (log P)' / Σ P ((log P)')²,

    ' the derivative by theta. Snijders writes the numerator as W + c·r0(theta), r0 + Σ (log P_ix)' = 0
    being the equation that the estimator solves (ML: r0 = 0; MAP: r0 = (mean - theta) / sd²; Warm: r0 =
    J / 2I). Put in, the equation leaves Σ (δ - P) w, which needs no name of the estimator, and to first
    order no equation either, for the new weights do not move with theta. So EAP estimates, too, may be
    given; the normal approximation wants tests of 20 items or more all the same.

    Large negative values: careless, copied or guessed responses. Large positive ones: too orderly.

    Args:
        items: m items of one ability dimension.
        responses: (n, m); missing ones are left out.
        theta: (n,) estimates from these responses, logits, and not at the bound of the estimator.

    Raises: InvalidResponse for an unknown category or another number of rows than of abilities.

    >>> from domain.cat.items import LogisticItems
    >>> items = LogisticItems.of(1.0, np.linspace(-2.0, 2.0, 9))
    >>> orderly, reversed_ = [1, 1, 1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1, 1]
    >>> person_fit(items, [orderly, reversed_], [0.3, 0.3]).lz.round(2)
    array([ 1.39, -5.63])
    """
    given = as_responses(responses, items.categories)
    abilities = as_theta(theta)
    if len(abilities) != len(given):
        raise InvalidResponse(-1, -1, f"{len(given)} rows for {len(abilities)} abilities")
    probabilities = items.category_probabilities(abilities)
    logs = items.log_category_probabilities(abilities)
    logs = np.where(np.isfinite(logs), logs, 0.0)  # -inf: no such category
    slopes = items.log_derivatives(abilities).first

    counted = (given != MISSING).astype(np.float64)
    slope_products = np.einsum("nmk,nmk,nmk,nm->n", probabilities, logs, slopes, counted)
    information = np.einsum("nmk,nmk,nmk,nm->n", probabilities, slopes, slopes, counted)
    taken = np.divide(slope_products, information, out=np.zeros_like(information), where=information > 0)

    return PersonFit(
        np.where(counted.any(axis=1), (_of_response(logs, given)).sum(axis=1), np.nan),
        _standardised(logs, probabilities, given),
        _standardised(logs - taken[:, None, None] * slopes, probabilities, given),
    )


def _of_response(weights: Floats, given: Ints) -> Floats:
    """(n, m): the weight of the category chosen; 0 for none."""
    chosen = np.take_along_axis(weights, np.maximum(given, 0)[:, :, None], axis=2)[:, :, 0]
    return np.where(given == MISSING, 0.0, chosen)


def _standardised(weights: Floats, probabilities: Floats, given: Ints) -> Floats:
    """(Σ weight of the response - its expectation) / its standard deviation, per examinee."""
    counted = given != MISSING
    mean = np.einsum("nmk,nmk->nm", probabilities, weights)
    variance = np.einsum("nmk,nmk->nm", probabilities, (weights - mean[:, :, None]) ** 2)
    surprise = np.where(counted, _of_response(weights, given) - mean, 0.0).sum(axis=1)
    spread = np.sqrt(np.where(counted, variance, 0.0).sum(axis=1))
    # All items at P = 1/2, say: every pattern is as likely as any other, and nothing can be said.
    said: Floats = np.divide(surprise, spread, out=np.full_like(spread, np.nan), where=spread > 1e-9)
    return said
