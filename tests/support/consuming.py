"""Consumers of what a real relay sends: `python -m tests.support.consuming DATABASE BROKERS PREFIX` is one to
be killed; DATABASE is the administrator's.
"""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from prometheus_client import CollectorRegistry
from psycopg.rows import dict_row

from infra.event_store.log_feed import LogFeed
from infra.kafka.consumer import TopicConsumer
from infra.kafka.dead_letters import DEAD_LETTER_SUFFIX, TopicDeadLetters
from infra.kafka.port import Kafka, Message, NewTopic
from infra.kafka.projection_consumer import ProjectionHandler, relayed
from infra.kafka.python_client import PythonKafka
from infra.kafka.relay import Relay
from infra.kafka.topics import topic_of
from infra.observability.consumer_metrics import ConsumerMetrics
from tests.support.api import eventually
from tests.support.brokers import Broker, fresh_prefix, kafka_of
from tests.support.event_logs import CODEC
from tests.support.postgres import CHECKOUT
from tests.support.relayed import PARTITIONS, Writer, a_relay, projector, read_all, running
from tests.support.witness import Witness, make_witnessed

CATEGORIES = ("attempt", "item", "user")
"""Those that `relayed.Writer` writes to."""
ALL_PARTITIONS = len(CATEGORIES) * PARTITIONS
ARRIVES_S = 60


def topics_of(prefix: str) -> dict[str, NewTopic]:
    return {category: NewTopic(topic_of(prefix, category), PARTITIONS) for category in CATEGORIES}


def a_handler(database: str, prefix: str, projection: Any = None, kind: Any = ProjectionHandler) -> Any:
    names = [topic.name for topic in topics_of(prefix).values()]

    def connect() -> Any:
        return psycopg.connect(projector(database), autocommit=True, row_factory=dict_row)

    return kind(projection or Witness(), connect, relayed(prefix, names))


@contextmanager
def consuming(database: str, kafka: Kafka, prefix: str, **options: Any) -> Iterator["Consuming"]:
    """A consumer that runs for the block, and ends in time."""
    handler = options.pop("handler", None) or a_handler(database, prefix)
    registry = CollectorRegistry()
    with LogFeed(projector(database), CODEC) as feed:
        given = {
            "handler": handler,
            "kafka": kafka,
            "topics": topics_of(prefix),
            "feed": feed,
            "codec": CODEC,
            "dead_letters": TopicDeadLetters(kafka),
            "group": f"{prefix}.{handler.name}",
            "relay": prefix,
            "batch_size": 20,
            "metrics": ConsumerMetrics.create(registry),
        }
        consumer = TopicConsumer(**{**given, **options})
        running = Consuming(consumer, registry, handler.name)
        consumer.start()
        try:
            yield running
        finally:
            assert consumer.stop(), "the consumer does not end"


class Consuming:
    def __init__(self, consumer: TopicConsumer, registry: CollectorRegistry, name: str) -> None:
        self.consumer = consumer
        self.registry = registry
        self._name = name

    def metric(self, name: str) -> float:
        return self.registry.get_sample_value(f"megacity_consumer_{name}", {"consumer": self._name}) or 0.0

    def lags(self, name: str = "events") -> dict[tuple[str, str], float]:
        """By topic and partition: of those that are this member's own."""
        return {
            (sample.labels["topic"], sample.labels["partition"]): sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == f"megacity_consumer_lag_{name}"
        }


@dataclass
class Place:
    """A database in which a witness is to be, a relay, and consumers of what it sends to a broker."""

    database: str
    broker: Broker

    def __post_init__(self) -> None:
        make_witnessed(self.database)
        self.prefix = fresh_prefix()
        self.kafka = kafka_of(self.broker)
        self.writer = Writer(self.database)

    def relaying(self) -> AbstractContextManager[Relay]:
        return running(a_relay(self.database, self.kafka, self.prefix))

    def consuming(self, **options: Any) -> AbstractContextManager[Consuming]:
        return consuming(self.database, self.kafka, self.prefix, **options)

    @contextmanager
    def consuming_in_another_process(self) -> Iterator["subprocess.Popen[bytes]"]:
        words = [self.database, self.broker.bootstrap_servers, self.prefix]
        command = [sys.executable, "-m", "tests.support.consuming", *words]
        with subprocess.Popen(command, cwd=CHECKOUT) as process:
            try:
                yield process
            finally:
                process.kill()

    def checkpoint(self) -> int:
        with psycopg.connect(self.database) as connection:
            rows = connection.execute(
                "SELECT position FROM ops.projections WHERE name = 'witness'"
            ).fetchall()
        return rows[0][0] if rows else 0

    def reaches(self, position: int) -> None:
        eventually(lambda: self.checkpoint() == position, within_s=ARRIVES_S)

    def dead_letters(self, category: str) -> list[Message]:
        return whole_topic(self.kafka, topic_of(self.prefix, category) + DEAD_LETTER_SUFFIX)


def whole_topic(kafka: Kafka, topic: str) -> list[Message]:
    return [message for messages in read_all(kafka, "", [topic]).values() for message in messages]


def has(member: Consuming, count: int) -> bool:
    """Whether so many partitions are the member's own."""
    return len(member.lags()) == count


@contextmanager
def writing(place: Place) -> Iterator[None]:
    """Events come all the while."""
    over = threading.Event()

    def write() -> None:
        while not over.wait(0.3):
            place.writer.write(20)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


if __name__ == "__main__":
    admin, servers, prefix_ = sys.argv[1:]
    with consuming(admin, PythonKafka(bootstrap_servers=servers), prefix_):
        signal.pause()
