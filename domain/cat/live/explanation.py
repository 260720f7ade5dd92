"""Why an item was given, or the test ended: what a decision rested on, told in full."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain.attempts.adaptive import Decision
from domain.cat.types import Floats, Ints

if TYPE_CHECKING:
    # Most live tests have no constraints, and the solver takes long to import.
    from domain.cat.shadow.assembler import ShadowTest


@dataclass(frozen=True, eq=False)
class Explanation:
    """One decision. Rows are those of the items that have parameters, in the order of the exam.

    decision: what was decided. theta, se: what was known (logits). posterior: (q,), weights over the grid's
    points. information: (m,), of each item at theta. The rest is None or empty where no item was chosen by
    its worth (the test ended; a pretest item):

    criterion: (m,), what the rule gave each item that could be chosen, -inf for the others. candidates: rows
    among which chance or a tie decided, best first. draw: the number that decided. passed_over: rows that
    exposure control held back now. area: the content area that was due. shadow: the shadow test, whose
    `binding` names the constraints that cost information.
    """

    decision: Decision
    theta: float
    se: float
    posterior: Floats
    information: Floats
    criterion: Floats | None = None
    candidates: Ints | None = None
    draw: float | None = None
    passed_over: Ints | None = None
    area: str | None = None
    shadow: "ShadowTest | None" = None
