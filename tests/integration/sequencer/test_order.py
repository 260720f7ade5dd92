"""What the sequencer promises, whatever transactions do. Each fault is also given to a sequencer with a bug
planted in it, to show that what the test looks at would tell."""

import random
import threading

import psycopg
import pytest

from infra.composition import new_id
from infra.postgres.roles import WRITER, role_conninfo
from infra.sequencer.sequencer import Batch, Sequencer
from infra.sequencer.statements import SEQUENCE
from tests.support.api import eventually
from tests.support.postgres import ROLE_SECRET, fresh_database
from tests.support.sequencing import (
    Tail,
    broken_promises,
    one_sequencer,
    order,
    put,
    stepped,
    transaction_id,
    unsequenced,
    writer,
)

_RUNNING_ONES = "e.xid = ANY (ARRAY(SELECT pg_snapshot_xip(last.snapshot) FROM last))"
_SINCE_THEN = "e.xid >= (SELECT pg_snapshot_xmax(last.snapshot) FROM last)"
FORGETS_RUNNING_ONES = SEQUENCE.replace(_RUNNING_ONES, "false")
FORGETS_LATE_STARTERS = SEQUENCE.replace(_SINCE_THEN, "false")
WAITS_FOR_THE_OLDEST = SEQUENCE.replace(
    "e.append_id > (SELECT last_append_id FROM last)\n",
    "e.append_id > (SELECT last_append_id FROM last) AND e.xid < pg_snapshot_xmin(pg_current_snapshot())\n",
)
ORDERS_BY_TRANSACTION = SEQUENCE.replace(
    "row_number() OVER (ORDER BY found.append_id)",
    "row_number() OVER (ORDER BY (SELECT e.xid FROM log.events e WHERE e.append_id = found.append_id))",
)
ADVANCES_THOUGH_SOME_DID_NOT_FIT = SEQUENCE.replace(
    "(SELECT count(*) FROM late) < %(limit)s AS all_late", "true AS all_late"
)
BY_APPEND_ID_ALONE = FORGETS_RUNNING_ONES.replace(_SINCE_THEN, "false")


def a_stream():
    return f"test-{new_id()}"


@pytest.fixture
def sequencer(database):
    with one_sequencer(database) as connection:
        yield connection


def an_append_is_held_open_while_later_ones_commit(database, sequencer, statement=SEQUENCE):
    tail = Tail(database)
    with writer(database) as slow, writer(database) as quick:
        with slow.transaction():
            put(slow, held := a_stream())
            put(quick, a_stream())
            stepped(sequencer, statement=statement)
            tail.look()
            put(quick, a_stream())
            stepped(sequencer, statement=statement)
            tail.look()
        stepped(sequencer, statement=statement)
        tail.look()
    return tail, held


def test_a_reader_skips_no_append_that_was_held_open_while_later_ones_committed(database, sequencer):
    tail, held = an_append_is_held_open_while_later_ones_commit(database, sequencer)
    assert tail.seen[-1] == (3, held, 1)
    assert tail.missed(database) == []
    assert broken_promises(database) == []


def test_a_sequencer_that_forgets_running_transactions_is_caught(database, sequencer):
    an_append_is_held_open_while_later_ones_commit(database, sequencer, FORGETS_RUNNING_ONES)
    [broken] = broken_promises(database)
    assert "every committed event has a position" in broken


def an_append_began_last_and_commits_late(database, sequencer, statement=SEQUENCE):
    """Its transaction id is beyond the snapshot that the batch before it has seen, its append id is not."""
    with writer(database) as quick, writer(database) as slow, quick.transaction():
        transaction_id(quick)
        with slow.transaction():
            transaction_id(slow)
            put(slow, a_stream())
            put(quick, a_stream())
            quick.execute("COMMIT")
            quick.execute("BEGIN")
            stepped(sequencer, statement=statement)
        stepped(sequencer, statement=statement)


def test_an_append_from_beyond_the_last_snapshot_gets_its_position(database, sequencer):
    an_append_began_last_and_commits_late(database, sequencer)
    assert len(order(database)) == 2
    assert broken_promises(database) == []


def test_a_sequencer_that_forgets_late_starters_is_caught(database, sequencer):
    an_append_began_last_and_commits_late(database, sequencer, FORGETS_LATE_STARTERS)
    assert "every committed event has a position" in broken_promises(database)[0]


def lags_while_another_database_is_written(postgres_server, database, sequencer, statement=SEQUENCE):
    """How far behind the sequencer was after each of its steps."""
    lags = []
    with (
        fresh_database(postgres_server, migrated=False) as other,
        psycopg.connect(other) as elsewhere,
        writer(database) as here,
    ):
        transaction_id(elsewhere)
        for _ in range(20):
            put(here, a_stream())
            stepped(sequencer, statement=statement)
            lags.append(unsequenced(database))
    return lags


def test_a_write_transaction_in_another_database_holds_nothing_up(postgres_server, database, sequencer):
    lags = lags_while_another_database_is_written(postgres_server, database, sequencer)
    assert lags == [0] * 20
    assert broken_promises(database) == []


def test_a_sequencer_that_waits_for_the_oldest_transaction_is_caught(postgres_server, database, sequencer):
    lags = lags_while_another_database_is_written(postgres_server, database, sequencer, WAITS_FOR_THE_OLDEST)
    assert lags[-1] > 10


def a_transaction_got_its_id_early(database, sequencer, statement=SEQUENCE):
    stream = a_stream()
    with writer(database) as early, writer(database) as other, early.transaction():
        transaction_id(early)
        put(other, stream, 1)
        put(early, stream, 2)
    stepped(sequencer, statement=statement)
    return stream


def test_a_transaction_that_got_its_id_early_does_not_invert_its_stream(database, sequencer):
    stream = a_transaction_got_its_id_early(database, sequencer)
    assert order(database) == [(stream, 1), (stream, 2)]
    assert broken_promises(database) == []


def test_a_sequencer_that_orders_by_transaction_is_caught(database, sequencer):
    a_transaction_got_its_id_early(database, sequencer, ORDERS_BY_TRANSACTION)
    [broken] = broken_promises(database)
    assert "positions follow the versions of each stream" in broken


def test_rollbacks_that_burn_append_ids_leave_no_gap(database, sequencer):
    with writer(database) as connection:
        for number in range(30):
            with connection.transaction(force_rollback=number % 3 == 0):
                put(connection, a_stream())
            if number % 7 == 0:
                stepped(sequencer)
        # More of them than fit into a batch: what lies behind is found all the same.
        with connection.transaction(force_rollback=True):
            for _ in range(30):
                put(connection, a_stream())
        put(connection, a_stream())
    while stepped(sequencer, limit=10):
        pass
    assert len(order(database)) == 21
    assert broken_promises(database) == []


def a_backlog_with_late_ones_is_taken_in_batches(database, sequencer, statement=SEQUENCE):
    """Five streams of eleven events, and 25 streams whose first event commits when those are through."""

    def taken():
        batches = iter(lambda: stepped(sequencer, limit=10, statement=statement), None)
        return [batch.events for batch in batches]

    streams, late = [a_stream() for _ in range(5)], [a_stream() for _ in range(25)]
    with writer(database) as slow, writer(database) as quick:
        for version in range(1, 11):
            for stream in streams:
                put(quick, stream, version)
        with slow.transaction():
            for stream in late:
                put(slow, stream)
            for stream in streams:
                put(quick, stream, 11)
            first = taken()
        for stream in late:
            put(quick, stream, 2)
        return first, taken()


def test_a_backlog_is_taken_in_batches_and_late_ones_find_their_place_between_them(database, sequencer):
    first, then = a_backlog_with_late_ones_is_taken_in_batches(database, sequencer)
    assert first == [10] * 5 + [5]
    assert sum(then) == 50
    assert max(then) < 20
    assert broken_promises(database) == []


def test_a_sequencer_that_moves_on_though_some_did_not_fit_is_caught(database, sequencer):
    a_backlog_with_late_ones_is_taken_in_batches(database, sequencer, ADVANCES_THOUGH_SOME_DID_NOT_FIT)
    assert "every committed event has a position" in broken_promises(database)[0]


def test_a_step_on_an_idle_log_leaves_nothing_behind(database, sequencer):
    with writer(database) as connection:
        put(connection, a_stream())
    assert stepped(sequencer) == Batch(1, 1)
    assert [stepped(sequencer) for _ in range(3)] == [None] * 3
    with psycopg.connect(database) as admin:
        [(batches,)] = admin.execute("SELECT count(*) FROM log.batches").fetchall()
    assert batches == 2  # that of the migration, and this one


def test_a_batch_is_told_once_with_its_last_position(database, sequencer):
    with psycopg.connect(database, autocommit=True) as listening, writer(database) as connection:
        listening.execute("LISTEN log_sequenced")
        for _ in range(5):
            put(connection, a_stream())
        stepped(sequencer)
        put(connection, a_stream())
        stepped(sequencer)
        notices = listening.notifies(timeout=10, stop_after=2)
        assert [notice.payload for notice in notices] == ["5", "6"]


@pytest.mark.parametrize("role", ["megacity_writer", "megacity_owner"])
def test_positions_and_batches_are_never_changed(database, sequencer, role):
    with writer(database) as connection:
        put(connection, a_stream())
    stepped(sequencer)
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(f"SET ROLE {role}")
        for statement in (
            "UPDATE log.positions SET position = 7",
            "DELETE FROM log.positions",
            "TRUNCATE log.batches",
            "UPDATE log.batches SET last_position = 0",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                admin.execute(statement)


class _Load:
    """Writers that do everything that has ever made a log skip: early ids, rollbacks, held appends."""

    def __init__(self, database, seed):
        self.acknowledged = []
        self._database = database
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def run(self, writers=6, rounds=40):
        threads = [
            threading.Thread(target=self._write, args=(self._random.random(), rounds)) for _ in range(writers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _write(self, seed, rounds):
        random_ = random.Random(seed)
        streams = {a_stream(): 0 for _ in range(3)}
        pause = threading.Event()
        with writer(self._database) as connection:
            for _ in range(rounds):
                stream = random_.choice(list(streams))
                versions = [streams[stream] + 1 + more for more in range(random_.choice([1, 1, 1, 3]))]
                undone = random_.random() < 0.1
                with connection.transaction(force_rollback=undone):
                    if random_.random() < 0.3:
                        transaction_id(connection)
                        pause.wait(random_.random() * 0.003)
                    put(connection, stream, *versions)
                    if random_.random() < 0.2:
                        pause.wait(random_.random() * 0.005)
                if not undone:
                    streams[stream] = versions[-1]
                    with self._lock:
                        self.acknowledged += [(stream, version) for version in versions]


@pytest.mark.parametrize("limit", [3, 1_000])
def test_under_load_a_following_reader_gets_every_event_once_and_in_order(database, limit):
    load, tail = _Load(database, seed=limit), Tail(database)
    running = Sequencer(
        role_conninfo(database, WRITER, ROLE_SECRET), batch_limit=limit, busy_interval_s=0.0005
    )
    running.start()
    try:
        with tail.following():
            load.run()
            eventually(lambda: unsequenced(database) == 0)
    finally:
        assert running.stop()
    assert broken_promises(database, load.acknowledged) == []
    assert tail.missed(database) == []
    assert len(tail.seen) == len(load.acknowledged)


def test_a_sequencer_that_goes_by_append_ids_alone_is_caught_under_load(database):
    class Naive(Sequencer):
        SEQUENCE = BY_APPEND_ID_ALONE

    load = _Load(database, seed=1)
    for _ in range(20):
        running = Naive(role_conninfo(database, WRITER, ROLE_SECRET), busy_interval_s=0.0002)
        running.start()
        try:
            load.run(rounds=10)
        finally:
            assert running.stop()
        with one_sequencer(database) as connection:
            stepped(connection, statement=BY_APPEND_ID_ALONE)
        if broken_promises(database):
            break
    assert "every committed event has a position" in " ".join(broken_promises(database))
