"""Fault 13 for long: a Kafka that is killed, loses everything, sends twice and mixes up its partitions.

The brokers are real where they are killed; what one does only on its worst days is done by one in memory.
"""

import random
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from tests.integration.kafka.test_consumer import Place
from tests.support.api import eventually
from tests.support.brokers import BROKERS, fresh_prefix, kafka_of
from tests.support.consumed_story import MemoryBroker, StoryRelay
from tests.support.memory_kafka import MemoryKafka
from tests.support.postgres import CHECKOUT
from tests.support.relayed import Writer, a_relay, assert_all_of_the_log_is_there, projector, running
from tests.support.story import a_whole_story
from tests.support.tallies import make_tallies

ARRIVES_S = 120


@contextmanager
def somebody_writes(writer, pause_s):
    """All the time, until the block ends."""
    over = threading.Event()

    def write():
        while not over.wait(pause_s):
            writer.write(50)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def a_relay_process(database, broker, prefix):
    words = [projector(database), broker.bootstrap_servers, prefix]
    process = subprocess.Popen([sys.executable, "-m", "tests.support.relay_process", *words], cwd=CHECKOUT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("broker", BROKERS, indirect=True)
def test_brokers_and_relays_that_are_killed_and_lose_what_they_had_leave_nothing_out(
    broker, database, scaled
):
    chance, moment = random.Random(), threading.Event()
    kafka, prefix, writer = kafka_of(broker), fresh_prefix(), Writer(database)
    with somebody_writes(writer, pause_s=0.2):
        for _ in range(scaled(30)):
            with a_relay_process(database, broker, prefix):
                moment.wait(chance.random() * 6)
                if chance.random() < 0.7:
                    broker.kill()
                    if chance.random() < 0.5:
                        broker.lose_data()
                    moment.wait(chance.random() * 2)
                    broker.start()
                    moment.wait(chance.random() * 3)
    last = writer.write(50)
    with running(a_relay(database, kafka, prefix)) as relay:
        eventually(lambda: relay.position == last, within_s=ARRIVES_S)
        # What was lost before it came is noticed when it looks for it.
        eventually(lambda: is_there(database, kafka, prefix), within_s=ARRIVES_S, every_s=1.0)
    assert_all_of_the_log_is_there(database, kafka, prefix, after_loss=True)


def is_there(database, kafka, prefix):
    try:
        assert_all_of_the_log_is_there(database, kafka, prefix, after_loss=True)
    except AssertionError:
        return False
    return True


def test_messages_refused_forgotten_and_lost_in_any_order_are_sent_again(database, scaled):
    chance, kafka, writer = random.Random(), MemoryKafka(), Writer(database)
    for _ in range(scaled(150)):
        match chance.randrange(4):
            case 0:
                kafka.refuses_after = chance.randrange(80)
            case 1:
                kafka.forgets_to_acknowledge_after = chance.randrange(80)
            case 2 if kafka.messages:
                partition = chance.choice(list(kafka.messages))
                kafka.lose(partition, keep=chance.randrange(len(kafka.messages[partition]) + 1))
            case _:
                pass
        last = writer.write(chance.randrange(1, 100))
        with running(a_relay(database, kafka, "faulty")) as relay:
            eventually(lambda: relay.position == last, within_s=ARRIVES_S)  # noqa: B023 - asked at once
    assert_all_of_the_log_is_there(database, kafka, "faulty", after_loss=True)


def test_consumers_of_what_comes_twice_in_any_order_or_not_at_all_count_each_event_once(database, scaled):
    chance = random.Random()
    make_tallies(database)
    story, kafka = a_whole_story(scaled(400) + 12), MemoryBroker()
    relay = StoryRelay(story, kafka, database)
    place = Place(database, story, kafka, relay)
    kafka.order = lambda partitions: chance.sample(partitions, len(partitions))
    end = len(story.events)
    while relay.position < end:
        with place.consuming(batch_size=chance.choice([3, 37, 500])):
            for _ in range(chance.randrange(1, 8)):
                match chance.randrange(5):
                    case 0:
                        relay.relay(after=chance.randrange(relay.position + 1), up_to=relay.position)
                    case 1:
                        kafka.lose_everything()
                        if chance.random() < 0.5:
                            relay.relay(after=0, up_to=relay.position)
                    case 2:
                        kafka.down = True
                        threading.Event().wait(chance.random() * 0.2)
                        kafka.down = False
                    case _:
                        relay.relay(up_to=min(end, relay.position + chance.randrange(1, 100)))
            reached = chance.randrange(relay.position + 1)
            eventually(lambda: place.checkpoint() >= reached, within_s=ARRIVES_S)  # noqa: B023 - asked at once
    with place.consuming():
        eventually(place.caught_up, within_s=ARRIVES_S)
    assert place.is_complete()
