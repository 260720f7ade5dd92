"""How well a test measures: information, standard errors, reliability and the certainty of its decisions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from domain.cat.errors import InvalidGrid, InvalidResponse, TooFewItems
from domain.cat.fit.scores import complete_responses, score_moments
from domain.cat.grid import DEFAULT_GRID, Grid
from domain.cat.items import Items
from domain.cat.types import Floats, as_theta


def total_information(items: Items, theta: ArrayLike) -> Floats:
    """I(theta) = Σ_i I_i(theta), (n,): what the whole test tells at each ability theta (n,) [Birnbaum1968].

    >>> from domain.cat.items import LogisticItems
    >>> total_information(LogisticItems.of([2.0, 2.0], [0.0, 0.0]), [0.0])
    array([2.])
    """
    total: Floats = items.information(theta).sum(axis=1)
    return total


def conditional_sem(items: Items, theta: ArrayLike) -> Floats:
    """1 / sqrt(I(theta)), (n,), logits: the standard error of an ML estimate at each ability theta (n,).

    Infinite where the test tells nothing. [Birnbaum1968]

    >>> from domain.cat.items import LogisticItems
    >>> conditional_sem(LogisticItems.of(2.0, np.zeros(4)), [0.0])
    array([0.5])
    """
    information = total_information(items, theta)
    root = np.sqrt(information)
    sem: Floats = np.divide(1.0, root, out=np.full_like(root, np.inf), where=root > 0)
    return sem


def conditional_score_sem(items: Items, theta: ArrayLike) -> Floats:
    """sqrt(Σ_i Var(x_i | theta)), (n,), points: the standard error of the sum score at each ability.

    Categories are scored 0 to K - 1. [Lord1980, chapter 4]

    >>> from domain.cat.items import LogisticItems
    >>> conditional_score_sem(LogisticItems.of(1.0, np.zeros(4)), [0.0])
    array([1.])
    """
    sem: Floats = np.sqrt(score_moments(items, theta).variance.sum(axis=1))
    return sem


@dataclass(frozen=True)
class MarginalReliability:
    """What the items promise for a population.

    Attributes:
        of_unbiased_estimates: (σ² - E(1 / I)) / σ²  [GreenBock1984]: with the error variance of ML or WLE
            estimates. Negative, even -inf, where some of the population is hardly measured.
        of_posterior_means: E(I / (I + 1 / σ²))  [ThissenWainer2001]: with the error variance of EAP or MAP
            estimates under a normal prior. Between 0 and 1.
    """

    of_unbiased_estimates: float
    of_posterior_means: float


def marginal_reliability(items: Items, grid: Grid = DEFAULT_GRID) -> MarginalReliability:
    """Reliability of ability estimates in the population `grid`, of variance σ², by both usual definitions.

    E is the mean over the grid, I the test information. The two differ most for short tests: the first
    gives the ends of the grid, where 1 / I is large, their full say.

    >>> from domain.cat.items import LogisticItems
    >>> found = marginal_reliability(LogisticItems.of(1.5, np.linspace(-2.0, 2.0, 30)))
    >>> round(found.of_unbiased_estimates, 3), round(found.of_posterior_means, 3)
    (0.882, 0.896)
    """
    information = total_information(items, grid.points)
    variance = grid.sd**2
    error = np.divide(1.0, information, out=np.full_like(information, np.inf), where=information > 0)
    # A point without weight is not in the population, however badly it would be measured.
    error_variance = float(grid.weights[grid.weights > 0] @ error[grid.weights > 0])
    scaled = information * variance
    return MarginalReliability(
        1.0 - error_variance / variance, float(grid.weights @ (scaled / (scaled + 1.0)))
    )


@dataclass(frozen=True)
class EmpiricalReliability:
    """What the estimates of a sample show, s² being their variance and e² the mean of their squared errors.

    Attributes:
        of_posterior_means: s² / (s² + e²): for EAP and MAP, whose variance lacks that of the errors.
        of_unbiased_estimates: (s² - e²) / s²: for ML and WLE, whose variance holds that of the errors.
            Negative where the errors are larger than the differences.
    """

    of_posterior_means: float
    of_unbiased_estimates: float


def empirical_reliability(theta: ArrayLike, se: ArrayLike) -> EmpiricalReliability:
    """Reliability of the estimates theta (n,) with standard errors se (n,) [ThissenWainer2001].

    s² has divisor n - 1. Take the definition that belongs to the estimator. NaN for fewer than two
    examinees or where all estimates are equal.

    Raises: InvalidResponse where theta and se differ in length.

    >>> empirical_reliability([-1.0, 0.0, 1.0], [0.5, 0.5, 0.5])
    EmpiricalReliability(of_posterior_means=0.8, of_unbiased_estimates=0.75)
    """
    estimates, errors = as_theta(theta), as_theta(se)
    if estimates.shape != errors.shape:
        raise InvalidResponse(-1, -1, f"{estimates.size} abilities with {errors.size} standard errors")
    variance = float(estimates.var(ddof=1)) if estimates.size > 1 else 0.0
    if not variance > 0:
        return EmpiricalReliability(float("nan"), float("nan"))
    error = float(np.mean(errors**2))
    return EmpiricalReliability(variance / (variance + error), (variance - error) / variance)


def coefficient_alpha(items: Items, responses: ArrayLike) -> float:
    """Cronbach's alpha, m / (m - 1) · (1 - Σ Var(x_i) / Var(Σ x_i)), of responses (n, m) [Cronbach1951].

    The same number as the classical item analysis gives (`projections.item_analysis.statistics`), here
    for tables of responses. Examinees with a missing response are left out. NaN where all sums are equal.

    Raises: TooFewItems for fewer than two items; InvalidResponse for an unknown category or no complete row.

    >>> from domain.cat.items import LogisticItems
    >>> items = LogisticItems.of(1.0, np.zeros(3))
    >>> coefficient_alpha(items, [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]])
    0.75
    """
    if len(items) < 2:
        raise TooFewItems(len(items), 2)
    scores = complete_responses(items, responses)
    # Sums of integers are exact: what has no variance has exactly none.
    number = len(scores)
    totals = scores.sum(axis=1)
    of_total = number * int((totals**2).sum()) - int(totals.sum()) ** 2
    if of_total == 0:
        return float("nan")
    of_items = sum(number * int((column**2).sum()) - int(column.sum()) ** 2 for column in scores.T)
    return (of_total - of_items) * len(items) / (of_total * (len(items) - 1))


@dataclass(frozen=True)
class ClassificationQuality:
    """How sure pass and fail (or more classes) are.

    Attributes:
        accuracy: expected share of examinees whose true ability lies in the class of their estimate.
        consistency: expected share who would get the same class from a parallel test.
    """

    accuracy: float
    consistency: float


def classification_quality(theta: ArrayLike, se: ArrayLike, cuts: ArrayLike) -> ClassificationQuality:
    """Expected accuracy and consistency of the classes that `cuts` make of the estimates [Rudner2001].

    An examinee's true ability is taken as N(theta, se²): p_c is the probability of class c between its
    two cuts. Accuracy is the mean of p of the class that theta lies in (a theta at a cut is above it);
    consistency that of Σ p_c². With se = 0 both are 1.

    Args:
        theta: (n,) estimates, logits.
        se: (n,) their standard errors.
        cuts: (k,) ascending, for k + 1 classes.

    Raises: InvalidResponse where theta and se differ in length or there is no examinee; InvalidGrid where
        the cuts do not ascend or there is none.

    >>> found = classification_quality([-1.0, 1.0], [0.5, 0.5], [0.0])
    >>> round(found.accuracy, 4), round(found.consistency, 4)
    (0.9772, 0.9555)
    """
    estimates, errors = as_theta(theta), as_theta(se)
    limits = np.atleast_1d(np.asarray(cuts, dtype=np.float64))
    if estimates.shape != errors.shape:
        raise InvalidResponse(-1, -1, f"{estimates.size} abilities with {errors.size} standard errors")
    if limits.size == 0 or not (np.diff(limits) > 0).all():
        raise InvalidGrid("the cuts do not ascend")
    if estimates.size == 0:
        raise InvalidResponse(-1, -1, "no examinee")
    distance = limits - estimates[:, None]
    certain = np.where(distance > 0, np.inf, -np.inf)
    spread = errors[:, None]
    deviates = np.divide(distance, spread, out=certain, where=spread > 0)
    from scipy.special import ndtr

    below = np.hstack([np.zeros((len(estimates), 1)), ndtr(deviates), np.ones((len(estimates), 1))])
    shares = np.diff(below, axis=1)
    own = np.searchsorted(limits, estimates, side="right")
    return ClassificationQuality(
        accuracy=float(shares[np.arange(len(estimates)), own].mean()),
        consistency=float((shares**2).sum(axis=1).mean()),
    )
