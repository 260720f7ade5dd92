"""An attempt: in progress, then submitted, then scored. What is refused, and why."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias, assert_never

import msgspec

from domain.attempts.adaptive import (
    AdaptiveTest,
    Presented,
    Prior,
    Sitting,
    answered,
    judged,
    opened,
    told,
    updated,
)
from domain.attempts.events import (
    AbilityUpdated,
    AttemptScored,
    AttemptStarted,
    AttemptSubmitted,
    ItemPresented,
    ResponseChanged,
    ResponseGiven,
    ScoredAbility,
    ScoredItem,
    SubmittedBy,
)
from domain.errors import IllegalState, NotFound
from domain.events import Event
from domain.exams.form import Form, PinnedItem
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
    sitting: Sitting | None = None
    """Of an adaptive attempt alone."""

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


class ItemNotPending(IllegalState):
    """Carries `pending_item_id`, None while the engine decides which it is."""

    code = "item-not-pending"
    title = "Another item is to be answered now"


class ResponseIsFinal(IllegalState):
    code = "response-is-final"
    title = "In an adaptive test an answer cannot be changed"


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
            return msgspec.structs.replace(
                state,
                responses={**state.responses, event.item_id: saved},
                sitting=None if state.sitting is None else answered(state.sitting),
            )
        case (InProgress(), AbilityUpdated() | ItemPresented()):
            return msgspec.structs.replace(state, sitting=told(state.sitting, event))
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


def start_adaptive(
    state: Attempt, started: AttemptStarted, test: AdaptiveTest, prior: Prior, seed: int
) -> list[Event]:
    """Starts an attempt and presents its first item in the same step.

    `seed` (below 2**53) is what all chance in this attempt follows from.
    """
    sitting = opened(prior, seed)
    first = test.decide(sitting)
    assert isinstance(first, Presented), "an adaptive exam without an item is not published"
    opening = AbilityUpdated(
        exam_id=started.exam_id,
        examinee_id=started.examinee_id,
        step=0,
        item_id=None,
        right=None,
        pretest=False,
        theta=prior.mean,
        se=prior.sd,
        method=sitting.method,
        bank_version=test.bank_version,
        algorithm_version=test.algorithm_version,
        seed=seed,
        carried_over_from=prior.carried_over_from,
        stop_reason=None,
        category=None,
    )
    item = _presented(started.exam_id, started.examinee_id, sitting, test, first)
    return [*start(state, started), opening, item]


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

    In an adaptive attempt the pending item alone is answered, once: `ItemNotPending`, `ResponseIsFinal`. None
    is a response there, of which nothing is right; the same one once more changes nothing.
    """
    match state:
        case NotStarted():
            raise AttemptNotFound
        case Submitted() | Scored():
            raise AttemptFinished(submitted_by=state.by)
        case InProgress(sitting=Sitting() as sitting):
            return _give_adaptive(state, sitting, form, sent, now)
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


def _give_adaptive(
    state: InProgress, sitting: Sitting, form: Form, sent: SentResponse, now: datetime
) -> list[Event]:
    step, pending = sitting.find(sent.item_id), sitting.pending
    pinned = form.item(sent.item_id)
    if step is None or pinned is None:
        # Whether the pool has such an item is no business of an examinee's.
        raise ItemNotPending(pending_item_id=None if pending is None else pending.item_id)
    normal = None if sent.response is None else fitting(pinned.content, sent.response)
    if step.answered:
        if state.responses[step.item_id].response != normal:
            raise ResponseIsFinal
        return []
    if state.is_time_up(now):
        assert state.deadline is not None
        raise AttemptTimeIsUp(deadline=state.deadline.isoformat())
    return [
        ResponseGiven(
            examinee_id=state.examinee_id,
            exam_id=state.exam_id,
            item_id=step.item_id,
            item_version=step.item_version,
            response=normal,
            sequence=1 if sent.sequence is None else sent.sequence,
        )
    ]


def advance(state: Attempt, form: Form) -> list[Event]:
    """The engine's turn: takes notice of the last response, and presents the next item or ends the test.

    Nothing where there is no response that waits for it: so it may be called any number of times. Raises
    `AttemptNotFound`.
    """
    match state:
        case NotStarted():
            raise AttemptNotFound
        case InProgress(sitting=Sitting() as sitting) if form.test is not None and sitting.to_decide:
            update = _noticed(state, sitting, form, form.test)
            sitting = updated(sitting, update)
            decision = form.test.decide(sitting)
            if isinstance(decision, Presented):
                item = _presented(state.exam_id, state.examinee_id, sitting, form.test, decision)
                return [update, item]
            update = msgspec.structs.replace(update, stop_reason=decision.reason, category=decision.category)
            ended = evolve(state, update)
            assert isinstance(ended, InProgress)
            return [update, *_handed_in(ended, form, "engine")]
        case InProgress() | Submitted() | Scored():
            return []
        case _:
            assert_never(state)


def _noticed(state: InProgress, sitting: Sitting, form: Form, test: AdaptiveTest) -> AbilityUpdated:
    """What the last response tells."""
    step = sitting.steps[-1]
    pinned = form.item(step.item_id)
    assert pinned is not None
    right = score(pinned.content, state.responses[step.item_id].response) > 0
    known = test.estimate(judged(sitting, right=right))
    return AbilityUpdated(
        exam_id=state.exam_id,
        examinee_id=state.examinee_id,
        step=len(sitting.steps),
        item_id=step.item_id,
        right=right,
        pretest=step.pretest,
        theta=known.theta,
        se=known.se,
        method=known.method,
        bank_version=test.bank_version,
        algorithm_version=test.algorithm_version,
        seed=sitting.seed,
        carried_over_from=None,
        stop_reason=None,
        category=known.category,
    )


def _presented(
    exam_id: StreamId, examinee_id: StreamId, sitting: Sitting, test: AdaptiveTest, chosen: Presented
) -> ItemPresented:
    return ItemPresented(
        exam_id=exam_id,
        examinee_id=examinee_id,
        step=len(sitting.steps) + 1,
        item_id=chosen.item_id,
        item_version=chosen.item_version,
        pretest=chosen.pretest,
        theta=sitting.theta,
        draw=chosen.draw,
        passed_over=chosen.passed_over,
        bank_version=test.bank_version,
        algorithm_version=test.algorithm_version,
    )


def submit(state: Attempt, form: Form, by: SubmittedBy, now: datetime) -> list[Event]:
    """Hands the attempt in and scores it in one step. A second submission changes nothing.

    Whoever submits after time is up hands in what was saved in time: it counts as the clock's doing. A
    response that the engine has not seen yet counts.
    """
    match state:
        case NotStarted():
            raise AttemptNotFound
        case Submitted():
            return [_scored(state.attempt, form, state.by)]
        case Scored():
            return []
        case InProgress():
            by = "clock" if by in ("examinee", "teacher") and state.is_time_up(now) else by
            sitting, seen = state.sitting, list[Event]()
            if sitting is not None and sitting.to_decide is not None:
                assert form.test is not None
                seen = [_noticed(state, sitting, form, form.test)]
                noticed = evolve(state, seen[0])
                assert isinstance(noticed, InProgress)
                state = noticed
            return [*seen, *_handed_in(state, form, by)]
        case _:
            assert_never(state)


def _handed_in(state: InProgress, form: Form, by: SubmittedBy) -> list[Event]:
    submitted = AttemptSubmitted(exam_id=state.exam_id, examinee_id=state.examinee_id, by=by)
    return [submitted, _scored(state, form, by)]


def _scored(attempt: InProgress, form: Form, by: SubmittedBy) -> AttemptScored:
    items: list[ScoredItem] = []
    for pinned in _to_score(attempt, form):
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
        ability=_ability(attempt, form, by),
    )


def _to_score(attempt: InProgress, form: Form) -> Sequence[PinnedItem]:
    """All items of a form; of an adaptive test those that were answered and count."""
    if attempt.sitting is None:
        return form.items
    counted = [step for step in attempt.sitting.steps if step.answered and not step.pretest]
    return [pinned for step in counted if (pinned := form.item(step.item_id)) is not None]


def _ability(attempt: InProgress, form: Form, by: SubmittedBy) -> ScoredAbility | None:
    sitting = attempt.sitting
    if sitting is None:
        return None
    assert form.test is not None
    return ScoredAbility(
        theta=sitting.theta,
        se=sitting.se,
        method=sitting.method,
        items=sum(step.answered and not step.pretest for step in sitting.steps),
        stop_reason=sitting.stop_reason or by,
        category=sitting.category,
        bank_version=form.test.bank_version,
        algorithm_version=form.test.algorithm_version,
    )
