"""Several abilities at once from responses: EAP on a product grid, and MAP under a normal prior."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.cat.errors import InvalidGrid
from domain.cat.items import MultidimensionalItems
from domain.cat.types import Floats, Ints, as_responses

_CELLS_AT_A_TIME: Final = 1 << 21
_CLOSE_ENOUGH: Final = 1e-12
_MOST_STEPS: Final = 200
_MOST_HALVINGS: Final = 40


@dataclass(frozen=True, eq=False)
class ProductGrid:
    """Points (q, D) on the ability scales, and their weights (q,), which sum to 1."""

    points: Floats
    weights: Floats


@dataclass(frozen=True, eq=False)
class MultidimensionalEstimate:
    """theta (n, D) in logits and covariance (n, D, D) of its error; se (n, D) is the root of the diagonal.

    converged: (n,), whether the search came to rest; where there is none to do, it has.
    """

    theta: Floats
    covariance: Floats
    converged: NDArray[np.bool_]

    @property
    def se(self) -> Floats:
        return np.asarray(np.sqrt(np.einsum("ndd->nd", self.covariance)))


def product_grid(
    covariance: ArrayLike, mean: ArrayLike | None = None, count: int = 61, width: float = 6.0
) -> ProductGrid:
    """`count` points in each dimension, `width` standard deviations to each side, normal weights.

    covariance: (D, D) of the prior, a correlation matrix as a rule; mean: (D,), 0 if not given. There are
    count^D points: 3,721 for two dimensions, and for three take fewer than 61.

    Raises: InvalidGrid where the covariance is not symmetric and positive definite, or count < 2.

    >>> grid = product_grid([[1.0, 0.5], [0.5, 1.0]], count=31)
    >>> grid.points.shape, float((grid.weights * grid.points[:, 0] * grid.points[:, 1]).sum().round(6))
    ((961, 2), 0.5)
    """
    precision, center, spread = _prior(covariance, mean)
    if count < 2 or not width > 0:
        raise InvalidGrid(f"{count} points over {width} standard deviations")
    axes = [at + np.linspace(-width, width, count) * sd for at, sd in zip(center, spread, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    off = points - center
    distance = np.einsum("qd,de,qe->q", off, precision, off) / 2
    weights = np.exp(distance.min() - distance)
    return ProductGrid(points, weights / weights.sum())


def multidimensional_eap(
    items: MultidimensionalItems, responses: ArrayLike, grid: ProductGrid
) -> MultidimensionalEstimate:
    """Mean and covariance of the posterior on the grid  [Bock1988].

    θ = Σ_j x_j p_j and Σ_j (x_j - θ)(x_j - θ)ᵀ p_j with p_j ∝ weight_j L(x_j). Exists for every response
    pattern; without any response it is the prior's mean and covariance.

    Raises: InvalidResponse; InvalidGrid where the grid has another number of dimensions.

    >>> items = MultidimensionalItems(a=[[1.0, 0.0], [0.0, 1.0]], intercept=[0.0, 0.0], c=[0.0, 0.0])
    >>> multidimensional_eap(items, [[1, 0]], product_grid(np.eye(2))).theta.round(4)
    array([[ 0.4132, -0.4132]])
    """
    if grid.points.shape[1] != items.dimensions:
        raise InvalidGrid(f"{grid.points.shape[1]} dimensions for items of {items.dimensions}")
    given = as_responses(responses, items.categories)
    dimensions = items.dimensions
    squares = (grid.points[:, :, np.newaxis] * grid.points[:, np.newaxis, :]).reshape(len(grid.points), -1)
    theta = np.zeros((len(given), dimensions))
    covariance = np.zeros((len(given), dimensions, dimensions))
    size = max(1, _CELLS_AT_A_TIME // len(grid.points))
    with np.errstate(divide="ignore"):  # a weight of 0 is a probability of 0
        log_weights = np.log(grid.weights)
    for first in range(0, len(given), size):
        rows = slice(first, first + size)
        logs = items.log_likelihood(given[rows], grid.points) + log_weights
        shares = np.exp(logs - logs.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        theta[rows] = shares @ grid.points
        moments = (shares @ squares).reshape(-1, dimensions, dimensions)
        covariance[rows] = moments - theta[rows, :, np.newaxis] * theta[rows, np.newaxis, :]
    return MultidimensionalEstimate(theta, covariance, np.ones(len(given), dtype=np.bool_))


def multidimensional_map(
    items: MultidimensionalItems,
    responses: ArrayLike,
    covariance: ArrayLike,
    mean: ArrayLike | None = None,
) -> MultidimensionalEstimate:
    """The mode of the posterior under a normal prior, and (I(θ) + covariance⁻¹)⁻¹ there  [Segall1996].

    I(θ) is the expected information of the items answered. Found by scoring steps, halved until they climb,
    from the prior's mean: for the 2PL the one mode; with guessing a mode, which need not be the only one.

    Raises: InvalidResponse; InvalidGrid where the covariance is not symmetric and positive definite or has
    another number of dimensions.

    >>> items = MultidimensionalItems(a=[[1.0, 0.0], [0.0, 1.0]], intercept=[0.0, 0.0], c=[0.0, 0.0])
    >>> multidimensional_map(items, [[1, 0]], np.eye(2)).theta.round(4)
    array([[ 0.4011, -0.4011]])
    """
    precision, center, _ = _prior(covariance, mean)
    if len(center) != items.dimensions:
        raise InvalidGrid(f"{len(center)} dimensions for items of {items.dimensions}")
    given = as_responses(responses, items.categories)

    def height(theta: Floats, rows: Ints) -> Floats:
        right, wrong = given[rows] == 1, given[rows] == 0
        log_wrong, log_right = items.log_correct(theta)
        off = theta - center
        distance = np.einsum("nd,de,ne->n", off, precision, off)
        total: Floats = (right * log_right + wrong * log_wrong).sum(axis=1) - distance / 2
        return total

    def informed(theta: Floats, rows: Ints) -> Floats:
        weight = items.information_weight(theta) * (given[rows] >= 0)
        information: Floats = np.einsum("nm,md,me->nde", weight, items.a, items.a)
        total: Floats = information + precision
        return total

    theta = np.tile(center, (len(given), 1))
    moving = np.arange(len(given))
    for _ in range(_MOST_STEPS):
        if moving.size == 0:
            break
        here = theta[moving]
        first, _second = items.response_slopes(given[moving], here)
        gradient = first @ items.a - (here - center) @ precision
        step = np.linalg.solve(informed(here, moving), gradient[..., np.newaxis])[..., 0]
        step *= _climbing_part(partial(height, rows=moving), here, step)[:, np.newaxis]
        theta[moving] = here + step
        moving = moving[np.abs(step).max(axis=1) > _CLOSE_ENOUGH]
    rested = np.ones(len(given), dtype=np.bool_)
    rested[moving] = False
    return MultidimensionalEstimate(theta, _inverse(informed(theta, np.arange(len(given)))), rested)


def _climbing_part(height: Callable[[Floats], Floats], here: Floats, step: Floats) -> Floats:
    """(n,): 1, ½, ¼ …, the first part of each step that does not lead downhill by more than rounding."""
    part = np.ones(len(here))
    now = height(here)
    for _ in range(_MOST_HALVINGS):
        falls = height(here + part[:, np.newaxis] * step) < now - 1e-12 * np.maximum(1.0, np.abs(now))
        if not falls.any():
            break
        part[falls] /= 2
    return part


def _prior(covariance: ArrayLike, mean: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    """Precision (D, D), mean (D,) and standard deviations (D,) of a normal prior."""
    given = np.atleast_2d(np.asarray(covariance, dtype=np.float64))
    if given.ndim != 2 or given.shape[0] != given.shape[1] or not np.isfinite(given).all():
        raise InvalidGrid(f"a covariance of shape {given.shape}")
    if not np.allclose(given, given.T, rtol=0, atol=1e-12) or np.linalg.eigvalsh(given)[0] <= 0:
        raise InvalidGrid("the covariance is not symmetric and positive definite")
    center = np.zeros(len(given)) if mean is None else np.asarray(mean, dtype=np.float64)
    if center.shape != (len(given),):
        raise InvalidGrid(f"a mean of shape {center.shape} with a covariance of {given.shape}")
    return _inverse(given), center, np.sqrt(np.einsum("dd->d", given))


def _inverse(matrices: Floats) -> Floats:
    return np.asarray(np.linalg.inv(matrices), dtype=np.float64)
