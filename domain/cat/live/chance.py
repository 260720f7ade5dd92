"""All chance in an adaptive attempt follows from its seed, so that it can be told again years later."""

from typing import Final

import numpy as np

from domain.cat.exposure import uniform_numbers
from domain.cat.types import Ints
from domain.exams.adaptive import PretestPlan

MAX_SEED: Final = 2**53
"""Seeds lie below: every JSON reader can hold them."""

_POSITIONS: Final = 0x9E37_79B9
_ITEMS: Final = 0x7F4A_7C15


def draw_at(seed: int, step: int) -> float:
    """The number in [0, 1) for the item at position `step` (from 1).

    >>> draw_at(7, 1) == draw_at(7, 1), draw_at(7, 1) == draw_at(7, 2)
    (True, False)
    """
    return float(uniform_numbers(seed, step)[-1])


def pretest_positions(seed: int, plan: PretestPlan) -> Ints:
    """(items,): the positions (from 1) of an attempt's pretest items, ascending, each as likely.

    >>> pretest_positions(7, PretestPlan(items=3, first_position=2, last_position=4))
    array([2, 3, 4])
    """
    choices = plan.last_position - plan.first_position + 1
    order = np.argsort(uniform_numbers(seed ^ _POSITIONS, choices), kind="stable")
    return np.sort(order[: plan.items]) + plan.first_position


def pretest_order(seed: int, count: int) -> Ints:
    """(count,): the order in which pretest items are given to one examinee, each order as likely."""
    return np.argsort(uniform_numbers(seed ^ _ITEMS, count), kind="stable")
