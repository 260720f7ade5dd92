"""Consumers against each broker, fed by a real relay: each event takes effect once and in order.

Whoever joins, leaves or loses what it had. Who is killed: see test_group_members.py.
"""

import psycopg
import pytest

from infra.kafka.dead_letters import DEAD_LETTER_SUFFIX, DeadLetter, TopicDeadLetters
from infra.kafka.topics import topic_of
from tests.support.api import eventually
from tests.support.brokers import BROKERS, Broker, fresh_prefix, kafka_of
from tests.support.consuming import ALL_PARTITIONS, ARRIVES_S, Place, a_handler, has, whole_topic, writing
from tests.support.witness import Witness, assert_each_took_effect_once_and_in_order

pytestmark = pytest.mark.parametrize("broker", BROKERS, indirect=True)


@pytest.fixture
def place(database: str, broker: Broker) -> Place:
    return Place(database, broker)


def test_every_event_takes_effect_once_and_the_lag_goes_to_zero(place: Place):
    first = place.writer.write(300)
    with place.relaying(), place.consuming() as member:
        place.reaches(first)
        last = place.writer.write(100)
        place.reaches(last)
        eventually(lambda: has(member, ALL_PARTITIONS), within_s=ARRIVES_S)
        eventually(lambda: set(member.lags().values()) == {0.0}, within_s=ARRIVES_S)
        assert set(member.lags("seconds").values()) == {0.0}
        assert member.metric("events_handled_total") == 400
    assert member.lags() == {}, "who has ended has no lag"
    assert_each_took_effect_once_and_in_order(place.database)


def test_who_begins_again_goes_on_where_it_was_and_who_reads_everything_again_changes_nothing(place: Place):
    with place.relaying():
        for count in (150, 50):
            last = place.writer.write(count)
            with place.consuming() as member:
                place.reaches(last)
    assert member.metric("messages_passed_over_total") < 150, "the group has kept no offsets"
    with place.consuming(group=f"{place.prefix}.another") as member:
        eventually(lambda: member.metric("messages_passed_over_total") == 200, within_s=ARRIVES_S)
    assert_each_took_effect_once_and_in_order(place.database)


def test_members_that_join_and_leave_share_the_work_and_lose_nothing(place: Place):
    with place.relaying(), place.consuming() as stays, writing(place):
        eventually(lambda: has(stays, ALL_PARTITIONS), within_s=ARRIVES_S)
        with place.consuming() as leaves:
            eventually(lambda: 0 < len(leaves.lags()) < ALL_PARTITIONS, within_s=ARRIVES_S)
            eventually(lambda: len(stays.lags()) + len(leaves.lags()) == ALL_PARTITIONS, within_s=ARRIVES_S)
            eventually(lambda: leaves.metric("events_handled_total") > 0, within_s=ARRIVES_S)
        eventually(lambda: has(stays, ALL_PARTITIONS), within_s=ARRIVES_S)
    with place.relaying(), place.consuming():
        place.reaches(place.writer.write(1))
    assert_each_took_effect_once_and_in_order(place.database)


def test_what_a_broker_has_lost_is_sent_again_and_takes_no_effect_twice(place: Place):
    first = place.writer.write(200)
    with place.relaying(), place.consuming() as member:
        place.reaches(first)
        place.broker.kill()
        place.broker.lose_data()
        second = place.writer.write(100)
        place.broker.start()
        place.reaches(second)
        eventually(lambda: has(member, ALL_PARTITIONS), within_s=ARRIVES_S)
        eventually(lambda: set(member.lags().values()) == {0.0}, within_s=ARRIVES_S)
        place.reaches(place.writer.write(50))
    assert_each_took_effect_once_and_in_order(place.database)


def test_a_letter_is_as_large_as_the_message_it_came_from(broker: Broker):
    kafka, topic = kafka_of(broker), f"{fresh_prefix()}.user.v1"
    letters = TopicDeadLetters(kafka)
    letters.put(DeadLetter("someone", topic, 0, "too bad", 4, key=b"k", value=b"x" * 5_000_000))
    letters.close()
    [letter] = whole_topic(kafka, topic + DEAD_LETTER_SUFFIX)
    assert (len(letter.value or b""), letter.headers["dlq_error"]) == (5_000_000, b"too bad")


class Refuses(Witness):
    """Cannot apply the event at one position."""

    def __init__(self, position: int) -> None:
        self._position = position

    def apply(self, cursor, events):
        if any(each.position == self._position for each in events):
            cursor.execute("SELECT 1 / 0")
        super().apply(cursor, events)


def test_what_cannot_be_read_or_applied_goes_to_the_dead_letter_topic_and_the_rest_goes_on(place: Place):
    first = place.writer.write(100)
    with psycopg.connect(place.database) as admin:
        [[poison, stream]] = admin.execute(
            "SELECT p.position, e.stream_id FROM log.positions p JOIN log.events e USING (append_id)"
            " WHERE p.position > 50 AND e.stream_id LIKE 'user-%' LIMIT 1"
        ).fetchall()
    refusing = a_handler(place.database, place.prefix, Refuses(poison))
    with place.relaying(), place.consuming(handler=refusing) as member:
        eventually(lambda: member.metric("dead_letters_total") == 1, within_s=ARRIVES_S)
        with place.kafka.producer() as stranger:
            stranger.send(topic_of(place.prefix, "user"), b"stray", b"{", [("who", b"knows")], partition=0)
            stranger.flush(10)
        eventually(lambda: member.metric("dead_letters_total") == 2, within_s=ARRIVES_S)
        place.reaches(first)
        place.reaches(place.writer.write(50))
        eventually(lambda: set(member.lags().values()) == {0.0}, within_s=ARRIVES_S)

    given_up, stray = place.dead_letters("user")
    assert given_up.key == stream.encode()
    assert given_up.headers["dlq_error"].startswith(b"DivisionByZero")
    assert given_up.headers["dlq_position"] == given_up.headers["position"] == str(poison).encode()
    assert given_up.headers["dlq_attempts"] == b"4"
    assert (stray.key, stray.value, stray.headers["who"]) == (b"stray", b"{", b"knows")
    assert stray.headers["dlq_error"] == b"the header 'position' is missing"
    assert stray.headers["dlq_consumer"] == b"witness"
    assert_each_took_effect_once_and_in_order(place.database, without=(poison,))
