"""How far a consumer is behind in each partition that is its own: as numbers for its metrics."""

import time
from collections.abc import Collection
from contextlib import suppress

from infra.kafka.port import Consumer, KafkaUnreachable, Message, TopicPartition
from infra.observability.consumer_metrics import ConsumerMetrics


class PartitionLag:
    """Of one consumer. Partitions that are not its own any more have no number at all."""

    def __init__(self, name: str, metrics: ConsumerMetrics | None) -> None:
        self._name = name
        self._metrics = metrics
        self._next: dict[TopicPartition, int] = {}
        self._handled_at_ms: dict[TopicPartition, int] = {}
        self._told: set[TopicPartition] = set()

    def came(self, partition: TopicPartition, first: Message) -> None:
        """Messages have been read and are not handled yet: they count as waiting."""
        self._next.setdefault(partition, first.offset)

    def handled(self, partition: TopicPartition, last: Message) -> None:
        self._next[partition] = last.offset + 1
        self._handled_at_ms[partition] = last.timestamp_ms

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        for each in partitions:
            self._next.pop(each, None)
            self._handled_at_ms.pop(each, None)
            if each in self._told and self._metrics is not None:
                self._told.discard(each)
                for gauge in (self._metrics.lag, self._metrics.lag_s):
                    with suppress(KeyError):
                        gauge.remove(*self._labels(each))

    def forget_all(self) -> None:
        self.forget(self._told | self._next.keys())

    def measure(self, consumer: Consumer) -> None:
        """May be asked at any time by the consumer's thread, also while a batch is held up."""
        if self._metrics is None:
            return
        now_ms = time.time() * 1000
        mine = consumer.assignment()
        self.forget((self._told | self._next.keys()) - mine)
        for partition in mine:
            lag = self._lag(consumer, partition)
            if lag is None:
                continue
            since_ms = self._handled_at_ms.get(partition, now_ms)
            self._told.add(partition)
            self._metrics.lag.labels(*self._labels(partition)).set(lag)
            self._metrics.lag_s.labels(*self._labels(partition)).set(
                max(0.0, now_ms - since_ms) / 1000 if lag else 0.0
            )

    def _lag(self, consumer: Consumer, partition: TopicPartition) -> int | None:
        """None where nothing was heard of the partition yet."""
        end = consumer.high_water(partition)
        if end is None:
            return None
        handled = self._next.get(partition)
        if handled is None or handled > end:
            # Nothing has come since it is ours, or the broker began anew: all that was read is handled.
            try:
                handled = consumer.position(partition)
            except KafkaUnreachable:
                return None
        return max(0, end - handled)

    def _labels(self, partition: TopicPartition) -> tuple[str, str, str]:
        return self._name, partition.topic, str(partition.partition)
