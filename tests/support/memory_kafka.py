"""A Kafka in memory that misbehaves on command, in ways that a real one does only now and then."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from infra.kafka.port import (
    Headers,
    Message,
    NewTopic,
    NotDelivered,
    Offsets,
    TopicPartition,
)


@dataclass
class MemoryKafka:
    """See `infra.kafka.port.Kafka`. What it is told to do, it does once.

    Attributes:
        refuses_after: so many messages are taken; the next one fails, and with it all that follow.
        forgets_to_acknowledge_after: so many are acknowledged; later ones are taken, and told as failed.
        goes_on_after_a_failure: of a delivery that has two messages for a partition the first fails, and the
            second is taken all the same: "told" as failed, as a whole, or "silently", as if it had gone well.
    """

    counts: dict[str, int] = field(default_factory=dict)
    messages: dict[TopicPartition, list[Message]] = field(default_factory=lambda: defaultdict(list))
    refuses_after: int | None = None
    forgets_to_acknowledge_after: int | None = None
    goes_on_after_a_failure: Literal["told", "silently"] | None = None

    @contextmanager
    def producer(self) -> Iterator["_Producer"]:
        yield _Producer(self)

    @contextmanager
    def consumer(self, group: str | None = None) -> Iterator["_Consumer"]:
        assert group is None
        yield _Consumer(self)

    @contextmanager
    def admin(self) -> Iterator["_Admin"]:
        yield _Admin(self)

    def lose(self, partition: TopicPartition, keep: int) -> None:
        """All but the first messages of a partition."""
        del self.messages[partition][keep:]

    def take(self, message: Message) -> bool:
        """Whether it is acknowledged. Raises `NotDelivered` where it is not even taken."""
        if self.refuses_after is not None:
            self.refuses_after -= 1
            if self.refuses_after < 0:
                self.refuses_after = None
                raise NotDelivered("refused on command")
        self.messages[message.topic_partition].append(message)
        if self.forgets_to_acknowledge_after is not None:
            self.forgets_to_acknowledge_after -= 1
            if self.forgets_to_acknowledge_after < 0:
                self.forgets_to_acknowledge_after = None
                return False
        return True


@dataclass
class _Delivery:
    kafka: MemoryKafka
    producer: "_Producer"
    waiting: list[Message]

    def wait(self, timeout_s: float) -> Mapping[TopicPartition, Offsets]:
        del timeout_s
        if self.producer.failed:
            raise NotDelivered("an earlier message was not delivered")
        found: dict[TopicPartition, Offsets] = {}
        told, overtaken = self.kafka.goes_on_after_a_failure, self._overtaken()
        for message in self.waiting:
            if message is overtaken:
                continue
            try:
                acknowledged = self.kafka.take(message)
            except NotDelivered:
                self.producer.failed = True
                raise
            if not acknowledged:
                self.producer.failed = True
                raise NotDelivered("not acknowledged on command")
            at = len(self.kafka.messages[message.topic_partition]) - 1
            found[message.topic_partition] = Offsets(found.get(message.topic_partition, (at,))[0], at)
        if overtaken is not None and told == "told":
            self.producer.failed = True
            raise NotDelivered("failed on command, and what follows it did not")
        return found

    def _overtaken(self) -> Message | None:
        if self.kafka.goes_on_after_a_failure is None:
            return None
        partitions = [message.topic_partition for message in self.waiting]
        for number, message in enumerate(self.waiting):
            if message.topic_partition in partitions[number + 1 :]:
                self.kafka.goes_on_after_a_failure = None
                return message
        return None


@dataclass
class _Producer:
    kafka: MemoryKafka
    sent: list[Message] = field(default_factory=list)
    failed: bool = False

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> None:
        if self.failed:
            raise NotDelivered("an earlier message was not delivered")
        assert partition is not None
        self.sent.append(Message(topic, partition, -1, 0, key, value, dict(headers)))

    def delivery(self) -> _Delivery:
        sent, self.sent = self.sent, []
        return _Delivery(self.kafka, self, sent)

    def flush(self, timeout_s: float) -> None:
        self.delivery().wait(timeout_s)


class _Consumer:
    def __init__(self, kafka: MemoryKafka) -> None:
        self._kafka = kafka
        self._places: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()

    def assign(self, partitions: Collection[TopicPartition]) -> None:
        self._places = dict.fromkeys(partitions, 0)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._places[partition] = offset

    def seek_to_beginning(self, partitions: Collection[TopicPartition]) -> None:
        self._places.update(dict.fromkeys(partitions, 0))

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        self._paused.update(partitions)

    def poll(self, timeout_s: float, max_messages: int = 500) -> list[Message]:
        del timeout_s, max_messages
        found = []
        for partition, place in self._places.items():
            there = self._kafka.messages[partition]
            for offset in range(place, len(there)):
                each = there[offset]
                found.append(
                    Message(each.topic, each.partition, offset, 0, each.key, each.value, each.headers)
                )
            self._places[partition] = max(place, len(there))
        return found

    def position(self, partition: TopicPartition) -> int:
        return self._places[partition]

    def high_water(self, partition: TopicPartition) -> int | None:
        return len(self._kafka.messages[partition])


class _Admin:
    def __init__(self, kafka: MemoryKafka) -> None:
        self._kafka = kafka

    def ensure_topics(self, topics: Iterable[NewTopic]) -> Mapping[str, int]:
        return {topic.name: self._kafka.counts.setdefault(topic.name, topic.partitions) for topic in topics}

    def begins(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(self._there(partitions), 0)

    def ends(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {each: len(self._kafka.messages[each]) for each in self._there(partitions)}

    def _there(self, partitions: Collection[TopicPartition]) -> list[TopicPartition]:
        return [each for each in partitions if each.partition < self._kafka.counts.get(each.topic, 0)]
