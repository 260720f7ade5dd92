"""An attempt: in progress, then submitted, then scored. What is refused, and why."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TypeAlias, assert_never

import msgspec

from domain.attempts.events import (
    AttemptScored,
    AttemptStarted,
    AttemptSubmitted,
    ResponseChanged,
    ResponseGiven,
    ScoredItem,
    SubmittedBy,
)
from domain.errors import IllegalState, NotFound
from domain.events import Event
from domain.exams.form import Form
from domain.identifiers import StreamId
from domain.items.responses import Response, fitting
from domain.items.scoring import SCORING_VERSION, score

MAX_SEQUENCE = 2**53 - 1
"""The largest whole number that every JSON client can hold."""


class SavedResponse(msgspec.Struct, frozen=True):
    response: Response | None
    sequence: int


class NotStarted(msgspec.Struct, frozen=True):
    pass


class InProgress(msgspec.Struct, frozen=True, kw_only=True):
    exam_id: StreamId
    examinee_id: StreamId
    ordinal: int
    started_at: datetime
    deadline: datetime | None
    grace_s: float
    responses: Mapping[StreamId, SavedResponse]

    def is_time_up(self, now: datetime) -> bool:
        """True once the deadline and the grace for slow networks are both over."""
        return self.deadline is not None and now > self.deadline + timedelta(seconds=self.grace_s)


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    attempt: InProgress
    by: SubmittedBy


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    attempt: InProgress
    by: SubmittedBy
    score: int
    max_score: int


Attempt: TypeAlias = NotStarted | InProgress | Submitted | Scored


def examinee_of(state: Attempt) -> StreamId:
    """Whom the attempt is of. Raises `AttemptNotFound` before it has started."""
    match state:
        case NotStarted():
            raise AttemptNotFound
        case InProgress():
            return state.examinee_id
        case Submitted() | Scored():
            return state.attempt.examinee_id
        case _:
            assert_never(state)


class AttemptNotFound(NotFound):
    code = "attempt-not-found"
    title = "There is no such attempt"


class ItemNotInExam(NotFound):
    code = "item-not-in-exam"
    title = "This exam has no such item"


class AttemptExists(IllegalState):
    code = "attempt-exists"
    title = "This attempt has started already"


class AttemptFinished(IllegalState):
    code = "attempt-finished"
    title = "The attempt is handed in; its answers can no longer change"


class AttemptTimeIsUp(IllegalState):
    code = "attempt-time-is-up"
    title = "The time for this attempt is up"


class SequenceReused(IllegalState):
    code = "sequence-reused"
    title = "Another response was sent with this sequence number"


class NoAttemptsLeft(IllegalState):
    code = "no-attempts-left"
    title = "All allowed attempts at this exam are used"


def evolve(state: Attempt, event: Event) -> Attempt:
    match state, event:
        case (NotStarted(), AttemptStarted()):
            return InProgress(
                exam_id=event.exam_id,
                examinee_id=event.examinee_id,
                ordinal=event.ordinal,
                started_at=event.started_at,
                deadline=event.deadline,
                grace_s=event.grace_s,
                responses={},
            )
        case (InProgress(), ResponseGiven() | ResponseChanged()):
            saved = SavedResponse(event.response, event.sequence)
            return msgspec.structs.replace(state, responses={**state.responses, event.item_id: saved})
        case (InProgress(), AttemptSubmitted()):
            return Submitted(attempt=state, by=event.by)
        case (Submitted(), AttemptScored()):
            return Scored(attempt=state.attempt, by=state.by, score=event.score, max_score=event.max_score)
        case _:
            return state


def start(state: Attempt, started: AttemptStarted) -> list[Event]:
    if not isinstance(state, NotStarted):
        raise AttemptExists
    return [started]


class SentResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A response as it arrives; without a `sequence` it counts as the latest."""

    item_id: StreamId
    response: Response | None
    sequence: int | None = None


def give_response(state: Attempt, form: Form, sent: SentResponse, now: datetime) -> list[Event]:
    """Saves a response, or none where this one is already superseded.

    A response whose sequence number is not above the saved one's arrived late or twice, and changes
    nothing. Raises `AttemptNotFound`, `AttemptFinished`,
    `AttemptTimeIsUp`, `ItemNotInExam`, `ResponseDoesNotFit`, or `SequenceReused` where the same
    number came with a different response.
    """
    match state:
        case NotStarted():
            raise AttemptNotFound
        case Submitted() | Scored():
            raise AttemptFinished(submitted_by=state.by)
        case InProgress():
            item_id, sequence = sent.item_id, sent.sequence
            pinned = form.item(item_id)
            if pinned is None:
                raise ItemNotInExam
            normal = None if sent.response is None else fitting(pinned.content, sent.response)
            saved = state.responses.get(item_id)
            if saved is not None and sequence is not None and sequence <= saved.sequence:
                if sequence == saved.sequence and normal != saved.response:
                    raise SequenceReused(sequence=sequence)
                return []
            if state.is_time_up(now):
                assert state.deadline is not None
                raise AttemptTimeIsUp(deadline=state.deadline.isoformat())
            event_class = ResponseGiven if saved is None else ResponseChanged
            last_sequence = 0 if saved is None else saved.sequence
            return [
                event_class(
                    examinee_id=state.examinee_id,
                    exam_id=state.exam_id,
                    item_id=item_id,
                    item_version=pinned.item_version,
                    response=normal,
                    sequence=last_sequence + 1 if sequence is None else sequence,
                )
            ]
        case _:
            assert_never(state)


def submit(state: Attempt, form: Form, by: SubmittedBy, now: datetime) -> list[Event]:
    """Hands the attempt in and scores it in one step. A second submission changes nothing.

    Whoever submits after time is up hands in what was saved in time: it counts as the clock's doing.
    """
    match state:
        case NotStarted():
            raise AttemptNotFound
        case Submitted():
            return [_scored(state.attempt, form)]
        case Scored():
            return []
        case InProgress():
            by = "clock" if by in ("examinee", "teacher") and state.is_time_up(now) else by
            submitted = AttemptSubmitted(exam_id=state.exam_id, examinee_id=state.examinee_id, by=by)
            return [submitted, _scored(state, form)]
        case _:
            assert_never(state)


def _scored(attempt: InProgress, form: Form) -> AttemptScored:
    items: list[ScoredItem] = []
    for pinned in form.items:
        saved = attempt.responses.get(pinned.item_id)
        response = None if saved is None else saved.response
        items.append(
            ScoredItem(
                item_id=pinned.item_id,
                item_version=pinned.item_version,
                response=response,
                score=score(pinned.content, response),
                max_score=pinned.content.points,
            )
        )
    return AttemptScored(
        exam_id=attempt.exam_id,
        examinee_id=attempt.examinee_id,
        ordinal=attempt.ordinal,
        items=tuple(items),
        score=sum(item.score for item in items),
        max_score=sum(item.max_score for item in items),
        scoring_version=SCORING_VERSION,
    )
