"""Events that cause commands: each takes effect once, however often it comes.

A command's id is derived from the consumer and the event, so a repeated one finds its own events in the
stream and does nothing. The position is kept after the command was acknowledged: a crash in between repeats
the command.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from typing import Any, ClassVar, Final, Protocol

import psycopg

from commands.context import CommandContext
from commands.write_side import WriteSide
from domain.errors import Unavailable
from domain.events import Actor, Event, PositionedEvent, RecordedEvent
from infra.kafka.kept_positions import hold, keep, kept_everywhere, read_or_begin, relayed_with, sent_to
from infra.kafka.port import TopicPartition
from infra.kafka.reconnecting import Reconnecting

COMMAND_TIME_LIMIT_S: Final = 10.0


class Reaction(Protocol):
    """What the system does of itself when something has happened.

    Attributes:
        name: names its positions and goes into the ids of its commands; never reused for something else.
        event_types: what it wants to be told.
    """

    name: ClassVar[str]
    event_types: ClassVar[tuple[type[Event], ...]]

    async def react(self, write: WriteSide, context: CommandContext, recorded: RecordedEvent) -> None:
        """Carries out at most one command, under the context's id. Raises what the command raises."""
        ...


class CommandUnanswered(Unavailable):
    """The write side is overloaded or about to end. The command may have been carried out."""

    code = "command-unanswered"
    title = "The write side has not carried out a command in time"


class CommandHandler:
    """Carries out the commands of a reaction, in order within each partition.

    Args:
        reaction: which command an event causes.
        write: the write side, which works in `loop`.
        loop: a running event loop in another thread.
        connect: opens a connection of the projector role, with rows as dictionaries.
        begin_after: where to begin the first time; 0 reacts to everything that has ever happened.
        time_limit_s: a command that takes longer is cancelled and ordered again, which is harmless.
    """

    def __init__(  # noqa: PLR0913 - all but four by name
        self,
        reaction: Reaction,
        write: WriteSide,
        loop: asyncio.AbstractEventLoop,
        connect: Callable[[], psycopg.Connection[dict[str, Any]]],
        *,
        begin_after: int = 0,
        time_limit_s: float = COMMAND_TIME_LIMIT_S,
    ) -> None:
        self._reaction = reaction
        self._write = write
        self._loop = loop
        self._database = Reconnecting(connect)
        self._begin_after = begin_after
        self._time_limit_s = time_limit_s

    @property
    def name(self) -> str:
        return self._reaction.name

    @property
    def event_types(self) -> tuple[type[Event], ...]:
        return self._reaction.event_types

    def kept(self, partition: TopicPartition) -> int:
        with self._database.connection() as connection:
            return read_or_begin(connection, self.name, partition, self._begin_after)

    def kept_everywhere(self) -> Mapping[TopicPartition, int]:
        with self._database.connection() as connection:
            return kept_everywhere(connection, self.name)

    def sent_to(self, relay: str) -> Mapping[TopicPartition, int]:
        with self._database.connection() as connection:
            return sent_to(connection, relay)

    def relayed_with(self, relay: str) -> Mapping[str, int]:
        with self._database.connection() as connection:
            return relayed_with(connection, relay)

    def handle(
        self, partition: TopicPartition, after: int, events: Sequence[PositionedEvent], up_to: int
    ) -> None:
        with self._database.connection() as connection, connection.transaction():
            # Nothing is held while commands run: what two consumers do at once takes effect once.
            kept = hold(connection, self.name, partition, after)
        done = kept
        try:
            for event in events:
                if event.position > kept:
                    self._carry_out(event.recorded)
                    done = event.position
            done = up_to
        finally:
            if done > kept:
                with self._database.connection() as connection:
                    keep(connection, self.name, partition, kept, done)

    def settle(self) -> None:
        """Nothing: a position says it all."""

    def close(self) -> None:
        self._database.close()

    def _carry_out(self, recorded: RecordedEvent) -> None:
        context = command_context(self.name, recorded)
        work = self._reaction.react(self._write, context, recorded)
        try:
            running = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError as error:
            work.close()
            raise CommandUnanswered(reason="the event loop has ended", retry_after_s=1) from error
        try:
            running.result(self._time_limit_s)
        except (CancelledError, TimeoutError) as error:
            # Cancelled, too, when the write side ends before its consumers: the event is not to blame.
            running.cancel()
            raise CommandUnanswered(reason=type(error).__name__, retry_after_s=1) from error


def command_context(consumer: str, recorded: RecordedEvent) -> CommandContext:
    """On whose behalf a reaction acts: the system's own, as staff of the event's organisation."""
    metadata = recorded.metadata
    return CommandContext(
        actor=Actor("engine", consumer),
        zone_id=metadata.zone_id,
        org_id=metadata.org_id,
        correlation_id=metadata.correlation_id,
        command_id=derived_command_id(consumer, metadata.event_id),
        staff_of=frozenset() if metadata.org_id is None else frozenset({metadata.org_id}),
        repeatable=True,
    )


def derived_command_id(consumer: str, event_id: str) -> str:
    """The same uuid7 for the same consumer and event: it keeps the event's time, and hashes the rest.

    Command ids become ids of streams, so they must be of version 7 (RFC 9562, section 5.7).
    """
    time_ms = bytes.fromhex(event_id.replace("-", ""))[:6]
    rest = bytearray(hashlib.sha256(f"{consumer}\n{event_id}".encode()).digest()[:10])
    rest[0] = 0x70 | rest[0] & 0x0F
    rest[2] = 0x80 | rest[2] & 0x3F
    text = (time_ms + rest).hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
