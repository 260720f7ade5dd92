"""Members of a group that are killed or find no topics.

Each against the one broker that has the difficulty, or is quick enough: `make soak` has the other one too.
"""

import pytest

from infra.kafka.port import NewTopic, TopicPartition
from tests.support.api import eventually
from tests.support.brokers import Broker, fresh_prefix, kafka_of
from tests.support.consuming import ALL_PARTITIONS, ARRIVES_S, Place, has, writing
from tests.support.witness import assert_each_took_effect_once_and_in_order, witnessed


@pytest.mark.parametrize("broker", ["apache"], indirect=True)
def test_a_member_that_is_killed_leaves_nothing_out_and_nothing_half(database: str, broker: Broker):
    place = Place(database, broker)
    with place.relaying(), place.consuming() as stays:
        with writing(place):
            eventually(lambda: has(stays, ALL_PARTITIONS), within_s=ARRIVES_S)
            with place.consuming_in_another_process() as dies:
                eventually(lambda: 0 < len(stays.lags()) < ALL_PARTITIONS, within_s=ARRIVES_S)
                before = witnessed(database)
                eventually(lambda: witnessed(database) > before + 40, within_s=ARRIVES_S)
                dies.kill()
            eventually(lambda: has(stays, ALL_PARTITIONS), within_s=ARRIVES_S)
        place.reaches(place.writer.write(1))
    assert_each_took_effect_once_and_in_order(database)


# Tansu gives a member that joins again what it had, and nothing that is new.
@pytest.mark.parametrize("broker", ["tansu"], indirect=True)
def test_a_member_that_finds_no_topics_has_them_when_they_are_back(database: str, broker: Broker):
    place = Place(database, broker)
    first = place.writer.write(100)
    with place.consuming() as member:
        with place.relaying():
            place.reaches(first)
        place.broker.kill()
        place.broker.lose_data()
        place.broker.start()
        eventually(lambda: has(member, 0), within_s=ARRIVES_S)
        last = place.writer.write(100)
        with place.relaying():
            place.reaches(last)
            eventually(lambda: has(member, ALL_PARTITIONS), within_s=ARRIVES_S)
    assert_each_took_effect_once_and_in_order(place.database)


@pytest.mark.parametrize("broker", ["tansu"], indirect=True)
def test_a_consumer_ends_in_time_though_no_broker_answers(database: str, broker: Broker):
    place = Place(database, broker)
    first = place.writer.write(200)
    with place.relaying():
        with place.consuming() as member:
            place.reaches(first)
            place.broker.kill()
            assert member.consumer.stop(), "it waits for the broker"
        place.broker.start()
        last = place.writer.write(50)
        with place.consuming():
            place.reaches(last)
    assert_each_took_effect_once_and_in_order(place.database)


@pytest.mark.parametrize("broker", ["apache"], indirect=True)
def test_a_topic_that_comes_late_is_shared_out_however_short_the_polls_are(broker: Broker):
    kafka, topic, held = kafka_of(broker), f"{fresh_prefix()}.things.v1", set[TopicPartition]()
    with kafka.consumer(fresh_prefix()) as consumer:
        consumer.subscribe([topic], on_assigned=held.update, on_revoked=held.difference_update)
        for _ in range(15):
            consumer.poll(0.1)
        with kafka.admin() as admin:
            admin.ensure_topics([NewTopic(topic, 3)])

        def shared_out() -> bool:
            consumer.poll(0.001)
            return len(held) == 3

        eventually(shared_out, within_s=30, every_s=0.001)
