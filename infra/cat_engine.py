"""The engine of adaptive tests as a part of a process: on the log or on Kafka, and what others hear of it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from commands.reactions.cat_engine import CatEngine
from commands.write_side import WriteSide
from domain.attempts.events import AbilityUpdated, AttemptScored, AttemptSubmitted, ItemPresented
from infra.database import Database
from infra.event_store.codec import EventCodec
from infra.event_store.feed import EventFeed
from infra.event_store.stream_news import StreamNews
from infra.kafka.command_consumer import CommandHandler
from infra.kafka.consumer import TopicConsumer
from infra.kafka.dead_letters import TableDeadLetters, TopicDeadLetters
from infra.kafka.log_consumer import LogConsumer
from infra.kafka.port import Kafka
from infra.kafka.publishing import Layout
from infra.kafka.topics import topic_of
from infra.observability.cat_metrics import CatMetrics
from infra.observability.consumer_metrics import ConsumerMetrics
from infra.postgres.roles import PROJECTOR, with_options
from infra.server import Role
from infra.settings import Settings

_CATEGORY: Final = "attempt"
_WAITED_FOR: Final = (AbilityUpdated, ItemPresented, AttemptSubmitted, AttemptScored)


def runs_cat_engine(role: Role, settings: Settings) -> bool:
    """Whether a process of this role runs the engine."""
    return role == "cat-engine" or (role == "all" and settings.cat.feed == "log")


@contextmanager
def engine_on_log(
    database: Database,
    write: WriteSide,
    feed: EventFeed,
    consumer_metrics: ConsumerMetrics,
    cat_metrics: CatMetrics,
) -> Iterator[LogConsumer]:
    """Not started. Must be entered in the event loop in which `write` works."""
    with _handler(database, write, cat_metrics, relay=None) as handler:
        dead_letters = TableDeadLetters(lambda: _connect(database))
        yield LogConsumer(handler, feed, dead_letters, metrics=consumer_metrics)


@contextmanager
def engine_on_kafka(  # noqa: PLR0913 - the parts of it, most by name
    database: Database,
    write: WriteSide,
    feed: EventFeed,
    consumer_metrics: ConsumerMetrics,
    cat_metrics: CatMetrics,
    *,
    kafka: Kafka,
    layout: Layout,
    codec: EventCodec,
) -> Iterator[TopicConsumer]:
    """Not started; one member of the group, which shares the attempts by their partitions.

    Must be entered in the event loop in which `write` works.
    """
    dead_letters = TopicDeadLetters(kafka)
    with _handler(database, write, cat_metrics, relay=layout.prefix) as handler:
        try:
            yield TopicConsumer(
                handler=handler,
                kafka=kafka,
                topics={_CATEGORY: layout.new_topic(topic_of(layout.prefix, _CATEGORY), None)},
                feed=feed,
                codec=codec,
                dead_letters=dead_letters,
                group=f"{layout.prefix}.{handler.name}",
                relay=layout.prefix,
                metrics=consumer_metrics,
            )
        finally:
            dead_letters.close()


def stream_news(database: Database, write: WriteSide) -> StreamNews:
    """Not started. For a process whose examinees wait for an engine in another one."""
    conninfo = database.conninfo(PROJECTOR)
    return StreamNews(conninfo, write.streams.news, asyncio.get_running_loop(), _WAITED_FOR)


@contextmanager
def _handler(
    database: Database, write: WriteSide, cat_metrics: CatMetrics, *, relay: str | None
) -> Iterator[CommandHandler]:
    engine, loop = CatEngine(cat_metrics.count), asyncio.get_running_loop()
    handler = CommandHandler(engine, write, loop, lambda: _connect(database), relay=relay)
    try:
        yield handler
    finally:
        handler.close()


def _connect(database: Database) -> psycopg.Connection[dict[str, Any]]:
    # A position that a crash takes back is one from which responses are looked at again.
    conninfo = with_options(database.conninfo(PROJECTOR), "-c synchronous_commit=off")
    return psycopg.connect(conninfo, autocommit=True, row_factory=dict_row)
