"""Events into the hands of whoever handles them, whichever way they came: tried again, set aside, never lost.

A handler says how far it has come in each partition and makes the effects of further events. What it meets
is either an outage (the database is away, a command is turned away for now), which is waited out for as
long as it takes, or an event that it cannot handle, which is tried a few times and then becomes a dead
letter.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import structlog

from commands.ports import VersionConflict
from domain.events import Event, FutureSchemaVersion, PositionedEvent
from infra.kafka.dead_letters import DeadLetter, DeadLetters
from infra.kafka.port import KafkaError, MessageTooLarge, TopicPartition
from infra.observability.consumer_metrics import ConsumerMetrics
from infra.observability.database_errors import told
from infra.projections.poison import is_poison

ATTEMPTS: Final = 4
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
_ERROR_LENGTH: Final = 2_000

log = structlog.get_logger("consumers")

T = TypeVar("T")


LOG: Final = TopicPartition("log", 0)
"""What a consumer reads that needs no broker: the whole log, as one partition."""


class EventHandler(Protocol):
    """What a consumer is for. Its calls come from one thread at a time for each partition.

    Attributes:
        name: names its positions and, on a broker, its group; never reused for something else.
        event_types: what it wants to be given; None for everything.
    """

    @property
    def name(self) -> str: ...

    @property
    def event_types(self) -> tuple[type[Event], ...] | None: ...

    def kept(self, partition: TopicPartition) -> int:
        """Everything of the partition up to this position has taken effect."""
        ...

    def kept_everywhere(self) -> Mapping[TopicPartition, int]:
        """The same of all partitions at once; those that `kept` has to be asked for are left out."""
        ...

    def sent_to(self, relay: str) -> Mapping[TopicPartition, int]:
        """The last event that the relay of this name has sent to each partition, as the database knows it."""
        ...

    def relayed_with(self, relay: str) -> Mapping[str, int]:
        """How many partitions each topic has that the relay of this name has ever filled."""
        ...

    def handle(
        self, partition: TopicPartition, after: int, events: Sequence[PositionedEvent], up_to: int
    ) -> None:
        """Makes the effects of the events between `after` and `up_to`, and keeps `up_to`.

        Events that have taken effect already are passed over. Raises `KeptPositionLost` where the
        position kept is before `after`.
        """
        ...

    def settle(self) -> None:
        """Called now and then between batches."""
        ...


class KeptPositionLost(Exception):
    """The database keeps an earlier position than it did: it crashed, or came back from a backup."""


class Stopped(Exception):
    """The consumer was told to stop while it waited for an outage to end."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event at its position, or why it cannot be read; and the letter where it must be given up."""

    position: int
    event: PositionedEvent | None
    error: str | None
    give_up: Callable[[str, int], DeadLetter]
    """The dead letter, from the reason and the number of attempts."""


class Deliverer:
    """Hands deliveries to a handler, and knows what to do when it refuses."""

    def __init__(  # noqa: PLR0913 - all but three by name
        self,
        handler: EventHandler,
        dead_letters: DeadLetters,
        stopping: threading.Event,
        *,
        metrics: ConsumerMetrics | None = None,
        attempts: int = ATTEMPTS,
        first_pause_s: float = FIRST_PAUSE_S,
        longest_pause_s: float = LONGEST_PAUSE_S,
        while_waiting: Callable[[], None] | None = None,
    ) -> None:
        self._handler = handler
        self._dead_letters = dead_letters
        self._stopping = stopping
        self._metrics = metrics
        self._attempts = attempts
        self._first_pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s
        self._while_waiting = while_waiting

    def deliver(
        self, partition: TopicPartition, after: int, deliveries: Sequence[Delivery], up_to: int
    ) -> None:
        """Returns when everything up to `up_to` has taken effect or is a dead letter.

        Raises `KeptPositionLost`, and `Stopped` where an outage outlasts the consumer.
        """
        readable: list[Delivery] = []
        for delivery in deliveries:
            if delivery.event is not None:
                readable.append(delivery)
                continue
            # In order: what comes before it has taken effect when it is given up.
            if readable:
                after = self._hand_over(partition, after, readable, readable[-1].position)
                readable = []
            after = self._give_up(partition, after, delivery, delivery.error or "unreadable", attempts=1)
        if readable or up_to > after:
            self._hand_over(partition, after, readable, up_to)

    def write(self, letter: DeadLetter) -> None:
        """Writes a dead letter of something that has no position. Raises `Stopped`."""
        self.waiting_out_outages(lambda: self._dead_letters.put(letter))
        if self._metrics is not None:
            self._metrics.dead_letters.labels(self._handler.name).inc()

    def waiting_out_outages(self, work: Callable[[], T]) -> T:
        """What `work` answers once it can, however long that takes. Raises `Stopped`."""
        pause_s = self._first_pause_s
        while True:
            try:
                return work()
            except Exception as error:
                if not is_outage(error):
                    raise
                if self._metrics is not None:
                    self._metrics.outages.labels(self._handler.name).inc()
                log.warning(
                    "consumer waits", consumer=self._handler.name, error=told(error), retry_in_s=pause_s
                )
            if self._while_waiting is not None:
                self._while_waiting()
            self._pause(pause_s)
            pause_s = min(pause_s * 2, self._longest_pause_s)

    def _hand_over(
        self, partition: TopicPartition, after: int, deliveries: Sequence[Delivery], up_to: int
    ) -> int:
        try:
            self._handle(partition, after, deliveries, up_to)
        except (KeptPositionLost, Stopped):
            raise
        except Exception as error:
            if not deliveries:
                raise
            log.info("batch failed, trying event by event", consumer=self._handler.name, error=told(error))
        else:
            return up_to
        for delivery in deliveries:
            after = self._hand_over_singly(partition, after, delivery)
        if up_to > after:
            self._handle(partition, after, [], up_to)
        return up_to

    def _hand_over_singly(self, partition: TopicPartition, after: int, delivery: Delivery) -> int:
        pause_s = self._first_pause_s
        for attempt in range(1, self._attempts + 1):
            try:
                self._handle(partition, after, [delivery], delivery.position)
            except (KeptPositionLost, Stopped):
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, the event is the cause
                reason = told(error)[:_ERROR_LENGTH]
                if attempt == self._attempts:
                    return self._give_up(partition, after, delivery, reason, attempts=attempt)
                self._pause(pause_s)
                pause_s = min(pause_s * 2, self._longest_pause_s)
            else:
                break
        return delivery.position

    def _give_up(
        self, partition: TopicPartition, after: int, delivery: Delivery, reason: str, *, attempts: int
    ) -> int:
        """The letter first: it may be written twice, but the event is never passed over without one."""
        log.error("event given up", consumer=self._handler.name, position=delivery.position, error=reason)
        self.write(delivery.give_up(reason, attempts))
        self._handle(partition, after, [], delivery.position)
        return delivery.position

    def _handle(
        self, partition: TopicPartition, after: int, deliveries: Sequence[Delivery], up_to: int
    ) -> None:
        events = [delivery.event for delivery in deliveries if delivery.event is not None]
        self.waiting_out_outages(lambda: self._handler.handle(partition, after, events, up_to))
        if self._metrics is not None and events:
            self._metrics.handled.labels(self._handler.name).inc(len(events))

    def _pause(self, pause_s: float) -> None:
        if self._stopping.wait(pause_s):
            raise Stopped


def settle(handler: EventHandler) -> None:
    """Lets the handler settle; what is away is waited for at the next batch, not here."""
    try:
        handler.settle()
    except Exception as error:
        if not is_outage(error):
            raise
        log.info("consumer could not settle", consumer=handler.name, error=told(error))


def is_outage(error: BaseException) -> bool:
    """Whether time alone may heal it, so that no event is to blame.

    What a projection sets aside (`is_poison`) is given up here, and what makes it halt is waited out here:
    one rule for both. Beyond it there is what only consumers meet: Kafka, which is always at fault itself
    unless a message is too large for it, and commands that others were faster than.
    """
    match error:
        case MessageTooLarge():
            return False
        case KafkaError() | VersionConflict():
            return True
        # A projection waits for the newer release, which is about to take it over. Who reads a topic in a
        # group of its own may have to wait for as long as this release runs.
        case FutureSchemaVersion():
            return False
        case _:
            return not is_poison(error)
