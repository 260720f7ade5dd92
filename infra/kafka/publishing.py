"""What the leading relay does: it compares with the broker, and sends the log in order, page by page."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

import structlog

from infra.event_store.stored_log import StoredLog, StoredRow
from infra.kafka.held import held, lost_after, refuse_foreign, rewound, tails
from infra.kafka.port import (
    Admin,
    Delivery,
    Kafka,
    KafkaError,
    KafkaUnreachable,
    MessagesLost,
    NewTopic,
    Offsets,
    Producer,
    TopicPartition,
)
from infra.kafka.relay_state import Progress, RelayState
from infra.kafka.relayed import headers_of, value_of
from infra.kafka.topics import all_topics, category_in, partition_of, topic_of
from infra.observability.relay_metrics import RelayMetrics

LOOKS_WHILE_WAITING_S: Final = 1.0
_REMEMBERED_PLACES: Final = 65_536

log = structlog.get_logger("relay")


class PartitionsChanged(KafkaError):
    """A topic has not the number of partitions that it was relayed with: streams would change places."""


class Stopped(Exception):
    """The relay is to stop while something is under way; whoever leads next sends that again."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which topics there are, and how a new one is made."""

    prefix: str = "megacity"
    partitions: int = 6
    replication_factor: int = -1
    config: Mapping[str, str] = field(default_factory=dict)

    def new_topic(self, name: str, partitions: int | None) -> NewTopic:
        return NewTopic(name, partitions or self.partitions, self.replication_factor, self.config)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How much is under way at once, and when the broker is looked at."""

    page_events: int = 2_000
    page_bytes: int = 4 * 1024 * 1024
    delivery_timeout_s: float = 40.0
    check_interval_s: float = 15.0


@dataclass(slots=True)
class _Page:
    """Events that were sent together and are not yet acknowledged."""

    position: int = 0
    events: int = 0
    bytes: int = 0
    latest: dict[TopicPartition, int] = field(default_factory=dict)


class Publisher:
    """Of one leader with one producer. After an error it is of no more use: begin with a new one.

    Raises `KafkaError` where the broker fails or has lost something, `psycopg.Error` where the database does,
    and `Stopped`.
    """

    def __init__(  # noqa: PLR0913 - all by name
        self,
        *,
        state: RelayState,
        log: StoredLog,
        kafka: Kafka,
        admin: Admin,
        producer: Producer,
        layout: Layout,
        pace: Pace,
        metrics: RelayMetrics,
        stopping: threading.Event,
    ) -> None:
        self._state = state
        self._log = log
        self._kafka = kafka
        self._admin = admin
        self._producer = producer
        self._layout = layout
        self._pace = pace
        self._metrics = metrics
        self._stopping = stopping
        self._progress = Progress(0, {}, {})
        self._sent: dict[TopicPartition, int] = {}
        self._places: dict[str, TopicPartition] = {}
        self._next_offsets: dict[TopicPartition, int] = {}
        self._ends: Mapping[TopicPartition, int] = {}
        self._checked_at = 0.0

    @property
    def position(self) -> int:
        """Everything up to here is acknowledged."""
        return self._progress.position

    def begin(self, progress: Progress) -> None:
        """Sees to the topics and goes back to where the broker is, if that is less far than it was."""
        self._progress = progress
        self._ensure_topics(all_topics(self._layout.prefix))
        partitions = self._partitions()
        ends = tails(self._kafka, self._admin, partitions)
        refuse_foreign(ends, self._log.head())
        there = held(self._kafka, ends, progress.latest)
        if (lost := lost_after(progress, there)) is not None:
            log.warning(
                "kafka has lost messages; sending them again", reached=progress.position, back_to=lost
            )
            self._progress = rewound(progress, lost, self._layout.prefix, self._log)
            self._state.rewind(self._progress)
            self._metrics.rewinds.inc()
        self._sent = dict(self._progress.latest)
        self._next_offsets = {partition: tail.end for partition, tail in ends.items()}
        self._ends = self._admin.ends(partitions)
        self._checked_at = monotonic()

    def publish(self, up_to: int) -> None:
        """Sends what comes next, some pages at most, and returns when it is acknowledged.

        A page is put together, sent and waited for before the next: to build one while another is being
        sent gains nothing, as both are Python's work.
        """
        page = _Page()
        for row in self._log.rows(self.position, up_to):
            self._send(row, page)
            if page.events >= self._pace.page_events or page.bytes >= self._pace.page_bytes:
                self._settle(page, self._producer.delivery())
                page = _Page()
            if self._stopping.is_set():
                break
        if page.events:
            self._settle(page, self._producer.delivery())

    def check_when_due(self) -> None:
        """Now and then looks whether the broker has lost anything meanwhile."""
        if monotonic() - self._checked_at >= self._pace.check_interval_s:
            self._check_ends()

    def _send(self, row: StoredRow, page: _Page) -> None:
        partition = self._places.get(row.stream_id) or self._place(row.stream_id)
        value = value_of(row)
        headers = headers_of(row, self._sent.get(partition, 0))
        self._producer.send(partition.topic, row.stream_id.encode(), value, headers, partition.partition)
        self._sent[partition] = page.latest[partition] = page.position = row.position
        page.events += 1
        page.bytes += len(value)

    def _place(self, stream_id: str) -> TopicPartition:
        topic = topic_of(self._layout.prefix, category_in(stream_id))
        if topic not in self._progress.counts:
            # A category that only a newer release knows.
            self._ensure_topics([topic])
        if len(self._places) >= _REMEMBERED_PLACES:
            self._places.clear()
        place = TopicPartition(topic, partition_of(stream_id, self._progress.counts[topic]))
        self._places[stream_id] = place
        return place

    def _settle(self, page: _Page, delivery: Delivery) -> None:
        """Waits until the page is acknowledged; only then is it remembered as sent."""
        offsets = self._acknowledged(delivery)
        for partition, (first, last) in offsets.items():
            if -1 < first < self._next_offsets.get(partition, 0):
                raise MessagesLost(
                    f"{partition} gave offset {first} where {self._next_offsets[partition]} was the next"
                )
            self._next_offsets[partition] = max(last + 1, self._next_offsets.get(partition, 0))
        self._state.advance(page.position, page.latest)
        self._progress.position = page.position
        self._progress.latest.update(page.latest)
        self._metrics.position.set(page.position)
        self._metrics.published.inc(page.events)

    def _acknowledged(self, delivery: Delivery) -> Mapping[TopicPartition, Offsets]:
        gives_up_at = monotonic() + self._pace.delivery_timeout_s
        while True:
            try:
                return delivery.wait(LOOKS_WHILE_WAITING_S)
            except KafkaUnreachable:
                if self._stopping.is_set():
                    raise Stopped from None
                if monotonic() > gives_up_at:
                    raise
                # It may have come back without the topic, and the producer would wait for that in vain.
                self._check_ends()

    def _check_ends(self) -> None:
        partitions = self._partitions()
        ends = self._admin.ends(partitions)
        for partition, end in self._ends.items():
            if (now := ends.get(partition, -1)) < end:
                raise MessagesLost(f"{partition} ends at {now}, and had {end} before")
        self._ends = ends
        self._checked_at = monotonic()

    def _ensure_topics(self, topics: list[str]) -> None:
        known = self._progress.counts
        counts = self._admin.ensure_topics(self._layout.new_topic(each, known.get(each)) for each in topics)
        for topic, count in counts.items():
            if known.get(topic, count) != count:
                raise PartitionsChanged(
                    f"{topic} has {count} partitions and was relayed with {known[topic]}: events of one "
                    "stream would stand in two of them. Put the number back, or choose another "
                    "MEGACITY_KAFKA__TOPIC_PREFIX"
                )
        self._state.add_topics(counts)
        known.update(counts)

    def _partitions(self) -> list[TopicPartition]:
        return [
            TopicPartition(topic, each)
            for topic, count in self._progress.counts.items()
            for each in range(count)
        ]
