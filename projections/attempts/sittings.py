"""What an adaptive attempt's own events add: each item as it was given, and the ability found so far."""

from collections.abc import Sequence

from domain.attempts.events import (
    AbilityUpdated,
    AttemptScored,
    ItemPresented,
    ResponseChanged,
    ResponseGiven,
    ScoredAbility,
)
from domain.events import RecordedEvent
from projections.attempts.tables import ATTEMPT_ABILITIES, ATTEMPT_STEPS
from projections.projection import Cursor
from projections.rows import Row, Rows, owner_of


class Sittings:
    """The rows of the adaptive ones among a batch's attempts; of others there are none.

    Args:
        cursor: reads, and writes when `save` is called.
        attempts: the rows of the batch's attempts.
        recorded: the batch.
    """

    def __init__(self, cursor: Cursor, attempts: Rows, recorded: Sequence[RecordedEvent]) -> None:
        self._abilities = ATTEMPT_ABILITIES.load(cursor, _adaptive_before(attempts, recorded))
        # The pending item is the last one: the only step that what comes now can change.
        self._steps = ATTEMPT_STEPS.load(
            cursor,
            {
                (ability["attempt_id"], ability["items_presented"])
                for each in recorded
                if (ability := self._abilities.get(each.stream_id)) is not None
            },
        )

    def apply(self, recorded: RecordedEvent) -> None:
        """Raises `RowMissing` where something is told of a step that was never presented."""
        attempt_id = recorded.stream_id
        match recorded.event:
            case AbilityUpdated(step=0) as event:
                self._abilities.put(_opened(recorded, event))
            case AbilityUpdated() as event:
                self._update(attempt_id, event)
            case ItemPresented() as event:
                self._abilities.change(attempt_id, items_presented=event.step)
                self._steps.put(_presented(recorded, event))
            case ResponseGiven() | ResponseChanged():
                ability = self._abilities.get(attempt_id)
                if ability is not None:
                    at = recorded.metadata.recorded_at
                    self._steps.change(attempt_id, ability["items_presented"], responded_at=at)
            case AttemptScored(ability=ScoredAbility() as found):
                self._abilities.change(
                    attempt_id,
                    theta=found.theta,
                    se=found.se,
                    method=found.method,
                    items_counted=found.items,
                    stop_reason=found.stop_reason,
                    category=found.category,
                )
            case _:
                pass

    def save(self, cursor: Cursor) -> None:
        self._abilities.save(cursor)
        self._steps.save(cursor)

    def _update(self, attempt_id: str, event: AbilityUpdated) -> None:
        ability = self._abilities.get(attempt_id)
        counted = 0 if ability is None else ability["items_counted"]
        self._abilities.change(
            attempt_id,
            theta=event.theta,
            se=event.se,
            method=event.method,
            items_counted=counted + (not event.pretest),
            stop_reason=event.stop_reason,
            category=event.category,
            bank_version=event.bank_version,
            algorithm_version=event.algorithm_version,
        )
        self._steps.change(attempt_id, event.step, is_right=event.right, theta=event.theta, se=event.se)


def _adaptive_before(attempts: Rows, recorded: Sequence[RecordedEvent]) -> set[tuple[str]]:
    """Those known to be adaptive: for a batch of fixed attempts nothing is asked."""
    return {
        (each.stream_id,)
        for each in recorded
        if (attempt := attempts.get(each.stream_id)) is not None and attempt["adaptive"]
    }


def _opened(recorded: RecordedEvent, event: AbilityUpdated) -> Row:
    return {
        "attempt_id": recorded.stream_id,
        "exam_id": event.exam_id,
        "examinee_id": event.examinee_id,
        **owner_of(recorded),
        "prior_mean": event.theta,
        "prior_sd": event.se,
        "carried_over_from": event.carried_over_from,
        "theta": event.theta,
        "se": event.se,
        "method": event.method,
        "items_presented": 0,
        "items_counted": 0,
        "stop_reason": None,
        "category": None,
        "bank_version": event.bank_version,
        "algorithm_version": event.algorithm_version,
    }


def _presented(recorded: RecordedEvent, event: ItemPresented) -> Row:
    return {
        "attempt_id": recorded.stream_id,
        "step": event.step,
        "exam_id": event.exam_id,
        "examinee_id": event.examinee_id,
        **owner_of(recorded),
        "item_id": event.item_id,
        "item_version": event.item_version,
        "pretest": event.pretest,
        "presented_at": recorded.metadata.recorded_at,
        "theta_before": event.theta,
        "draw": event.draw,
        "responded_at": None,
        "is_right": None,
        "theta": None,
        "se": None,
        "bank_version": event.bank_version,
        "algorithm_version": event.algorithm_version,
    }
