"""The followers of Kafka for the read models that it feeds."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg

from infra.event_store.codec import EventCodec
from infra.event_store.feed import EventFeed
from infra.kafka.consumer import TopicConsumer
from infra.kafka.dead_letters import TopicDeadLetters
from infra.kafka.port import Kafka
from infra.kafka.projection_consumer import ProjectionHandler, relayed
from infra.kafka.publishing import Layout
from infra.kafka.topics import topic_of
from infra.observability.consumer_metrics import ConsumerMetrics
from infra.projections.rebuilt_first import RebuiltFirst
from projections.projection import Projection


@contextmanager
def projection_consumers(  # noqa: PLR0913 - the parts, most by name
    projections: Iterable[Projection],
    connect: Callable[[], psycopg.Connection[dict[str, Any]]],
    feed: EventFeed,
    *,
    kafka: Kafka,
    layout: Layout,
    codec: EventCodec,
    metrics: ConsumerMetrics,
) -> Iterator[list[RebuiltFirst]]:
    """One for each projection, not started; any number of processes may run them.

    `connect` opens a connection of the projector role, with rows as dictionaries.
    """
    with ExitStack() as stack:
        consumers = []
        for projection in projections:
            categories = {each.type_.stored_name.partition(".")[0] for each in projection.event_types}
            topics = {
                category: layout.new_topic(topic_of(layout.prefix, category), None) for category in categories
            }
            complete_to = relayed(layout.prefix, [topic.name for topic in topics.values()])
            handler = ProjectionHandler(projection, connect, complete_to)
            stack.callback(handler.close)
            dead_letters = TopicDeadLetters(kafka)
            stack.callback(dead_letters.close)
            consumer = TopicConsumer(
                handler=handler,
                kafka=kafka,
                topics=topics,
                feed=feed,
                codec=codec,
                dead_letters=dead_letters,
                group=f"{layout.prefix}.{projection.name}",
                relay=layout.prefix,
                metrics=metrics,
            )
            consumers.append(RebuiltFirst(projection, feed, connect, consumer))
        yield consumers
