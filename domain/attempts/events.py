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


class ScoredAbility(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an adaptive test has found: ability and its standard error (logits), and what they rest on.

    `stop_reason` is the engine's (`se`, `max_items`, ...), or who handed it in before that. `items` counts
    the responses that counted. `category` (from 0, the lowest) where the exam classifies.
    """

    theta: float
    se: float
    method: str
    items: int
    stop_reason: str
    category: int | None
    bank_version: int
    algorithm_version: int


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
    """The result, with the responses that were scored, in the order of the form.

    Of an adaptive test: in the order in which they were given, without pretest items, and with `ability`.
    """

    exam_id: StreamId
    examinee_id: StreamId
    ordinal: int
    items: tuple[ScoredItem, ...]
    score: int
    max_score: int
    scoring_version: int
    ability: ScoredAbility | None = None


@event_type("attempt.item_presented", retention=Retention.STATE)
class ItemPresented(Event, frozen=True, kw_only=True):
    """The item at position `step` (from 1) of an adaptive test, and what its choice rested on.

    `theta` is the ability at which it was chosen. `draw` is the number in [0, 1) that chance gave, None where
    nothing was left to chance; `passed_over` are items that exposure control held back: they come back only
    where no other is left. A pretest item does not count.
    """

    exam_id: StreamId
    examinee_id: StreamId
    step: int
    item_id: StreamId
    item_version: int
    pretest: bool
    theta: float
    draw: float | None
    passed_over: tuple[StreamId, ...]
    bank_version: int
    algorithm_version: int


@event_type("attempt.ability_updated", retention=Retention.STATE)
class AbilityUpdated(Event, frozen=True, kw_only=True):
    """What is known of the examinee's ability (logits) after the response at position `step`.

    Step 0 is the prior, which may be carried over from an earlier attempt; `seed` is what all chance in this
    attempt follows from. `right` is whether the response was right (None at step 0); that to a pretest item
    leaves the estimate as it is. `stop_reason` says why the test ends here; None: it goes on.
    """

    exam_id: StreamId
    examinee_id: StreamId
    step: int
    item_id: StreamId | None
    right: bool | None
    pretest: bool
    theta: float
    se: float
    method: str
    bank_version: int
    algorithm_version: int
    seed: int
    carried_over_from: StreamId | None
    stop_reason: str | None
    category: int | None
