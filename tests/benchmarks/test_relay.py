"""The relay against the client library alone: the same messages, to the same broker, with the same settings.

The client has its messages in memory; the relay reads them from PostgreSQL, moves its cursor and looks
after order and loss. Both use the fast checksum (`infra.kafka.checksums`), without which the client is
several times slower: shown as `kafka-python as it comes`. confluent-kafka, a client in C, is shown beside.

Tansu keeps everything in memory and is started anew for each run. Apache Kafka is measured where it is there.
"""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import Any

from confluent_kafka import Producer as ConfluentProducer
from kafka import KafkaProducer
from kafka.record import default_records
from kafka.record.util import calc_crc32c as slow_checksum

from domain.events import RecordedEvent
from domain.identifiers import stream_id
from domain.users.events import ProfileChanged
from infra.event_store.stored_log import open_stored_log
from infra.kafka.checksums import crc32c, use_fast_checksums
from infra.kafka.port import NewTopic
from infra.kafka.publishing import Layout, Pace, Publisher
from infra.kafka.python_client import PythonKafka
from infra.kafka.relay_state import open_relay_state
from infra.kafka.relayed import headers_of, value_of
from infra.kafka.topics import category_in, topic_of
from infra.observability.metrics import new_registry
from infra.observability.relay_metrics import RelayMetrics
from tests.benchmarks.harness import Report, bench_database, bench_server, named, paired, scaled
from tests.support.brokers import Broker, RunningBrokers, fresh_prefix, jars, running_brokers
from tests.support.event_logs import CODEC, new, new_id
from tests.support.postgres import SharedServer
from tests.support.relayed import append_rows, projector, the_log
from tests.support.sequencing import sequenced

EVENTS = scaled(20_000)
STREAMS = max(1, EVENTS // 30)
PARTITIONS = 6
Message = tuple[str, bytes, bytes, list[tuple[str, bytes]]]


def test_relay():
    report = Report("relay")
    with ExitStack() as stack:
        brokers = stack.enter_context(running_brokers())
        for fsync in (True, False):
            with bench_server(fsync=fsync) as server, a_log(server) as database:
                compare(report, named("vs_client", fsync=fsync), brokers, "tansu", database)
                if fsync and there_is_an_apache():
                    compare(report, "vs_client_apache", brokers, "apache", database)
    report.write()


def there_is_an_apache() -> bool:
    try:
        jars()
    except LookupError:
        return False
    return True


@contextmanager
def a_log(server: SharedServer) -> Iterator[str]:
    """A database with distinct events of 1 KiB."""
    chance = random.Random(1)
    versions = {stream_id("attempt", new_id()): 0 for _ in range(STREAMS)}
    streams = list(versions)
    with bench_database(server) as database:
        for _ in range(0, EVENTS, 5_000):
            rows = []
            for _ in range(min(5_000, EVENTS)):
                stream = chance.choice(streams)
                versions[stream] += 1
                one = new(ProfileChanged(display_name=chance.randbytes(340).hex(), language="ko"))
                row = CODEC.encode(RecordedEvent(stream, versions[stream], one.metadata, one.event))
                rows.append((row.stream_id, row.version, row.type, row.meta, row.payload))
            append_rows(database, rows)
        sequenced(database)
        yield database


def compare(report: Report, name: str, brokers: RunningBrokers, broker_name: str, database: str) -> None:
    use_fast_checksums()
    rows = the_log(database)
    messages: list[Message] = [
        (category_in(row.stream_id), row.stream_id.encode(), value_of(row), list(headers_of(row, 1)))
        for row in rows
    ]

    def run(contestant: Callable[[PythonKafka, str], float]) -> Callable[[], float]:
        def once() -> float:
            broker = brokers.get(broker_name)
            if not broker.keeps_data:
                broker.kill()
                broker.start()
            return contestant(clients(broker), fresh_prefix())

        return once

    contestants = {
        "relay": run(lambda kafka, prefix: relayed(database, kafka, prefix)),
        "kafka-python": run(lambda kafka, prefix: sent_by_kafka_python(messages, kafka, prefix)),
        "kafka-python as it comes": run(
            lambda kafka, prefix: with_the_slow_checksum(
                lambda: sent_by_kafka_python(messages[: len(messages) // 5], kafka, prefix)
            )
        ),
        "confluent-kafka": run(lambda kafka, prefix: sent_by_confluent(messages, kafka, prefix)),
    }
    found = paired(contestants)
    report.ratio(name, found["relay"], found["kafka-python"], aim="≥ 0.9" if name == "vs_client" else "")
    for contestant, rates in found.items():
        report.figure(f"{contestant} ({broker_name}, {name})", rates, "events/s")


def clients(broker: Broker) -> PythonKafka:
    return PythonKafka(bootstrap_servers=broker.bootstrap_servers)


def relayed(database: str, kafka: PythonKafka, prefix: str) -> float:
    with (
        open_relay_state(projector(database), prefix) as state,
        open_stored_log(projector(database)) as log,
        kafka.admin() as admin,
        kafka.producer() as producer,
    ):
        assert state.try_lead()
        publisher = Publisher(
            state=state,
            log=log,
            kafka=kafka,
            admin=admin,
            producer=producer,
            layout=Layout(prefix=prefix, partitions=PARTITIONS),
            pace=Pace(),
            metrics=RelayMetrics.create(new_registry()),
            stopping=threading.Event(),
        )
        publisher.begin(state.take_over())
        head = log.head()
        started = perf_counter()
        while publisher.position < head:
            publisher.publish(head)
        return head / (perf_counter() - started)


def sent_by_kafka_python(messages: Sequence[Message], kafka: PythonKafka, prefix: str) -> float:
    topic = a_topic(kafka, prefix)
    producer = KafkaProducer(**kafka.producer_settings())
    try:
        producer.partitions_for(topic)
        started = perf_counter()
        sent = [
            producer.send(topic, value=value, key=key, headers=headers) for _, key, value, headers in messages
        ]
        producer.flush()
        took_s = perf_counter() - started
        assert all(each.succeeded() for each in sent)
        return len(messages) / took_s
    finally:
        producer.close()


def with_the_slow_checksum(measure: Callable[[], float]) -> float:
    default_records.calc_crc32c = slow_checksum
    try:
        return measure()
    finally:
        default_records.calc_crc32c = crc32c


def sent_by_confluent(messages: Sequence[Message], kafka: PythonKafka, prefix: str) -> float:
    topic = a_topic(kafka, prefix)
    failures: list[Any] = []
    producer = ConfluentProducer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": kafka.linger_ms,
            "batch.size": kafka.batch_bytes,
            "message.max.bytes": kafka.max_message_bytes,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": len(messages) + 1,
            "queue.buffering.max.kbytes": 1024 * 1024,
        }
    )
    producer.list_topics(topic, timeout=10)
    started = perf_counter()
    for _, key, value, headers in messages:
        producer.produce(
            topic, value=value, key=key, headers=headers, on_delivery=lambda error, _: failures.append(error)
        )
        producer.poll(0)
    producer.flush(60)
    took_s = perf_counter() - started
    assert failures == [None] * len(messages)
    return len(messages) / took_s


def a_topic(kafka: PythonKafka, prefix: str) -> str:
    topic = topic_of(prefix, "attempt")
    with kafka.admin() as admin:
        admin.ensure_topics([NewTopic(topic, PARTITIONS)])
    return topic
