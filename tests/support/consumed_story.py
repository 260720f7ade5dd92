"""A story relayed into a broker in memory, for what a real broker does only when it has a bad day.

broker = MemoryBroker()
relay = StoryRelay(story, broker, conninfo)
relay.relay()                  # as the relay does it, its progress in the database
broker.lose_everything()       # offsets begin anew
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg

from infra.composition import event_codec
from infra.event_store.stored_log import StoredRow
from infra.kafka.port import KafkaUnreachable, Message, MessageTooLarge, NewTopic, TopicPartition
from infra.kafka.relayed import headers_of, value_of
from infra.kafka.topics import partition_of, topic_of
from tests.support.story import Story

PREFIX = "megacity"
PARTITIONS = 3


@dataclass
class MemoryBroker:
    """Partitions as lists of messages; one member a group."""

    partitions: dict[TopicPartition, list[Message]] = field(default_factory=lambda: defaultdict(list))
    counts: dict[str, int] = field(default_factory=dict)
    committed: dict[tuple[str, TopicPartition], int] = field(default_factory=dict)
    down: bool = False
    leaves_out: int = 0
    """So many members that join are given no partitions."""
    largest: int = 10_000_000
    order: Callable[[list[TopicPartition]], list[TopicPartition]] = sorted
    """Of the partitions, in which a poll looks at them."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def put(self, at: TopicPartition, message: Message) -> None:
        with self.lock:
            messages = self.partitions[at]
            now_ms = int(time.time() * 1000)
            messages.append(
                replace(
                    message,
                    topic=at.topic,
                    partition=at.partition,
                    offset=len(messages),
                    timestamp_ms=now_ms,
                )
            )

    def lose_everything(self) -> None:
        """The broker is back without its disk: no messages, no committed offsets."""
        with self.lock:
            self.partitions.clear()
            self.committed.clear()

    def in_topic(self, topic: str) -> list[Message]:
        with self.lock:
            return [
                each for at in sorted(self.partitions) if at.topic == topic for each in self.partitions[at]
            ]

    def answer(self) -> None:
        if self.down:
            raise KafkaUnreachable("the broker is down")

    @contextmanager
    def producer(self) -> Iterator["_Producer"]:
        self.answer()
        yield _Producer(self)

    @contextmanager
    def consumer(self, group: str | None = None) -> Iterator["_Consumer"]:
        self.answer()
        yield _Consumer(self, str(group))

    @contextmanager
    def admin(self) -> Iterator["_Admin"]:
        self.answer()
        yield _Admin(self)


class _Admin:
    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def ensure_topics(self, topics: Any) -> dict[str, int]:
        return {topic.name: self._broker.counts.setdefault(topic.name, topic.partitions) for topic in topics}


class _Producer:
    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def send(self, topic: str, key: Any, value: Any, headers: Any = (), partition: int | None = None) -> None:
        self._broker.answer()
        if len(value or b"") > self._broker.largest:
            raise MessageTooLarge("too large")
        at = TopicPartition(topic, partition or 0)
        self._broker.put(at, Message(topic, 0, 0, 0, key, value, dict(headers)))

    def flush(self, timeout_s: float) -> None:
        del timeout_s
        self._broker.answer()


class _Consumer:
    def __init__(self, broker: MemoryBroker, group: str) -> None:
        self._broker = broker
        self._group = group
        self._next: dict[TopicPartition, int] = {}

    def subscribe(self, topics: Any, *, on_assigned: Any, on_revoked: Any) -> None:
        del on_revoked
        if self._broker.leaves_out:
            self._broker.leaves_out -= 1
            return
        for topic in topics:
            for number in range(self._broker.counts[topic]):
                at = TopicPartition(topic, number)
                self._next[at] = self._broker.committed.get((self._group, at), 0)
        on_assigned(list(self._next))

    def assignment(self) -> set[TopicPartition]:
        return set(self._next)

    def poll(self, timeout_s: float, max_messages: int = 500) -> list[Message]:
        with self._broker.lock:
            self._broker.answer()
            found: list[Message] = []
            for at in self._broker.order(list(self._next)):
                there = self._broker.partitions.get(at, [])
                if self._next[at] > len(there):
                    self._next[at] = 0  # out of range: from the beginning
                taken = there[self._next[at] :][: max_messages - len(found)]
                self._next[at] += len(taken)
                found += taken
        if not found:
            threading.Event().wait(min(timeout_s, 0.005))
        return found

    def position(self, partition: TopicPartition) -> int:
        return self._next[partition]

    def high_water(self, partition: TopicPartition) -> int:
        return len(self._broker.partitions.get(partition, []))

    def commit(self, offsets: Any) -> None:
        self._broker.answer()
        self._broker.committed.update({(self._group, at): offset for at, offset in offsets.items()})


class StoryRelay:
    """Sends a story as the relay sends the log, and keeps its progress where the relay keeps it."""

    def __init__(self, story: Story, broker: MemoryBroker, conninfo: str) -> None:
        self._story = story
        self._broker = broker
        self._conninfo = conninfo
        self._codec = event_codec()
        self.position = 0

    def messages(self) -> list[tuple[TopicPartition, Message]]:
        """The whole story as messages, with the partition each belongs to."""
        previous: dict[TopicPartition, int] = defaultdict(int)
        made = []
        for event in self._story.events:
            stored = self._codec.encode(event.recorded)
            row = StoredRow(
                event.position, stored.stream_id, stored.version, stored.type, stored.meta, stored.payload
            )
            at = TopicPartition(
                topic_of(PREFIX, event.recorded.category), partition_of(stored.stream_id, PARTITIONS)
            )
            headers = dict(headers_of(row, previous[at]))
            key = stored.stream_id.encode()
            made.append((at, Message(at.topic, at.partition, 0, 0, key, value_of(row), headers)))
            previous[at] = event.position
        return made

    def relay(self, *, after: int | None = None, up_to: int | None = None) -> None:
        """Sends what comes after where it stood, or after an earlier position once more."""
        begin = self.position if after is None else after
        messages = self.messages()
        end = len(messages) if up_to is None else up_to
        self.send(messages[begin:end], up_to=max(self.position, end))

    def send(self, messages: list[tuple[TopicPartition, Message]], *, up_to: int) -> None:
        """These messages, after which everything up to a position counts as acknowledged."""
        for at, message in messages:
            self._broker.put(at, message)
        self.position = up_to
        latest = {at: position for position, (at, _) in enumerate(self.messages()[:up_to], start=1)}
        with psycopg.connect(self._conninfo) as connection:
            connection.execute(
                "INSERT INTO ops.relays AS r (name, position) VALUES (%s, %s)"
                " ON CONFLICT (name) DO UPDATE SET position = excluded.position",
                [PREFIX, self.position],
            )
            for at, position in latest.items():
                connection.execute(
                    "INSERT INTO ops.relay_topics (relay, topic, partitions) VALUES (%s, %s, %s)"
                    " ON CONFLICT DO NOTHING",
                    [PREFIX, at.topic, PARTITIONS],
                )
                connection.execute(
                    "INSERT INTO ops.relay_partitions (relay, topic, partition, position)"
                    " VALUES (%s, %s, %s, %s)"
                    " ON CONFLICT (relay, topic, partition) DO UPDATE SET position = excluded.position",
                    [PREFIX, at.topic, at.partition, position],
                )


def topics_of(story: Story) -> dict[str, NewTopic]:
    """What a consumer of the whole story subscribes to, by category."""
    categories = {event.recorded.category for event in story.events}
    return {category: NewTopic(topic_of(PREFIX, category), PARTITIONS) for category in sorted(categories)}
