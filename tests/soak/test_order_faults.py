"""Transactions and sequencers that get in each other's way, for long and under load. See docs/faults.md."""

import os
import random
import sys
import threading
from contextlib import ExitStack, contextmanager

import psutil
import psycopg

from infra.composition import new_id
from infra.postgres.processes import wait_until
from infra.postgres.roles import WRITER, role_conninfo
from infra.sequencer.sequencer import Sequencer
from tests.integration.sequencer.test_order import _Load as Load
from tests.integration.sequencer.test_other_clusters import burn_transaction_ids, newest_id, restored
from tests.support.api import eventually
from tests.support.faults.ordeal import ordeal
from tests.support.faults.servers import faulty_server
from tests.support.postgres import CHECKOUT, ROLE_SECRET, fresh_database, shared_server
from tests.support.sequencing import Tail, broken_promises, put, transaction_id, unsequenced, writer

_A_SEQUENCER = """
import os, threading
from infra.sequencer.sequencer import Sequencer
Sequencer(os.environ["CONNINFO"], lease_s=0.5, standby_interval_s=0.02).start()
threading.Event().wait()
"""
_WHO_LEADS = """
SELECT a.client_port FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@contextmanager
def a_sequencer(database, **settings):
    running = Sequencer(role_conninfo(database, WRITER, ROLE_SECRET), busy_interval_s=0.0005, **settings)
    running.start()
    try:
        yield running
    finally:
        assert running.stop()


def all_are_sequenced(database):
    return wait_until(lambda: unsequenced(database) == 0, time_limit_s=60)


def test_early_ids_held_appends_and_rollbacks_lose_no_reader_an_event_and_turn_no_stream_around(
    database, scaled
):
    """Faults 1, 3 and 7."""
    chance, tail, acknowledged = random.Random(), Tail(database), []
    with tail.following(), writer(database) as early, writer(database) as other:
        for number in range(scaled(60)):
            load = Load(database, chance.random())
            loading = threading.Thread(target=load.run, kwargs={"writers": 4})
            with a_sequencer(database, batch_limit=chance.choice([1, 7, 1_000])):
                loading.start()
                while loading.is_alive():
                    stream = f"test-early-{number}-{new_id()}"
                    with early.transaction():
                        transaction_id(early)
                        put(other, stream, 1)
                        put(early, stream, 2)
                    with other.transaction(force_rollback=True):
                        put(other, stream, *range(3, chance.randrange(5, 100)))
                    acknowledged += [(stream, 1), (stream, 2)]
                loading.join()
                assert all_are_sequenced(database)
            acknowledged += load.acknowledged
    assert broken_promises(database, acknowledged) == []
    assert tail.missed(database) == []
    assert len(tail.seen) == len(acknowledged)


def test_write_transactions_in_other_databases_hold_nothing_up(scaled):
    """Fault 2. One of them is open all the time."""
    chance = random.Random()
    with (
        faulty_server() as server,
        fresh_database(server.shared, migrated=False) as other,
        psycopg.connect(other) as all_the_time,
        ordeal(server) as running,
    ):
        transaction_id(all_the_time)
        for _ in range(scaled(100)):
            with psycopg.connect(other) as elsewhere:
                transaction_id(elsewhere)
                running.writer.goes_on(chance.randrange(5, 60))
                running.follows()


class Absent(Sequencer):
    """Others sequence."""

    def start(self):
        pass

    def stop(self, timeout_s=10.0):  # noqa: ARG002 - as the real one
        return True


@contextmanager
def sequencers(database, count):
    """Processes that sequence."""
    environment = {
        **os.environ,
        "CONNINFO": role_conninfo(database, WRITER, ROLE_SECRET),
        "PYTHONPATH": str(CHECKOUT),
    }
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            process = psutil.Popen([sys.executable, "-c", _A_SEQUENCER], cwd=CHECKOUT, env=environment)
            stack.callback(process.wait)
            stack.callback(process.kill)
            found.append(process)
        yield found


def leader_among(processes, admin):
    """The one whose session has the lock; None where nobody has it, or somebody who is gone."""
    ports = {port for (port,) in admin.execute(_WHO_LEADS).fetchall()}
    for process in processes:
        if ports & {each.laddr.port for each in process.net_connections("tcp")}:
            return process
    return None


def test_leaders_that_are_stopped_for_any_time_and_resumed_do_no_harm(scaled):
    """Fault 6."""
    chance, moment = random.Random(), threading.Event()
    with (
        faulty_server() as server,
        ordeal(server, sequencer=Absent) as running,
        sequencers(running.database, 3) as processes,
        psycopg.connect(running.database, autocommit=True) as admin,
    ):
        for _ in range(scaled(100)):
            leader = eventually(lambda: leader_among(processes, admin), within_s=60)
            leader.suspend()
            if chance.random() < 0.7:  # past its lease; else it wakes up before, or just about then
                running.writer.goes_on(chance.randrange(1, 40))
                running.follows()
                assert leader_among(processes, admin) != leader
            else:
                moment.wait(chance.random() * 0.8)
            leader.resume()
            running.writer.goes_on(chance.randrange(1, 40))
            running.follows()
        assert all(process.poll() is None for process in processes), "one has ended"


def lead(conninfo, other):
    """By how much the newest transaction id of one cluster is beyond the other's."""
    return max(0, newest_id(conninfo) - newest_id(other))


@contextmanager
def a_late_append(database):
    """Its append id is below one that is sequenced, its transaction id beyond what that batch knew of."""
    streams = [f"test-{name}-{new_id()}" for name in ("quick", "late")]
    with writer(database) as quick, writer(database) as slow, slow.transaction():
        with quick.transaction():
            transaction_id(quick)
            transaction_id(slow)
            put(slow, streams[1])
            put(quick, streams[0])
        yield [(stream, 1) for stream in streams]


def test_a_log_that_is_moved_between_clusters_again_and_again_goes_on(postgres_server, scaled):
    """Fault 14. Each time with appends that were late, and ids that are lower or higher than before."""
    chance, seen, acknowledged = random.Random(), [], []
    with shared_server() as another, ExitStack() as stack:
        servers = [postgres_server, another]
        current = stack.enter_context(fresh_database(postgres_server))
        for number in range(scaled(12)):
            load = Load(current, chance.random())
            tail = Tail(current)
            tail.seen = list(seen)
            there = servers[(number + 1) % 2]
            if number == 0 or chance.random() < 0.7:
                burn_transaction_ids(current, lead(there.admin_conninfo(), current) + 5_000)
            with tail.following(), ExitStack() as held:
                with a_sequencer(current):
                    load.run(writers=4, rounds=15)
                    late = held.enter_context(a_late_append(current))
                    assert all_are_sequenced(current)
                held.close()  # it is committed, and the sequencer has stopped
                fresh = Load(current, chance.random())
                fresh.run(writers=3, rounds=5)
            acknowledged += [*load.acknowledged, *late, *fresh.acknowledged]
            before = newest_id(current)
            moved = restored(current, there, f"moved_{number}")
            after = newest_id(moved)
            tail_there = Tail(moved)
            tail_there.seen = tail.seen
            with a_sequencer(moved), tail_there.following():
                assert all_are_sequenced(moved)
            assert tail_there.checkpoint == len(acknowledged), f"ids went from {before} to {after}"
            assert broken_promises(moved, acknowledged) == []
            assert tail_there.missed(moved) == []
            seen, current = tail_there.seen, moved
