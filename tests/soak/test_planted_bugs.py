"""Tests of the tests: with a bug planted, the check of each fault must fail. See docs/faults.md.

Those of faults that are tested elsewhere lie beside the tests they are about, and are run from here too.
"""

# ruff: noqa: PT012 - what must fail is the check at the end of an ordeal: the whole of it is the block

import re
import subprocess
import sys
import threading
from time import monotonic

import pytest
from hypothesis import Phase
from hypothesis.stateful import run_state_machine_as_test

from infra.composition import new_id
from infra.postgres.processes import wait_until
from infra.sequencer.leadership import Leadership
from infra.sequencer.statements import SEQUENCE
from tests.integration.sequencer.test_order import BY_APPEND_ID_ALONE
from tests.support.faults.disk import SETTINGS
from tests.support.faults.lines import break_lines
from tests.support.faults.model import machine, runs
from tests.support.faults.ordeal import ordeal
from tests.support.faults.plants import (
    FORGETS_WHAT_IT_HAS_SAVED,
    STORES_HALF_A_COMMAND,
    TAKES_APPEND_IDS_FOR_POSITIONS,
    WAITS_FOR_EVERY_APPEND_ID,
    LeaseByTheServersClock,
    cannot_append_nothing,
    plant,
)
from tests.support.faults.proxy import Proxy
from tests.support.faults.servers import faulty_server
from tests.support.postgres import CHECKOUT, fresh_database
from tests.support.sequencing import broken_promises, one_sequencer, put, stepped, writer

PLANTS = "tests.support.faults.plants"

_ORDER = "tests/integration/sequencer/test_order.py"
_LEADER = "tests/integration/sequencer/test_leadership.py"
_CLUSTERS = "tests/integration/sequencer/test_other_clusters.py"
_DEATHS = "tests/integration/projections/test_deaths.py"
_POISON = "tests/integration/projections/test_poison.py"
_TAKE_OVER = "tests/integration/projections/test_take_over.py"
_PARTS = "tests/integration/projections/test_partitions.py"
_RELAY = "tests/integration/kafka/test_relay_faults.py"
_CONSUMER = "tests/integration/kafka/test_consumer.py"
_REACTIONS = "tests/integration/kafka/test_reactions.py"

# Fault of docs/faults.md to the test in which its bug is planted.
ELSEWHERE = [
    (1, _ORDER, "test_a_sequencer_that_forgets_running_transactions_is_caught"),
    (1, _ORDER, "test_a_sequencer_that_forgets_late_starters_is_caught"),
    (1, _ORDER, "test_a_sequencer_that_goes_by_append_ids_alone_is_caught_under_load"),
    (2, _ORDER, "test_a_sequencer_that_waits_for_the_oldest_transaction_is_caught"),
    (3, _ORDER, "test_a_sequencer_that_orders_by_transaction_is_caught"),
    (5, _DEATHS, "test_a_projector_that_commits_rows_and_checkpoint_apart_is_found_out"),
    (6, _LEADER, "test_without_the_primary_key_the_outdated_view_is_caught"),
    (7, _ORDER, "test_a_sequencer_that_moves_on_though_some_did_not_fit_is_caught"),
    (9, _TAKE_OVER, "test_events_that_arrive_while_a_rebuild_ends_are_not_lost"),
    (9, _TAKE_OVER, "test_a_reader_whose_snapshot_is_older_than_the_new_rows_sees_no_less"),
    (10, _TAKE_OVER, "test_rows_that_were_tampered_with_are_told_by_the_certificate"),
    (11, _POISON, "test_poison_that_is_skipped_silently_is_found_out"),
    (12, _PARTS, "test_a_part_that_begins_again_too_late_is_told_by_the_certificate"),
    (13, _RELAY, "test_the_cursor_moved_before_the_acknowledgement_would_be_found"),
    (13, _RELAY, "test_a_producer_that_goes_on_after_a_failure_would_be_found"),
    (13, _RELAY, "test_a_relay_that_does_not_ask_what_kafka_holds_would_be_found"),
    (13, _CONSUMER, "test_these_tests_would_notice_a_consumer_that_loses_effects"),
    (13, _CONSUMER, "test_these_tests_would_notice_a_consumer_that_repeats_effects"),
    (13, _REACTIONS, "test_these_tests_would_notice_a_reaction_that_makes_its_own_ids"),
    (14, _CLUSTERS, "test_a_sequencer_that_takes_old_transaction_ids_for_its_own_is_caught"),
]


@pytest.fixture(scope="module")
def server():
    with faulty_server(shim=True, **SETTINGS) as server, server.looked_after():
        yield server


def test_4_an_acknowledgement_before_the_commit_is_caught(server):
    with (
        pytest.raises(AssertionError, match="acknowledged events are not there once"),
        ordeal(server, log=f"{PLANTS}:acknowledges_before_the_commit") as running,
    ):
        for _ in range(5):
            running.writer.goes_on(50)
            server.kill("everything")
        running.writer.goes_on()


@pytest.mark.parametrize(
    ("statement", "promise"),
    [
        (SEQUENCE, None),
        (TAKES_APPEND_IDS_FOR_POSITIONS, "positions are dense from 1"),
        (WAITS_FOR_EVERY_APPEND_ID, "every committed event has a position"),
    ],
    ids=["as it is", "takes append ids for positions", "waits for every append id"],
)
def test_7_append_ids_that_are_burnt_by_rollbacks_and_taken_for_events_are_caught(
    database, statement, promise
):
    assert promise is None or statement != SEQUENCE, "the bug is not in it any more"
    with one_sequencer(database) as sequencer, writer(database) as connection:
        for number in range(30):
            with connection.transaction(force_rollback=number % 3 == 0):
                put(connection, f"test-{new_id()}")
            stepped(sequencer, statement=statement)
    broken = broken_promises(database)
    assert [promise in each for each in broken] == ([] if promise is None else [True]), broken


@pytest.mark.parametrize(("leadership", "is_caught"), [(Leadership, False), (LeaseByTheServersClock, True)])
def test_16_a_lease_by_the_servers_wall_clock_is_caught_when_that_jumps(server, leadership, is_caught):
    with (
        fresh_database(server.shared) as database,
        one_sequencer(database) as leading,
        one_sequencer(database) as watching,
    ):
        rival = leadership(60.0)
        assert Leadership(60.0).try_lead(leading)
        assert not rival.try_lead(watching)
        server.clock.jump(3_600)
        try:
            assert not rival.try_lead(watching)
            assert wait_until(lambda: rival.try_lead(watching), time_limit_s=2) == is_caught
        finally:
            server.clock.jump(0)


def test_15_a_full_disk_that_is_taken_for_success_is_caught(server):
    with (
        pytest.raises(AssertionError, match="acknowledged events are not there once"),
        ordeal(server, log=f"{PLANTS}:takes_every_refusal_for_success") as running,
    ):
        server.disk.fill("base")
        try:
            running.writer.goes_on(200)
        finally:
            server.disk.free()
        running.writer.goes_on(200)


def test_15_a_log_that_does_not_say_that_it_has_no_room_is_caught(server):
    with (
        pytest.raises(AssertionError, match="nobody was told"),
        ordeal(server, log=f"{PLANTS}:takes_every_refusal_for_success") as running,
    ):
        server.disk.fill("base")
        try:
            running.is_refused(within_s=5)
        finally:
            server.disk.free()


@pytest.mark.parametrize("by_the_wall_clock", [False, True])
def test_16_a_lease_by_the_wall_clock_is_caught(database, by_the_wall_clock):
    off_s = 0.0

    def wall_clock():
        return monotonic() + off_s

    with one_sequencer(database) as leading, one_sequencer(database) as watching:
        rival = Leadership(60.0, wall_clock) if by_the_wall_clock else Leadership(60.0)
        assert Leadership(60.0).try_lead(leading)
        assert not rival.try_lead(watching)
        off_s = 3_600.0  # somebody sets the clock
        assert not rival.try_lead(watching)
        assert wait_until(lambda: rival.try_lead(watching), time_limit_s=2) == by_the_wall_clock


def test_17_a_retry_that_does_not_know_its_own_events_is_caught(server):
    with (
        Proxy.to(server.shared.admin_conninfo()) as line,
        pytest.raises(AssertionError, match="events are there that were refused"),
        ordeal(
            server, line=line, prepare=lambda database: plant(database, FORGETS_WHAT_IT_HAS_SAVED)
        ) as running,
    ):
        break_lines(running, line, rounds=12, seed=17)


def test_17_a_lost_request_that_is_taken_for_an_answer_is_caught(server):
    moment = threading.Event()
    with (
        Proxy.to(server.shared.admin_conninfo()) as line,
        pytest.raises(AssertionError, match="acknowledged events are not there once"),
        ordeal(server, line=line, log=f"{PLANTS}:takes_every_refusal_for_success") as running,
    ):
        line.refuse()
        moment.wait(4)  # longer than a command is patient
        line.accept()
        running.writer.goes_on()


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param({"statement": BY_APPEND_ID_ALONE}, id="1 18 sequenced by append ids alone"),
        pytest.param({"open_log": staticmethod(cannot_append_nothing)}, id="8 18 nothing cannot be appended"),
    ],
)
def test_18_the_model_catches(database, planted):
    with pytest.raises((AssertionError, ValueError)):
        run_state_machine_as_test(machine(database, **planted), settings=_first_fault())


@pytest.mark.parametrize("function", [FORGETS_WHAT_IT_HAS_SAVED, STORES_HALF_A_COMMAND])
def test_18_the_model_catches_a_wrong_append(database, function):
    plant(database, function)
    with pytest.raises(Exception, match=r"saved|conflict|order|position"):
        run_state_machine_as_test(machine(database), settings=_first_fault())


@pytest.mark.parametrize(("fault", "path", "name"), ELSEWHERE)
def test_the_bug_that_is_planted_beside_its_test_is_caught(fault, path, name):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{path}::{name}"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"fault {fault}: {done.stdout[-3000:]}"
    assert re.search(r"\d+ passed", done.stdout), f"fault {fault} was not tested: {done.stdout[-500:]}"


def _first_fault():
    return runs(200, 30, phases=[Phase.generate], report_multiple_bugs=False, database=None)
