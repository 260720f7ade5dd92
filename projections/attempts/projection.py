"""Attempts, their saved responses and, once scored, what each attempt and each item earned.

Of adaptive attempts also each step of the test: see `projections.attempts.sittings`.
"""

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from domain.attempts.events import (
    AbilityUpdated,
    AttemptScored,
    AttemptStarted,
    AttemptSubmitted,
    ItemPresented,
    ResponseChanged,
    ResponseGiven,
)
from domain.events import Event, PositionedEvent, RecordedEvent
from projections.attempts.sittings import Sittings
from projections.attempts.tables import ATTEMPT_RESPONSES, ATTEMPT_SCORES, ATTEMPTS, SCORED_ITEMS
from projections.projection import Cursor
from projections.rows import Row, Rows, owner_of


class AttemptsProjection:
    name: ClassVar[str] = "attempts"
    version: ClassVar[int] = 3
    partitioned: ClassVar[bool] = True
    tables: ClassVar[tuple[str, ...]] = (
        "attempt_steps",
        "attempt_abilities",
        "scored_items",
        "attempt_scores",
        "attempt_responses",
        "attempts",
    )
    event_types: ClassVar[tuple[type[Event], ...]] = (
        AttemptStarted,
        ResponseGiven,
        ResponseChanged,
        AttemptSubmitted,
        AttemptScored,
        ItemPresented,
        AbilityUpdated,
    )

    def apply(self, cursor: Cursor, events: Sequence[PositionedEvent]) -> None:
        recorded = [each.recorded for each in events if isinstance(each.recorded.event, self.event_types)]
        attempts = ATTEMPTS.load(cursor, ((each.stream_id,) for each in recorded))
        responses = ATTEMPT_RESPONSES.load(
            cursor,
            (
                (each.stream_id, each.event.item_id)
                for each in recorded
                if isinstance(each.event, ResponseGiven | ResponseChanged)
            ),
        )
        sittings = Sittings(cursor, attempts, recorded)
        scores: list[Row] = []
        scored_items: list[Row] = []
        for each in recorded:
            _apply_one(each, attempts, responses)
            if isinstance(each.event, AttemptScored):
                scores.append(_score(each, each.event))
                scored_items.extend(_scored(each, each.event))
            sittings.apply(each)
            attempts.change(each.stream_id, version=each.version)
        attempts.save(cursor)
        responses.save(cursor)
        ATTEMPT_SCORES.save(cursor, scores)
        SCORED_ITEMS.save(cursor, scored_items)
        sittings.save(cursor)


def _apply_one(recorded: RecordedEvent, attempts: Rows, responses: Rows) -> None:
    attempt_id, at = recorded.stream_id, recorded.metadata.recorded_at
    match recorded.event:
        case AttemptStarted() as event:
            attempts.put(_started(recorded, event))
        case ResponseGiven() | ResponseChanged() as event:
            _respond(recorded, event, attempts, responses)
        case AttemptSubmitted() as event:
            attempts.change(attempt_id, status="submitted", submitted_at=at, submitted_by=event.by)
        case AttemptScored():
            attempts.change(attempt_id, status="scored", scored_at=at)
        case AbilityUpdated(step=0):
            attempts.change(attempt_id, adaptive=True)
        case _:
            pass


def _started(recorded: RecordedEvent, event: AttemptStarted) -> Row:
    return {
        "attempt_id": recorded.stream_id,
        "exam_id": event.exam_id,
        "examinee_id": event.examinee_id,
        **owner_of(recorded),
        "ordinal": event.ordinal,
        "status": "in_progress",
        "started_at": event.started_at,
        "deadline": event.deadline,
        "grace_s": event.grace_s,
        "submitted_at": None,
        "submitted_by": None,
        "scored_at": None,
        "responses_given": 0,
        "version": recorded.version,
        "adaptive": False,
    }


def _respond(
    recorded: RecordedEvent, event: ResponseGiven | ResponseChanged, attempts: Rows, responses: Rows
) -> None:
    attempt_id = recorded.stream_id
    before = responses.get(attempt_id, event.item_id)
    had_answer = before is not None and before["response"] is not None
    responses.put(
        {
            "attempt_id": attempt_id,
            "item_id": event.item_id,
            "item_version": event.item_version,
            "exam_id": event.exam_id,
            "examinee_id": event.examinee_id,
            **owner_of(recorded),
            "response": None if event.response is None else msgspec.to_builtins(event.response),
            "sequence": event.sequence,
            "responded_at": recorded.metadata.recorded_at,
            "changes": 0 if before is None else before["changes"] + 1,
        }
    )
    attempt = attempts.get(attempt_id)
    given = 0 if attempt is None else attempt["responses_given"]
    given += (event.response is not None) - had_answer
    attempts.change(attempt_id, responses_given=given)


def _score(recorded: RecordedEvent, event: AttemptScored) -> Row:
    return {
        "attempt_id": recorded.stream_id,
        "exam_id": event.exam_id,
        "examinee_id": event.examinee_id,
        **owner_of(recorded),
        "score": event.score,
        "max_score": event.max_score,
    }


def _scored(recorded: RecordedEvent, event: AttemptScored) -> list[Row]:
    return [
        {
            "attempt_id": recorded.stream_id,
            "item_id": item.item_id,
            "item_version": item.item_version,
            "exam_id": event.exam_id,
            "examinee_id": event.examinee_id,
            **owner_of(recorded),
            "score": item.score,
            "max_score": item.max_score,
        }
        for item in event.items
    ]
