"""Logs to be relayed, relays that run, and what must hold of everything that Kafka holds afterwards."""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from domain.events import RecordedEvent
from domain.identifiers import stream_id
from domain.users.events import ProfileChanged
from infra.event_store.stored_log import StoredRow, open_stored_log
from infra.kafka.held import tails
from infra.kafka.port import Kafka, Message, TopicPartition
from infra.kafka.publishing import Layout, Pace
from infra.kafka.relay import Relay
from infra.kafka.relayed import value_of
from infra.kafka.topics import all_topics, category_in, partition_of, topic_of
from infra.observability.metrics import new_registry
from infra.observability.relay_metrics import RelayMetrics
from infra.postgres.roles import PROJECTOR, role_conninfo
from tests.support.event_logs import CODEC, new, new_id
from tests.support.postgres import ROLE_SECRET
from tests.support.sequencing import sequenced

PARTITIONS = 3
SMALL_PAGES = Pace(page_events=50, delivery_timeout_s=8.0, check_interval_s=0.5)


def projector(database: str) -> str:
    return role_conninfo(database, PROJECTOR, ROLE_SECRET)


class Writer:
    """Appends events to some streams of some categories, in an order that chance decides."""

    def __init__(self, database: str, seed: int = 1) -> None:
        self._database = database
        self._random = random.Random(seed)
        self._versions = {
            stream_id(category, new_id()): 0 for category in ("attempt", "user", "item") for _ in range(7)
        }

    def write(self, count: int) -> int:
        """The position of the last one."""
        rows = []
        for _ in range(count):
            stream = self._random.choice(list(self._versions))
            self._versions[stream] += 1
            name = "x" * self._random.randrange(400)
            recorded = new(ProfileChanged(display_name=name, language="ko"))
            rows.append(
                CODEC.encode(RecordedEvent(stream, self._versions[stream], recorded.metadata, recorded.event))
            )
        append_rows(
            self._database, [(row.stream_id, row.version, row.type, row.meta, row.payload) for row in rows]
        )
        return sequenced(self._database)


def append_rows(database: str, rows: Iterable[tuple[str, int, str, bytes, bytes]]) -> None:
    """Puts rows into the log as they are, readable or not."""
    with (
        psycopg.connect(database) as connection,
        connection.cursor() as cursor,
        cursor.copy("COPY log.events (stream_id, version, type, meta, payload, leaf) FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row((*row, b"\0" * 32))


def a_relay(database: str, kafka: Kafka, prefix: str, **options: Any) -> Relay:
    return Relay(
        projector(database),
        kafka,
        metrics=options.pop("metrics", None) or RelayMetrics.create(new_registry()),
        layout=options.pop("layout", None) or Layout(prefix=prefix, partitions=PARTITIONS),
        pace=options.pop("pace", SMALL_PAGES),
        poll_interval_s=0.1,
        **options,
    )


@contextmanager
def running(relay: Relay) -> Iterator[Relay]:
    relay.start()
    try:
        yield relay
    finally:
        assert relay.stop(), "the relay does not end"


def the_log(database: str) -> list[StoredRow]:
    with open_stored_log(projector(database)) as log:
        rows: list[StoredRow] = []
        while len(rows) < (head := log.head()):
            rows += log.rows(len(rows), head)
        return rows


def read_all(
    kafka: Kafka, prefix: str, topics: Sequence[str] | None = None
) -> dict[TopicPartition, list[Message]]:
    """Every message there is, by partition, in the order of the broker."""
    partitions = [
        TopicPartition(topic, each) for topic in topics or all_topics(prefix) for each in range(PARTITIONS)
    ]
    found: dict[TopicPartition, list[Message]] = defaultdict(list)
    with kafka.admin() as admin, kafka.consumer() as consumer:
        ends = {partition: tail.end for partition, tail in tails(kafka, admin, partitions).items()}
        waiting = {partition for partition, end in ends.items() if end > 0}
        consumer.assign(waiting)
        consumer.seek_to_beginning(waiting)
        while waiting:
            for message in consumer.poll(0.2, 5000):
                found[message.topic_partition].append(message)
                if message.offset >= ends[message.topic_partition] - 1:
                    waiting.discard(message.topic_partition)
    return dict(found)


def applied(messages: Sequence[Message], *, after_loss: bool = False) -> list[Message]:
    """What a consumer of one partition applies who passes over what it has had, and what came too early.

    Too early may come only what was sent when the broker had lost something (`after_loss`).
    """
    place = 0
    taken = []
    for message in messages:
        position, previous = int(message.headers["position"]), int(message.headers["previous_position"])
        too_early = previous > place
        assert after_loss or not too_early, f"after {place} comes {position}, which follows {previous}"
        if position > place and not too_early:
            taken.append(message)
            place = position
    return taken


def assert_all_of_the_log_is_there(
    database: str, kafka: Kafka, prefix: str, *, after_loss: bool = False
) -> None:
    """Whoever reads Kafka from the beginning applies each event of the log once, in the log's order."""
    expected: dict[TopicPartition, list[tuple[int, bytes, bytes]]] = defaultdict(list)
    for row in the_log(database):
        topic = topic_of(prefix, category_in(row.stream_id))
        partition = TopicPartition(topic, partition_of(row.stream_id, PARTITIONS))
        expected[partition].append((row.position, row.stream_id.encode(), value_of(row)))
    topics = sorted({partition.topic for partition in expected})
    found = {
        partition: [
            (int(each.headers["position"]), each.key, each.value)
            for each in applied(messages, after_loss=after_loss)
        ]
        for partition, messages in read_all(kafka, prefix, topics).items()
    }
    assert found == dict(expected)
