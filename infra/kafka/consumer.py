"""A consumer of the relayed log: Kafka carries the events, the position in the log decides what they do.

Each message says its own position and that of the message before it in its partition. A consumer that has
kept `k` for the partition passes over what is at or before `k`, takes what follows `k`, and knows that
something is missing where the message before lies after `k`: the broker has lost it, or the database came
back from a backup. What is missing it reads from the log. So offsets are a hint about where to go on
reading and nothing else, and redelivery, replays and a broker that begins anew change nothing.
"""

import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Final

import structlog

from infra.event_store.codec import EventCodec
from infra.event_store.feed import EventFeed
from infra.kafka.dead_letters import DeadLetter, DeadLetters
from infra.kafka.delivery import Deliverer, Delivery, EventHandler, KeptPositionLost, Stopped, settle
from infra.kafka.following import STOPS_WITHIN_S, following
from infra.kafka.log_consumer import deliveries
from infra.kafka.partition_lag import PartitionLag
from infra.kafka.port import Consumer, Kafka, KafkaError, Message, NewTopic, TopicPartition
from infra.kafka.reading import MalformedMessage, Place, event_in, place_of
from infra.kafka.topics import partition_of
from infra.observability.consumer_metrics import ConsumerMetrics

POLL_S: Final = 0.2
COMMIT_EVERY_S: Final = 1.0
MISSING_AFTER_S: Final = 3.0
"""What the relay has sent for so long, and nothing of it has come, is read from the log."""
LEFT_OUT_AFTER_S: Final = 8.0
"""A member that is given no partitions joins anew when nobody has moved for so long where there is work."""

log = structlog.get_logger("consumers")


class TopicConsumer:
    """Follows topics for a handler from `start()` until `stop()`, as a member of the handler's group.

    Args:
        handler: what the events are for.
        kafka: the broker.
        topics: by event category; those that are missing are made, with the number of partitions that the
            relay insists on where it has filled them before.
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
        self._deliverer = Deliverer(
            handler, dead_letters, self._stopping, metrics=metrics, while_waiting=self._measure
        )
        self._thread = following(handler.name, self._follow, self._stopping)
        self._partition_counts: Mapping[str, int] = {}
        # What is believed to be kept for each partition that is ours; read when its first message comes.
        self._kept: dict[TopicPartition, int] = {}
        self._uncommitted: dict[TopicPartition, int] = {}
        self._lag = PartitionLag(handler.name, metrics)
        self._head = 0
        self._nobodys_since: tuple[Mapping[TopicPartition, int], float] | None = None
        self._consumer: Consumer | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> bool:
        return self._thread.stop(STOPS_WITHIN_S)

    def _follow(self) -> None:
        self._partition_counts = self._ensured_topics()
        for known in (self._kept, self._uncommitted, self._behind_since):
            known.clear()
        self._nobodys_since = None
        try:
            with self._kafka.consumer(self._group) as self._consumer:
                self._follow_group(self._consumer)
        finally:
            self._consumer = None
            self._lag.forget_all()

    def _ensured_topics(self) -> Mapping[str, int]:
        """A broker without its data gets them back as they were, whatever a new one would be given."""
        counts = self._deliverer.waiting_out_outages(lambda: self._handler.relayed_with(self._relay))
        topics = [
            replace(each, partitions=counts.get(each.name, each.partitions)) for each in self._topics.values()
        ]
        with self._kafka.admin() as admin:
            return admin.ensure_topics(topics)

    def _follow_group(self, consumer: Consumer) -> None:
        consumer.subscribe(list(self._categories), on_assigned=self._assigned, on_revoked=self._revoked)
        committed_at = time.monotonic()
        while not self._stopping.is_set():
            messages = consumer.poll(POLL_S, self._batch_size)
            mine = consumer.assignment()
            for partition, group in groupby(messages, attrgetter("topic_partition")):
                # One that was taken away while its messages came is somebody else's work. One that is
                # taken away from now on is not: the position kept in the database keeps us apart.
                if partition in mine and not self._stopping.is_set():
                    self._take(partition, list(group))
                    self._thread.progressed()
            settle(self._handler)
            if time.monotonic() - committed_at > COMMIT_EVERY_S:
                self._measure()
                self._commit(consumer)
                self._look_for_what_is_missing(consumer)
                committed_at = time.monotonic()
        self._commit(consumer)

    def _assigned(self, partitions: Collection[TopicPartition]) -> None:
        log.info("partitions assigned", consumer=self._handler.name, partitions=len(partitions))
        self._forget(partitions)

    def _revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Nothing is under way here: this comes from within `poll`. Somebody else may move them now."""
        log.info("partitions revoked", consumer=self._handler.name, partitions=len(partitions))
        self._forget(partitions)

    def _forget(self, partitions: Collection[TopicPartition]) -> None:
        for each in partitions:
            for known in (self._kept, self._uncommitted, self._behind_since):
                known.pop(each, None)
        self._lag.forget(partitions)

    def _take(self, partition: TopicPartition, messages: Sequence[Message]) -> None:
        self._lag.came(partition, messages[0])
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
                self._lag.handled(partition, messages[-1])
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
                self._require_in_log(place)
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

    def _require_in_log(self, place: Place) -> None:
        """Raises `MalformedMessage`: to keep such a position would be to pass over all that is to come."""
        if place.position > self._head:
            self._head = self._deliverer.waiting_out_outages(self._feed.head)
            if place.position > self._head:
                raise MalformedMessage(
                    f"position {place.position} is of another log: this one ends at {self._head}"
                )

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
            if self._stopping.is_set():
                raise Stopped
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
        mine = consumer.assignment()
        if not mine:
            self._insist_on_work(sent, kept)
        for partition in sorted(mine):
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

    def _insist_on_work(self, sent: Mapping[TopicPartition, int], kept: Mapping[TopicPartition, int]) -> None:
        """Raises `LeftOut` where there is work for long and nobody does it.

        Having no partitions is right for a member that is one too many. It is wrong for one that joined while
        the topics were gone with the broker's data: Tansu gives it nothing ever after.
        """
        waiting = {
            each: kept.get(each, 0)
            for each, position in sent.items()
            if each.topic in self._categories and kept.get(each, 0) < position
        }
        now = time.monotonic()
        if not waiting or self._nobodys_since is None or self._nobodys_since[0] != waiting:
            self._nobodys_since = (waiting, now) if waiting else None
        elif now - self._nobodys_since[1] >= LEFT_OUT_AFTER_S:
            raise LeftOut(self._group, len(waiting))

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

    def _measure(self) -> None:
        if self._consumer is not None:
            self._lag.measure(self._consumer)


class LeftOut(Exception):
    """A member of a group has no partitions, though nobody looks after them."""

    def __init__(self, group: str, waiting: int) -> None:
        super().__init__(f"in {waiting} partitions something waits, and {group} gives none to this member")


class BrokerAheadOfLog(Exception):
    """A message tells of positions that the log does not have: it is of another log, or this one was lost."""

    def __init__(self, partition: TopicPartition, position: int, head: int) -> None:
        super().__init__(
            f"{partition.topic}, partition {partition.partition} tells of position {position}, "
            f"but the log ends at {head}"
        )
