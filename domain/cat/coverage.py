"""Where on the scale of ability a bank can measure well enough, and where it runs out of items."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from domain.cat.items import Items
from domain.cat.types import Floats, Ints, as_theta

NEVER = -1
"""In place of a number of items where all of them are not enough."""


@dataclass(frozen=True, eq=False)
class Coverage:
    """At each of q abilities, each (q,).

    information: of the whole bank. best: of the `length` items that tell most there, which is as much as any
    test of that length can tell. se: the standard error that such a test ends with. needed: how many
    items it takes at least to get the standard error below the target; `NEVER` where the bank cannot.
    """

    theta: Floats
    information: Floats
    best: Floats
    se: Floats
    needed: Ints


def coverage(
    items: Items, theta: ArrayLike, length: int, target_se: float | None, prior_sd: float | None = None
) -> Coverage:
    """What the best test of at most `length` items can reach at each ability theta (q,).

    The test information I of the items gives an error of 1 / √I, and with a normal prior of variance σ²
    a posterior of variance 1 / (I + 1 / σ²)  [Birnbaum1968] [Bock1982].
    No test does better on the whole: the items are the best at the true ability, which nobody knows while
    it runs. Of one person the posterior may be narrower; under the 3PL it depends on the answers.

    >>> from domain.cat.logistic import LogisticItems
    >>> found = coverage(LogisticItems.of(2.0, [0.0, 0.0, 3.0]), [0.0, 3.0], length=2, target_se=0.75)
    >>> found.se.round(3), found.needed
    (array([0.707, 0.995]), array([ 2, -1]))
    """
    abilities = as_theta(theta)
    informations = items.information(abilities)
    sums = np.cumsum(-np.sort(-informations, axis=1), axis=1)
    nothing = np.zeros((len(abilities), 1))
    sums = np.hstack([nothing, sums])
    best = sums[:, min(length, len(items))]
    before = 0.0 if prior_sd is None else prior_sd**-2
    with np.errstate(divide="ignore"):
        se = 1 / np.sqrt(best + before)
    if target_se is None:
        needed = np.zeros(len(abilities), dtype=np.int64)
    else:
        enough = sums + before > target_se**-2
        needed = np.where(enough.any(axis=1), enough.argmax(axis=1), NEVER).astype(np.int64)
    return Coverage(abilities, sums[:, -1], best, se, needed)
