"""Rows that Kafka has brought further than their checkpoint: nobody takes that for a fault."""

from random import Random

import psycopg
import pytest
from psycopg.rows import dict_row

from infra.composition import event_codec
from infra.event_store.log_feed import LogFeed
from infra.postgres.roles import PROJECTOR, role_conninfo
from infra.projections import ahead
from infra.projections.ahead import RowsAhead
from infra.projections.checker import Checker
from infra.projections.rebuild import rebuild, verify
from projections.audit.projection import AuditProjection
from tests.support.postgres import ROLE_SECRET
from tests.support.stored_story import store
from tests.support.story import a_whole_story

AUDIT = AuditProjection()


@pytest.fixture
def connect(database):
    conninfo = role_conninfo(database, PROJECTOR, ROLE_SECRET)
    return lambda: psycopg.connect(conninfo, autocommit=True, row_factory=dict_row)


@pytest.fixture
def connection(connect):
    with connect() as opened:
        yield opened


@pytest.fixture
def feed(database):
    story = a_whole_story()
    store(database, story)
    with LogFeed(role_conninfo(database, PROJECTOR, ROLE_SECRET), event_codec()) as opened:
        yield opened


@pytest.fixture
def end(connection, feed):
    """The position up to which the rows are there; the checkpoint and one partition are far behind."""
    rebuild(AUDIT, feed, connection)
    end = feed.head()
    connection.execute("UPDATE ops.projections SET position = %s", [end // 2])
    for partition, position in enumerate([end // 2, end]):
        connection.execute(
            "INSERT INTO ops.consumer_partitions (consumer, topic, partition, position, row_table)"
            " VALUES ('audit', 'megacity.attempt.v1', %s, %s, 'read.audit_entries'::regclass::oid)",
            [partition, position],
        )
    return end


def catch_up(connection, end):
    connection.execute("UPDATE ops.projections SET position = %s", [end])


def checked(connect):
    return Checker(connect, event_codec(), [AUDIT], random=Random(5)).check(AUDIT, 20)


def test_the_checker_judges_rows_only_once_they_are_at_rest(connect, connection, end):
    found = checked(connect)
    assert (found.differences, found.streams) == ([], 0)
    assert found.not_comparable == ["Kafka has brought some of the rows further than others"]

    catch_up(connection, end)
    found = checked(connect)
    assert found.differences == []
    assert found.streams > 0


def test_a_verification_waits_until_they_are_at_rest(monkeypatch, connection, feed, end):
    monkeypatch.setattr(ahead, "WAITS_S", 0.3)
    with pytest.raises(RowsAhead, match="audit is fed by Kafka"):
        verify(AUDIT, feed, connection)

    catch_up(connection, end)
    assert verify(AUDIT, feed, connection).agrees


def test_a_rebuild_does_not_compare_with_rows_that_are_further(connection, feed, end):
    connection.execute("UPDATE ops.projections SET position = %s", [end])
    connection.execute("UPDATE ops.consumer_partitions SET position = %s WHERE partition = 1", [end + 5])
    connection.execute(
        "INSERT INTO read.audit_entries SELECT (r).* FROM (SELECT jsonb_populate_record(a,"
        " jsonb_build_object('position', %s::bigint)) AS r FROM read.audit_entries a LIMIT 1) AS one",
        [end + 5],
    )
    certificate = rebuild(AUDIT, feed, connection)
    assert certificate.agrees is None
    assert certificate.position == end

    assert rebuild(AUDIT, feed, connection).agrees is True
