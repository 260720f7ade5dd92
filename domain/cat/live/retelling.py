"""The decisions of an adaptive attempt, derived once more from its events, and held against what they say."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, assert_never

from domain.attempts.adaptive import Decision, Ended, Presented, Sitting, judged
from domain.attempts.attempt import Attempt, InProgress, NotStarted, evolve
from domain.attempts.events import AbilityUpdated, ItemPresented, ResponseGiven
from domain.cat.live.engine import LiveTest
from domain.cat.live.explanation import Explanation
from domain.events import Event
from domain.identifiers import StreamId
from domain.items.responses import Response

SAME_TO: Final = 1e-9
"""Logits. Sums of exponentials differ in their last digits from one build of numpy to the next; choices are
derived from the abilities that were recorded, so that such a digit does not reach them."""

Verdict = Literal["same", "differs", "other_algorithm"]

Judge = Callable[[StreamId, int, Response | None], bool]
"""Item, its version and a response, to whether that is right."""


@dataclass(frozen=True, eq=False)
class Retold:
    """One decision of the engine, and what became of it.

    step: the position that it is about (from 1); where it ended the test, the one that would have followed.
    before: what was known. recorded: what was decided then. derived: the same decision made now, with its
    reasons. response, update: what was answered to the item and what the engine made of it, as far as it came
    to that. differences: in words, each of what does not agree; empty where all does.
    """

    step: int
    before: Sitting
    recorded: Decision
    derived: Explanation
    differences: tuple[str, ...]
    algorithm_version: int
    response: ResponseGiven | None = None
    update: AbilityUpdated | None = None

    @property
    def verdict(self) -> Verdict:
        """Another algorithm need not decide the same: what it decided then is right by definition."""
        if self.algorithm_version != self.derived_by:
            return "other_algorithm"
        return "differs" if self.differences else "same"

    @property
    def derived_by(self) -> int:
        return LiveTest.algorithm_version


def retell(test: LiveTest, events: Sequence[Event], judge: Judge) -> list[Retold]:
    """Every decision in the events of one attempt, in order; none where the attempt is not adaptive."""
    told: list[Retold] = []
    state: Attempt = NotStarted()
    for at, event in enumerate(events):
        before, state = state, evolve(state, event)
        if isinstance(event, ResponseGiven) and told:
            told[-1] = replace(told[-1], response=event)
        if not isinstance(event, AbilityUpdated):
            continue
        if event.step and told:
            told[-1] = replace(told[-1], update=event)
            if event.algorithm_version == test.algorithm_version:
                found = _in_update(test, before, told[-1], event, judge)
                told[-1] = replace(told[-1], differences=(*told[-1].differences, *found))
        following = events[at + 1] if at + 1 < len(events) else None
        recorded = _recorded(event, following)
        if recorded is None or not isinstance(state, InProgress) or state.sitting is None:
            continue
        derived = test.explain(state.sitting)
        differences = list(_in_decision(recorded, derived.decision))
        if isinstance(following, ItemPresented) and following.theta != state.sitting.theta:
            differences.append(f"it was chosen at {following.theta!r}, and known was {state.sitting.theta!r}")
        if event.bank_version != test.bank_version:
            differences.append(f"it rests on version {event.bank_version} of the bank")
        told.append(
            Retold(
                event.step + 1,
                state.sitting,
                recorded,
                derived,
                tuple(differences),
                event.algorithm_version,
            )
        )
    return told


def _recorded(update: AbilityUpdated, following: Event | None) -> Decision | None:
    """None where somebody handed the attempt in before the engine decided."""
    if isinstance(following, ItemPresented):
        return Presented(
            item_id=following.item_id,
            item_version=following.item_version,
            pretest=following.pretest,
            draw=following.draw,
            passed_over=following.passed_over,
        )
    return None if update.stop_reason is None else Ended(update.stop_reason, update.category)


def _in_decision(recorded: Decision, derived: Decision) -> list[str]:
    if isinstance(recorded, Presented) and isinstance(derived, Presented):
        return [
            f"{name} was {getattr(recorded, name)!r} and is {getattr(derived, name)!r}"
            for name in ("item_id", "item_version", "pretest", "draw", "passed_over")
            if getattr(recorded, name) != getattr(derived, name)
        ]
    return (
        [] if recorded == derived else [f"{_in_words(recorded)} was decided, and now {_in_words(derived)} is"]
    )


def _in_words(decision: Decision) -> str:
    match decision:
        case Presented():
            return f"to go on with {decision.item_id}"
        case Ended(reason, category):
            return f"to end by {reason}" + ("" if category is None else f" in category {category}")
        case _:
            assert_never(decision)


def _in_update(
    test: LiveTest, before: Attempt, decision: Retold, event: AbilityUpdated, judge: Judge
) -> list[str]:
    if not isinstance(before, InProgress) or before.sitting is None or decision.response is None:
        return ["the response that it rests on is not there"]
    given, found = decision.response, []
    if judge(given.item_id, given.item_version, given.response) is not event.right:
        found.append(f"the response was taken as {'right' if event.right else 'wrong'} and is not")
    known = test.estimate(judged(before.sitting, right=bool(event.right)))
    for name, was, now in (("ability", event.theta, known.theta), ("its standard error", event.se, known.se)):
        if not math.isclose(was, now, rel_tol=0.0, abs_tol=SAME_TO):
            found.append(f"{name} was {was!r} and is {now!r}")
    if event.method != known.method:
        found.append(f"the method was {event.method} and is {known.method}")
    if event.stop_reason is None and event.category != known.category:
        found.append(f"the category was {event.category} and is {known.category}")
    return found
