"""A log that is moved to lower transaction ids, is killed with its server, lives in a wrong time."""

import subprocess
from contextlib import contextmanager

import psycopg
import pytest

from infra.composition import event_codec, new_id
from infra.event_store.log_feed import LogFeed
from infra.postgres.binaries import wheel_binaries
from infra.postgres.migrate import migrate
from infra.postgres.roles import PROJECTOR, WRITER, ensure_database, role_conninfo
from infra.sequencer import sequencer as sequencing
from infra.sequencer.sequencer import Sequencer, sequence_all
from tests.support.api import eventually
from tests.support.faults.servers import faulty_server
from tests.support.postgres import ROLE_SECRET, shared_server
from tests.support.sequencing import (
    Tail,
    broken_promises,
    one_sequencer,
    order,
    put,
    sequenced,
    stepped,
    transaction_id,
    unsequenced,
    writer,
)


@pytest.fixture(scope="module")
def another_cluster():
    with shared_server() as server:
        yield server


def run(program, *arguments, stdin=None):
    made = subprocess.run(
        [wheel_binaries().bin_dir / program, *arguments], input=stdin, capture_output=True, check=False
    )
    return made.stdout, made.stderr.decode(), made.returncode


def restored(old, server, name):
    """The database, dumped and restored the usual way; the new one's conninfo."""
    ensure_database(server.admin_conninfo(), name)
    roles, *_ = run("pg_dumpall", "--roles-only", "--no-role-passwords", "--dbname", old)
    run("psql", "--quiet", "--dbname", server.admin_conninfo(), stdin=roles)
    dumped, complaints, failed = run("pg_dump", "--format=custom", "--dbname", old)
    assert not failed, complaints
    new = server.admin_conninfo(name)
    _, complaints, failed = run("pg_restore", "--exit-on-error", "--dbname", new, stdin=dumped)
    assert not failed, complaints
    migrate(new, role_secret=ROLE_SECRET)
    return new


def burn_transaction_ids(conninfo, count):
    with psycopg.connect(conninfo, autocommit=True) as admin:
        admin.execute(
            "DO $$ BEGIN FOR number IN 1.."
            + str(count)
            + " LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
        )


def newest_id(conninfo):
    with psycopg.connect(conninfo) as admin:
        return transaction_id(admin)


def a_log_with_a_late_append(database):
    """One event is committed late, and not sequenced yet; the other is. Their transaction ids are high."""
    burn_transaction_ids(database, 30_000)
    with (
        one_sequencer(database) as sequencer,
        writer(database) as quick,
        writer(database) as slow,
        quick.transaction(),
    ):
        transaction_id(quick)
        with slow.transaction():
            transaction_id(slow)
            put(slow, "test-late")
            put(quick, "test-quick")
            quick.execute("COMMIT")
            quick.execute("BEGIN")
            stepped(sequencer)
    assert order(database) == [("test-quick", 1)]


def test_a_log_restored_where_transaction_ids_are_lower_loses_nothing(database, another_cluster):
    a_log_with_a_late_append(database)
    moved = restored(database, another_cluster, "moved")
    assert newest_id(moved) < newest_id(database)
    tail = Tail(moved)
    assert tail.look() == 1
    sequenced(moved)
    with writer(moved) as quick, writer(moved) as slow:
        with slow.transaction():
            put(slow, "test-late", 2)
            put(quick, "test-quick", 2)
            sequenced(moved)
            tail.look()
        sequenced(moved)
        tail.look()
    assert order(moved) == [("test-quick", 1), ("test-late", 1), ("test-quick", 2), ("test-late", 2)]
    assert broken_promises(moved) == []
    assert tail.missed(moved) == []


def test_a_sequencer_that_takes_old_transaction_ids_for_its_own_is_caught(
    database, another_cluster, monkeypatch
):
    a_log_with_a_late_append(database)
    moved = restored(database, another_cluster, "mistaken")
    monkeypatch.setattr(sequencing, "rebase_if_moved", lambda _: False)
    sequenced(moved)
    assert "every committed event has a position" in broken_promises(moved)[0]


def test_restored_into_the_same_cluster_a_log_goes_on_as_well(database, postgres_server):
    a_log_with_a_late_append(database)
    copied = restored(database, postgres_server, "copied")
    with writer(copied) as connection:
        put(connection, "test-late", 2)
    sequenced(copied)
    assert order(copied) == [("test-quick", 1), ("test-late", 1), ("test-late", 2)]
    assert broken_promises(copied) == []


def test_old_rows_with_high_transaction_ids_get_no_second_position_when_the_cluster_catches_up(
    database, another_cluster
):
    a_log_with_a_late_append(database)
    moved = restored(database, another_cluster, "catching_up")
    sequenced(moved)
    with writer(moved) as connection:
        behind = newest_id(database) - newest_id(moved)
        for version in range(2, 6):
            burn_transaction_ids(moved, behind // 4 + 1)
            put(connection, "test-late", version)
            sequenced(moved)
    assert newest_id(moved) > newest_id(database)
    assert len(order(moved)) == 6
    assert broken_promises(moved) == []


@contextmanager
def a_running_sequencer(conninfo):
    running = Sequencer(role_conninfo(conninfo, WRITER, ROLE_SECRET), lease_s=0.5)
    running.start()
    try:
        yield running
    finally:
        assert running.stop()


@contextmanager
def a_server_with_a_log(**options):
    with faulty_server(**options) as server:
        name = "log"
        ensure_database(server.shared.admin_conninfo(), name)
        conninfo = server.shared.admin_conninfo(name)
        migrate(conninfo, role_secret=ROLE_SECRET)
        yield server, conninfo


def append(conninfo, count):
    added = [(f"test-{new_id()}", 1) for _ in range(count)]
    with writer(conninfo) as connection:
        for stream_id, _ in added:
            put(connection, stream_id)
    return added


def test_a_server_that_is_killed_takes_nothing_along_and_is_found_again(request):
    with a_server_with_a_log() as (server, conninfo), a_running_sequencer(conninfo) as sequencer:
        feed = LogFeed(role_conninfo(conninfo, PROJECTOR, ROLE_SECRET), event_codec(), retry_s=60)
        request.addfinalizer(feed.close)
        acknowledged = append(conninfo, 20)
        eventually(lambda: feed.head() == 20)
        with server.looked_after():
            for number in range(2, 4):
                starts = server.starts
                acknowledged += append(conninfo, 10)
                server.kill()
                eventually(lambda starts=starts: server.starts > starts and server.answers())
                acknowledged += append(conninfo, 10)
                eventually(lambda number=number: feed.head() == 20 * number)
        eventually(lambda: sequencer.leads)
        assert broken_promises(conninfo, acknowledged) == []


def test_a_wall_clock_that_jumps_changes_neither_order_nor_leader():
    with a_server_with_a_log(shim=True) as (server, conninfo), a_running_sequencer(conninfo) as sequencer:
        eventually(lambda: sequencer.leads)
        with a_running_sequencer(conninfo) as standby:
            acknowledged = []
            for offset_s in (0, 86_400, -86_400, 3_600, 0):
                server.clock.jump(offset_s)
                acknowledged += append(conninfo, 5)
                eventually(lambda: unsequenced(conninfo) == 0)
                assert sequencer.leads
                assert not standby.leads
        sequence_all(role_conninfo(conninfo, WRITER, ROLE_SECRET))
        assert order(conninfo) == acknowledged
        assert broken_promises(conninfo, acknowledged) == []
