"""Lord's chi-square and Raju's areas from responses: each group calibrated for itself, then linked."""

from dataclasses import replace
from typing import Literal

from numpy.typing import ArrayLike

from domain.cat.calibration import Calibration, Priors, calibrate
from domain.cat.dif.estimates import ItemEstimates
from domain.cat.dif.groups import refuse_more_than_two, sample_of
from domain.cat.dif.lord import LordDif, lord
from domain.cat.dif.raju import RajuDif, raju
from domain.cat.errors import InvalidItem
from domain.cat.grid import DEFAULT_GRID, Grid
from domain.cat.items import LogisticItems
from domain.cat.linking import Method

LordModel = Literal["1pl", "2pl", "3pl", "4pl"]
RajuModel = Literal["1pl", "2pl"]


def estimates_of(calibration: Calibration) -> ItemEstimates:
    """A calibration's items with the covariances of what was estimated for each item alone.

    A common slope (1PL) is no parameter of an item: only b is compared then. An item at the bound of its
    range has nan covariances, is not judged, and takes no part in the linking.

    Raises: InvalidItem where the items are not scored right or wrong, errors were not asked for, or some of
    the items were held fixed.
    """
    items, covariances = calibration.items, calibration.covariances
    if not isinstance(items, LogisticItems):
        raise InvalidItem(-1, f"{type(items).__name__} are not scored right or wrong")
    if covariances is None or len(covariances) != len(items):
        raise InvalidItem(-1, "there are not standard errors for every item")
    names = ("b",) if calibration.model == "1pl" else ("a", "b", "c", "d")
    at = [calibration.parameter_names.index(name) for name in names if name in calibration.parameter_names]
    return ItemEstimates(items, covariances[:, at][:, :, at])


def lord_from_responses(  # noqa: PLR0913 - each option is a choice of the analyst, given by name
    responses: ArrayLike,
    group: ArrayLike,
    *,
    model: LordModel = "2pl",
    linking: Method = "mean_sigma",
    purify: bool = False,
    significance: float = 0.05,
    max_rounds: int = 20,
    grid: Grid = DEFAULT_GRID,
    priors: Priors | None = None,
    max_iterations: int = 500,
) -> LordDif:
    """`lord` after calibrating each group by itself on N(0, 1), linked by the method given.

    responses: (n, m), 0, 1 or MISSING. group: (n,), 0 reference, 1 focal. Priors and max_iterations as in
    `calibrate`; a group whose calibration has not converged is in `unfinished`.

    Raises: InvalidResponse, InvalidGroup; as `calibrate` does, naming the group, where a group's answers to
    an item are all right or all wrong; as the linking does.

    >>> import numpy as np
    >>> rng = np.random.default_rng(2)
    >>> group = np.repeat([0, 1], 3000)
    >>> harder = np.linspace(-1, 1, 10) + np.outer(group, np.arange(10) == 4)
    >>> right = rng.random((6000, 10)) < 1 / (1 + np.exp(1.3 * (harder - rng.normal(size=(6000, 1)))))
    >>> found = lord_from_responses(right, group, purify=True, significance=0.01)
    >>> np.flatnonzero(~found.linked.anchor), bool(found.p_value[4] < 1e-10)
    (array([4]), True)
    """
    reference, focal, unfinished = _calibrated(responses, group, model, grid, priors, max_iterations)
    found = lord(
        reference, focal, linking=linking, purify=purify, significance=significance, max_rounds=max_rounds
    )
    return replace(found, unfinished=unfinished)


def raju_from_responses(  # noqa: PLR0913 - each option is a choice of the analyst, given by name
    responses: ArrayLike,
    group: ArrayLike,
    *,
    model: RajuModel = "2pl",
    linking: Method = "mean_sigma",
    purify: bool = False,
    purify_by_signed: bool = False,
    significance: float = 0.05,
    max_rounds: int = 20,
    grid: Grid = DEFAULT_GRID,
    priors: Priors | None = None,
    max_iterations: int = 500,
) -> RajuDif:
    """`raju` after calibrating each group by itself; as `lord_from_responses`, without c and d.

    Raises: as `lord_from_responses`.

    >>> import numpy as np
    >>> rng = np.random.default_rng(2)
    >>> group = np.repeat([0, 1], 3000)
    >>> harder = np.linspace(-1, 1, 10) + np.outer(group, np.arange(10) == 4)
    >>> right = rng.random((6000, 10)) < 1 / (1 + np.exp(1.3 * (harder - rng.normal(size=(6000, 1)))))
    >>> found = raju_from_responses(right, group, purify=True)
    >>> bool(abs(found.signed.area[4] - 1) < 0.2)
    True
    """
    reference, focal, unfinished = _calibrated(responses, group, model, grid, priors, max_iterations)
    found = raju(
        reference,
        focal,
        linking=linking,
        purify=purify,
        purify_by_signed=purify_by_signed,
        significance=significance,
        max_rounds=max_rounds,
    )
    return replace(found, unfinished=unfinished)


def _calibrated(  # noqa: PLR0913, PLR0917 - what both groups' calibrations have in common
    responses: ArrayLike,
    group: ArrayLike,
    model: LordModel,
    grid: Grid,
    priors: Priors | None,
    max_iterations: int,
) -> tuple[ItemEstimates, ItemEstimates, tuple[str, ...]]:
    """Both groups' estimates, and the names of those whose climb was stopped."""
    sample = sample_of(responses, group)
    refuse_more_than_two(sample)
    found = {}
    for name, of_focal in (("reference", False), ("focal", True)):
        own = sample.responses[sample.focal == of_focal]
        try:
            found[name] = calibrate(own, model, grid=grid, priors=priors, max_iterations=max_iterations)
        except InvalidItem as error:
            raise InvalidItem(error.row, f"in the {name} group {error.reason}") from error
    unfinished = tuple(name for name, each in found.items() if not each.converged)
    return estimates_of(found["reference"]), estimates_of(found["focal"]), unfinished
