"""When a test ends. Each rule says why, or None; rules combine with `any_of`, `all_of` and `at_least`.

>>> stop = any_of(StandardErrorBelow(0.3), MaximumItems(50))  # the default, `DEFAULT_STOPPING`
>>> stop(Progress(theta=0.1, se=0.29, items=np.arange(18), responses=np.ones(18, int)))
Stop(reason='se', category=None)
>>> stop(Progress(theta=0.1, se=0.31, items=np.arange(18), responses=np.ones(18, int)))
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from domain.cat.errors import InvalidGrid, InvalidLimits
from domain.cat.items import Items
from domain.cat.types import Floats, Ints


@dataclass(frozen=True, eq=False)
class Progress:
    """How far one examinee's test has come.

    theta, se: the estimate and its standard error (logits). items, responses: (k,), rows of the bank in
    the order given and the responses to them. information_left: the largest information at the estimate
    of an item that may still be given (None: not known; -inf: no item left). elapsed_s: seconds since the
    test began.
    """

    theta: float
    se: float
    items: Ints
    responses: Ints
    information_left: float | None = None
    elapsed_s: float = 0.0


@dataclass(frozen=True)
class Stop:
    """Why the test ends; `category` (from 0, lowest first) where the rule classifies the examinee."""

    reason: str
    category: int | None = None


StoppingRule = Callable[[Progress], Stop | None]


@dataclass(frozen=True)
class StandardErrorBelow:
    """The estimate is precise enough: se < limit (logits).

    Raises: InvalidLimits where the limit is not above 0.
    """

    limit: float = 0.3

    def __post_init__(self) -> None:
        _above_zero(self.limit, "a standard error")

    def __call__(self, progress: Progress) -> Stop | None:
        return Stop("se") if progress.se < self.limit else None


@dataclass(frozen=True)
class MaximumItems:
    """As many items as a test may have were given.

    Raises: InvalidLimits where that is none.
    """

    count: int = 50

    def __post_init__(self) -> None:
        _above_zero(self.count, "a number of items")

    def __call__(self, progress: Progress) -> Stop | None:
        return Stop("max_items") if progress.items.size >= self.count else None


@dataclass(frozen=True)
class InformationBelow:
    """No item that is left would tell much: its information at the estimate is below the limit  [Dodd1989].

    Says nothing where `Progress.information_left` is not known.

    Raises: InvalidLimits where the limit is below 0. At 0 it stops where no item is left.
    """

    limit: float

    def __post_init__(self) -> None:
        if not self.limit >= 0:
            raise InvalidLimits(f"an information of {self.limit}")

    def __call__(self, progress: Progress) -> Stop | None:
        left = progress.information_left
        return Stop("min_information") if left is not None and left < self.limit else None


@dataclass(frozen=True)
class TimeIsUp:
    """`limit_s` seconds have passed since the test began.

    Raises: InvalidLimits where that is no time.
    """

    limit_s: float

    def __post_init__(self) -> None:
        _above_zero(self.limit_s, "a time in seconds")

    def __call__(self, progress: Progress) -> Stop | None:
        return Stop("time") if progress.elapsed_s >= self.limit_s else None


@dataclass(frozen=True, eq=False)
class ProbabilityRatio:
    """Wald's sequential probability ratio test at each cut score  [Reckase1983] [Eggen1999].

    At a cut κ the likelihood at κ + δ is held against that at κ - δ:

        log L(κ + δ) - log L(κ - δ)  >= log((1 - beta) / alpha)  says above,
                                     <= log(beta / (1 - alpha))  says below.

    It stops once every cut is decided; the category is the number of cuts that the examinee is above.
    With several cuts a contradiction (above a higher and below a lower one) does not stop.

    cuts: ascending, logits. half_width: δ > 0. alpha: the chance to say above for ability κ - δ; beta:
    that to say below for κ + δ.

    Raises: InvalidGrid where cuts do not ascend, or δ, alpha or beta are out of range.

    >>> from domain.cat.items import LogisticItems
    >>> bank = LogisticItems.of(1.5, np.zeros(12))
    >>> rule = ProbabilityRatio(bank, [0.0], half_width=0.3)
    >>> [rule(Progress(0.0, 1.0, np.arange(n), np.ones(n, int))) for n in (6, 7)]
    [None, Stop(reason='probability_ratio', category=1)]
    """

    bank: Items
    cuts: Floats
    half_width: float
    alpha: float = 0.05
    beta: float = 0.05
    _ends: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        cuts = _ascending(self.cuts)
        if not (self.half_width > 0 and 0 < self.alpha < 0.5 and 0 < self.beta < 0.5):
            raise InvalidGrid(f"δ {self.half_width}, alpha {self.alpha}, beta {self.beta}")
        object.__setattr__(self, "cuts", cuts)
        ends = np.concatenate([cuts - self.half_width, cuts + self.half_width])
        object.__setattr__(self, "_ends", ends)

    def __call__(self, progress: Progress) -> Stop | None:
        if not progress.items.size:
            return None
        likelihood = self.bank[progress.items].log_likelihood(progress.responses, self._ends)[0]
        ratio = likelihood[self.cuts.size :] - likelihood[: self.cuts.size]
        above = ratio >= np.log((1 - self.beta) / self.alpha)
        below = ratio <= np.log(self.beta / (1 - self.alpha))
        return _classified("probability_ratio", above, below)


@dataclass(frozen=True, eq=False)
class ConfidenceInterval:
    """No cut lies within θ̂ ± z se: the examinee is above or below each of them  [Kingsbury1983].

    z is the normal quantile of (1 + confidence) / 2; the category is the number of cuts below the interval.

    Raises: InvalidGrid where cuts do not ascend or the confidence is not in (0, 1).

    >>> rule = ConfidenceInterval([-1.0, 1.0], confidence=0.95)
    >>> rule(Progress(theta=0.0, se=0.5, items=np.arange(5), responses=np.ones(5, int)))
    Stop(reason='confidence_interval', category=1)
    """

    cuts: Floats
    confidence: float = 0.95

    def __post_init__(self) -> None:
        object.__setattr__(self, "cuts", _ascending(self.cuts))
        if not 0 < self.confidence < 1:
            raise InvalidGrid(f"a confidence of {self.confidence}")

    def __call__(self, progress: Progress) -> Stop | None:
        reach = NormalDist().inv_cdf((1 + self.confidence) / 2) * progress.se
        above, below = progress.theta - reach > self.cuts, progress.theta + reach < self.cuts
        return _classified("confidence_interval", above, below)


def any_of(*rules: StoppingRule) -> StoppingRule:
    """Stops when one of the rules does, for the reason of the first that does."""

    def first(progress: Progress) -> Stop | None:
        return next((stop for rule in rules if (stop := rule(progress)) is not None), None)

    return first


def all_of(*rules: StoppingRule) -> StoppingRule:
    """Stops when each of the rules does; reasons are joined with "+", the category is the first there is.

    >>> both = all_of(StandardErrorBelow(0.3), MaximumItems(1))
    >>> both(Progress(0.0, 0.2, np.arange(1), np.ones(1, int))).reason
    'se+max_items'
    """

    def together(progress: Progress) -> Stop | None:
        stops = [rule(progress) for rule in rules]
        met = [stop for stop in stops if stop is not None]
        if not met or len(met) < len(stops):
            return None
        category = next((stop.category for stop in met if stop.category is not None), None)
        return Stop("+".join(stop.reason for stop in met), category)

    return together


def at_least(count: int, rule: StoppingRule) -> StoppingRule:
    """The rule, but never before `count` items were given.

    >>> at_least(5, StandardErrorBelow(0.3))(Progress(0.0, 0.2, np.arange(4), np.ones(4, int)))
    """

    def later(progress: Progress) -> Stop | None:
        return rule(progress) if progress.items.size >= count else None

    return later


def _above_zero(limit: float, what: str) -> None:
    if not limit > 0:  # NaN is not
        raise InvalidLimits(f"{what} of {limit}")


def _classified(reason: str, above: ArrayLike, below: ArrayLike) -> Stop | None:
    over, under = np.asarray(above, dtype=bool), np.asarray(below, dtype=bool)
    decided = (over | under).all() and (np.diff(over.astype(np.int64)) <= 0).all()
    return Stop(reason, int(over.sum())) if decided else None


def _ascending(cuts: ArrayLike) -> Floats:
    values = np.atleast_1d(np.array(cuts, dtype=np.float64))
    if values.ndim != 1 or not values.size or not np.isfinite(values).all() or (np.diff(values) <= 0).any():
        raise InvalidGrid("cut scores are not finite and ascending")
    values.setflags(write=False)
    return values


DEFAULT_STOPPING: Final = any_of(StandardErrorBelow(0.3), MaximumItems(50))
"""SE < 0.3 or 50 items."""
