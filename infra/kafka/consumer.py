"""A consumer of the relayed log: Kafka carries the events, the position in the log decides what they do.

Each message says its own position and that of the message before it in its partition. A consumer that has
kept `k` for the partition passes over what is at or before `k`, takes what follows `k`, and knows that
something is missing where the message before lies after `k`: the broker has lost it, or the database came
back from a backup. What is missing it reads from the log. So offsets are a hint about where to go on
reading and nothing else, and redelivery, replays and a broker that begins anew change nothing.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Final

import structlog

from infra.event_store.codec import EventCodec
from infra.event_store.feed import EventFeed
from infra.kafka.dead_letters import DeadLetter, DeadLetters
from infra.kafka.delivery import Deliverer, Delivery, EventHandler, KeptPositionLost, settle
from infra.kafka.following import Following
from infra.kafka.log_consumer import deliveries
from infra.kafka.port import Consumer, Kafka, KafkaError, Message, NewTopic, TopicPartition
from infra.kafka.reading import MalformedMessage, Place, event_in, place_of
from infra.kafka.topics import partition_of
from infra.observability.consumer_metrics import ConsumerMetrics

POLL_S: Final = 0.2
COMMIT_EVERY_S: Final = 1.0
MISSING_AFTER_S: Final = 3.0
"""What the relay has sent for so long, and nothing of it has come, is read from the log."""

log = structlog.get_logger("consumers")


class TopicConsumer:
    """Follows topics for a handler from `start()` until `stop()`, as a member of the handler's group.

    Args:
        handler: what the events are for.
        kafka: the broker.
        topics: by event category; those that are missing are made.
        feed: the log, for what the broker has lost.
        codec: reads the events.
        dead_letters: for messages that cannot be read and events that the handler cannot take.
        group: the consumer group.
        relay: the name of the relay that fills the topics.
        missing_after_s: how long a partition may stand still behind what was sent to it.
        batch_size: messages taken from the broker at once, at most.
        metrics: where to count.
    """

    def __init__(  # noqa: PLR0913 - all by name
        self,
        *,
        handler: EventHandler,
        kafka: Kafka,
        topics: Mapping[str, NewTopic],
        feed: EventFeed,
        codec: EventCodec,
        dead_letters: DeadLetters,
        group: str,
        relay: str,
        missing_after_s: float = MISSING_AFTER_S,
        batch_size: int = 500,
        metrics: ConsumerMetrics | None = None,
    ) -> None:
        self._handler = handler
        self._kafka = kafka
        self._topics = topics
        self._categories = {topic.name: category for category, topic in topics.items()}
        self._feed = feed
        self._codec = codec
        self._group = group
        self._relay = relay
        self._missing_after_s = missing_after_s
        self._behind_since: dict[TopicPartition, tuple[int, float]] = {}
        self._batch_size = batch_size
        self._metrics = metrics
        self._wanted = (
            None if handler.event_types is None else {cls.type_.name for cls in handler.event_types}
        )
        self._stopping = threading.Event()
        self._deliverer = Deliverer(handler, dead_letters, self._stopping, metrics=metrics)
        self._following = Following(f"consumer-{handler.name}", self._follow, self._stopping)
        self._partition_counts: Mapping[str, int] = {}
        # What is believed to be kept for each partition that is ours; read when its first message comes.
        self._kept: dict[TopicPartition, int] = {}
        self._uncommitted: dict[TopicPartition, int] = {}
        self._last_handled: dict[TopicPartition, Message] = {}

    def start(self) -> None:
        self._following.start()

    def stop(self) -> bool:
        return self._following.stop()

    def _follow(self, progressed: Callable[[], None]) -> None:
        with self._kafka.admin() as admin:
            self._partition_counts = admin.ensure_topics(self._topics.values())
        for known in (self._kept, self._uncommitted, self._last_handled):
            known.clear()
        with self._kafka.consumer(self._group) as consumer:
            consumer.subscribe(list(self._categories), on_assigned=self._assigned, on_revoked=self._revoked)
            committed_at = time.monotonic()
            while not self._stopping.is_set():
                messages = consumer.poll(POLL_S, self._batch_size)
                for partition, group in groupby(messages, attrgetter("topic_partition")):
                    self._take(partition, list(group))
                    progressed()
                settle(self._handler)
                if time.monotonic() - committed_at > COMMIT_EVERY_S:
                    self._measure(consumer)
                    self._commit(consumer)
                    self._look_for_what_is_missing(consumer)
                    committed_at = time.monotonic()
            self._commit(consumer)

    def _assigned(self, partitions: Collection[TopicPartition]) -> None:
        log.info("partitions assigned", consumer=self._handler.name, partitions=len(partitions))
        self._revoked(partitions)

    def _revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Nothing is under way here: this comes from within `poll`. Somebody else may move them now."""
        for each in partitions:
            for known in (self._kept, self._uncommitted, self._last_handled):
                known.pop(each, None)
            if self._metrics is not None:
                for gauge in (self._metrics.lag, self._metrics.lag_s):
                    with suppress(KeyError):
                        gauge.remove(self._handler.name, each.topic, str(each.partition))

    def _take(self, partition: TopicPartition, messages: Sequence[Message]) -> None:
        while True:
            if partition not in self._kept:
                self._kept[partition] = self._deliverer.waiting_out_outages(
                    lambda: self._handler.kept(partition)
                )
            try:
                self._take_from(partition, messages)
            except KeptPositionLost:
                # What is missing now is found missing at the first message, and read from the log.
                log.warning("the position kept went back", consumer=self._handler.name, partition=partition)
                del self._kept[partition]
            else:
                self._last_handled[partition] = messages[-1]
                self._uncommitted[partition] = messages[-1].offset + 1
                return

    def _take_from(self, partition: TopicPartition, messages: Iterable[Message]) -> None:
        batch: list[Delivery] = []
        reached = self._kept[partition]

        def hand_over() -> None:
            if batch or reached > self._kept[partition]:
                self._deliverer.deliver(partition, self._kept[partition], batch, reached)
                self._kept[partition] = reached
                batch.clear()

        for message in messages:
            try:
                place = place_of(message)
            except MalformedMessage as error:
                hand_over()
                self._deliverer.write(self._letter(message, None, str(error), 1))
                continue
            if place.position <= reached:
                if self._metrics is not None:
                    self._metrics.passed_over.labels(self._handler.name).inc()
                continue
            if place.previous_position > reached:
                hand_over()
                self._fill(partition, place.previous_position)
            if self._wanted is None or place.type_name in self._wanted or not place.type_name:
                batch.append(self._delivery(message, place))
            reached = place.position
        hand_over()

    def _delivery(self, message: Message, place: Place) -> Delivery:
        give_up = partial(self._letter, message, place)
        try:
            event = event_in(message, place, self._codec)
        except MalformedMessage as error:
            return Delivery(place.position, None, str(error), give_up)
        return Delivery(place.position, event, None, give_up)

    def _fill(self, partition: TopicPartition, up_to: int) -> None:
        """What the broker has lost of a partition, from the log."""
        after = self._kept[partition]
        count = self._partition_counts[partition.topic]
        log.warning(
            "messages are missing, reading them from the log",
            consumer=self._handler.name,
            topic=partition.topic,
            partition=partition.partition,
            after=after,
            up_to=up_to,
        )
        while after < up_to:
            page = self._deliverer.waiting_out_outages(
                partial(
                    self._feed.read,
                    after,
                    self._batch_size,
                    self._handler.event_types,
                    categories=[self._categories[partition.topic]],
                    up_to=up_to,
                )
            )
            if page.up_to <= after:
                raise BrokerAheadOfLog(partition, up_to, after)
            page.events[:] = [
                each
                for each in page.events
                if partition_of(each.recorded.stream_id, count) == partition.partition
            ]
            page.unreadable[:] = [
                each for each in page.unreadable if partition_of(each.stream_id, count) == partition.partition
            ]
            found = deliveries(self._handler.name, partition, page)
            self._deliverer.deliver(partition, after, found, page.up_to)
            after = self._kept[partition] = page.up_to
            if self._metrics is not None:
                self._metrics.filled.labels(self._handler.name).inc(len(found))

    def _look_for_what_is_missing(self, consumer: Consumer) -> None:
        """Partitions to which nothing comes any more tell nothing of what they lack."""
        sent = self._deliverer.waiting_out_outages(lambda: self._handler.sent_to(self._relay))
        kept = self._deliverer.waiting_out_outages(self._handler.kept_everywhere)
        for partition in sorted(consumer.assignment()):
            if partition not in sent:
                continue
            if partition not in kept or kept[partition] < self._kept.get(partition, 0):
                self._kept[partition] = self._deliverer.waiting_out_outages(
                    partial(self._handler.kept, partition)
                )
            else:
                self._kept[partition] = kept[partition]
            if self._stands_still(partition, sent[partition]):
                try:
                    self._fill(partition, sent[partition])
                except KeptPositionLost:
                    del self._kept[partition]

    def _stands_still(self, partition: TopicPartition, sent: int) -> bool:
        kept, now = self._kept[partition], time.monotonic()
        if kept >= sent:
            self._behind_since.pop(partition, None)
            return False
        known = self._behind_since.get(partition)
        if known is None or known[0] != kept:
            known = self._behind_since[partition] = (kept, now)
        return now - known[1] >= self._missing_after_s

    def _letter(self, message: Message, place: Place | None, reason: str, attempts: int) -> DeadLetter:
        return DeadLetter(
            consumer=self._handler.name,
            topic=message.topic,
            partition=message.partition,
            reason=reason,
            attempts=attempts,
            position=None if place is None else place.position,
            offset=message.offset,
            key=message.key,
            value=message.value,
            headers=message.headers,
        )

    def _commit(self, consumer: Consumer) -> None:
        if self._uncommitted:
            try:
                consumer.commit(self._uncommitted)
            except KafkaError as error:
                # A hint for whoever goes on; without it they read more than they need and pass it over.
                log.info("offsets not committed", consumer=self._handler.name, error=str(error))
            self._uncommitted.clear()

    def _measure(self, consumer: Consumer) -> None:
        if self._metrics is None:
            return
        now_ms = time.time() * 1000
        for partition, last in self._last_handled.items():
            labels = (self._handler.name, partition.topic, str(partition.partition))
            end = consumer.high_water(partition)
            lag = 0 if end is None else max(0, end - last.offset - 1)
            self._metrics.lag.labels(*labels).set(lag)
            self._metrics.lag_s.labels(*labels).set(
                max(0.0, now_ms - last.timestamp_ms) / 1000 if lag else 0.0
            )


class BrokerAheadOfLog(Exception):
    """A message tells of positions that the log does not have: it is of another log, or this one was lost."""

    def __init__(self, partition: TopicPartition, position: int, head: int) -> None:
        super().__init__(
            f"{partition.topic}, partition {partition.partition} tells of position {position}, "
            f"but the log ends at {head}"
        )
