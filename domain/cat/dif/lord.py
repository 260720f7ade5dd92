"""Lord's chi-square: are an item's parameters the same in both groups, given their errors?"""

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from domain.cat.dif.estimates import ItemEstimates, Linked, compared
from domain.cat.dif.purification import suspicion
from domain.cat.linking import Linking, Method
from domain.cat.types import Floats


@dataclass(frozen=True, eq=False)
class LordDif:
    """One entry for each of m items.

    chi_square, p_value: with `degrees_of_freedom` = p, the number of parameters compared; nan where a
    covariance is not positive definite. difference: (m, p): focal less reference, on the reference scale, in
    the order of `ItemEstimates`. linked: the constants used, the anchor items and the rounds. unfinished: the
    groups, reference or focal, whose calibration has not converged, where it was done here.
    """

    chi_square: Floats
    degrees_of_freedom: int
    p_value: Floats
    difference: Floats
    linked: Linked
    unfinished: tuple[str, ...] = ()


def lord(  # noqa: PLR0913 - each option is a choice of the analyst, given by name
    reference: ItemEstimates,
    focal: ItemEstimates,
    *,
    linking: Linking | Method | None = "mean_sigma",
    purify: bool = False,
    significance: float = 0.05,
    max_rounds: int = 20,
) -> LordDif:
    """χ² = d' (S_R + S_F)⁻¹ d for each item, d the difference of its parameters [Lord1980].

    S_R and S_F are the covariances of the two independent calibrations. The focal group's parameters are
    put on the reference group's scale first: by given constants, by a method of linking over all items, or
    not at all (None: calibrated together, or linked already). purify: items with p < `significance` leave the
    linking, and it is found again [Candell1988], at most `max_rounds` times.

    With 3 parameters the errors of c are rarely normal: the test is better done with c in common (p = 2).

    Raises: InvalidItem where the two do not match; as the linking does.

    >>> from domain.cat.logistic import LogisticItems
    >>> errors = np.tile(np.diag([0.02, 0.01]), (3, 1, 1))
    >>> here = ItemEstimates(LogisticItems.of([1.0, 1.2, 0.9], [-1.0, 0.0, 1.0]), errors)
    >>> there = ItemEstimates(LogisticItems.of([1.0, 1.2, 0.9], [-1.0, 0.4, 1.0]), errors)
    >>> lord(here, there, linking=None).chi_square.round(6)
    array([0., 8., 0.])
    """

    def test(first: ItemEstimates, second: ItemEstimates) -> tuple[tuple[Floats, Floats], Floats]:
        difference = second.parameters - first.parameters
        chi_square = _quadratic(difference, first.covariances + second.covariances)
        p_value = chdtrc(difference.shape[1], chi_square)
        return (chi_square, difference), suspicion(p_value, chi_square, significance)

    (chi_square, difference), linked = compared(
        test, reference, focal, linking, max_rounds=max_rounds if purify else None
    )
    degrees = difference.shape[1]
    return LordDif(chi_square, degrees, chdtrc(degrees, chi_square), difference, linked)


def _quadratic(difference: Floats, covariance: Floats) -> Floats:
    """(m,): d' S⁻¹ d, nan where S is not positive definite."""
    chi_square = np.full(len(difference), np.nan)
    known = np.flatnonzero(np.isfinite(covariance).all(axis=(1, 2)))
    known = known[np.linalg.eigvalsh(covariance[known])[:, 0] > 0]
    d, s = difference[known][:, :, np.newaxis], covariance[known]
    chi_square[known] = (d * np.linalg.solve(s, d)).sum(axis=(1, 2))
    return chi_square
