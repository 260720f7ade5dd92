"""An adaptive attempt: which items it had so far, and the decisions that follow from them.

How an item is chosen and ability estimated is nobody's business here: an `AdaptiveTest` knows
(`domain.cat.live`). What it decides depends on the attempt's own events alone, so that each decision can be
derived from them again.
"""

from typing import Protocol, TypeAlias, assert_never

import msgspec

from domain.attempts.events import AbilityUpdated, ItemPresented
from domain.identifiers import StreamId


class Prior(msgspec.Struct, frozen=True, kw_only=True):
    """Normal, before the first item (logits)."""

    mean: float
    sd: float
    carried_over_from: StreamId | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One item as it was presented. `answered` from the response on; `right` once the engine has seen it."""

    item_id: StreamId
    item_version: int
    pretest: bool
    passed_over: tuple[StreamId, ...] = ()
    answered: bool = False
    right: bool | None = None


class Sitting(msgspec.Struct, frozen=True, kw_only=True):
    """Where an adaptive attempt stands."""

    prior: Prior
    seed: int
    theta: float
    se: float
    method: str
    steps: tuple[Step, ...] = ()
    stop_reason: str | None = None
    category: int | None = None

    @property
    def pending(self) -> Step | None:
        """The item that the examinee is to answer now; None while the engine decides."""
        last = self.steps[-1] if self.steps else None
        return None if last is None or last.answered else last

    @property
    def to_decide(self) -> Step | None:
        """The item that was answered and of which the engine has not taken notice."""
        last = self.steps[-1] if self.steps else None
        return last if last is not None and last.answered and last.right is None else None

    def find(self, item_id: StreamId) -> Step | None:
        return next((step for step in self.steps if step.item_id == item_id), None)


class Estimate(msgspec.Struct, frozen=True):
    """Ability and its standard error, in logits; `category` as it stands where the exam classifies."""

    theta: float
    se: float
    method: str
    category: int | None = None


class Presented(msgspec.Struct, frozen=True, kw_only=True):
    """The next item."""

    item_id: StreamId
    item_version: int
    pretest: bool
    draw: float | None = None
    passed_over: tuple[StreamId, ...] = ()


class Ended(msgspec.Struct, frozen=True):
    """Why the test is over; `category` where it classifies."""

    reason: str
    category: int | None = None


Decision: TypeAlias = Presented | Ended


class AdaptiveTest(Protocol):
    """The rules of one published exam with its pool. It never changes; the same sitting, the same answers.

    `bank_version` and `algorithm_version` go into each event that rests on it.
    """

    @property
    def bank_version(self) -> int: ...

    @property
    def algorithm_version(self) -> int: ...

    def estimate(self, sitting: Sitting) -> Estimate:
        """Ability after the responses that the sitting has; pretest items say nothing."""
        ...

    def decide(self, sitting: Sitting) -> Decision:
        """What comes next at the sitting's ability, each of whose steps has its `right`."""
        ...


def opened(prior: Prior, seed: int) -> Sitting:
    return Sitting(prior=prior, seed=seed, theta=prior.mean, se=prior.sd, method="prior")


def told(sitting: Sitting | None, event: AbilityUpdated | ItemPresented) -> Sitting | None:
    """What the engine decided; nothing where the attempt is not adaptive."""
    match event:
        case AbilityUpdated():
            return updated(sitting, event)
        case ItemPresented():
            step = Step(
                item_id=event.item_id,
                item_version=event.item_version,
                pretest=event.pretest,
                passed_over=event.passed_over,
            )
            return None if sitting is None else msgspec.structs.replace(sitting, steps=(*sitting.steps, step))
        case _:
            assert_never(event)


def answered(sitting: Sitting) -> Sitting:
    return _with_last(sitting, msgspec.structs.replace(sitting.steps[-1], answered=True))


def judged(sitting: Sitting, *, right: bool) -> Sitting:
    """With the last response known to be right or wrong; ability is what it was."""
    return _with_last(sitting, msgspec.structs.replace(sitting.steps[-1], right=right))


def updated(sitting: Sitting | None, event: AbilityUpdated) -> Sitting:
    if sitting is None or event.step == 0:
        prior = Prior(mean=event.theta, sd=event.se, carried_over_from=event.carried_over_from)
        return opened(prior, event.seed)
    known = sitting if event.right is None else judged(sitting, right=event.right)
    return msgspec.structs.replace(
        known,
        theta=event.theta,
        se=event.se,
        method=event.method,
        stop_reason=event.stop_reason,
        category=event.category,
    )


def _with_last(sitting: Sitting, step: Step) -> Sitting:
    return msgspec.structs.replace(sitting, steps=(*sitting.steps[:-1], step))
