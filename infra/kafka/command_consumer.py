"""Events that cause commands: each takes effect once, however often it comes.

A command's id is derived from the consumer and the event, so a repeated one finds its own events in the
stream and does nothing; or its reaction decides by the state, which comes to the same. Commands of one stream
are carried out in order, those of different streams side by side, so that they share a wait for the disk.
The position is kept after the commands were acknowledged, and not after each: a crash repeats the commands
of the last moments.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from time import monotonic
from typing import Any, ClassVar, Final, Protocol

import psycopg

from commands.context import CommandContext
from commands.write_side import WriteSide
from domain.errors import Unavailable
from domain.events import Actor, Event, PositionedEvent, RecordedEvent
from infra.kafka.delivery import LOG, KeptPositionLost, is_outage
from infra.kafka.kept_positions import (
    complete_to,
    keep,
    kept_everywhere,
    read_or_begin,
    relayed_with,
    sent_to,
)
from infra.kafka.port import TopicPartition
from infra.kafka.reconnecting import Reconnecting

COMMAND_TIME_LIMIT_S: Final = 10.0
AT_ONCE: Final = 32
"""Streams whose commands are carried out side by side."""
KEEP_EVERY_S: Final = 0.2
"""A crash repeats what was done in this time at most, which costs less than to keep each position."""
_LOOKS_EVERY_S: Final = 1.0


class Reaction(Protocol):
    """What the system does of itself when something has happened.

    Attributes:
        name: names its positions and goes into the ids of its commands; never reused for something else.
        event_types: what it wants to be told.
    """

    name: ClassVar[str]
    event_types: ClassVar[tuple[type[Event], ...]]

    async def react(self, write: WriteSide, context: CommandContext, recorded: RecordedEvent) -> None:
        """Carries out at most one command, under the context's id. Raises what the command raises.

        Runs beside reactions to events of other streams.
        """
        ...


class CommandUnanswered(Unavailable):
    """The write side is overloaded or about to end. The command may have been carried out."""

    code = "command-unanswered"
    title = "The write side has not carried out a command in time"


class CommandHandler:
    """Carries out the commands of a reaction, in order within each stream. For one thread.

    A partition that is met for the first time begins where the consumer is in the log itself, so that who
    changes from the log to Kafka goes on; `begin_after` is for a consumer that has no position at all.

    Args:
        reaction: which command an event causes.
        write: the write side, which works in `loop`.
        loop: a running event loop in another thread.
        connect: opens a connection of the projector role, with rows as dictionaries. It need not wait for the
            disk (`synchronous_commit=off`): a position that a crash takes back repeats commands.
        begin_after: where to begin the first time; 0 reacts to everything that has ever happened.
        time_limit_s: a command that takes longer is cancelled and ordered again, which is harmless.
        at_once: streams whose commands are carried out side by side.
        relay: the name of the relay that brings the events; then the position in the log follows, for whoever
            goes back to it.
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
        at_once: int = AT_ONCE,
        relay: str | None = None,
    ) -> None:
        self._reaction = reaction
        self._write = write
        self._loop = loop
        self._database = Reconnecting(connect)
        self._begin_after = begin_after
        self._time_limit_s = time_limit_s
        self._at_once = at_once
        self._relay = relay
        self._done: dict[TopicPartition, int] = {}
        self._kept: dict[TopicPartition, int] = {}
        self._kept_at = 0.0

    @property
    def name(self) -> str:
        return self._reaction.name

    @property
    def event_types(self) -> tuple[type[Event], ...]:
        return self._reaction.event_types

    def kept(self, partition: TopicPartition) -> int:
        with self._database.connection() as connection:
            begin_after = self._begin_after
            if partition != LOG:
                begin_after = read_or_begin(connection, self.name, LOG, begin_after)
            kept = read_or_begin(connection, self.name, partition, begin_after)
        self._kept[partition] = kept
        # What was done here has taken effect, whether or not that is kept yet.
        self._done[partition] = max(kept, self._done.get(partition, 0))
        return self._done[partition]

    def kept_everywhere(self) -> Mapping[TopicPartition, int]:
        with self._database.connection() as connection:
            found = kept_everywhere(connection, self.name)
        return {each: max(position, self._done.get(each, 0)) for each, position in found.items()}

    def sent_to(self, relay: str) -> Mapping[TopicPartition, int]:
        with self._database.connection() as connection:
            return sent_to(connection, relay)

    def relayed_with(self, relay: str) -> Mapping[str, int]:
        with self._database.connection() as connection:
            return relayed_with(connection, relay)

    def handle(
        self, partition: TopicPartition, after: int, events: Sequence[PositionedEvent], up_to: int
    ) -> None:
        """See the protocol.

        Where an event fails, those after it in its stream wait. Those of other streams are handled, and come
        again with it, which is harmless.
        """
        done = self._done.get(partition)
        if done is None or done < after:
            raise KeptPositionLost
        fresh = [event for event in events if event.position > done]
        failed = self._carry_out(fresh) if fresh else None
        if failed is not None:
            place, error = failed
            self._done[partition] = max([done, *(each.position for each in fresh if each.position < place)])
            raise error
        self._done[partition] = max(done, up_to)

    def settle(self) -> None:
        """Keeps positions, now and then. Where that fails commands go on. Raises `KeptPositionLost`."""
        if monotonic() - self._kept_at >= KEEP_EVERY_S:
            self._keep()
            self._kept_at = monotonic()

    def close(self) -> None:
        """Whoever follows begins where this one ends, if the database is there to tell."""
        try:
            self._keep()
        except (psycopg.Error, KeptPositionLost, Unavailable):
            pass
        finally:
            self._database.close()

    def _keep(self) -> None:
        moved = [each for each, position in self._done.items() if position > self._kept[each]]
        if not moved:
            return
        with self._database.connection() as connection:
            for partition in moved:
                position = self._done[partition]
                if not keep(connection, self.name, partition, self._kept[partition], position):
                    # What was believed to be kept is not: it is read anew, and what follows it is repeated.
                    del self._done[partition], self._kept[partition]
                    raise KeptPositionLost
                self._kept[partition] = position
            if self._relay is not None:
                everywhere = complete_to(connection, self.name, self._relay)
                keep(connection, self.name, LOG, 0, everywhere)

    def _carry_out(self, events: Sequence[PositionedEvent]) -> tuple[int, Exception] | None:
        """The position of the first event that failed, and why."""
        work = self._side_by_side(events)
        try:
            running = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError as error:
            work.close()
            raise CommandUnanswered(reason="the event loop has ended", retry_after_s=1) from error
        while True:
            try:
                return running.result(_LOOKS_EVERY_S)
            except CancelledError as error:
                # The write side ends before its consumers: the event is not to blame.
                raise CommandUnanswered(reason=type(error).__name__, retry_after_s=1) from error
            except TimeoutError as error:
                # Commands have their limits in there, which hold as long as the loop runs.
                if not running.done() and not self._loop.is_running():
                    running.cancel()
                    raise CommandUnanswered(reason=type(error).__name__, retry_after_s=1) from error

    async def _side_by_side(self, events: Sequence[PositionedEvent]) -> tuple[int, Exception] | None:
        streams: dict[str, list[PositionedEvent]] = {}
        for event in events:
            streams.setdefault(event.recorded.stream_id, []).append(event)
        waiting = iter(streams.values())
        failures: list[tuple[int, Exception]] = []
        if len(streams) == 1:
            await self._one_after_the_other(waiting, failures)
        else:
            count = min(self._at_once, len(streams))
            await asyncio.gather(*(self._one_after_the_other(waiting, failures) for _ in range(count)))
        return min(failures, key=lambda failure: failure[0], default=None)

    async def _one_after_the_other(
        self, waiting: Iterator[Sequence[PositionedEvent]], failures: list[tuple[int, Exception]]
    ) -> None:
        """Takes stream after stream, until none waits."""
        for events in waiting:
            for event in events:
                try:
                    async with asyncio.timeout(self._time_limit_s):
                        await self._reaction.react(
                            self._write, command_context(self.name, event.recorded), event.recorded
                        )
                except asyncio.CancelledError:
                    raise
                except Exception as error:  # noqa: BLE001 - told to whoever delivers, who knows what to do
                    failures.append((event.position, _unanswered(error)))
                    break
            # Where something is away the others would fail too, one after the other.
            if any(is_outage(error) for _, error in failures):
                return


def _unanswered(error: Exception) -> Exception:
    if not isinstance(error, TimeoutError):
        return error
    refusal = CommandUnanswered(reason=type(error).__name__, retry_after_s=1)
    refusal.__cause__ = error
    return refusal


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
