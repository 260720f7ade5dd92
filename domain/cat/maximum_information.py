"""Exact choice by maximum information, fast: a table may leave items out, only full evaluation decides.

The ability scale is cut into cells. For each cell the table knows the few items that can be best in it, and
a bound on the information of all others. An examinee's ability falls into a cell; its few items are
evaluated at that very ability; and where the best of them beats the bound, no other item can be better. Else
more items are evaluated, and in the end all.

The bound holds because Fisher's information of a logistic item has one mode: with P the probability of a
correct response, I = a² (P-c)² (d-P)² / ((d-c)² P (1-P)) and

    d²/dP² log I = -2/(P-c)² - 2/(d-P)² + 1/P² + 1/(1-P)² < 0,   for P-c <= P and d-P <= 1-P,

so log I is concave in P, and P rises with ability. Over a cell I is at most the larger of its values at the
two edges, or, where the mode lies inside, its value there.
"""

from dataclasses import dataclass
from math import exp
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from domain.cat.category_model import CategoryModel
from domain.cat.logistic import LogisticItems
from domain.cat.types import Floats, Ints

Flags = NDArray[np.bool_]

NO_ITEM: Final = -1
"""Chosen where no item is left."""

TIE: Final = 1e-12
"""Information that differs by less, relatively, is the same: a last digit that depends on a machine's
exponential must not decide which item a person sees."""

CELLS_PER_LOGIT: Final = 32
SHORT_LIST: Final = 32
LONG_LIST: Final = 128
_SLACK: Final = 1 + 1e-9  # far above rounding in the bounds, far below what they leave out
_STEEPEST: Final = 230.0  # e^230 to the third is still a number
_AT_ONCE: Final = 2_000_000  # cells times items evaluated together while a table is made


class Choosing(Protocol):
    """A rule that says which item comes next, by ability and what was given already.

    `choose` is for one examinee: theta, given (m,). `choose_each` for many: theta (n,), given (n, m).
    `NO_ITEM` where everything was given.
    """

    def choose(self, theta: float, given: Flags) -> int: ...

    def choose_each(self, theta: Floats, given: Flags) -> Ints: ...


class FullEvaluation:
    """Chooses the item with maximum information by evaluating all of them, for any kind of items.

    Ties, to `TIE` relatively, go to the lowest index.

    >>> rule = FullEvaluation(LogisticItems.of([1.0, 1.0, 2.0], [0.0, 1.0, 0.0]))
    >>> rule.choose(0.0, np.array([False, False, True]))
    0
    """

    def __init__(self, items: CategoryModel) -> None:
        self._items = items

    def choose(self, theta: float, given: Flags) -> int:
        return int(self.choose_each(np.array([theta]), given[None])[0])

    def choose_each(self, theta: Floats, given: Flags) -> Ints:
        return best_of(self._items.information(theta), given)


def best_of(criterion: Floats, given: Flags) -> Ints:
    """For each row of `criterion` (n, m), which is >= 0, the column that is largest and not `given` (n,).

    Ties, to `TIE` relatively, go to the lowest index; `NO_ITEM` where all are given. Writes into `criterion`.

    >>> best_of(np.array([[0.2, 0.2], [0.1, 0.3]]), np.array([[False, False], [True, True]]))
    array([ 0, -1])
    """
    np.putmask(criterion, given, -1.0)
    best = criterion.max(axis=1, initial=-1.0)
    found = (criterion >= (best * (1 - TIE))[:, None]).argmax(axis=1)
    return np.where(best >= 0, found, NO_ITEM)


@dataclass(frozen=True, eq=False)
class InformationTerms:
    """What is constant in the information of items: arrays of one shape, (m,) or the rows of a table.

    `gain` is a² (1-c) where every d is 1, else a² (d-c)²; `d` is None in the first case.
    """

    a: Floats
    b: Floats
    c: Floats
    gain: Floats
    d: Floats | None

    @classmethod
    def of(cls, items: LogisticItems) -> "InformationTerms":
        a, b, c, d = items.a, items.b, items.c, items.d
        if (d == 1.0).all():
            return cls(a, b, c, a**2 * (1.0 - c), None)
        return cls(a, b, c, (a * (d - c)) ** 2, d)

    def take(self, at: Ints) -> "InformationTerms":
        """Those at the indices `at` of the first axis."""
        d = None if self.d is None else self.d.take(at, axis=0)
        a, b, c, gain = (each.take(at, axis=0) for each in (self.a, self.b, self.c, self.gain))
        return InformationTerms(a, b, c, gain, d)

    def information(self, theta: Floats | float) -> Floats:
        """Fisher's information at `theta`, which broadcasts against the items [Birnbaum1968].

        With t = e^(-a (theta - b)):  I = a² (d-c)² t² / ((1+t)² (d + c t) ((1-d) + (1-c) t)),
        for d = 1:  I = a² (1-c) t / ((1+t)² (1 + c t)).

        One exponential an item, no subtraction of nearly equal numbers. Beyond 230 logits from an item its
        information is that at 230 (1e-100 of its peak).

        >>> from domain.cat.logistic import LogisticItems
        >>> InformationTerms.of(LogisticItems.of([1.0, 2.0], [0.0, 0.0])).information(0.0)
        array([0.25, 1.  ])
        """
        t = self.b - theta
        t *= self.a
        np.minimum(t, _STEEPEST, out=t)
        if self.d is not None:
            np.maximum(t, -_STEEPEST, out=t)
        np.exp(t, out=t)
        spread = t + 1.0
        spread *= spread
        bottom = self.c * t
        bottom += 1.0 if self.d is None else self.d
        bottom *= spread
        if self.d is not None:
            bottom *= (1.0 - self.d) / t + (1.0 - self.c)
        t *= self.gain
        return np.divide(t, bottom, out=t)


def most_informative_at(items: LogisticItems) -> Floats:
    """The ability (m,) at which each item informs most.

    For d = 1 it is b + log((1 + sqrt(1 + 8c)) / 2) / a [Birnbaum1968]; in general the root of
    2/(P-c) - 2/(d-P) - 1/P + 1/(1-P) between c and d, which is one, found by bisection to the last digit.

    >>> from domain.cat.logistic import LogisticItems
    >>> most_informative_at(LogisticItems.of([1.0], [0.5]))
    array([0.5])
    """
    c, d = items.c, items.d
    # As a share s of the way from c to d: both ends keep their digits.
    low, high = np.zeros_like(c), np.ones_like(c)
    for _ in range(54):
        share = (low + high) / 2
        rise, rest = (d - c) * share, (d - c) * (1 - share)
        slope = 2 / rise - 2 / rest - 1 / (c + rise) + 1 / ((1 - d) + rest)
        low, high = np.where(slope > 0, share, low), np.where(slope > 0, high, share)
    share = (low + high) / 2
    return items.b + np.log(share / (1 - share)) / items.a


@dataclass(frozen=True, eq=False)
class _List:
    """For each cell the items (cells, k) that may be best, by index, and a bound on all others (cells,)."""

    items: Ints
    terms: InformationTerms
    left_out: Floats


@dataclass(frozen=True, slots=True)
class _Ranking:
    """What one examinee needs in a cell, in plain numbers: for so few, arrays cost more than they save.

    Rows of bound, item, a, b, c, d, a² (d-c)²; the highest bound first. No item that has no row informs more
    than `left_out`.
    """

    rows: tuple[tuple[float, int, float, float, float, float, float], ...]
    left_out: float

    def best_at(self, theta: float, given: Flags) -> int:
        """The best item not given, or `NO_ITEM` where it may be one that has no row here.

        Items are evaluated until the bound of the next is below the best that was found.
        """
        best = 0.0
        evaluated: list[tuple[int, float]] = []
        bound = self.left_out
        for bound, item, a, b, c, d, gain in self.rows:
            if bound < best:
                break
            if given[item]:
                continue
            t = exp(max(min(a * (b - theta), _STEEPEST), -_STEEPEST))
            information = gain * t / ((1.0 + t) ** 2 * (d + c * t) * ((1.0 - d) / t + (1.0 - c)))
            evaluated.append((item, information))
            best = max(best, information * (1 - TIE))
        else:
            bound = self.left_out
        if not evaluated or best <= bound:
            return NO_ITEM
        return min(item for item, information in evaluated if information >= best)


class MostInformative:
    """Chooses the item with maximum information, exactly, for one examinee or for many at once.

    Made once for a bank and the span of abilities to be met; outside of the span everything is evaluated.
    Ties, to `TIE` relatively, go to the lowest index.

    >>> from domain.cat.logistic import LogisticItems
    >>> rule = MostInformative(LogisticItems.of([1.0, 1.0, 2.0], [0.0, 1.0, 0.0]))
    >>> rule.choose(0.0, np.array([False, False, False]))
    2
    >>> rule.choose_each(np.array([0.0, 1.0]), np.array([[False, False, True], [False, False, True]]))
    array([0, 1])
    """

    def __init__(self, items: LogisticItems, low: float = -6.0, high: float = 6.0) -> None:
        self.terms = InformationTerms.of(items)
        self._low = low
        self._high = high
        self._cells = max(1, int(np.ceil((high - low) * CELLS_PER_LOGIT)))
        self._mode = most_informative_at(items)
        self._peak = self.terms.information(self._mode)
        self._lists = tuple(self._make_lists(len(items)))
        # Filled as cells are met: what a thread finds there is whole, and what two make is the same.
        self._rankings: dict[int, _Ranking] = {}

    def choose(self, theta: float, given: Flags) -> int:
        """The best item at `theta` among those not `given` (m,), or `NO_ITEM`."""
        if self._low <= theta <= self._high:
            cell = min(int((theta - self._low) * CELLS_PER_LOGIT), self._cells - 1)
            ranking = self._rankings.get(cell)
            if ranking is None:
                ranking = self._rankings[cell] = self._rank(cell)
            found = ranking.best_at(theta, given)
            if found != NO_ITEM:
                return found
        return int(best_of(self.terms.information(theta)[None], given[None])[0])

    def choose_each(self, theta: Floats, given: Flags) -> Ints:
        """As `choose`, for abilities (n,) with items given (n, m): (n,)."""
        chosen = np.full(theta.size, NO_ITEM, dtype=np.int64)
        rows: Ints | None = None  # None: all of them
        if self._lists and theta.size and self._low <= theta.min() and theta.max() <= self._high:
            cells = ((theta - self._low) * CELLS_PER_LOGIT).astype(np.int64)
            np.minimum(cells, self._cells - 1, out=cells)
            for each in self._lists:
                rows = self._choose_from(each, theta, cells, given, rows, chosen)
                if not rows.size:
                    return chosen
        at = slice(None) if rows is None else rows
        chosen[at] = best_of(self.terms.information(theta[at][:, None]), given[at])
        return chosen

    @staticmethod
    def _choose_from(  # noqa: PLR0913, PLR0917 - the state of one pass over many examinees
        each: _List, theta: Floats, cells: Ints, given: Flags, rows: Ints | None, chosen: Ints
    ) -> Ints:
        """Decides for `rows` where the list is enough; the rows for which it is not."""
        if rows is None:
            rows = np.arange(theta.size)
        else:
            cells, theta = cells.take(rows), theta.take(rows)
        items = each.items.take(cells, axis=0)
        information = each.terms.take(cells).information(theta[:, None])
        np.putmask(information, given.ravel().take(items + (rows * given.shape[1])[:, None]), -1.0)
        width = items.shape[1]
        first = np.arange(0, rows.size * width, width)
        # argmax and a look-up: numpy's maximum along short rows takes twice as long.
        enough = information.ravel().take(first + information.argmax(axis=1)) * (1 - TIE)
        at = (information >= enough[:, None]).argmax(axis=1)
        found = items.ravel().take(first + at)
        decided = enough > each.left_out.take(cells)
        chosen[rows[decided]] = found[decided]
        undecided: Ints = rows[~decided]
        return undecided

    def _rank(self, cell: int) -> "_Ranking":
        """The longest list of a cell, the highest bound first."""
        items: Ints = self._lists[-1].items[cell] if self._lists else np.arange(self._mode.size)
        edges = np.array([cell, cell + 1])
        terms = self.terms.take(items)
        bound = self._bounds(edges, terms, self._mode[items], self._peak[items])[0]
        order = np.argsort(-bound, kind="stable")
        items, bound, terms = items[order], bound[order], terms.take(order)
        d = np.ones(items.size) if terms.d is None else terms.d
        columns = (bound, items, terms.a, terms.b, terms.c, d, (terms.a * (d - terms.c)) ** 2)
        rows = tuple(zip(*(column.tolist() for column in columns), strict=True))
        return _Ranking(rows, float(self._lists[-1].left_out[cell]) if self._lists else -1.0)

    def _make_lists(self, items: int) -> list[_List]:
        lengths = [length for length in (SHORT_LIST, LONG_LIST) if length < items]
        if not lengths:
            return []
        listed: list[list[Ints]] = [[] for _ in lengths]
        left_out: list[list[Floats]] = [[] for _ in lengths]
        step = max(1, _AT_ONCE // items)
        for begin in range(0, self._cells, step):
            end = min(begin + step, self._cells)
            bound = self._bounds(np.arange(begin, end + 1), self.terms, self._mode, self._peak)
            for length, kept, rest in zip(lengths, listed, left_out, strict=True):
                order = np.argpartition(bound, -length, axis=1)
                kept.append(np.sort(order[:, -length:], axis=1))
                rest.append(np.take_along_axis(bound, order[:, :-length], axis=1).max(axis=1))
        made = []
        for kept, rest in zip(listed, left_out, strict=True):
            rows = np.concatenate(kept).astype(np.int64, copy=False)
            made.append(_List(rows, self.terms.take(rows), np.concatenate(rest)))
        return made

    def _bounds(self, edges: Ints, terms: InformationTerms, mode: Floats, peak: Floats) -> Floats:
        """An upper bound (cells, k) on the information of each of k items in each cell between the edges."""
        theta = self._low + edges / CELLS_PER_LOGIT
        at_edges = terms.information(theta[:, None])
        bound = np.maximum(at_edges[:-1], at_edges[1:])
        margin = 1e-6  # of a mode found a last digit beside a cell's edge
        inside = (mode >= theta[:-1, None] - margin) & (mode <= theta[1:, None] + margin)
        return np.where(inside, peak, bound) * _SLACK
