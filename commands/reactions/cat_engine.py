"""The engine of adaptive tests: when a response has been given, it decides what comes next.

Whatever comes twice, late or to two engines at once is decided once: a decision is due where the attempt's
own history says so (`domain.attempts.adaptive.Sitting.to_decide`) and nowhere else.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import ClassVar

import msgspec

from commands.advance_attempt import advance_attempt
from commands.context import CommandContext
from commands.kinds import EXAM
from commands.write_side import WriteSide
from domain.attempts.events import ItemPresented, ResponseGiven
from domain.events import Event, RecordedEvent
from domain.exams.exam import Closed, Published
from domain.identifiers import StreamId


class Decided(msgspec.Struct, frozen=True):
    """One decision of this engine, durable.

    Attributes:
        finished: the test is over; else the next item was presented.
        took: from the moment at which the response was recorded.
    """

    finished: bool
    took: timedelta


def _nobody(_decided: Decided) -> None:
    """Nobody wants to know."""


class CatEngine:
    """`infra.kafka.command_consumer.Reaction`. `tell` hears of each decision."""

    name: ClassVar[str] = "cat-engine"
    event_types: ClassVar[tuple[type[Event], ...]] = (ResponseGiven,)

    def __init__(self, tell: Callable[[Decided], None] = _nobody) -> None:
        self._tell = tell

    async def react(self, write: WriteSide, context: CommandContext, recorded: RecordedEvent) -> None:
        """Raises what `advance_attempt` raises."""
        given = recorded.event
        assert isinstance(given, ResponseGiven)
        # Most of the log is responses at fixed exams: they cost a look at an exam that is in memory.
        if not await _is_adaptive(write, given.exam_id):
            return
        # What is done shows in the attempt's state, so nobody need search its events for this command.
        once = msgspec.structs.replace(context, repeatable=False)
        outcome = await advance_attempt(write, once, recorded.stream_id)
        if outcome is None or not outcome.events:
            # Another process was faster: who waits in this one is told all the same.
            write.streams.news.tell(recorded.stream_id)
        else:
            finished = not any(isinstance(event, ItemPresented) for event in outcome.events)
            self._tell(Decided(finished, write.clock() - recorded.metadata.recorded_at))


async def _is_adaptive(write: WriteSide, exam_id: StreamId) -> bool:
    exam = (await write.streams.peek(EXAM, exam_id)).state
    if not isinstance(exam, Published | Closed):
        # Known here from before another process published it.
        exam = (await write.streams.read(EXAM, exam_id)).state
    # Where there is no such exam there is nothing to decide.
    return isinstance(exam, Published | Closed) and exam.blueprint.adaptive is not None
