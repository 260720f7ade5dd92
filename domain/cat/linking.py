"""Placing two calibrations of the same items on one scale: θ_to = A θ_from + B.

Two calibrations fix the origin and the unit of ability each for itself, so that the parameters of common
items differ by a linear change: a_to = a_from / A, b_to = A b_from + B, and asymptotes stay. The constants
are found from the common items alone, given in the same order on both sides.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from domain.cat.curve_linking import Criterion, item_curves, score_curve
from domain.cat.errors import InvalidItem, TooFewItems
from domain.cat.grid import DEFAULT_GRID, Grid
from domain.cat.items import Items
from domain.cat.rescaling import difficulties, discriminations, rescaled
from domain.cat.types import Floats

BankT = TypeVar("BankT", bound=Items)
Method = Literal["mean_mean", "mean_sigma", "haebara", "stocking_lord"]


@dataclass(frozen=True)
class Linking:
    """θ_to = A θ_from + B, with a_to = a_from / A and b_to = A b_from + B.

    criterion: the weighted squared difference that is left between the curves (curve methods); nan for the
    methods of moments. converged: whether the minimum was reached (curve methods; True for the others).

    >>> linking = Linking(A=1.2, B=-0.5)
    >>> linking.theta([0.0, 1.0])
    array([-0.5,  0.7])
    >>> there_and_back = linking.then(linking.inverse())
    >>> round(there_and_back.A, 12), round(there_and_back.B, 12)
    (1.0, 0.0)
    """

    A: float
    B: float
    criterion: float = float("nan")
    converged: bool = True

    def theta(self, theta: ArrayLike) -> Floats:
        """Abilities (any shape) of the from-scale on the to-scale. Standard errors are multiplied by A."""
        return self.A * np.asarray(theta, dtype=np.float64) + self.B

    def items(self, items: BankT) -> BankT:
        """The bank on the to-scale: at `theta(x)` it has the probabilities that it had at x.

        Raises: InvalidItem where the bank's kind has no single ability (multidimensional).
        """
        return rescaled(items, self.A, self.B)

    def inverse(self) -> "Linking":
        """From the to-scale back to the from-scale."""
        return Linking(1 / self.A, -self.B / self.A, converged=self.converged)

    def then(self, following: "Linking") -> "Linking":
        """A chain: from this from-scale to the to-scale of the one that follows."""
        return Linking(
            A=following.A * self.A,
            B=following.A * self.B + following.B,
            converged=self.converged and following.converged,
        )


def mean_mean(from_items: Items, to_items: Items) -> Linking:
    """A = mean(a_from) / mean(a_to), B = mean(b_to) - A mean(b_from) [Loyd1980].

    Every threshold or step of an item counts as a difficulty [Kim2004]. Where all a = 1 (Rasch) A is 1.

    Raises: TooFewItems for none; InvalidItem where the two sides do not match or a kind has no a and b.

    >>> from domain.cat.logistic import LogisticItems
    >>> here, there = LogisticItems.of([1.2, 0.8], [0.0, 1.0]), LogisticItems.of([1.0, 0.6], [0.5, 1.9])
    >>> linking = mean_mean(here, there)
    >>> round(linking.A, 6), round(linking.B, 6)
    (1.25, 0.575)
    """
    refuse_unpaired(from_items, to_items)
    scale = float(discriminations(from_items).mean() / discriminations(to_items).mean())
    return Linking(scale, float(difficulties(to_items).mean() - scale * difficulties(from_items).mean()))


def mean_sigma(from_items: Items, to_items: Items) -> Linking:
    """A = sd(b_to) / sd(b_from), B = mean(b_to) - A mean(b_from) [Marco1977].

    Every threshold or step of an item counts as a difficulty [Kim2004].

    Raises: TooFewItems where there are fewer than two difficulties; InvalidItem where the two sides do not
    match, a kind has no b, or the difficulties of one side are all equal.

    >>> from domain.cat.logistic import LogisticItems
    >>> linking = mean_sigma(LogisticItems.of(1.0, [-1.0, 1.0]), LogisticItems.of(1.0, [-2.0, 1.0]))
    >>> linking.A, linking.B
    (1.5, -0.5)
    """
    refuse_unpaired(from_items, to_items)
    from_b, to_b = difficulties(from_items), difficulties(to_items)
    if from_b.size < 2:
        raise TooFewItems(have=len(from_items), wanted=2)
    for b in (from_b, to_b):
        if b.std() <= _NO_SPREAD * (1 + np.abs(b).max()):
            raise InvalidItem(-1, "the difficulties are all equal, so that their spread gives no scale")
    scale = float(to_b.std() / from_b.std())
    return Linking(scale, float(to_b.mean() - scale * from_b.mean()))


def haebara(
    from_items: Items,
    to_items: Items,
    *,
    grid: Grid = DEFAULT_GRID,
    from_grid: Grid | None = None,
    fixed_scale: bool = False,
) -> Linking:
    """Makes each item's curve the same on both sides [Haebara1980].

    Minimises over A and B, with points θ_q and weights w_q of `grid` on the to-scale (default N(0, 1)),

        Σ_q w_q Σ_j Σ_k (P_jk,to(θ_q) - P_jk,from((θ_q - B) / A))² / Σ_j K_j

    over items j and categories k of K_j; for items scored right or wrong this is the mean over items of
    the squared difference of P(right).

    from_grid: where given, the same sum on the from-scale, with these points and weights, is added (the
    symmetric criterion). fixed_scale: A stays 1 (Rasch).

    Raises: TooFewItems for none; InvalidItem where the two sides do not match.

    >>> from domain.cat.logistic import LogisticItems
    >>> here = LogisticItems.of([1.0, 1.5, 0.8], [-1.0, 0.0, 1.2], [0.2, 0.1, 0.0])
    >>> linking = haebara(here, Linking(1.2, -0.5).items(here))
    >>> round(linking.A, 9), round(linking.B, 9)
    (1.2, -0.5)
    """
    refuse_unpaired(from_items, to_items)
    return _minimum(Criterion(item_curves, from_items, to_items, grid, from_grid), fixed_scale=fixed_scale)


def stocking_lord(
    from_items: Items,
    to_items: Items,
    *,
    grid: Grid = DEFAULT_GRID,
    from_grid: Grid | None = None,
    fixed_scale: bool = False,
) -> Linking:
    """Makes the test's curve the same on both sides [Stocking1983].

    Minimises over A and B, with `grid`, `from_grid` and `fixed_scale` as in `haebara`,

        Σ_q w_q (T_to(θ_q) - T_from((θ_q - B) / A))²,  T(θ) = Σ_j Σ_k k P_jk(θ)

    Raises: as `haebara`.

    >>> from domain.cat.logistic import LogisticItems
    >>> here = LogisticItems.of([1.0, 1.5, 0.8], [-1.0, 0.0, 1.2], [0.2, 0.1, 0.0])
    >>> linking = stocking_lord(here, Linking(1.2, -0.5).items(here))
    >>> round(linking.A, 9), round(linking.B, 9)
    (1.2, -0.5)
    """
    refuse_unpaired(from_items, to_items)
    return _minimum(Criterion(score_curve, from_items, to_items, grid, from_grid), fixed_scale=fixed_scale)


def link(method: Method, from_items: Items, to_items: Items) -> Linking:
    """The linking by one of the four methods, each with its defaults.

    Raises: as that method.

    >>> from domain.cat.logistic import LogisticItems
    >>> link("mean_sigma", LogisticItems.of(1.0, [-1.0, 1.0]), LogisticItems.of(1.0, [-2.0, 1.0])).A
    1.5
    """
    return _BY_NAME[method](from_items, to_items)


def refuse_unpaired(from_items: Items, to_items: Items) -> None:
    """Raises: InvalidItem where number or categories of the items differ; TooFewItems where there is none."""
    if len(from_items) != len(to_items):
        raise InvalidItem(-1, f"{len(from_items)} on one side and {len(to_items)} on the other")
    if len(from_items) == 0:
        raise TooFewItems(have=0, wanted=1)
    here, there = from_items.categories, to_items.categories
    if (here != there).any():
        row = int(np.argmax(here != there))
        raise InvalidItem(row, f"{here[row]} categories on one side and {there[row]} on the other")


_BY_NAME: Final[dict[Method, Callable[[Items, Items], Linking]]] = {
    "mean_mean": mean_mean,
    "mean_sigma": mean_sigma,
    "haebara": haebara,
    "stocking_lord": stocking_lord,
}

_NO_SPREAD: Final = 1e-12
"""A spread of difficulties below this, relative to their size, is rounding."""


def _minimum(criterion: Criterion, *, fixed_scale: bool) -> Linking:
    """The best of the minima found from each start; one that was reached before one that was not."""
    found = [
        criterion.minimum(start.A, start.B, fixed_scale=fixed_scale)
        for start in _starts(criterion.from_items, criterion.to_items, fixed_scale=fixed_scale)
    ]
    best = min(found, key=lambda each: (not each.converged, each.value))
    return Linking(best.scale, best.shift, best.value, best.converged)


def _starts(from_items: Items, to_items: Items, *, fixed_scale: bool) -> list[Linking]:
    """What the moments say, as far as they can be had; else no change."""
    starts = []
    for moments in (mean_sigma, mean_mean):
        try:
            starts.append(moments(from_items, to_items))
        except (InvalidItem, TooFewItems):  # one item, all alike, or nominal: the curves may tell still
            continue
    if fixed_scale and starts:
        return [Linking(1.0, float(difficulties(to_items).mean() - difficulties(from_items).mean()))]
    return starts or [Linking(1.0, 0.0)]
