"""Attempts at an adaptive exam, counted a portion at a time: what is kept grows with the pool, not with them.

But for eight numbers an attempt and two small ones a step, from which distributions are made at the end.
"""

import heapq
from collections import Counter
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from domain.cat.fit.of_paths import GivenItems, information_used, person_fit_of_paths
from domain.cat.logistic import LogisticItems
from domain.cat.types import MISSING, Floats, Ints

EDGES: Final = np.arange(-3.5, 3.75, 0.5)
"""Where attempts are parted by final ability; the outer bins are open."""

BINS: Final = EDGES.size + 1

UNUSUAL_KEPT: Final = 20


@dataclass(frozen=True, eq=False, kw_only=True)
class Portion:
    """n attempts with k steps in all.

    theta, se, length, prior_mean, prior_sd, duration_s, steps: (n,), `steps` saying how many of the k are
    whose. ordinals: (k,): the item's place in the pool, from 1. answers: (k,): 1, 0, or -1 for none. seconds:
    (k,): to the response, NaN for none.
    """

    attempt_ids: tuple[str, ...]
    examinee_ids: tuple[str, ...]
    stop_reasons: tuple[str, ...]
    theta: Floats
    se: Floats
    length: Ints
    prior_mean: Floats
    prior_sd: Floats
    duration_s: Floats
    steps: Ints
    ordinals: Ints
    answers: Ints
    seconds: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Endings:
    """What is kept of each of n attempts, (n,) each. `lz_star` and `information` may be NaN."""

    theta: Floats
    se: Floats
    length: Ints
    prior_mean: Floats
    prior_sd: Floats
    duration_s: Floats
    information: Floats
    lz_star: Floats

    @property
    def bins(self) -> Ints:
        """(n,): the bin of each."""
        return np.searchsorted(EDGES, self.theta, side="right").astype(np.int64)


@dataclass(frozen=True, order=True)
class Unusual:
    """Ordered so that the most unusual is the greatest."""

    minus_lz_star: float
    attempt_id: str
    examinee_id: str
    theta: float
    items: int


class Tally:
    """Counts of one pool.

    Args:
        items: those of the pool that have parameters.
        rows: (m,): for each item of the whole pool its row in `items`, -1 for a pretest item.
    """

    def __init__(self, items: LogisticItems | None, rows: Ints) -> None:
        self._items = items
        self._rows = rows
        pool = rows.size
        self.given = np.zeros((pool, BINS), dtype=np.int64)
        self.answered = np.zeros(pool, dtype=np.int64)
        self.right = np.zeros(pool, dtype=np.int64)
        self.expected_right = np.zeros(pool)
        self.sum_theta = np.zeros(pool)
        self.stop_reasons: Counter[str] = Counter()
        self._unusual: list[Unusual] = []
        self._seconds: list[tuple[NDArray[np.int32], NDArray[np.float32]]] = []
        self._endings: list[Endings] = []

    def add(self, portion: Portion) -> None:
        of_step = np.repeat(np.arange(portion.steps.size), portion.steps)
        places = portion.ordinals - 1
        theta = portion.theta[of_step]
        bins = np.searchsorted(EDGES, portion.theta, side="right")[of_step]
        pool = self._rows.size
        self.given += np.bincount(places * BINS + bins, minlength=pool * BINS).reshape(pool, BINS)
        done = portion.answers != MISSING
        self.answered += np.bincount(places[done], minlength=pool)
        self.right += np.bincount(places[portion.answers == 1], minlength=pool)
        self.sum_theta += np.bincount(places, theta, minlength=pool)
        timed = np.isfinite(portion.seconds)
        self._seconds.append((places[timed].astype(np.int32), portion.seconds[timed]))
        self.stop_reasons.update(portion.stop_reasons)
        information, fit = self._of_answers(portion, of_step, places, done)
        self._endings.append(
            Endings(
                portion.theta,
                portion.se,
                portion.length,
                portion.prior_mean,
                portion.prior_sd,
                portion.duration_s,
                information,
                fit,
            )
        )
        self._keep_unusual(portion, fit)

    def endings(self) -> Endings:
        none = np.zeros(0)
        parts = self._endings or [Endings(none, none, none.astype(np.int64), *[none] * 5)]
        columns: dict[str, Any] = {
            each.name: np.concatenate([getattr(part, each.name) for part in parts])
            for each in fields(Endings)
        }
        return Endings(**columns)

    def seconds(self, *shares: float) -> list[Floats]:
        """For each share (m,): that quantile of the seconds that responses to an item took; NaN for none."""
        found = [np.full(self._rows.size, np.nan) for _ in shares]
        if not self._seconds:
            return found
        places, seconds = (np.concatenate(each) for each in zip(*self._seconds, strict=True))
        order = np.lexsort((seconds, places))
        some, starts, counts = np.unique(places[order], return_index=True, return_counts=True)
        in_order = seconds[order]
        for share, quantile in zip(shares, found, strict=True):
            # Between the two nearest, as numpy and most programs have it.
            at = starts + share * (counts - 1)
            low = np.floor(at).astype(np.int64)
            high = np.minimum(low + 1, starts + counts - 1)
            below, above = (in_order[each].astype(np.float64) for each in (low, high))
            quantile[some] = below + (at - low) * (above - below)
        return found

    def unusual(self) -> list[Unusual]:
        """The attempts with the lowest lz*, the lowest first."""
        return sorted(self._unusual, reverse=True)

    def _of_answers(
        self, portion: Portion, of_step: Ints, places: Ints, done: np.ndarray[tuple[int], np.dtype[np.bool_]]
    ) -> tuple[Floats, Floats]:
        """Test information and lz* (n,) of the answers that count; NaN where there is none."""
        information, fit = (np.full(portion.theta.size, np.nan) for _ in range(2))
        if self._items is None:
            return information, fit
        rows = self._rows[places]
        counted = done & (rows >= 0)
        attempts, rows = of_step[counted], rows[counted]
        if not attempts.size:
            return information, fit
        some, starts = np.unique(attempts, return_index=True)
        given = GivenItems(starts.astype(np.int64), rows, portion.answers[counted])
        information[some] = information_used(self._items, given, portion.theta[some])
        fit[some] = person_fit_of_paths(self._items, given, portion.theta[some])
        part = self._items[rows]
        chance = part.c + (part.d - part.c) / (1 + np.exp(-part.a * (portion.theta[attempts] - part.b)))
        self.expected_right += np.bincount(places[counted], chance, minlength=self._rows.size)
        return information, fit

    def _keep_unusual(self, portion: Portion, fit: Floats) -> None:
        for row in np.argsort(fit)[:UNUSUAL_KEPT].tolist():  # NaN comes last
            if np.isnan(fit[row]):
                break
            each = Unusual(
                -float(fit[row]),
                portion.attempt_ids[row],
                portion.examinee_ids[row],
                float(portion.theta[row]),
                int(portion.length[row]),
            )
            if len(self._unusual) < UNUSUAL_KEPT:
                heapq.heappush(self._unusual, each)
            else:
                heapq.heappushpop(self._unusual, each)
