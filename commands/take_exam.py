"""Take an exam: start an attempt, answer its items, hand it in."""

from collections.abc import Sequence
from typing import assert_never

import msgspec

from commands.context import CommandContext
from commands.kinds import ATTEMPT, EXAM, USER
from commands.openings import ATTEMPT_SCOPE, Opening, attempt_key, opening_of
from commands.streams import Loaded, Outcome, Owner
from commands.write_side import WriteSide
from domain.attempts import attempt
from domain.attempts.adaptive import AdaptiveTest
from domain.attempts.attempt import (
    Attempt,
    AttemptNotFound,
    InProgress,
    NoAttemptsLeft,
    NotStarted,
    Scored,
    SentResponse,
    Submitted,
)
from domain.attempts.events import AttemptStarted, SubmittedBy
from domain.errors import Denied
from domain.events import Event
from domain.exams.events import Blueprint
from domain.exams.exam import (
    Closed,
    Exam,
    ExamIsClosed,
    ExamNotFound,
    ExamNotPublished,
    Published,
    deadline,
    open_for_attempts,
)
from domain.identifiers import StreamId, stream_id
from domain.items.responses import Response
from domain.users.account import Registered, UserNotFound


class OnlyForOneself(Denied):
    """A teacher can neither take an exam in an examinee's place nor get the means to."""

    code = "only-for-oneself"
    title = "An attempt is started by its examinee, or by a service of the organisation"


class StartAttempt(msgspec.Struct, frozen=True, kw_only=True):
    exam_id: StreamId
    examinee_id: StreamId


class GiveResponse(msgspec.Struct, frozen=True, kw_only=True):
    attempt_id: StreamId
    item_id: StreamId
    response: Response | None
    sequence: int | None = None


async def start_attempt(write: WriteSide, context: CommandContext, command: StartAttempt) -> Outcome[Attempt]:
    """Starts the examinee's next attempt, or returns the one that is still running.

    Each attempt is a claim on (exam, examinee, ordinal), so a double click starts one attempt.
    Raises `ExamNotFound` (also for an exam that is not for this examinee), `ExamNotPublished`,
    `ExamIsClosed`, `ExamNotOpenYet`, `ExamWindowOver`, `NoAttemptsLeft`, `UserNotFound`, `OnlyForOneself`.
    """
    exam = await write.streams.read(EXAM, command.exam_id)
    blueprint = await _offered(write, context, exam, command.examinee_id)
    is_closed = isinstance(exam.state, Closed)
    for ordinal in range(1, blueprint.attempts_allowed + 1):
        attempt_id = await _claimed(write, command, ordinal)
        running = await write.streams.read(ATTEMPT, attempt_id)
        done = await write.streams.done_before(context, ATTEMPT, attempt_id)
        if done is not None:
            # The same request once more: it has started this attempt, whatever became of it since.
            return done
        if isinstance(running.state, InProgress):
            if not is_closed and not running.state.is_time_up(write.clock()):
                return Outcome(attempt_id, running.state, running.version, running.owner, ())
            await _submit(write, context, attempt_id, running, "teacher" if is_closed else "clock")
        elif isinstance(running.state, NotStarted):
            started_at = write.clock()
            open_for_attempts(exam.state, started_at)
            form = await write.forms.published(command.exam_id)
            opening = None if form.test is None else await opening_of(write, blueprint, command.examinee_id)
            started = AttemptStarted(
                exam_id=command.exam_id,
                examinee_id=command.examinee_id,
                ordinal=ordinal,
                started_at=started_at,
                deadline=deadline(blueprint, started_at),
                grace_s=write.grace_s,
            )
            outcome = await _start(write, context, exam.owner, attempt_id, started, form.test, opening)
            if isinstance(outcome.state, InProgress):
                return outcome
    open_for_attempts(exam.state, write.clock())
    raise NoAttemptsLeft(attempts_allowed=blueprint.attempts_allowed)


async def _offered(
    write: WriteSide, context: CommandContext, exam: Loaded[Exam], examinee_id: StreamId
) -> Blueprint:
    """The exam's blueprint, if this examinee may know of the exam; else raises `ExamNotFound`.

    For others only a service may start, and only for the examinees of its own organisation.
    """
    if not isinstance(exam.state, Published | Closed):
        context.require_staff_of(exam.owner.org_id, ExamNotFound)
        raise ExamNotPublished
    examinee = (await write.streams.read(USER, examinee_id)).state
    is_own = examinee_id == context.actor.id
    if not is_own:
        context.require_staff_of(exam.owner.org_id, ExamNotFound)
        if context.actor.kind != "service":
            raise OnlyForOneself
    if not isinstance(examinee, Registered):
        raise UserNotFound
    # By what they are there now: who enrolled them is another question, and its answer never changes.
    is_member = exam.owner.org_id in examinee.org_ids
    if not is_own and not is_member:
        raise UserNotFound
    blueprint = exam.state.blueprint
    outside = blueprint.audience == "organization" and not is_member
    if outside or examinee.zone_id != exam.owner.zone_id:
        raise ExamNotFound
    return blueprint


async def _start(  # noqa: PLR0913, PLR0917 - one attempt, whole
    write: WriteSide,
    context: CommandContext,
    owner: Owner,
    attempt_id: StreamId,
    started: AttemptStarted,
    test: AdaptiveTest | None,
    opening: Opening | None,
) -> Outcome[Attempt]:
    def decide(state: Attempt) -> Sequence[Event]:
        if not isinstance(state, NotStarted):
            # Somebody who started it a moment before us started it for us too.
            return []
        if test is None or opening is None:
            return attempt.start(state, started)
        return attempt.start_adaptive(state, started, test, opening.prior, opening.seed)

    return await write.streams.execute(
        context.within(owner.zone_id, owner.org_id), ATTEMPT, attempt_id, decide
    )


async def give_response(write: WriteSide, context: CommandContext, command: GiveResponse) -> Outcome[Attempt]:
    """Raises what `domain.attempts.attempt.give_response` raises, and `ExamIsClosed`."""
    known = await write.streams.peek(ATTEMPT, command.attempt_id)
    facts = _facts(known)
    if facts.examinee_id != context.subject_id:
        # Nobody answers for an examinee, not even their teacher.
        raise AttemptNotFound
    form = await write.forms.published(facts.exam_id)
    if await write.forms.is_closed(facts.exam_id, write.clock()) and isinstance(known.state, InProgress):
        raise ExamIsClosed
    sent = SentResponse(item_id=command.item_id, response=command.response, sequence=command.sequence)
    return await write.streams.execute(
        context.within(known.owner.zone_id, known.owner.org_id),
        ATTEMPT,
        command.attempt_id,
        lambda state: attempt.give_response(state, form, sent, write.clock()),
    )


async def submit_attempt(
    write: WriteSide, context: CommandContext, attempt_id: StreamId, by: SubmittedBy = "examinee"
) -> Outcome[Attempt]:
    """Hands in and scores. Handing in twice changes nothing. Raises `AttemptNotFound`."""
    known = await write.streams.peek(ATTEMPT, attempt_id)
    return await _submit(write, context, attempt_id, known, by)


async def submit_exam(write: WriteSide, context: CommandContext, exam_id: StreamId) -> Outcome[Attempt]:
    """Hands in the asker's latest attempt at the exam. Raises `ExamNotFound`, `AttemptNotFound`."""
    loaded = await write.streams.peek(EXAM, exam_id)
    if not isinstance(loaded.state, Published | Closed):
        # Another process may have published what is known here as a draft.
        loaded = await write.streams.read(EXAM, exam_id)
    if not isinstance(loaded.state, Published | Closed):
        raise ExamNotFound
    latest: Loaded[Attempt] | None = None
    latest_id: StreamId = ""
    for ordinal in range(1, loaded.state.blueprint.attempts_allowed + 1):
        holder = await write.claims.holder(ATTEMPT_SCOPE, attempt_key(exam_id, context.subject_id, ordinal))
        found = None if holder is None else await write.streams.peek(ATTEMPT, holder)
        if holder is None or found is None or isinstance(found.state, NotStarted):
            break
        latest, latest_id = found, holder
    if latest is None:
        raise AttemptNotFound
    return await _submit(write, context, latest_id, latest, "examinee")


async def _submit(
    write: WriteSide,
    context: CommandContext,
    attempt_id: StreamId,
    known: Loaded[Attempt],
    by: SubmittedBy,
) -> Outcome[Attempt]:
    facts = _facts(known)
    if context.actor.kind == "clock":
        # What the clock does follows from the start of the attempt.
        context = context.following(known.owner.correlation_id)
    elif facts.examinee_id != context.subject_id:
        context.require_staff_of(known.owner.org_id, AttemptNotFound)
        by = "teacher" if by == "examinee" else by
    form = await write.forms.published(facts.exam_id)
    return await write.streams.execute(
        context.within(known.owner.zone_id, known.owner.org_id),
        ATTEMPT,
        attempt_id,
        lambda state: attempt.submit(state, form, by, write.clock()),
    )


def _facts(known: Loaded[Attempt]) -> InProgress:
    """What was settled when the attempt started; raises `AttemptNotFound`."""
    match known.state:
        case NotStarted():
            raise AttemptNotFound
        case InProgress():
            return known.state
        case Submitted() | Scored():
            return known.state.attempt
        case _:
            assert_never(known.state)


async def _claimed(write: WriteSide, command: StartAttempt, ordinal: int) -> StreamId:
    key = attempt_key(command.exam_id, command.examinee_id, ordinal)
    wanted = stream_id("attempt", write.new_id())
    [attempt_id] = await write.claims.claim(ATTEMPT_SCOPE, [key], [wanted])
    return attempt_id
