"""What happens in one examinee's attempt at an exam."""

from datetime import datetime
from typing import Literal

import msgspec

from domain.events import Event, Retention, event_type
from domain.identifiers import StreamId
from domain.items.responses import Response

SubmittedBy = Literal["examinee", "clock", "teacher", "engine"]


class ScoredItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was scored and what it earned; `response` is None where nothing was answered."""

    item_id: StreamId
    item_version: int
    response: Response | None
    score: int
    max_score: int


@event_type("attempt.started", retention=Retention.STATE)
class AttemptStarted(Event, frozen=True, kw_only=True):
    """The clock runs from `started_at` to `deadline` (None: no limit), plus a short grace.

    `ordinal` counts the examinee's attempts at this exam from 1.
    """

    exam_id: StreamId
    examinee_id: StreamId
    ordinal: int
    started_at: datetime
    deadline: datetime | None
    grace_s: float


@event_type("attempt.response_given", retention=Retention.STATE, subject="examinee_id")
class ResponseGiven(Event, frozen=True, kw_only=True):
    """The first response to an item.

    `sequence` is the client's own counter: of two responses to an item the one with the higher
    number is the later one, in whatever order they arrive.
    """

    examinee_id: StreamId
    exam_id: StreamId
    item_id: StreamId
    item_version: int
    response: Response | None
    sequence: int


@event_type("attempt.response_changed", retention=Retention.STATE, subject="examinee_id")
class ResponseChanged(Event, frozen=True, kw_only=True):
    """Another response to an item that has one already; None takes the answer back."""

    examinee_id: StreamId
    exam_id: StreamId
    item_id: StreamId
    item_version: int
    response: Response | None
    sequence: int


@event_type("attempt.submitted", retention=Retention.STATE)
class AttemptSubmitted(Event, frozen=True, kw_only=True):
    """Handed in: from now on nothing in it changes."""

    exam_id: StreamId
    examinee_id: StreamId
    by: SubmittedBy


@event_type("attempt.scored", retention=Retention.STATE, subject="examinee_id")
class AttemptScored(Event, frozen=True, kw_only=True):
    """The result, with the responses that were scored, in the order of the form."""

    exam_id: StreamId
    examinee_id: StreamId
    ordinal: int
    items: tuple[ScoredItem, ...]
    score: int
    max_score: int
    scoring_version: int
