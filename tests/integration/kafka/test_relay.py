"""The relay against each broker: everything arrives, in order, whoever is killed and whatever is lost."""

import random
import subprocess
import sys
import threading

import psycopg
import pytest

from infra.observability.metrics import new_registry
from infra.observability.relay_metrics import RelayMetrics
from tests.support.api import eventually
from tests.support.brokers import BROKERS, Broker, fresh_prefix, kafka_of
from tests.support.postgres import CHECKOUT
from tests.support.relayed import (
    PARTITIONS,
    Writer,
    a_relay,
    append_rows,
    applied,
    assert_all_of_the_log_is_there,
    projector,
    read_all,
    running,
    the_log,
)
from tests.support.sequencing import sequenced

pytestmark = pytest.mark.parametrize("broker", BROKERS, indirect=True)

ARRIVES_S = 60


def test_every_event_arrives_once_in_the_order_of_its_stream_with_what_consumers_need(
    broker: Broker, database: str
):
    kafka, prefix = kafka_of(broker), fresh_prefix()
    last = Writer(database).write(500)

    with running(a_relay(database, kafka, prefix)) as relay:
        eventually(lambda: relay.position == last, within_s=ARRIVES_S)

    assert_all_of_the_log_is_there(database, kafka, prefix)
    found = read_all(kafka, prefix)
    assert sum(map(len, found.values())) == 500, "somebody was sent twice"
    rows = {row.position: row for row in the_log(database)}
    for partition, messages in found.items():
        previous = 0
        for message in messages:
            headers = {name: value.decode() for name, value in message.headers.items()}
            row = rows[int(headers["position"])]
            assert message.key == row.stream_id.encode()
            assert message.value == b'{"meta":' + row.meta + b',"data":' + row.payload + b"}"
            assert partition.topic == f"{prefix}.{row.stream_id.partition('-')[0]}.v1"
            assert headers.pop("event_id").encode() in row.meta
            assert headers == {
                "position": str(row.position),
                "previous_position": str(previous),
                "type": "user.profile_changed.v1",
                "schema_version": "1",
                "version": str(row.version),
                "correlation_id": "c",
            }
            previous = row.position


def test_what_this_release_cannot_read_travels_as_it_is_stored(broker: Broker, database: str):
    kafka, prefix = kafka_of(broker), fresh_prefix()
    meta = b'{"event_id":"e1","correlation_id":"c1","new":true}'
    append_rows(
        database,
        [
            ("attempt-a", 1, "attempt.started.v99", meta, b'{"unheard":"of"}'),
            ("attempt-a", 2, "attempt.levitated.v1", b"not even JSON", b"\xff\x00"),
            ("planet-p", 1, "planet.found.v1", meta, b"{}"),
        ],
    )
    sequenced(database)

    with running(a_relay(database, kafka, prefix)) as relay:
        eventually(lambda: relay.position == 3, within_s=ARRIVES_S)

    found = read_all(kafka, prefix, [f"{prefix}.attempt.v1", f"{prefix}.planet.v1"])
    newer, broken = next(messages for partition, messages in found.items() if "attempt" in partition.topic)
    (planet,) = next(messages for partition, messages in found.items() if "planet" in partition.topic)
    assert newer.value == b'{"meta":' + meta + b',"data":{"unheard":"of"}}'
    assert (newer.headers["schema_version"], newer.headers["event_id"]) == (b"99", b"e1")
    assert broken.value == b'{"meta":not even JSON,"data":\xff\x00}'
    assert "event_id" not in broken.headers
    assert planet.headers["position"] == b"3"


def test_events_written_while_it_runs_follow_by_themselves(broker: Broker, database: str):
    kafka, prefix = kafka_of(broker), fresh_prefix()
    writer = Writer(database)

    with running(a_relay(database, kafka, prefix)) as relay:
        for _ in range(5):
            last = writer.write(30)
            eventually(lambda: relay.position == last, within_s=ARRIVES_S)  # noqa: B023 - asked at once

    assert_all_of_the_log_is_there(database, kafka, prefix)


def test_while_kafka_is_down_the_lag_is_told_and_nothing_is_lost(broker: Broker, database: str):
    kafka, prefix = kafka_of(broker), fresh_prefix()
    registry = new_registry()
    writer = Writer(database)
    writer.write(100)
    broker.kill()

    with running(a_relay(database, kafka, prefix, metrics=RelayMetrics.create(registry))) as relay:
        eventually(lambda: registry.get_sample_value("megacity_relay_lag_events") == 100, within_s=ARRIVES_S)
        last = writer.write(100)
        eventually(lambda: registry.get_sample_value("megacity_relay_lag_events") == 200, within_s=ARRIVES_S)
        assert registry.get_sample_value("megacity_relay_lag_seconds") > 0
        assert registry.get_sample_value("megacity_relay_errors_total") > 0
        broker.start()
        eventually(lambda: relay.position == last, within_s=ARRIVES_S)
        eventually(lambda: registry.get_sample_value("megacity_relay_lag_events") == 0, within_s=ARRIVES_S)

    assert registry.get_sample_value("megacity_relay_events_published_total") == 200
    assert_all_of_the_log_is_there(database, kafka, prefix)


def test_a_broker_that_is_killed_in_mid_flight_and_comes_back_has_everything_in_order(
    broker: Broker, database: str
):
    kafka, prefix = kafka_of(broker), fresh_prefix()
    writer = Writer(database)
    writing = threading.Event()

    def write() -> None:
        while not writing.is_set():
            writer.write(100)

    thread = threading.Thread(target=write)
    with running(a_relay(database, kafka, prefix)) as relay:
        thread.start()
        try:
            eventually(lambda: relay.position > 50, within_s=ARRIVES_S)
            threading.Event().wait(random.uniform(0, 0.1))
            broker.kill()
            broker.start()
        finally:
            writing.set()
            thread.join()
        last = writer.write(1)
        eventually(lambda: relay.position == last, within_s=ARRIVES_S)

    # In the eyes of the relay; that Kafka has it all is looked at in Kafka.
    assert_all_of_the_log_is_there(database, kafka, prefix, after_loss=not broker.keeps_data)


def test_a_relay_that_is_killed_again_and_again_leaves_nothing_out(broker: Broker, database: str):
    kafka, prefix = kafka_of(broker), fresh_prefix()
    last = Writer(database).write(4000)
    command = [
        *(sys.executable, "-m", "tests.support.relay_process"),
        *(projector(database), broker.bootstrap_servers, prefix),
    ]
    reached = 0
    for _ in range(3):
        with subprocess.Popen(command, cwd=CHECKOUT) as process:
            eventually(lambda: cursor(database) > reached, within_s=ARRIVES_S)  # noqa: B023 - asked at once
            process.kill()
        reached = cursor(database)
    assert reached < last, "it was done before it was killed"

    with running(a_relay(database, kafka, prefix)) as relay:
        eventually(lambda: relay.position == last, within_s=ARRIVES_S)

    assert_all_of_the_log_is_there(database, kafka, prefix)


def cursor(database: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT position FROM ops.relays").fetchone()
    return 0 if row is None else row[0]


def test_what_a_broker_has_lost_is_sent_again(broker: Broker, database: str):
    kafka, prefix = kafka_of(broker), fresh_prefix()
    registry = new_registry()
    writer = Writer(database)
    first = writer.write(300)

    with running(a_relay(database, kafka, prefix, metrics=RelayMetrics.create(registry))) as relay:
        eventually(lambda: relay.position == first, within_s=ARRIVES_S)
        broker.kill()
        broker.lose_data()
        broker.start()
        # Nobody writes anything: it is noticed all the same.
        eventually(lambda: registry.get_sample_value("megacity_relay_rewinds_total") == 1, within_s=ARRIVES_S)
        published = "megacity_relay_events_published_total"
        eventually(lambda: registry.get_sample_value(published) == 600, within_s=ARRIVES_S)
        assert_all_of_the_log_is_there(database, kafka, prefix, after_loss=True)

        broker.kill()
        broker.lose_data()
        second = writer.write(200)
        broker.start()
        eventually(lambda: registry.get_sample_value("megacity_relay_rewinds_total") == 2, within_s=ARRIVES_S)
        eventually(lambda: relay.position == second, within_s=ARRIVES_S)

    assert_all_of_the_log_is_there(database, kafka, prefix, after_loss=True)
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT position, rewinds FROM ops.relays").fetchall() == [(second, 2)]


def test_what_a_broker_lost_while_no_relay_ran_is_sent_again(broker: Broker, database: str):
    kafka, prefix = kafka_of(broker), fresh_prefix()
    last = Writer(database).write(300)
    with running(a_relay(database, kafka, prefix)) as relay:
        eventually(lambda: relay.position == last, within_s=ARRIVES_S)
    broker.kill()
    broker.lose_data()
    broker.start()

    registry = new_registry()
    with running(a_relay(database, kafka, prefix, metrics=RelayMetrics.create(registry))) as relay:
        eventually(
            lambda: registry.get_sample_value("megacity_relay_events_published_total") == 300,
            within_s=ARRIVES_S,
        )

    assert_all_of_the_log_is_there(database, kafka, prefix)


def test_a_relay_that_has_nothing_to_repair_sends_nothing_again(broker: Broker, database: str):
    kafka, prefix = kafka_of(broker), fresh_prefix()
    writer = Writer(database)
    for count in (100, 50):
        last = writer.write(count)
        with running(a_relay(database, kafka, prefix)) as relay:
            eventually(lambda: relay.position == last, within_s=ARRIVES_S)  # noqa: B023 - asked at once

    found = read_all(kafka, prefix)
    assert sum(map(len, found.values())) == 150
    assert sum(len(applied(messages)) for messages in found.values()) == 150
    assert {partition.partition for partition in found} <= set(range(PARTITIONS))
