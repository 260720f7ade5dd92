"""Which constraints cannot be met together, where no test meets them all."""

import numpy as np

from domain.cat.blueprint import Blueprint
from domain.cat.shadow.program import program_of
from domain.cat.shadow.search import can_be_met
from domain.cat.types import Ints

GIVEN = "items given"
"""The name under which items already given are reported where it is they that contradict a constraint."""


def contradiction(blueprint: Blueprint, given: Ints) -> tuple[str, ...]:
    """Names of constraints that contradict each other, and of which none can be left out (deletion filter).

    One after the other is left out; where the rest is still impossible, it is left out for good
    [Chinneck2008]. All names where the search, which is limited, cannot tell.
    """
    program = program_of(blueprint, testlets_whole=False)
    names = np.array(program.row_names)
    given_low = np.zeros(program.columns)
    given_low[program.column_of[given]] = 1.0

    def possible(kept: list[str]) -> bool:
        low = given_low if GIVEN in kept else np.zeros(program.columns)
        return can_be_met(program, np.isin(names, kept), low)

    kept = [*dict.fromkeys(program.row_names), *([GIVEN] if given.size else [])]
    if possible(kept):
        return tuple(kept)
    for name in list(kept):
        without = [each for each in kept if each != name]
        if not possible(without):
            kept = without
    return tuple(kept)
