"""Standard errors of linking constants: from the errors of the items' parameters, or the choice of items.

Both calibrations are samples, and so are A and B. `linking_errors` says how far they would move with other
examinees (the items being these), `jackknife_errors` how far with other items of the same kind.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike

from domain.cat.calibration import Calibration
from domain.cat.curve_linking import Criterion, item_curves, score_curve
from domain.cat.errors import InvalidItem, TooFewItems
from domain.cat.grid import DEFAULT_GRID
from domain.cat.items import GradedItems, Items, LogisticItems, PartialCreditItems
from domain.cat.linking import Linking, Method, link, refuse_unpaired
from domain.cat.types import Floats, Ints

Common = LogisticItems | GradedItems | PartialCreditItems

_STEP: Final = 1e-5


@dataclass(frozen=True, eq=False)
class UncertainItems:
    """Common items as one calibration has them: m items of r parameters each, and how those vary together.

    names: of the parameters, as in `Calibration.parameter_names`: fields of the items, with _1, _2, … for
    columns of b. covariance: (m r, m r), item after item; NaN for padding. What two items' errors have in
    common counts: a group that happened to be able makes all items look easy at once.

    Raises: InvalidItem where the shapes do not fit, or a name is no parameter of these items.
    """

    items: Common
    names: tuple[str, ...]
    covariance: Floats

    def __post_init__(self) -> None:
        size = len(self.items) * len(self.names)
        if np.shape(self.covariance) != (size, size):
            raise InvalidItem(-1, f"covariances of shape {np.shape(self.covariance)} for {size} parameters")
        for name in self.names:
            if not hasattr(self.items, name.split("_")[0]):
                raise InvalidItem(-1, f"{type(self.items).__name__} have no parameter {name}")

    @classmethod
    def of(cls, calibration: Calibration, columns: ArrayLike | None = None) -> Self:
        """What a calibration estimated, in the columns of its responses given (None: in all).

        Raises: InvalidItem with the column where it was held fixed, or there are no standard errors, or the
        items are of another kind.
        """
        items, joint = calibration.items, calibration.joint_covariance
        if joint is None:
            raise InvalidItem(-1, "there are no standard errors")
        if not isinstance(items, Common):
            raise InvalidItem(-1, f"{type(items).__name__} cannot be linked with their errors")
        wanted = np.arange(len(items)) if columns is None else np.asarray(columns, dtype=np.int64)
        place = np.full(len(items), -1)
        place[calibration.calibrated] = np.arange(len(calibration.calibrated))
        for column in wanted:
            if place[column] < 0:
                raise InvalidItem(int(column), "was held fixed, and has no errors")
        own = np.arange(len(calibration.parameter_names))
        rows = (place[wanted][:, np.newaxis] * own.size + own).ravel()
        return cls(items[wanted], calibration.parameter_names, joint[np.ix_(rows, rows)])


@dataclass(frozen=True, eq=False)
class LinkingErrors:
    """A and B with their covariance (2, 2); NaN where it is not known."""

    linking: Linking
    covariance: Floats

    @property
    def se_A(self) -> float:  # noqa: N802 - the name of the constant
        """Standard error of A."""
        return float(np.sqrt(self.covariance[0, 0]))

    @property
    def se_B(self) -> float:  # noqa: N802 - the name of the constant
        """Standard error of B."""
        return float(np.sqrt(self.covariance[1, 1]))

    def of_theta(self, theta: ArrayLike) -> Floats:
        """The error (any shape) that the linking adds to A θ + B, at from-abilities known exactly."""
        at = np.asarray(theta, dtype=np.float64)
        (a, both), (_, b) = self.covariance
        return np.asarray(np.sqrt(a * at**2 + 2 * both * at + b))


def linking_errors(method: Method, from_: UncertainItems, to: UncertainItems) -> LinkingErrors:
    """`link`, and the errors of A and B by the delta method  [Ogasawara2000] [Ogasawara2001].

        Cov(A, B) = J_from Σ_from J_from' + J_to Σ_to J_to',  J the derivatives of A and B by the parameters

    for two calibrations of different examinees. For the moments J is that of their formulas; for the curve
    methods, whose constants x make the gradient g of the criterion 0, it is -(∂g/∂x)⁻¹ ∂g/∂parameter.

    Raises: as `link` does.

    >>> items = LogisticItems.of([1.0, 1.0, 1.0], [-1.0, 0.0, 1.0])
    >>> alone = UncertainItems(items, ("b",), np.diag([0.01, 0.01, 0.01]))
    >>> found = linking_errors("mean_sigma", alone, alone)
    >>> round(found.se_B, 6), round((2 * 0.01 / 3) ** 0.5, 6)
    (0.08165, 0.08165)
    """
    linking = link(method, from_.items, to.items)
    moves = _moves(method, linking, from_.items, to.items)
    here = _spread(from_, lambda items: moves(items, to.items))
    there = _spread(to, lambda items: moves(from_.items, items))
    return LinkingErrors(linking, here + there)


def jackknife_errors(method: Method, from_items: Items, to_items: Items) -> LinkingErrors:
    """`link`, and the errors of A and B by leaving out one item after the other  [Haberman2009].

    (m - 1) / m Σ_j (x_j - mean)(x_j - mean)', x_j the constants without item j. It holds what the items
    disagree about, whatever the reason, and needs no covariances.

    Raises: as `link` does; TooFewItems for fewer than three items.

    >>> here = LogisticItems.of(1.0, [-1.0, 0.0, 1.0, 2.0])
    >>> there = LogisticItems.of(1.0, [-0.5, 0.7, 1.4, 2.6])
    >>> found = jackknife_errors("mean_mean", here, there)
    >>> round(found.se_B, 6), round(float(np.std([0.5, 0.7, 0.4, 0.6], ddof=1)) / 2, 6)
    (0.06455, 0.06455)
    """
    refuse_unpaired(from_items, to_items)
    count = len(from_items)
    if count < 3:
        raise TooFewItems(count, 3)
    everyone = np.arange(count)
    constants = np.empty((count, 2))
    for item in everyone:
        rest = everyone[everyone != item]
        found = link(method, from_items[rest], to_items[rest])
        constants[item] = found.A, found.B
    off = constants - constants.mean(axis=0)
    return LinkingErrors(link(method, from_items, to_items), (count - 1) / count * off.T @ off)


_CURVES: Final = {"haebara": item_curves, "stocking_lord": score_curve}

Moves = Callable[[Common, Common], Floats]
"""A and B, but for a constant, as items of either side move a little."""


def _moves(method: Method, linking: Linking, from_items: Common, to_items: Common) -> Moves:
    if method not in _CURVES:

        def formulas(here: Common, there: Common) -> Floats:
            moved = link(method, here, there)
            return np.array([moved.A, moved.B])

        return formulas
    criterion = Criterion(_CURVES[method], from_items, to_items, DEFAULT_GRID, None)
    bend, turn = criterion.curvature_at(linking.A, linking.B)

    def newton(here: Common, there: Common) -> Floats:
        """A step from the constants found: to first order it is where moved items would put them."""
        moved = replace(criterion, from_items=here, to_items=there)
        step = np.linalg.solve(bend, moved.gradient_at(linking.A, linking.B, criterion.middle))
        return np.asarray(-turn @ step)

    return newton


def _spread(side: UncertainItems, moves: Callable[[Common], Floats]) -> Floats:
    """(2, 2): what the errors of one side's parameters do to A and B."""
    slopes, known = _slopes(side, moves)
    spread: Floats = slopes[:, known] @ side.covariance[np.ix_(known, known)] @ slopes[:, known].T
    return spread


def _slopes(side: UncertainItems, moves: Callable[[Common], Floats]) -> tuple[Floats, Ints]:
    """Derivatives (2, m r) of A and B by the parameters of one side, and which parameters there are."""
    slopes = np.zeros((2, len(side.items) * len(side.names)))
    known = []
    for row in range(len(side.items)):
        for place, name in enumerate(side.names):
            at = row * len(side.names) + place
            if np.isfinite(_parameter(side.items, row, name)):
                known.append(at)
                up, down = (moves(_moved(side.items, row, name, step)) for step in (_STEP, -_STEP))
                slopes[:, at] = (up - down) / (2 * _STEP)
    return slopes, np.array(known, dtype=np.int64)


def _parameter(items: Common, row: int, name: str) -> float:
    field, _, column = name.partition("_")
    values = getattr(items, field)
    return float(values[row, int(column) - 1] if column else values[row])


def _moved(items: Common, row: int, name: str, step: float) -> Common:
    field, _, column = name.partition("_")
    values = np.array(getattr(items, field))
    if column:
        values[row, int(column) - 1] += step
    else:
        values[row] += step
    changed: Any = {field: values}  # of the fields that this kind has
    return replace(items, **changed)
