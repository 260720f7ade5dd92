"""DIF from adaptive tests, where everybody had other items: people are matched on ability, not on scores.

In an adaptive test the number right is about the same for all and says nothing. Matched is instead on the
expected true score over the whole bank, T(θ) = Σ_j Σ_k k P_jk(θ), at the estimated ability [Zwick1994], or on
the ability itself. Ability is estimated here by EAP unless it is given.

EAP draws both groups to one mean. In short tests, and where the groups differ much in ability, equals by
EAP are not quite equals, and some DIF is then reported against the group that is lower; give abilities of
your own (WLE, or EAP with a prior for each group) where that matters.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from domain.cat.ability import eap
from domain.cat.dif.groups import Flags, matching_numbers
from domain.cat.dif.logistic import Kind, LogisticDif, logistic_dif
from domain.cat.dif.mantel_haenszel import MantelHaenszel, mantel_haenszel
from domain.cat.dif.purification import once, purified, suspicion
from domain.cat.grid import DEFAULT_GRID, Grid
from domain.cat.items import Items
from domain.cat.types import MISSING, Floats, Ints, as_responses

LEVELS: Final = 75
"""[Zwick1994] matched on intervals of one point of expected true score over a bank of 75 items."""

FoundT = TypeVar("FoundT", MantelHaenszel, LogisticDif)


def adaptive_mantel_haenszel(  # noqa: PLR0913 - each option is a choice of the analyst, given by name
    items: Items,
    responses: ArrayLike,
    group: ArrayLike,
    *,
    theta: ArrayLike | None = None,
    grid: Grid = DEFAULT_GRID,
    levels: int = LEVELS,
    correction: bool = True,
    purify: bool = False,
    significance: float = 0.05,
    max_rounds: int = 20,
) -> MantelHaenszel:
    """`mantel_haenszel` with people matched on intervals of expected true score [Zwick1994].

    items: the bank of m items, scored right or wrong. responses: (n, m), MISSING where an item was not
    presented. theta: (n,), abilities to match on; without, EAP on `grid`. levels: how many intervals of equal
    width the expected score over the bank is cut into.

    purify: flagged items are left out when ability is estimated anew (also for their own test), as in
    `mantel_haenszel`; with abilities given there is nothing to purify, and one round is done.

    Raises: InvalidResponse, InvalidGroup.

    >>> from domain.cat.items import LogisticItems
    >>> bank = LogisticItems.of(1.5, np.linspace(-2, 2, 20))
    >>> rng = np.random.default_rng(3)
    >>> ability, group = rng.normal(size=2000), np.repeat([0, 1], 1000)
    >>> harder = bank.correct(ability - group)[:, :1], bank.correct(ability)[:, 1:]
    >>> answers = np.where(rng.random((2000, 20)) < 0.4, MISSING, rng.random((2000, 20)) < np.hstack(harder))
    >>> adaptive_mantel_haenszel(bank, answers, group).ets_class[:3]
    ('C', 'A', 'A')
    """
    given = as_responses(responses, items.categories)

    def test(ability: Floats) -> MantelHaenszel:
        return mantel_haenszel(
            given, group, correction=correction, matching=score_levels(items, ability, levels)
        )

    if theta is not None:
        return test(matching_numbers(theta, len(given)))

    def suspicious(found: MantelHaenszel) -> Floats:
        return suspicion(found.p_value, found.chi_square, significance)

    return _matched(test, suspicious, _by_eap(items, given, grid), len(items), max_rounds if purify else None)


def adaptive_logistic(  # noqa: PLR0913 - each option is a choice of the analyst, given by name
    items: Items,
    responses: ArrayLike,
    group: ArrayLike,
    *,
    theta: ArrayLike | None = None,
    grid: Grid = DEFAULT_GRID,
    purify: bool = False,
    kind: Kind = "both",
    significance: float = 0.05,
    max_rounds: int = 20,
) -> LogisticDif:
    """`logistic_dif` with ability in place of the score; the arguments as in `adaptive_mantel_haenszel`.

    Raises: InvalidResponse, InvalidGroup.

    >>> from domain.cat.items import LogisticItems
    >>> bank = LogisticItems.of(1.5, np.linspace(-2, 2, 20))
    >>> rng = np.random.default_rng(3)
    >>> ability, group = rng.normal(size=2000), np.repeat([0, 1], 1000)
    >>> harder = bank.correct(ability - group)[:, :1], bank.correct(ability)[:, 1:]
    >>> answers = np.where(rng.random((2000, 20)) < 0.4, MISSING, rng.random((2000, 20)) < np.hstack(harder))
    >>> bool(adaptive_logistic(bank, answers, group).uniform.p_value[0] < 1e-6)
    True
    """
    given = as_responses(responses, items.categories)

    def test(ability: Floats) -> LogisticDif:
        return logistic_dif(given, group, matching=ability, significance=significance)

    if theta is not None:
        return test(matching_numbers(theta, len(given)))

    def suspicious(found: LogisticDif) -> Floats:
        return suspicion(found.test(kind).p_value, found.test(kind).chi_square, significance)

    return _matched(test, suspicious, _by_eap(items, given, grid), len(items), max_rounds if purify else None)


def score_levels(items: Items, theta: ArrayLike, levels: int = LEVELS) -> Ints:
    """(n,): the interval, 0 to levels - 1, in which each person's expected score over the bank lies.

    >>> from domain.cat.items import LogisticItems
    >>> score_levels(LogisticItems.of(1.0, [-1.0, 1.0]), [-9.0, 0.0, 9.0], levels=4)
    array([0, 2, 3])
    """
    most = float((items.categories - 1).sum())
    share = items.expected_scores(theta).sum(axis=1) / most
    lowest = np.floor(share * levels + _ROUNDING).astype(np.int64)
    return np.asarray(np.minimum(lowest, levels - 1))


_ROUNDING: Final = 1e-9
"""A score on the border of two intervals belongs to the upper, whatever the last digit."""


def _by_eap(items: Items, responses: Ints, grid: Grid) -> Callable[[Flags], Floats]:
    """Abilities (n,) from the anchor items alone."""
    return lambda anchor: eap(items, np.where(anchor, responses, MISSING), grid).theta


def _matched(
    test: Callable[[Floats], FoundT],
    suspicious: Callable[[FoundT], Floats],
    ability: Callable[[Flags], Floats],
    count: int,
    max_rounds: int | None,
) -> FoundT:
    def on_anchor(anchor: Flags) -> tuple[FoundT, Floats]:
        found = test(ability(anchor))
        return found, suspicious(found)

    outcome = (
        once(on_anchor, count) if max_rounds is None else purified(on_anchor, count, max_rounds=max_rounds)
    )
    return replace(outcome.result, anchor=outcome.anchor, rounds=outcome.rounds, settled=outcome.settled)
