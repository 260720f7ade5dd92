"""What the examinee of an adaptive test is to do now, and how to wait for it."""

import asyncio
from typing import TypeAlias, assert_never

import msgspec

from commands.context import CommandContext
from commands.kinds import ATTEMPT
from commands.news import Heard
from commands.streams import Loaded, Outcome
from commands.take_exam import GiveResponse, StartAttempt, give_response, start_attempt
from commands.write_side import WriteSide
from domain.attempts.adaptive import Sitting
from domain.attempts.attempt import Attempt, AttemptNotFound, InProgress, NotStarted, Scored, Submitted
from domain.errors import IllegalState
from domain.exams.form import PinnedItem
from domain.identifiers import StreamId


class AttemptNotAdaptive(IllegalState):
    """Something was asked of an attempt that only an adaptive one has."""

    code = "attempt-not-adaptive"
    title = "This attempt is not adaptive: all its items are there from the beginning"


class ToAnswer(msgspec.Struct, frozen=True):
    """The item at place `step` of the test, from 1."""

    step: int
    item: PinnedItem


class Deciding(msgspec.Struct, frozen=True):
    """The engine has the response before, and decides whether there is an item at place `step`."""

    step: int


class Finished(msgspec.Struct, frozen=True):
    """The attempt is handed in after `step` items were given."""

    step: int


Next: TypeAlias = ToAnswer | Deciding | Finished


def is_adaptive(state: Attempt) -> bool:
    """Raises `AttemptNotFound`."""
    return facts_of(state).sitting is not None


def is_deciding(state: Attempt) -> bool:
    """Whether the engine is to go on."""
    return isinstance(state, InProgress) and state.sitting is not None and state.sitting.pending is None


async def whats_next(write: WriteSide, state: Attempt) -> Next:
    """Raises `AttemptNotFound`, `AttemptNotAdaptive`."""
    facts, sitting = facts_of(state), sitting_of(state)
    if not isinstance(state, InProgress):
        return Finished(len(sitting.steps))
    pending = sitting.pending
    if pending is None:
        return Deciding(len(sitting.steps) + 1)
    item = (await write.forms.published(facts.exam_id)).item(pending.item_id)
    assert item is not None, "an item is presented from the exam's own pool"
    return ToAnswer(len(sitting.steps), item)


async def own_adaptive_attempt(
    write: WriteSide, attempt_id: StreamId, examinee_id: StreamId
) -> Loaded[Attempt]:
    """As it is in the log now.

    Raises `AttemptNotAdaptive`, and `AttemptNotFound` also where it is somebody else's.
    """
    known = await write.streams.read(ATTEMPT, attempt_id)
    if facts_of(known.state).examinee_id != examinee_id:
        raise AttemptNotFound
    sitting_of(known.state)
    return known


async def once_decided(
    write: WriteSide, attempt_id: StreamId, known: Loaded[Attempt], heard: Heard, wait_s: float
) -> Loaded[Attempt]:
    """The attempt as soon as the engine has decided, or as it is when the time is over.

    `heard` listens since before `known` was so.
    """
    clock = asyncio.get_running_loop().time
    ends_at = clock() + wait_s
    while is_deciding(known.state) and (remaining_s := ends_at - clock()) > 0:
        rung = await heard.wait(remaining_s)
        known = _newer(known, await write.streams.peek(ATTEMPT, attempt_id))
        if is_deciding(known.state):
            # What was decided in another process is in the log, and not in this one's memory.
            known = _newer(known, await write.streams.read(ATTEMPT, attempt_id))
        if not rung:
            break
    return known


async def start_attempt_and_wait(
    write: WriteSide, context: CommandContext, command: StartAttempt, wait_s: float
) -> tuple[Outcome[Attempt], Loaded[Attempt]]:
    """Starts or goes on, and waits so long for the engine where it has a response to decide upon.

    Gives what the command came to and the attempt after the waiting. Raises what `start_attempt` raises.
    """
    outcome = await start_attempt(write, context, command)
    now = Loaded(outcome.state, outcome.version, outcome.owner)
    if is_deciding(outcome.state):
        with write.streams.news.listening(outcome.stream_id) as heard:
            now = _newer(now, await write.streams.read(ATTEMPT, outcome.stream_id))
            now = await once_decided(write, outcome.stream_id, now, heard, wait_s)
    return outcome, now


async def give_response_and_wait(
    write: WriteSide, context: CommandContext, command: GiveResponse, wait_s: float
) -> tuple[Outcome[Attempt], Loaded[Attempt]]:
    """Gives the response and, in an adaptive attempt, waits so long for the engine.

    Gives what the command came to and the attempt after the waiting. Raises what `give_response` raises.
    """
    with write.streams.news.listening(command.attempt_id) as heard:
        outcome = await give_response(write, context, command)
        now = Loaded(outcome.state, outcome.version, outcome.owner)
        if is_deciding(outcome.state):
            if outcome.events:
                heard.discount()
            now = await once_decided(write, command.attempt_id, now, heard, wait_s)
        return outcome, now


def sitting_of(state: Attempt) -> Sitting:
    """Raises `AttemptNotFound`, `AttemptNotAdaptive`."""
    sitting = facts_of(state).sitting
    if sitting is None:
        raise AttemptNotAdaptive
    return sitting


def facts_of(state: Attempt) -> InProgress:
    """What is known of the attempt while it runs, or was when it was handed in. Raises `AttemptNotFound`."""
    match state:
        case NotStarted():
            raise AttemptNotFound
        case InProgress():
            return state
        case Submitted() | Scored():
            return state.attempt
        case _:
            assert_never(state)


def _newer(one: Loaded[Attempt], other: Loaded[Attempt]) -> Loaded[Attempt]:
    return other if other.version > one.version else one
