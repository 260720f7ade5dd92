"""What the clock does: hands in attempts whose time is up and closes exams whose window is over.

The read side knows what is due; the commands decide. A deadline that fires twice, or late, or in two
processes at once does nothing the second time.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from commands.author_exam import close_exam
from commands.context import CommandContext
from commands.take_exam import submit_attempt
from commands.write_side import WriteSide
from domain.attempts.events import SubmittedBy
from domain.errors import DomainError
from domain.events import Actor
from domain.identifiers import StreamId


class DueAttempt(msgspec.Struct, frozen=True):
    attempt_id: StreamId
    by: SubmittedBy
    """`clock` where time is up, `teacher` where the exam was closed while it ran."""


class DueWork(Protocol):
    async def attempts(self, now: datetime, limit: int) -> Sequence[DueAttempt]: ...

    async def exams(self, now: datetime, limit: int) -> Sequence[StreamId]: ...


class DeadlinesMet(msgspec.Struct, frozen=True):
    """What was done, what could not be done and why, and whether more is waiting."""

    done: int
    failed: tuple[tuple[StreamId, DomainError], ...]
    more: bool


async def meet_deadlines(write: WriteSide, due: DueWork, *, limit: int = 500) -> DeadlinesMet:
    """Does what is due now, at most `limit` of each. What fails holds up nothing else."""
    failed: list[tuple[StreamId, DomainError]] = []
    exams = await due.exams(write.clock(), limit)
    for exam_id in exams:
        try:
            await close_exam(write, _by_the_clock(write), exam_id)
        except DomainError as error:
            failed.append((exam_id, error))
    attempts = await due.attempts(write.clock(), limit)
    for attempt in attempts:
        try:
            await submit_attempt(write, _by_the_clock(write), attempt.attempt_id, attempt.by)
        except DomainError as error:
            failed.append((attempt.attempt_id, error))
    done = len(exams) + len(attempts) - len(failed)
    return DeadlinesMet(done, tuple(failed), more=done > 0 and limit in (len(exams), len(attempts)))


def _by_the_clock(write: WriteSide) -> CommandContext:
    command_id = write.new_id()
    return CommandContext(
        actor=Actor("clock", "deadlines"),
        zone_id=None,
        org_id=None,
        correlation_id=command_id,
        command_id=command_id,
    )
