"""A consumer without a broker: the same handlers, fed by the log."""

from contextlib import contextmanager

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from psycopg.rows import dict_row

from infra.event_store.log_feed import LogFeed
from infra.kafka.dead_letters import TableDeadLetters
from infra.kafka.delivery import LOG
from infra.kafka.kept_positions import keep, kept_everywhere, read_or_begin
from infra.kafka.log_consumer import LogConsumer
from infra.kafka.projection_consumer import ProjectionHandler, read_from_log
from infra.observability.consumer_metrics import ConsumerMetrics
from tests.support.api import eventually
from tests.support.event_logs import CODEC
from tests.support.relayed import Writer, append_rows, projector
from tests.support.sequencing import sequenced
from tests.support.witness import (
    Witness,
    assert_each_took_effect_once_and_in_order,
    make_witnessed,
    witnessed,
)

CHANGED = "user.profile_changed.v1"


@pytest.fixture
def log(database):
    make_witnessed(database)
    return database


def connect(log):
    return psycopg.connect(projector(log), autocommit=True, row_factory=dict_row)


@contextmanager
def following(log, projection=None, *, feed=None, **options):
    registry = CollectorRegistry()
    handler = ProjectionHandler(projection or Witness(), lambda: connect(log), read_from_log)
    with LogFeed(projector(log), CODEC) as own_feed:
        consumer = LogConsumer(
            handler,
            feed or own_feed,
            TableDeadLetters(lambda: connect(log)),
            metrics=ConsumerMetrics.create(registry),
            **options,
        )
        consumer.start()
        try:
            yield registry
        finally:
            assert consumer.stop()
            handler.close()


def checkpoint(log) -> int:
    with psycopg.connect(log) as admin:
        rows = admin.execute("SELECT position FROM ops.projections WHERE name = 'witness'").fetchall()
    return rows[0][0] if rows else 0


def reaches(log, position: int) -> None:
    eventually(lambda: checkpoint(log) == position, within_s=30)


def test_every_event_takes_effect_once_and_the_lag_goes_to_zero(log):
    writer = Writer(log)
    writer.write(200)
    for _ in range(2):
        with following(log, batch_size=17) as registry:
            last = writer.write(50)
            reaches(log, last)
            labels = {"consumer": "witness", "topic": LOG.topic, "partition": str(LOG.partition)}
            eventually(lambda: registry.get_sample_value("megacity_consumer_lag_events", labels) == 0.0)  # noqa: B023 - asked at once
    assert_each_took_effect_once_and_in_order(log)


def test_the_checkpoint_follows_although_there_is_always_more(log):
    """Readers wait for it: it may not wait for a pause."""
    last = Writer(log).write(120)
    with LogFeed(projector(log), CODEC) as feed:
        read = feed.read

        def seen_in_the_checkpoint(after, *args, **options):
            if after == 100:
                eventually(lambda: checkpoint(log) > 0)
            return read(after, *args, **options)

        feed.read = seen_in_the_checkpoint
        # Slower than a checkpoint is moved, so that there is time for one before the end.
        with following(log, Slowly(), feed=feed, batch_size=10):
            reaches(log, last)
    assert_each_took_effect_once_and_in_order(log)


class Slowly(Witness):
    def apply(self, cursor, events):
        cursor.execute("SELECT pg_sleep(0.05)")
        super().apply(cursor, events)


class Refuses(Witness):
    def __init__(self, position: int) -> None:
        self._position = position

    def apply(self, cursor, events):
        if any(each.position == self._position for each in events):
            cursor.execute("SELECT 1 / 0")
        super().apply(cursor, events)


def test_what_cannot_be_read_or_applied_is_kept_as_a_dead_letter_and_the_rest_goes_on(log):
    writer = Writer(log)
    writer.write(40)
    append_rows(log, [("attempt-a", 1, CHANGED, b"{}", b"not even JSON")])
    unreadable = sequenced(log)
    last = writer.write(20)
    with following(log, Refuses(30)):
        reaches(log, last)
    with psycopg.connect(log) as admin:
        letters = admin.execute(
            "SELECT position, type, attempts, split_part(error, ' ', 1) FROM ops.dead_letters"
            " ORDER BY position"
        ).fetchall()
    assert letters == [
        (30, CHANGED, 4, "DivisionByZero"),
        (unreadable, CHANGED, 1, "undecodable-event:"),
    ]
    assert witnessed(log) == last - 2
    assert_each_took_effect_once_and_in_order(log, without=(30, unreadable))


def test_a_position_is_not_kept_over_what_a_restored_database_lacks(log):
    with connect(log) as connection:
        read_or_begin(connection, "someone", LOG, 0)
        assert keep(connection, "someone", LOG, 0, 50)
        connection.execute("UPDATE ops.consumer_partitions SET position = 10")  # it came back from a backup
        assert not keep(connection, "someone", LOG, 50, 60)
        assert kept_everywhere(connection, "someone") == {LOG: 10}
        assert keep(connection, "someone", LOG, 10, 20)
        assert keep(connection, "someone", LOG, 10, 15), "somebody else is ahead, which is no gap"
        assert kept_everywhere(connection, "someone") == {LOG: 20}
