"""Rules that leave part of the choice to chance, so that not everybody gets the same few items.

Also how often items were given in the end.
The number drawn, one for each choice, is in `Choice.draw`; a rule's `decide` with that number makes the
same choice again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from domain.cat.choice import Choice, Rule, Standing, best, ranked
from domain.cat.errors import InvalidItem
from domain.cat.items import Items
from domain.cat.types import Floats, Ints


@dataclass(frozen=True)
class Randomesque:
    """One of the `among` best items, each as likely  [Kingsbury1989].

    >>> from domain.cat.items import LogisticItems
    >>> from domain.cat.selection import MaximumInformation
    >>> rule = Randomesque(MaximumInformation(), among=2)
    >>> bank = LogisticItems.of(1.0, [-2.0, 0.4, 0.5])
    >>> rule(bank, Standing.at(0.0, 3), np.random.default_rng(0)).candidates
    array([1, 2])
    """

    of: Rule
    among: int = 5

    def __post_init__(self) -> None:
        _at_least_one("among", self.among)

    def __call__(self, bank: Items, standing: Standing, rng: np.random.Generator) -> Choice:
        return self.decide(self.of(bank, standing, rng).criterion, float(rng.random()))

    def decide(self, criterion: Floats, draw: float) -> Choice:
        """The choice that the number drawn makes."""
        first = ranked(criterion)[: self.among]
        return Choice(int(first[int(draw * first.size)]), criterion, first, draw)


def weight_of_information(serial: int, length: int, acceleration: float = 1.0) -> float:
    """W = Σ_{f=1}^{q} (f - 1)^t / Σ_{f=1}^{M} (f - 1)^t for the q-th of M items: from 0 to 1  [Barrada2008].

    With acceleration t = 0 it rises evenly after the first item; the larger t, the longer chance rules.
    Beyond the M-th item it stays 1.

    >>> [round(weight_of_information(q, 4), 4) for q in (1, 2, 3, 4, 5)]
    [0.0, 0.1667, 0.5, 1.0, 1.0]
    """
    if serial >= length:
        return 1.0
    steps = np.arange(1, length, dtype=np.float64) ** acceleration
    return float(steps[: serial - 1].sum() / steps.sum())


@dataclass(frozen=True)
class Progressive:
    """(1 - W) R_j + W I_j, with R_j drawn evenly from 0 to the largest information left  [Revuelta1998].

    W rises from 0 to 1 over a test of `length` items (`weight_of_information`). The R_j (m,) all
    follow from the one number drawn (`uniform_numbers`).

    >>> from domain.cat.items import LogisticItems
    >>> from domain.cat.selection import MaximumInformation
    >>> bank = LogisticItems.of(1.0, [-2.0, 0.4, 2.0])
    >>> rule = Progressive(MaximumInformation(), length=2)
    >>> rule(bank, Standing.at(0.0, 3, [0]), np.random.default_rng(0)).item
    1
    """

    of: Rule
    length: int
    acceleration: float = 1.0

    def __post_init__(self) -> None:
        _at_least_one("length", self.length)

    def __call__(self, bank: Items, standing: Standing, rng: np.random.Generator) -> Choice:
        criterion = self.of(bank, standing, rng).criterion
        return self.decide(criterion, float(rng.random()), standing.given.size + 1)

    def decide(self, criterion: Floats, draw: float, serial: int) -> Choice:
        """The choice that the number drawn makes, for the serial-th item (from 1)."""
        weight = weight_of_information(serial, self.length, self.acceleration)
        possible = criterion > -np.inf
        highest = float(criterion[possible].max(initial=0.0))
        chance = highest * uniform_numbers(int(draw * 2**53), criterion.size)
        mixed = (1 - weight) * chance + weight * np.where(possible, criterion, 0.0)
        chosen = best(mixed, possible)
        return Choice(chosen.item, chosen.criterion, chosen.candidates, draw)


@dataclass(frozen=True)
class Proportional:
    """An item with probability I_j^H / Σ I^H, H = M · W from 0 to the length of the test  [Barrada2008].

    At first every item is as likely, at the end the most informative ones by far  [Segall2004].

    >>> from domain.cat.items import LogisticItems
    >>> from domain.cat.selection import MaximumInformation
    >>> rule = Proportional(MaximumInformation(), length=30)
    >>> rule.probabilities(np.array([0.5, 1.0]), serial=2).round(4)
    array([0.4881, 0.5119])
    """

    of: Rule
    length: int
    acceleration: float = 1.0

    def __post_init__(self) -> None:
        _at_least_one("length", self.length)

    def __call__(self, bank: Items, standing: Standing, rng: np.random.Generator) -> Choice:
        criterion = self.of(bank, standing, rng).criterion
        return self.decide(criterion, float(rng.random()), standing.given.size + 1)

    def probabilities(self, criterion: Floats, serial: int) -> Floats:
        """(m,): of each item to be the serial-th (from 1); 0 where it cannot be chosen."""
        exponent = self.length * weight_of_information(serial, self.length, self.acceleration)
        possible = criterion > -np.inf
        with np.errstate(divide="ignore"):
            logs = np.log(np.maximum(np.where(possible, criterion, 0.0), 0.0))
        top = logs[possible].max(initial=-np.inf)
        if top == -np.inf or exponent == 0:  # no information anywhere, or none is asked for
            return possible / np.count_nonzero(possible)
        powers = np.where(possible, np.exp(exponent * (logs - top)), 0.0)
        shares: Floats = powers / powers.sum()
        return shares

    def decide(self, criterion: Floats, draw: float, serial: int) -> Choice:
        """The choice that the number drawn makes, for the serial-th item (from 1)."""
        order = ranked(criterion)
        cumulated = np.cumsum(self.probabilities(criterion, serial)[order])
        # Rounding may leave the sum below 1, and the draw above it.
        at = int(np.searchsorted(cumulated, draw * cumulated[-1], side="right"))
        return Choice(int(order[min(at, order.size - 1)]), criterion, order, draw)


@dataclass(frozen=True, eq=False)
class Exposure:
    """How a bank was used by n examinees.

    rates: (m,), the share of examinees who were given each item. overlap: mean share of items that two
    examinees have in common, Σ_j n_j (n_j - 1) / ((n - 1) Σ_j n_j)  [Chen2003]; NaN for fewer than two.

    >>> Exposure.of([np.array([0, 1]), np.array([0, 2])], bank_size=4)
    Exposure(rates=array([1. , 0.5, 0.5, 0. ]), overlap=0.5)
    """

    rates: Floats
    overlap: float

    @classmethod
    def of(cls, tests: Sequence[Ints], bank_size: int) -> "Exposure":
        """From the rows of the items that each examinee was given."""
        counts = np.zeros(bank_size)
        for items in tests:
            counts[items] += 1
        return cls.counted(counts, len(tests))

    @classmethod
    def counted(cls, counts: Floats, examinees: int) -> "Exposure":
        """From how many of the examinees were given each item (m,)."""
        given = counts.sum()
        pairs = (examinees - 1) * given
        overlap = float((counts * (counts - 1)).sum() / pairs) if pairs else float("nan")
        return cls(counts / max(examinees, 1), overlap)

    @property
    def never_given(self) -> Ints:
        """Rows of the items that nobody was given."""
        return np.flatnonzero(self.rates == 0)


def uniform_numbers(seed: int, count: int) -> Floats:
    """(count,): numbers in [0, 1) that follow from a seed by the SplitMix64 generator  [Steele2014].

    So that one number drawn stands for many, and a replay years later does not depend on how a library
    makes its random numbers.

    >>> uniform_numbers(7, 3).round(6)
    array([0.38983 , 0.016788, 0.900761])
    """
    mixed = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise InvalidItem(-1, f"{name} is {value}, not at least 1")
