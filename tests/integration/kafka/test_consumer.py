"""A read model fed by Kafka: its rows are those of the log, whatever the broker does."""

import contextlib
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from psycopg.rows import dict_row

from infra.composition import event_codec
from infra.kafka import consumer as consumer_module
from infra.kafka.consumer import TopicConsumer
from infra.kafka.dead_letters import DEAD_LETTER_SUFFIX, TopicDeadLetters
from infra.kafka.port import Message, TopicPartition
from infra.kafka.projection_consumer import ProjectionHandler, relayed
from infra.observability.consumer_metrics import ConsumerMetrics
from infra.postgres.roles import PROJECTOR, role_conninfo
from infra.projections.checkpoints import ADVANCED_CHANNEL
from projections.audit.projection import AuditProjection
from projections.people.projection import PeopleProjection
from tests.support.api import eventually
from tests.support.consumed_story import PARTITIONS, MemoryBroker, StoryRelay, topics_of
from tests.support.postgres import ROLE_SECRET
from tests.support.projecting import broken_promises
from tests.support.story import StoryFeed, a_whole_story
from tests.support.tallies import Tallies, make_tallies, tallies, tallies_of


@dataclass
class Place:
    """A database, a story relayed to a Kafka in memory, and consumers of it."""

    conninfo: str
    story: object
    kafka: MemoryBroker
    relay: StoryRelay

    def __post_init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = ConsumerMetrics.create(self.registry)
        self.topics = topics_of(self.story)

    def connect(self):
        as_projector = role_conninfo(self.conninfo, PROJECTOR, ROLE_SECRET)
        return psycopg.connect(as_projector, autocommit=True, row_factory=dict_row)

    def handler(self, projection=None, handler_class=ProjectionHandler):
        names = [topic.name for topic in self.topics.values()]
        return handler_class(projection or Tallies(), self.connect, relayed("megacity", names))

    def consumer(self, handler=None, **changes) -> TopicConsumer:
        handler = handler or self.handler()
        given = {
            "handler": handler,
            "kafka": self.kafka,
            "topics": self.topics,
            "feed": StoryFeed(self.story),
            "codec": event_codec(),
            "dead_letters": TopicDeadLetters(self.kafka),
            "group": f"megacity.{handler.name}",
            "relay": "megacity",
            "missing_after_s": 0.5,
            "batch_size": 37,
            "metrics": self.metrics,
        }
        return TopicConsumer(**{**given, **changes})

    @contextmanager
    def consuming(self, *args, **changes) -> Iterator[TopicConsumer]:
        consumer = self.consumer(*args, **changes)
        consumer.start()
        try:
            yield consumer
        finally:
            assert consumer.stop()

    def checkpoint(self, name="tallies") -> int:
        with self.connect() as connection:
            row = connection.execute(
                "SELECT position FROM ops.projections WHERE name = %s", [name]
            ).fetchone()
            return 0 if row is None else row["position"]

    def is_complete(self) -> bool:
        return tallies(self.conninfo) == tallies_of(self.story)

    def caught_up(self, name="tallies") -> bool:
        return self.checkpoint(name) == len(self.story.events)

    def metric(self, name: str) -> float:
        return self.registry.get_sample_value(f"megacity_consumer_{name}", {"consumer": "tallies"}) or 0.0

    def dead_letters(self) -> list[Message]:
        return [
            message
            for topic in self.topics.values()
            for message in self.kafka.in_topic(topic.name + DEAD_LETTER_SUFFIX)
        ]


@pytest.fixture
def place(database):
    make_tallies(database)
    story, kafka = a_whole_story(), MemoryBroker()
    return Place(database, story, kafka, StoryRelay(story, kafka, database))


def test_every_event_takes_effect_once_and_the_checkpoint_follows(place):
    place.relay.relay()
    with place.consuming():
        eventually(place.caught_up)
    assert place.is_complete()
    assert place.metric("events_handled_total") == len(place.story.events)


def test_the_rows_of_the_audit_are_those_that_the_log_gives(place):
    place.relay.relay()
    with place.consuming(place.handler(AuditProjection())):
        eventually(lambda: place.caught_up("audit"))
    with place.connect() as connection:
        assert broken_promises(connection, AuditProjection(), place.story) == []


def test_readers_who_wait_are_told_when_the_checkpoint_moves(place):
    place.relay.relay()
    with place.connect() as listening:
        listening.execute(f"LISTEN {ADVANCED_CHANNEL}")
        with place.consuming():
            [told] = listening.notifies(timeout=20, stop_after=1)
    assert told.payload == "tallies"


def test_the_checkpoint_stays_behind_what_a_partition_has_not_applied(place):
    """One partition is not read at all: the rest of the log may not look done."""
    place.relay.relay()
    held = max(place.kafka.partitions, key=lambda at: len(place.kafka.partitions[at]))
    first = int(place.kafka.partitions[held][0].headers["position"])
    place.kafka.order = lambda partitions: [at for at in sorted(partitions) if at != held]
    with place.consuming(missing_after_s=60):
        expected = len(place.story.events) - len(place.kafka.partitions[held])
        eventually(lambda: sum(n for n, _ in tallies(place.conninfo).values()) == expected)
        assert place.checkpoint() < first
        place.kafka.order = sorted
        eventually(place.caught_up)
    assert place.is_complete()


def test_duplicates_and_replays_change_nothing(place):
    place.relay.relay()
    place.relay.relay(after=0)
    with place.consuming():
        eventually(place.caught_up)
        place.relay.relay(after=50)
        eventually(lambda: place.metric("messages_passed_over_total") >= 2 * len(place.story.events) - 50)
    assert place.is_complete()


def test_a_consumer_that_reads_everything_again_changes_nothing(place):
    place.relay.relay()
    with place.consuming():
        eventually(place.caught_up)
    place.kafka.committed.clear()
    with place.consuming():
        eventually(lambda: place.metric("messages_passed_over_total") == len(place.story.events))
    assert place.is_complete()


def test_partitions_that_come_in_any_order_give_the_same_rows(place):
    chance = random.Random(20261123)
    place.kafka.order = lambda partitions: chance.sample(partitions, len(partitions))
    for up_to in range(20, len(place.story.events) + 20, 20):
        place.relay.relay(up_to=min(up_to, len(place.story.events)))
    with place.consuming(batch_size=5):
        eventually(place.caught_up)
    assert place.is_complete()


def test_a_broker_that_lost_everything_and_is_filled_again_changes_nothing(place):
    place.relay.relay(up_to=100)
    with place.consuming():
        eventually(lambda: place.checkpoint() == 100)
        place.kafka.lose_everything()
        place.relay.relay(after=0)
        eventually(place.caught_up)
    assert place.is_complete()


def test_what_the_broker_lost_before_anybody_read_it_comes_from_the_log(place):
    """The relay has not noticed: newer messages stand where older ones are missing, or none come at all."""
    place.relay.relay(up_to=100)
    place.kafka.lose_everything()
    place.relay.relay()
    with place.consuming():
        eventually(place.caught_up)
    assert place.is_complete()
    assert place.metric("events_from_log_total") >= 100


def test_a_broker_that_is_down_is_waited_for(place):
    place.relay.relay()
    place.kafka.down = True
    with place.consuming():
        place.kafka.down = False
        eventually(lambda: place.checkpoint() > 0)
        place.kafka.down = True
        place.kafka.down = False
        eventually(place.caught_up)
    assert place.is_complete()


def test_a_database_that_comes_back_from_an_earlier_time_gets_what_it_lacks(place):
    """Rows and positions go back together; the group's offsets stay where they were."""
    place.relay.relay(up_to=100)
    with place.consuming():
        eventually(lambda: place.checkpoint() == 100)
    with psycopg.connect(place.conninfo) as admin:
        admin.execute("UPDATE ops.consumer_partitions SET position = 0")
        admin.execute("UPDATE ops.projections SET position = 0 WHERE name = 'tallies'")
        admin.execute("DELETE FROM read.tallies")
    place.relay.relay()
    with place.consuming():
        eventually(place.caught_up)
    assert place.is_complete()


def test_a_database_that_goes_back_while_the_consumer_runs_gets_what_it_lacks(place):
    place.relay.relay(up_to=100)
    with place.consuming():
        eventually(lambda: place.checkpoint() == 100)
        with psycopg.connect(place.conninfo) as admin:
            admin.execute("UPDATE ops.consumer_partitions SET position = 0")
            admin.execute("UPDATE ops.projections SET position = 0 WHERE name = 'tallies'")
            admin.execute("DELETE FROM read.tallies")
        place.relay.relay()
        eventually(place.caught_up)
    assert place.is_complete()


def test_two_consumers_of_the_same_partitions_do_not_count_twice(place):
    """As when one that was thought dead wakes up: the database decides."""
    place.relay.relay()
    with place.consuming(batch_size=7), place.consuming(batch_size=11):
        eventually(place.caught_up)
    assert place.is_complete()


def test_killed_connections_are_replaced(place):
    stopped = threading.Event()

    def keep_killing() -> None:
        with psycopg.connect(place.conninfo, autocommit=True) as admin:
            while not stopped.wait(0.02):
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE usename = 'megacity_projector' AND datname = current_database()"
                )

    killer = threading.Thread(target=keep_killing)
    killer.start()
    try:
        with place.consuming(batch_size=9):
            for up_to in range(30, len(place.story.events), 30):
                with contextlib.suppress(psycopg.OperationalError):
                    place.relay.relay(up_to=up_to)
            eventually(lambda: place.metric("outages_total") > 0)
            stopped.set()
            killer.join()
            place.relay.relay()
            eventually(place.caught_up)
    finally:
        stopped.set()
        killer.join()
    assert place.is_complete()


def test_a_projection_that_was_fed_by_the_log_goes_on_from_there(place):
    """What its checkpoint covers has taken effect; the partitions begin after it."""
    with place.connect() as connection:
        with connection.cursor() as cursor:
            Tallies().apply(cursor, place.story.events[:80])
        connection.execute("INSERT INTO ops.projections (name, version, position) VALUES ('tallies', 1, 80)")
    place.relay.relay()
    with place.consuming():
        eventually(place.caught_up)
    assert place.is_complete()


def test_rows_that_were_rebuilt_go_on_from_their_own_position(place):
    """Another table takes the place of the live one, with everything up to position 60 and nothing after."""
    place.relay.relay(up_to=100)
    with place.consuming():
        eventually(lambda: place.checkpoint() == 100)
        with psycopg.connect(place.conninfo) as admin:
            admin.execute("UPDATE ops.projections SET position = 60 WHERE name = 'tallies'")
            admin.execute("ALTER TABLE read.tallies RENAME TO tallies_of_before")
            admin.execute("CREATE TABLE read.tallies (LIKE read.tallies_of_before, PRIMARY KEY (stream_id))")
            admin.execute("ALTER TABLE read.tallies OWNER TO megacity_owner")
            admin.execute("GRANT ALL ON read.tallies TO megacity_projector")
            with admin.cursor() as cursor:
                Tallies().apply(cursor, place.story.events[:60])
        place.relay.relay()
        eventually(place.caught_up)
    assert place.is_complete()


def test_a_paused_projection_takes_nothing_until_it_is_resumed(place):
    with place.connect() as connection:
        connection.execute(
            "INSERT INTO ops.projections (name, version, status) VALUES ('tallies', 1, 'paused')"
        )
    place.relay.relay()
    with place.consuming():
        eventually(lambda: place.metric("outages_total") > 0)
        assert tallies(place.conninfo) == {}
        with place.connect() as connection:
            connection.execute("UPDATE ops.projections SET status = 'running'")
        eventually(place.caught_up)
    assert place.is_complete()


def test_a_projection_that_depends_on_the_order_of_events_is_refused(place):
    with pytest.raises(TypeError, match="people depends on the order"):
        place.handler(PeopleProjection())


def broken(message: Message, **changes) -> Message:
    headers = {**message.headers, **changes.pop("headers", {})}
    kept = {name: value for name, value in headers.items() if value is not None}
    return replace(message, headers=kept, **changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"value": b'{"meta": {'}, "the value is not what an event is stored as"),
        ({"value": b"\xff\xfe"}, "the value is not what an event is stored as"),
        ({"value": b"null"}, "the value is not what an event is stored as"),
        ({"value": b'{"meta": {}, "data": {}}'}, "undecodable-event"),
        ({"value": None}, "the message has no key or no value"),
        ({"value": b" " * (9 * 1024 * 1024)}, "more than one event can hold"),
        ({"key": b"nobody"}, "the key is no stream id"),
        ({"key": b"\xff"}, "must be UTF-8"),
        ({"headers": {"version": None}}, "the header 'version' is missing"),
        ({"headers": {"version": b"two"}}, "the header 'version' is no number"),
        ({"headers": {"type": None}}, "the header 'type' is missing"),
        ({"headers": {"type": b"user.something_else.v1"}}, "unknown-event-type"),
        ({"headers": {"type": b"user.registered.v99"}}, "future-schema-version"),
    ],
)
def test_a_message_that_cannot_be_read_becomes_a_dead_letter_and_the_rest_goes_on(place, changes, reason):
    bad = next(each for each in place.story.events if each.recorded.category == "user").position
    messages = place.relay.messages()
    at, message = messages[bad - 1]
    messages[bad - 1] = (at, broken(message, **changes))
    place.relay.send(messages, up_to=len(messages))
    with place.consuming():
        eventually(place.caught_up)

    unknown = changes.get("headers", {}).get("type") == b"user.something_else.v1"
    letters = place.dead_letters()
    if unknown:
        # Nobody asked for it: a consumer is given what it wants, and passes over the rest.
        assert letters == []
    else:
        [letter] = letters
        assert reason in letter.headers["dlq_error"].decode()
        assert letter.headers["dlq_consumer"] == b"tallies"
        assert letter.headers["dlq_position"] == str(bad).encode()
        assert letter.headers["dlq_attempts"] == b"1"
        assert letter.topic == "megacity.user.v1.dlq"
    assert tallies(place.conninfo) == tallies_of(place.story, without=(bad,))
    assert place.metric("dead_letters_total") == len(letters)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"position": None}, "the header 'position' is missing"),
        ({"position": b"-5"}, "the header 'position' is no number"),
        ({"position": b"9" * 30}, "the header 'position' is no number"),
        ({"position": "٣".encode()}, "the header 'position' is no number"),
        ({"previous_position": None}, "the header 'previous_position' is missing"),
        ({"previous_position": b"999999"}, "does not come after"),
    ],
)
def test_a_message_without_a_place_in_the_log_becomes_a_dead_letter_and_loses_nothing(place, headers, reason):
    """Somebody else wrote to the topic, beside what the relay wrote."""
    place.relay.relay(up_to=100)
    at, stray = place.relay.messages()[40]
    place.kafka.put(at, broken(stray, headers=headers))
    place.relay.relay()
    with place.consuming():
        eventually(place.caught_up)
    [letter] = place.dead_letters()
    assert reason in letter.headers["dlq_error"].decode()
    assert letter.value == stray.value
    assert place.is_complete()


def test_a_message_beyond_the_end_of_the_log_becomes_a_dead_letter_and_is_not_counted_from(place):
    """Another system writes to the same topics. To keep its position is to pass over all that is to come."""
    place.relay.relay(up_to=100)
    at, stray = place.relay.messages()[40]
    beyond = str(len(place.story.events) + 7).encode()
    place.kafka.put(at, broken(stray, headers={"position": beyond, "previous_position": b"0"}))
    with place.consuming():
        eventually(lambda: place.checkpoint() == 100)
        place.relay.relay()
        eventually(place.caught_up)
    [letter] = place.dead_letters()
    assert b"is of another log" in letter.headers["dlq_error"]
    assert place.is_complete()


def test_topics_that_come_back_have_the_partitions_that_the_relay_insists_on(place):
    """Whatever a new topic would be given today: else the relay could not go on."""
    place.relay.relay()
    place.kafka.lose_everything()
    place.kafka.counts.clear()
    today = {category: replace(topic, partitions=17) for category, topic in place.topics.items()}
    with place.consuming(topics=today):
        eventually(place.caught_up)
    assert set(place.kafka.counts.values()) == {PARTITIONS}


def test_a_member_without_partitions_joins_anew_where_something_waits_for_nobody(place, monkeypatch):
    monkeypatch.setattr(consumer_module, "LEFT_OUT_AFTER_S", 0.2)
    place.kafka.leaves_out = 1
    with place.consuming():
        eventually(lambda: place.kafka.leaves_out == 0)
        place.relay.relay()
        eventually(place.caught_up)
    assert place.is_complete()


def test_a_consumer_ends_in_the_middle_of_what_it_reads_from_the_log(place):
    """Millions may be missing: nobody waits for all of them."""
    place.relay.relay(up_to=100)
    place.kafka.lose_everything()
    place.relay.relay()
    feed = StoryFeed(place.story)
    reading, may_go_on, read, asked = threading.Event(), threading.Event(), feed.read, []

    def slowly(*args, **options):
        asked.append(args)
        reading.set()
        may_go_on.wait()
        return read(*args, **options)

    feed.read = slowly
    consumer = place.consumer(feed=feed, batch_size=2)
    consumer.start()
    assert reading.wait(20)
    consumer._stopping.set()
    may_go_on.set()
    assert consumer.stop()
    assert len(asked) == 1


def test_a_letter_that_no_broker_takes_is_written_without_its_value(place):
    bad = place.story.events[0].position
    place.kafka.largest = 1_000_000
    messages = place.relay.messages()
    at, message = messages[bad - 1]
    messages[bad - 1] = (at, replace(message, value=b" " * 2_000_000))
    place.relay.send(messages, up_to=len(messages))
    with place.consuming():
        [letter] = eventually(place.dead_letters)
    assert letter.value is None
    assert letter.headers["dlq_value_left_out"] == b"true"
    assert letter.headers["dlq_offset"] == b"0"


class Refuses(Tallies):
    """Cannot apply the event at one position."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.tries = 0

    def apply(self, cursor, events):
        if any(each.position == self.position for each in events):
            self.tries += 1
            cursor.execute("SELECT 1 / 0")
        super().apply(cursor, events)


def test_an_event_that_cannot_be_applied_is_tried_a_few_times_and_becomes_a_dead_letter(place):
    projection = Refuses(position=30)
    place.relay.relay()
    with place.consuming(place.handler(projection)):
        eventually(place.caught_up)
    [letter] = place.dead_letters()
    assert letter.headers["dlq_error"].startswith(b"DivisionByZero")
    assert letter.headers["dlq_attempts"] == b"4"
    assert letter.headers["position"] == letter.headers["dlq_position"] == b"30"
    assert 4 <= projection.tries <= 5  # once with its batch
    assert tallies(place.conninfo) == tallies_of(place.story, without=(30,))


def test_an_outage_is_waited_out_and_nothing_becomes_a_dead_letter(place):
    class AwayForAWhile(Tallies):
        calls = 0

        def apply(self, cursor, events):
            type(self).calls += 1
            if self.calls <= 6:
                cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'full' USING ERRCODE = 'disk_full'; END $$")
            super().apply(cursor, events)

    place.relay.relay()
    with place.consuming(place.handler(AwayForAWhile())):
        eventually(place.caught_up)
    assert place.dead_letters() == []
    assert place.metric("outages_total") == 6
    assert place.is_complete()


def test_a_dead_letter_that_cannot_be_written_holds_its_event_back(place):
    place.relay.relay()
    refusing = TopicDeadLetters(replace(place.kafka, down=True))
    with place.consuming(place.handler(Refuses(position=30)), dead_letters=refusing):
        eventually(lambda: place.metric("outages_total") > 0)
        with place.connect() as connection:
            at = place.relay.messages()[29][0]
            [row] = connection.execute(
                "SELECT position FROM ops.consumer_partitions WHERE topic = %s AND partition = %s", list(at)
            ).fetchall()
        assert row["position"] < 30
        refusing._kafka.down = False
        eventually(place.caught_up)
    assert [letter.headers["dlq_position"] for letter in refusing._kafka.in_topic(at.topic + ".dlq")] == [
        b"30"
    ]


class ForgetsEffects(ProjectionHandler):
    """Keeps the position before the effects, in a transaction of its own, and is interrupted once."""

    was_interrupted = False

    def handle(self, partition: TopicPartition, after, events, up_to):
        super().handle(partition, after, [], up_to)
        if events and not self.was_interrupted:
            self.was_interrupted = True
            raise psycopg.OperationalError("killed between the position and the effects")
        super().handle(partition, up_to, events, up_to)


class CountsTwice(ProjectionHandler):
    """Leaves the comparison with the kept position out."""

    def handle(self, partition: TopicPartition, after, events, up_to):
        super().handle(partition, after, [], up_to)
        with self._database.connection() as connection, connection.cursor() as cursor:
            self._projection.apply(cursor, events)


def test_these_tests_would_notice_a_consumer_that_loses_effects(place):
    place.relay.relay()
    with place.consuming(place.handler(handler_class=ForgetsEffects)):
        eventually(place.caught_up)
    assert not place.is_complete()


def test_these_tests_would_notice_a_consumer_that_repeats_effects(place):
    place.relay.relay()
    with place.consuming(place.handler(handler_class=CountsTwice)), place.consuming():
        eventually(place.caught_up)
    with place.consuming(place.handler(handler_class=CountsTwice)):
        eventually(place.caught_up)
    assert not place.is_complete()
