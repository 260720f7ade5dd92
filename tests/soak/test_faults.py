"""The faults of docs/faults.md for as long as it takes to believe it."""

import random
import threading

from hypothesis.stateful import run_state_machine_as_test

from tests.support.faults.disk import SETTINGS, full_and_free_again
from tests.support.faults.lines import break_lines
from tests.support.faults.model import machine, runs
from tests.support.faults.ordeal import ordeal
from tests.support.faults.proxy import Proxy
from tests.support.faults.servers import faulty_server

VICTIMS = ("everything", "postmaster", "backend")
KILLS_OF_AN_ORDEAL = 20


def test_no_acknowledged_event_is_lost_or_doubled_by_two_hundred_kills_of_the_server(scaled):
    chance, moment = random.Random(), threading.Event()
    left = scaled(200)
    with faulty_server() as server, server.looked_after():
        while left > 0:
            now = min(left, KILLS_OF_AN_ORDEAL)
            with ordeal(server, seed=chance.randrange(10**9)) as running:
                for _ in range(now):
                    if chance.random() < 0.8:  # else it is killed again while it recovers
                        running.writer.goes_on(chance.randrange(1, 60))
                    moment.wait(chance.random() * 0.5)
                    server.kill(chance.choice(VICTIMS))
                running.writer.goes_on()
                running.follows()
            left -= now


def test_a_disk_that_is_full_again_and_again_costs_no_event(scaled):
    with faulty_server(shim=True, **SETTINGS) as server, server.looked_after():
        for _ in range(scaled(10)):
            with ordeal(server) as running:
                for part in ("base", "pg_wal", ""):
                    full_and_free_again(server, running, part)


def test_a_small_disk_that_is_really_full_costs_no_event(scaled):
    with faulty_server(tmpfs_mib=400, **SETTINGS) as server, server.looked_after():
        for _ in range(scaled(5)):
            with ordeal(server) as running:
                full_and_free_again(server, running, "")


def test_lines_that_break_in_the_middle_of_anything_cost_no_event_and_double_none(scaled):
    with (
        faulty_server() as server,
        server.looked_after(),
        Proxy.to(server.shared.admin_conninfo()) as line,
        ordeal(server, line=line) as running,
    ):
        break_lines(running, line, rounds=scaled(300), seed=random.randrange(10**9))


def test_a_wall_clock_that_jumps_back_and_forth_under_load_changes_nothing(scaled):
    chance = random.Random()
    with faulty_server(shim=True) as server, server.looked_after(), ordeal(server) as running:
        for _ in range(scaled(100)):
            server.clock.jump(chance.choice([-86_400 * 400, -3_600, -5, 0, 5, 3_600, 86_400 * 400]))
            running.writer.goes_on(chance.randrange(5, 50))
            running.follows()


def test_whatever_happens_for_long_the_log_is_what_the_model_says(database, scaled):
    run_state_machine_as_test(machine(database), settings=runs(scaled(300), 60))
