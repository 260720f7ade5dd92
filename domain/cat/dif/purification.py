"""Purification: items that were found to differ leave the score on which people are matched, and again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from domain.cat.dif.groups import Flags
from domain.cat.types import Floats

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, eq=False)
class Purified(Generic[ResultT]):
    """The last result, the anchor items (m,) it was matched on, and how it came about.

    rounds: how often the test was done; settled: whether the last round would leave the anchor as it was
    (else it went in a circle, or ran out of rounds).
    """

    result: ResultT
    anchor: Flags
    rounds: int
    settled: bool


Test = Callable[[Flags], tuple[ResultT, Floats]]
"""From the anchor items (m,) to a result and each item's suspicion (m,): 0 or nan where it is not flagged."""


def once(test: Test[ResultT], items: int) -> Purified[ResultT]:
    """The test matched on all items, without purification."""
    everything = np.ones(items, dtype=np.bool_)
    return Purified(test(everything)[0], everything, rounds=1, settled=True)


def purified(test: Test[ResultT], items: int, *, max_rounds: int) -> Purified[ResultT]:
    """Repeats the test, each time matched on the items that were not flagged the last time [Candell1988].

    Every round judges all items anew. At least half of them (rounded up) stay in the anchor: where more
    are flagged, the most suspicious leave. So a few very unfair items, by which in a large sample all the
    others are significant too, do not leave nothing to match on.
    """
    anchor = np.ones(items, dtype=np.bool_)
    seen: set[bytes] = set()
    rounds = 0
    while True:
        result, suspicion = test(anchor)
        rounds += 1
        following = _anchor(suspicion)
        if np.array_equal(following, anchor):
            return Purified(result, anchor, rounds, settled=True)
        if rounds >= max_rounds or following.tobytes() in seen:
            return Purified(result, anchor, rounds, settled=False)
        seen.add(anchor.tobytes())
        anchor = following


def suspicion(p_value: Floats, statistic: Floats, significance: float) -> Floats:
    """(m,): the size of the statistic where p < significance, else 0."""
    return np.where(p_value < significance, np.abs(statistic), 0.0)


def _anchor(suspicion: Floats) -> Flags:
    flagged = suspicion > 0
    order = np.argsort(np.where(flagged, -suspicion, 0.0), kind="stable")
    anchor = ~flagged
    anchor[order[suspicion.size // 2 :]] = True
    return np.asarray(anchor)
