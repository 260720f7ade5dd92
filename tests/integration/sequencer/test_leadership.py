"""One sequencer at a time, and another when it is gone: killed, stopped, cut off, asleep past its lease."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import psycopg
import pytest

from infra.composition import new_id
from infra.observability.metrics import new_registry
from infra.observability.sequencer_metrics import SequencerMetrics
from infra.postgres.roles import WRITER, role_conninfo
from infra.sequencer.leadership import Leadership
from infra.sequencer.sequencer import Sequencer, sequence_all, step
from infra.sequencer.statements import SEQUENCE
from tests.support.api import eventually
from tests.support.postgres import CHECKOUT, ROLE_SECRET
from tests.support.sequencing import (
    broken_promises,
    one_sequencer,
    order,
    put,
    sequenced,
    unsequenced,
    writer,
)

LEASE_S = 0.5
_PROGRAM = f"""
import os, sys, threading
from infra.sequencer.sequencer import Sequencer
sequencer = Sequencer(os.environ["CONNINFO"], lease_s={LEASE_S}, standby_interval_s=0.02)
sequencer.start()
threading.Event().wait()
"""


def conninfo(database):
    return role_conninfo(database, WRITER, ROLE_SECRET)


def append(database, count=1):
    with writer(database) as connection:
        for _ in range(count):
            put(connection, f"test-{new_id()}")


def all_are_sequenced(database):
    return unsequenced(database) == 0


def leaders(database):
    with psycopg.connect(database) as admin:
        return admin.execute(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchall()


def end_session(database, pid):
    with psycopg.connect(database) as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", [pid])


@contextmanager
def a_process(database):
    """A sequencer in a process of its own, which leads when the block begins."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        cwd=CHECKOUT,
        env={**os.environ, "CONNINFO": conninfo(database), "PYTHONPATH": str(CHECKOUT)},
    )
    try:
        eventually(lambda: leaders(database))
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def a_thread(database, **options):
    options = {"lease_s": LEASE_S, "standby_interval_s": 0.02, **options}
    sequencer = Sequencer(conninfo(database), **options)
    sequencer.start()
    try:
        yield sequencer
    finally:
        assert sequencer.stop()


def test_of_two_sequencers_one_leads_and_the_other_takes_over_when_it_ends(database):
    with a_thread(database) as first:
        eventually(lambda: first.leads)
        with a_thread(database) as second:
            append(database, 5)
            eventually(lambda: all_are_sequenced(database))
            assert not second.leads
            assert first.stop()
            append(database, 5)
            eventually(lambda: second.leads and all_are_sequenced(database))
    assert broken_promises(database) == []


def test_a_leader_that_is_killed_is_followed_by_the_standby(database):
    with a_process(database) as process, a_thread(database) as standby:
        process.kill()
        append(database, 5)
        eventually(lambda: standby.leads and all_are_sequenced(database))
    assert broken_promises(database) == []


def test_a_leader_that_sleeps_past_its_lease_is_replaced_and_does_no_harm_when_it_wakes(database):
    with a_process(database) as sleeper:
        append(database, 3)
        eventually(lambda: all_are_sequenced(database))
        sleeper.send_signal(signal.SIGSTOP)
        with a_thread(database) as standby:
            append(database, 3)
            eventually(lambda: standby.leads and all_are_sequenced(database))
            sleeper.send_signal(signal.SIGCONT)
            append(database, 30)
            eventually(lambda: all_are_sequenced(database))
            assert standby.leads
        # It stands by, alive, and leads again when it is needed.
        append(database, 3)
        eventually(lambda: all_are_sequenced(database))
        assert sleeper.poll() is None
    assert len(order(database)) == 39
    assert broken_promises(database) == []


# The view of a sequencer that slept since the first batch, and woke.
OUTDATED = SEQUENCE.replace("ORDER BY batch DESC LIMIT 1", "ORDER BY batch LIMIT 1").replace(
    "AND (SELECT count(*) FROM late) < %(limit)s",
    "AND NOT EXISTS (SELECT FROM log.positions p WHERE p.append_id = e.append_id)",
)


def a_step_is_made_from_an_outdated_view(database):
    append(database, 3)
    sequenced(database)
    append(database)
    with one_sequencer(database) as connection:
        return step(connection, statement=OUTDATED)


def test_a_step_from_an_outdated_view_collides_with_the_positions_and_changes_nothing(database):
    assert a_step_is_made_from_an_outdated_view(database) is None
    assert len(order(database)) == 3
    sequenced(database)
    assert broken_promises(database) == []


def test_without_the_primary_key_the_outdated_view_is_caught(database):
    with psycopg.connect(database) as admin:
        admin.execute("ALTER TABLE log.positions DROP CONSTRAINT positions_pkey")
    assert a_step_is_made_from_an_outdated_view(database) is not None
    assert "positions are dense" in broken_promises(database)[0]


def test_a_leader_whose_session_was_ended_comes_back(database):
    metrics = SequencerMetrics.create(new_registry())
    with a_thread(database, metrics=metrics) as sequencer:
        eventually(lambda: sequencer.leads)
        [(pid,)] = leaders(database)
        end_session(database, pid)
        append(database)
        eventually(lambda: all_are_sequenced(database))
        [(successor,)] = eventually(lambda: leaders(database))
        assert successor != pid
        assert metrics.failures._value.get() >= 1
        assert metrics.sequenced._value.get() == 1


def test_sequencing_everything_goes_past_a_leader_that_is_at_work(database):
    append(database, 10)
    with a_thread(database) as sequencer:
        eventually(lambda: sequencer.leads)
        append(database, 10)
        assert sequenced(database) == 20
    append(database)
    assert sequenced(database) == 21
    assert broken_promises(database) == []


def test_sequencing_everything_says_so_when_it_cannot(database):
    append(database)
    with one_sequencer(database) as asleep:
        assert Leadership(LEASE_S).try_lead(asleep)
        with pytest.raises(TimeoutError, match="1 events have no position"):
            sequence_all(conninfo(database), time_limit_s=0.05, lease_s=60)


class _Watch:
    """A monotonic clock that goes when the test says."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def rivals(database):
    """Who leads, who watches, and the watcher's clock."""
    with one_sequencer(database) as leading, one_sequencer(database) as watching:
        watch = _Watch()
        candidate = Leadership(3.0, watch)
        assert Leadership(3.0).try_lead(leading)
        assert not candidate.try_lead(watching)
        yield leading, (lambda: candidate.try_lead(watching)), watch


def test_the_lease_of_a_leader_that_shows_life_never_ends(rivals):
    leading, try_to_lead, watch = rivals
    for _ in range(10):
        watch.now += 2.9
        leading.execute("SELECT 1")
        assert not try_to_lead()
    assert not leading.closed


def test_the_lease_of_a_silent_leader_ends_by_the_watchers_own_clock(rivals):
    leading, try_to_lead, watch = rivals
    watch.now += 2.9
    assert not try_to_lead()
    leading.execute("SELECT 1")  # still there
    assert not try_to_lead()
    watch.now += 3.1
    eventually(try_to_lead)
    with pytest.raises(psycopg.OperationalError):
        leading.execute("SELECT 1")


def test_a_leader_in_the_middle_of_a_long_statement_is_at_work(database, rivals):
    leading, try_to_lead, watch = rivals

    def work():
        with pytest.raises(psycopg.errors.QueryCanceled):
            leading.execute("SELECT pg_sleep(600)")

    working = threading.Thread(target=work)
    working.start()
    with psycopg.connect(database, autocommit=True) as admin:
        is_busy = "SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
        eventually(lambda: admin.execute(is_busy).fetchall())
    for _ in range(5):
        watch.now += 10.0
        assert not try_to_lead()
    leading.cancel_safe()
    working.join()
    assert not leading.closed
    assert not try_to_lead()
    watch.now += 3.1
    eventually(try_to_lead)
