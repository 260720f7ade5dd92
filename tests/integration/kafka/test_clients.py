"""The port over kafka-python, against each broker."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infra.kafka.port import KafkaUnreachable, MessageTooLarge, NewTopic, NotDelivered, TopicPartition
from infra.kafka.topics import partition_of
from tests.support.api import eventually
from tests.support.brokers import BROKERS, Broker, fresh_prefix, kafka_of

pytestmark = pytest.mark.parametrize("broker", BROKERS, indirect=True)


def a_topic(broker: Broker, partitions: int = 3) -> str:
    topic = f"{fresh_prefix()}.things.v1"
    with kafka_of(broker).admin() as admin:
        admin.ensure_topics([NewTopic(topic, partitions)])
    return topic


def everything(broker: Broker, topic: str, partitions: int, count: int) -> list:
    found = []
    with kafka_of(broker).consumer() as consumer:
        consumer.assign([TopicPartition(topic, each) for each in range(partitions)])

        def read() -> bool:
            found.extend(consumer.poll(0.1))
            return len(found) >= count

        eventually(read, within_s=20)
    return found


def test_what_is_sent_is_read_with_its_key_value_and_headers(broker: Broker):
    topic = a_topic(broker)
    with kafka_of(broker).producer() as producer:
        producer.send(topic, b"k", b"v", [("one", b"1"), ("two", b"")], partition=2)
        offsets = producer.delivery().wait(10)

    (message,) = everything(broker, topic, 3, 1)

    assert offsets == {TopicPartition(topic, 2): (0, 0)}
    assert (message.key, message.value, message.headers) == (b"k", b"v", {"one": b"1", "two": b""})
    assert (message.topic_partition, message.offset) == (TopicPartition(topic, 2), 0)


def test_a_message_without_a_partition_goes_where_our_own_hash_puts_its_key(broker: Broker):
    topic = a_topic(broker)
    keys = [f"attempt-{number}" for number in range(50)]
    with kafka_of(broker).producer() as producer:
        for key in keys:
            producer.send(topic, key.encode(), b"v")
        producer.flush(10)

    for message in everything(broker, topic, 3, len(keys)):
        assert message.partition == partition_of(message.key.decode(), 3)


def test_offsets_of_deliveries_follow_each_other(broker: Broker):
    topic = a_topic(broker, partitions=1)
    with kafka_of(broker).producer() as producer:
        for expected in ((0, 9), (10, 19)):
            for _ in range(10):
                producer.send(topic, b"k", b"v", partition=0)
            assert producer.delivery().wait(10) == {TopicPartition(topic, 0): expected}


def test_a_topic_that_is_there_keeps_its_partitions(broker: Broker):
    topic = a_topic(broker, partitions=3)

    with kafka_of(broker).admin() as admin:
        assert admin.ensure_topics([NewTopic(topic, 7)]) == {topic: 3}


def test_partitions_that_do_not_exist_have_no_end(broker: Broker):
    topic = a_topic(broker, partitions=1)

    with kafka_of(broker).admin() as admin:
        ends = admin.ends([TopicPartition(topic, 0), TopicPartition(topic, 5), TopicPartition("nowhere", 0)])

    assert ends == {TopicPartition(topic, 0): 0}


def test_nobody_makes_a_topic_by_asking_for_it(broker: Broker):
    topic = f"{fresh_prefix()}.things.v1"
    kafka = kafka_of(broker)

    with kafka.producer() as producer, pytest.raises(KafkaUnreachable):
        producer.send(topic, b"k", b"v")
    with kafka.consumer(fresh_prefix()) as consumer:
        consumer.subscribe([topic], on_assigned=lambda _: None, on_revoked=lambda _: None)
        consumer.poll(1.0)

    with kafka.admin() as admin:
        assert admin.ensure_topics([NewTopic(topic, 7)]) == {topic: 7}


def test_a_message_that_is_too_large_is_refused_before_it_is_sent(broker: Broker):
    topic = a_topic(broker)
    with kafka_of(broker).producer() as producer, pytest.raises(MessageTooLarge):
        producer.send(topic, b"k", b"x" * 10 * 1024 * 1024)


def test_a_large_event_passes_where_the_topic_allows_it(broker: Broker):
    topic = f"{fresh_prefix()}.things.v1"
    with kafka_of(broker).admin() as admin:
        admin.ensure_topics([NewTopic(topic, 1, config={"max.message.bytes": str(9 * 1024 * 1024)})])
    with kafka_of(broker).producer() as producer:
        producer.send(topic, b"k", b"x" * 8 * 1024 * 1024, partition=0)
        producer.flush(10)

    (message,) = everything(broker, topic, 1, 1)

    assert len(message.value) == 8 * 1024 * 1024


def test_after_a_failure_nothing_more_is_sent(broker: Broker):
    topic = a_topic(broker, partitions=1)
    with kafka_of(broker).producer() as producer:
        producer.send(topic, b"k", b"before", partition=0)
        producer.flush(10)
        broker.kill()
        producer.send(topic, b"k", b"lost", partition=0)
        with pytest.raises(NotDelivered):
            producer.flush(20)
        broker.start()
        with kafka_of(broker).admin() as admin:
            admin.ensure_topics([NewTopic(topic, 1)])

        with pytest.raises(NotDelivered):
            producer.send(topic, b"k", b"after", partition=0)

    kept = [b"before"] if broker.keeps_data else []
    assert [message.value for message in everything(broker, topic, 1, len(kept))] == kept


@contextmanager
def a_member(broker: Broker, group: str, topic: str) -> Iterator[set[TopicPartition]]:
    """The partitions that a member of the group has, as they come and go."""
    held: set[TopicPartition] = set()
    leaving = threading.Event()

    def take_part() -> None:
        with kafka_of(broker).consumer(group) as consumer:
            consumer.subscribe([topic], on_assigned=held.update, on_revoked=held.difference_update)
            while not leaving.is_set():
                consumer.poll(0.5)

    member = threading.Thread(target=take_part)
    member.start()
    try:
        yield held
    finally:
        leaving.set()
        member.join()


def test_two_members_of_a_group_share_the_partitions_and_one_takes_over_from_the_other(broker: Broker):
    topic, group = a_topic(broker, partitions=4), fresh_prefix()
    everything = {TopicPartition(topic, each) for each in range(4)}

    with a_member(broker, group, topic) as ann:
        eventually(lambda: ann == everything, within_s=30)
        with a_member(broker, group, topic) as ben:
            eventually(lambda: len(ann) == len(ben) == 2 and ann | ben == everything, within_s=30)
        eventually(lambda: ann == everything, within_s=30)
