"""Raju's areas between the curves of the two groups, with their standard errors."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtr

from domain.cat.curves import logistic_pair
from domain.cat.dif.estimates import ItemEstimates, Linked, compared
from domain.cat.dif.purification import suspicion
from domain.cat.errors import InvalidItem
from domain.cat.linking import Linking, Method
from domain.cat.logistic import LogisticItems
from domain.cat.types import Floats


@dataclass(frozen=True, eq=False)
class Area:
    """An area (m,) in logits, its standard error, z = area / se and the two-sided p of a normal z."""

    area: Floats
    se: Floats
    z: Floats
    p_value: Floats


@dataclass(frozen=True, eq=False)
class RajuDif:
    """signed: positive where the item is harder for the focal group. unsigned: also sees curves that cross.

    The unsigned z is that of the unsigned area without its sign taken off, so it too can be negative.
    linked: the constants used, the anchor items and the rounds. unfinished: as in `LordDif`.
    """

    signed: Area
    unsigned: Area
    linked: Linked
    unfinished: tuple[str, ...] = ()


def raju(  # noqa: PLR0913 - each option is a choice of the analyst, given by name
    reference: ItemEstimates,
    focal: ItemEstimates,
    *,
    linking: Linking | Method | None = "mean_sigma",
    purify: bool = False,
    purify_by_signed: bool = False,
    significance: float = 0.05,
    max_rounds: int = 20,
) -> RajuDif:
    """The areas ∫ (P_R - P_F) dθ and ∫ |P_R - P_F| dθ over all θ [Raju1988], tested by [Raju1990].

        signed   = (d - c) (b_F - b_R)
        unsigned = (d - c) |H|,  H = 2 u log(1 + e^(δ / u)) - δ,  δ = b_F - b_R,  u = 1/a_R - 1/a_F
                   (|H| = |δ| where a_R = a_F)

    The standard errors are by the delta method from the covariances of a and b (p = 2) or of b alone
    (p = 1). c and d must be common to both groups: otherwise the area is infinite. Linking and
    purification as in `lord`, by the unsigned test or by the signed.

    Raises: InvalidItem where c or d differ, p > 2, or the two do not match; as the linking does.

    >>> errors = np.tile(np.diag([0.02, 0.01]), (1, 1, 1))
    >>> here = ItemEstimates(LogisticItems.of(1.0, [0.0], 0.2), errors)
    >>> there = ItemEstimates(LogisticItems.of(1.0, [0.5], 0.2), errors)
    >>> found = raju(here, there, linking=None)
    >>> round(float(found.signed.area[0]), 6), round(float(found.unsigned.area[0]), 6)
    (0.4, 0.4)
    """
    _refuse_without_area(reference, focal)

    def test(first: ItemEstimates, second: ItemEstimates) -> tuple[tuple[Area, Area], Floats]:
        signed, unsigned = _signed(first, second), _unsigned(first, second)
        tested = signed if purify_by_signed else unsigned
        return (signed, unsigned), suspicion(tested.p_value, tested.z, significance)

    (signed, unsigned), linked = compared(
        test, reference, focal, linking, max_rounds=max_rounds if purify else None
    )
    return RajuDif(signed, unsigned, linked)


def _signed(first: ItemEstimates, second: ItemEstimates) -> Area:
    gap = second.items.b - first.items.b
    slopes = np.zeros((len(gap), 2))
    slopes[:, 1] = 1.0
    return _area(first.items, gap, gap, _variance(first, -slopes) + _variance(second, slopes))


def _unsigned(first: ItemEstimates, second: ItemEstimates) -> Area:
    """H and its derivatives: by δ 2 Ψ(Y) - 1, by u 2 (log(1 + e^Y) - Y Ψ(Y)), Y = δ / u."""
    gap = second.items.b - first.items.b
    spread = 1 / first.items.a - 1 / second.items.a
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # parallel curves: Y is infinite, and nan for the same curve
        y = np.clip(np.nan_to_num(gap / spread, nan=np.inf), -_BEYOND, _BEYOND)
    upper, _ = logistic_pair(y)
    parallel = np.abs(y) == _BEYOND
    area = np.where(parallel, gap, 2 * spread * np.logaddexp(0, y) - gap)
    by_gap = np.where(parallel, 1.0, 2 * upper - 1)
    far = np.abs(y)  # log(1 + e^Y) - Y Ψ(Y) is the same for -Y, and cancels nothing so
    by_spread = 2 * (np.logaddexp(0, -far) + far * logistic_pair(far)[1])
    by_first = np.stack([-by_spread / first.items.a**2, -by_gap], axis=1)
    by_second = np.stack([by_spread / second.items.a**2, by_gap], axis=1)
    variance = _variance(first, by_first) + _variance(second, by_second)
    return _area(first.items, area, np.abs(area), variance)


_BEYOND: Final = 700.0
"""From here on e^-Y is 0 for a double beside 1, by far: the curves do not cross where anybody is."""


def _area(items: LogisticItems, tested: Floats, size: Floats, variance: Floats) -> Area:
    height, se = items.d - items.c, np.sqrt(variance)
    with np.errstate(divide="ignore", invalid="ignore"):  # no error known: nan or infinite
        z = tested / se
    return Area(height * size, height * se, z, 2 * ndtr(-np.abs(z)))


def _variance(estimates: ItemEstimates, slopes: Floats) -> Floats:
    """(m,): s' S s, with slopes (m, 2) by a and b."""
    used = slopes[:, 1:] if estimates.covariances.shape[1] == 1 else slopes
    variance: Floats = np.einsum("mi,mij,mj->m", used, estimates.covariances, used)
    return variance


def _refuse_without_area(reference: ItemEstimates, focal: ItemEstimates) -> None:
    if reference.covariances.shape[1] > 2:
        raise InvalidItem(-1, "areas need covariances of a and b, with c and d fixed")
    for name in ("c", "d"):
        here, there = getattr(reference.items, name), getattr(focal.items, name)
        if here.shape == there.shape and (here != there).any():
            row = int(np.argmax(here != there))
            raise InvalidItem(row, f"{name} differs between the groups, which makes the area infinite")
