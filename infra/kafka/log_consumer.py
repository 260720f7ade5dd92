"""A consumer without a broker: the same handlers, fed by the log itself."""

import threading
from functools import partial
from time import monotonic
from typing import Final

from domain.events import PositionedEvent
from infra.event_store.feed import EventFeed, FeedPage, UnreadableEvent
from infra.kafka.dead_letters import DeadLetter, DeadLetters
from infra.kafka.delivery import LOG, Deliverer, Delivery, EventHandler, KeptPositionLost, settle
from infra.kafka.following import STOPS_WITHIN_S, following
from infra.kafka.port import TopicPartition
from infra.observability.consumer_metrics import ConsumerMetrics

MEASURE_EVERY_S: Final = 0.5


class LogConsumer:
    """Follows the log for a handler from `start()` until `stop()`.

    Args:
        handler: what the events are for.
        feed: the log.
        dead_letters: for events that the handler cannot take.
        batch_size: events handed over at once, at most.
        poll_interval_s: looks for events at least this often, even if nobody calls.
        metrics: where to count.
    """

    def __init__(  # noqa: PLR0913 - all but three by name
        self,
        handler: EventHandler,
        feed: EventFeed,
        dead_letters: DeadLetters,
        *,
        batch_size: int = 500,
        poll_interval_s: float = 0.2,
        metrics: ConsumerMetrics | None = None,
    ) -> None:
        self._handler = handler
        self._feed = feed
        self._batch_size = batch_size
        self._poll_interval_s = poll_interval_s
        self._metrics = metrics
        self._measured_at = 0.0
        self._stopping = threading.Event()
        self._deliverer = Deliverer(handler, dead_letters, self._stopping, metrics=metrics)
        self._thread = following(handler.name, self._follow, self._stopping)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> bool:
        return self._thread.stop(STOPS_WITHIN_S)

    def _follow(self) -> None:
        after = self._kept()
        while not self._stopping.is_set():
            page = self._deliverer.waiting_out_outages(
                partial(self._feed.read, after, self._batch_size, self._handler.event_types)
            )
            found_something = page.up_to > after
            if found_something:
                try:
                    self._deliverer.deliver(LOG, after, deliveries(self._handler.name, LOG, page), page.up_to)
                except KeptPositionLost:
                    after = self._kept()
                    continue
                after = page.up_to
                self._thread.progressed()
            # Also while there is always more: the checkpoint and the lag must not wait for a pause.
            settle(self._handler)
            self._measure(after)
            if not found_something:
                self._feed.wait(after, self._poll_interval_s)

    def _kept(self) -> int:
        return self._deliverer.waiting_out_outages(lambda: self._handler.kept(LOG))

    def _measure(self, after: int) -> None:
        if self._metrics is None or monotonic() - self._measured_at < MEASURE_EVERY_S:
            return
        self._measured_at = monotonic()
        lag = max(0, self._deliverer.waiting_out_outages(self._feed.head) - after)
        self._metrics.lag.labels(self._handler.name, LOG.topic, LOG.partition).set(lag)


def deliveries(consumer: str, partition: TopicPartition, page: FeedPage) -> list[Delivery]:
    """What a page of the log holds, readable or not, in order."""
    readable = [
        Delivery(event.position, event, None, partial(_letter, consumer, partition, event))
        for event in page.events
    ]
    unreadable = [
        Delivery(each.position, None, str(each.error), partial(_letter, consumer, partition, each))
        for each in page.unreadable
    ]
    return sorted(readable + unreadable, key=lambda delivery: delivery.position) if unreadable else readable


def _letter(
    consumer: str,
    partition: TopicPartition,
    event: PositionedEvent | UnreadableEvent,
    reason: str,
    attempts: int,
) -> DeadLetter:
    place = event if isinstance(event, UnreadableEvent) else event.recorded
    type_ = event.type if isinstance(event, UnreadableEvent) else event.recorded.event.type_.stored_name
    return DeadLetter(
        consumer=consumer,
        topic=partition.topic,
        partition=partition.partition,
        reason=reason,
        attempts=attempts,
        position=event.position,
        stream_id=place.stream_id,
        type=type_,
    )
