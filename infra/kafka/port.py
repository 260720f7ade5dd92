"""Kafka as this system uses it: a producer, a consumer, an administrator, and what can go wrong.

Nothing outside `infra.kafka` knows which client library is behind this; inside, only the modules `python_*`
do. Topics, keys and headers are settled in `topics` and `relayed`; what a position is worth against an
offset is told in docs/decisions/0022.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, TypeAlias

MAX_MESSAGE_BYTES: Final = 9 * 1024 * 1024
"""Above the largest event that can be stored, with its metadata and headers."""


class KafkaError(Exception):
    """Something about Kafka; the text is a sentence."""


class KafkaNotNamed(KafkaError):
    """No Kafka is configured."""

    def __init__(self) -> None:
        super().__init__("no Kafka is named: set KAFKA_BOOTSTRAP_SERVERS to host:port of its brokers")


class KafkaUnreachable(KafkaError):
    """No broker answers, or not in time. What was sent may have arrived."""


class NotDelivered(KafkaError):
    """A message was not acknowledged.

    The producer sends nothing any more: a later message must not get ahead of one that failed.
    """


class MessagesLost(KafkaError):
    """The broker has lost something that it had acknowledged: its offsets went back."""


class MessageTooLarge(NotDelivered):
    """A message is larger than the producer or the broker takes."""


class TopicPartition(NamedTuple):
    topic: str
    partition: int


Headers: TypeAlias = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it was read. Headers are few and occur once each."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def topic_partition(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)


class Offsets(NamedTuple):
    """Where the first and the last message of a delivery lie in their partition.

    -1 where the broker did not say: it recognised a batch that was sent twice.
    """

    first: int
    last: int


class Delivery(Protocol):
    """Messages on their way."""

    def wait(self, timeout_s: float) -> Mapping[TopicPartition, Offsets]:
        """Returns once all of them are acknowledged.

        Raises `NotDelivered` where one failed, `MessagesLost` where offsets went back from one to the next,
        and `KafkaUnreachable` when the time is over; the messages stay on their way then, and one may wait
        again.
        """
        ...


class Producer(Protocol):
    """Idempotent, acknowledged by all replicas, in order within a partition.

    Messages are sent in the background in the order given. After the first failure nothing is sent any
    more and every call raises `NotDelivered`: close the producer and begin anew with a fresh one.
    """

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> None:
        """Puts a message on its way. Without a partition the hash of the key decides.

        Raises `NotDelivered`, `MessageTooLarge` or `KafkaUnreachable` (the topic is not known).
        """
        ...

    def delivery(self) -> Delivery:
        """All messages sent since the last call."""
        ...

    def flush(self, timeout_s: float) -> None:
        """Waits for what was sent since the last `delivery`. Raises as `Delivery.wait`."""
        ...


OnPartitions: TypeAlias = Callable[[Collection[TopicPartition]], None]


class Consumer(Protocol):
    """Reads messages. For one thread alone.

    It never commits by itself, starts at the beginning where nothing was committed, and reads what is
    uncommitted too: nobody here relies on transactions of Kafka.
    """

    def subscribe(
        self, topics: Collection[str], *, on_assigned: OnPartitions, on_revoked: OnPartitions
    ) -> None:
        """Shares the topics with the other members of the group, by cooperative rebalancing.

        Both callbacks come from within `poll` and `close` and name only the partitions that come or go;
        `on_revoked` also tells of partitions that were lost.
        """
        ...

    def assign(self, partitions: Collection[TopicPartition]) -> None: ...

    def assignment(self) -> set[TopicPartition]: ...

    def poll(self, timeout_s: float, max_messages: int = 500) -> list[Message]:
        """What has come, in order within each partition. Raises `KafkaUnreachable`."""
        ...

    def seek(self, partition: TopicPartition, offset: int) -> None: ...

    def seek_to_beginning(self, partitions: Collection[TopicPartition]) -> None: ...

    def position(self, partition: TopicPartition) -> int:
        """The offset of the message that `poll` gives next."""
        ...

    def high_water(self, partition: TopicPartition) -> int | None:
        """The offset after the last message there was when the partition was last heard of."""
        ...

    def pause(self, partitions: Collection[TopicPartition]) -> None: ...

    def resume(self, partitions: Collection[TopicPartition]) -> None: ...

    def committed(self, partition: TopicPartition) -> int | None: ...

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Tells the group where to go on; a hint for others, never the truth."""
        ...


@dataclass(frozen=True, slots=True)
class NewTopic:
    name: str
    partitions: int
    replication_factor: int = -1
    """-1: as the broker has it."""
    config: Mapping[str, str] = field(default_factory=dict)


class Admin(Protocol):
    def ensure_topics(self, topics: Iterable[NewTopic]) -> Mapping[str, int]:
        """Makes those that are not there, and says how many partitions each of them has."""
        ...

    def begins(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]: ...

    def ends(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The end offsets; a partition that does not exist is left out.

        A lower bound: Tansu tells where its last batch begins. It never goes down unless the broker has
        lost messages.
        """
        ...


class Kafka(Protocol):
    """Makes clients of one Kafka. Each of these raises `KafkaUnreachable`."""

    def producer(self) -> AbstractContextManager[Producer]: ...

    def consumer(self, group: str | None = None) -> AbstractContextManager[Consumer]: ...

    def admin(self) -> AbstractContextManager[Admin]: ...
