"""After something was killed: the server, the program over it, an initdb half way."""

import os
import signal
import socket
import subprocess
import sys

import psycopg
import pytest

from infra.postgres import embedded
from infra.postgres.processes import is_alive, servers_in, wait_until
from tests.support.postgres import CHECKOUT

PROGRAM = """
import sys, time
from pathlib import Path
from infra.postgres.embedded import EmbeddedPostgres
folder = Path(sys.argv[1])
server = EmbeddedPostgres(folder / "data", folder / "secrets", log_file=folder / "postgres.log")
print(server.start().pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start_program(scratch):
    """Starts another process that starts the server and then waits; it ends by end of input or by `kill`."""
    started = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, scratch],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def program(scratch, prepare, start_program):
    prepare(scratch)
    return start_program()


def write_rows(server, count):
    with psycopg.connect(server.superuser_conninfo(), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        for n in range(count):
            connection.execute("INSERT INTO kept VALUES (%s)", [n])


def row_count(server):
    with psycopg.connect(server.superuser_conninfo()) as connection:
        return connection.execute("SELECT count(*) FROM kept").fetchone()[0]


def test_after_a_killed_server_the_next_start_recovers_every_committed_row(scratch, server_in):
    server = server_in(scratch)
    first = server.start()
    write_rows(server, 50)
    os.kill(first.pid, signal.SIGKILL)
    assert wait_until(lambda: not server.status().running, time_limit_s=5)

    second = server.start()
    assert second.recovered
    assert not second.reused
    assert second.port == first.port  # pools made before the crash find it again
    assert row_count(server) == 50


def test_after_a_killed_server_whose_port_is_taken_another_port_is_found(scratch, server_in):
    server = server_in(scratch)
    first = server.start()
    os.kill(first.pid, signal.SIGKILL)
    assert wait_until(lambda: not servers_in(scratch / "data"), time_limit_s=5)
    with socket.create_server(("127.0.0.1", first.port)):
        assert server.start().port != first.port


def test_a_server_whose_program_was_killed_is_found_and_reused(scratch, server_in, program):
    pid = int(program.stdout.readline())
    program.kill()
    program.wait()
    assert is_alive(pid)

    server = server_in(scratch)
    info = server.start()
    assert (info.pid, info.reused) == (pid, True)
    write_rows(server, 3)
    server.stop()
    assert not is_alive(pid)


def test_a_server_left_running_with_other_settings_is_started_anew(scratch, server_in, program):
    pid = int(program.stdout.readline())
    program.kill()
    program.wait()
    server = server_in(scratch, settings={"max_connections": "17"})
    info = server.start()
    assert not info.reused
    assert not info.recovered  # it was stopped cleanly for this
    assert not is_alive(pid)


def test_a_server_left_hanging_is_ended_and_started_anew(scratch, server_in, program, monkeypatch):
    pid = int(program.stdout.readline())
    program.kill()
    program.wait()
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(embedded, "_REUSE_TIME_LIMIT_S", 0.5)
    monkeypatch.setattr(embedded, "_HUNG_STOP_TIME_LIMIT_S", 0.2)
    monkeypatch.setattr(embedded, "_HARD_STOP_TIME_LIMIT_S", 0.2)
    info = server_in(scratch).start()
    assert (info.reused, info.recovered) == (False, True)
    assert not is_alive(pid)


def test_a_program_that_ends_takes_its_server_along(program, scratch):
    pid = int(program.stdout.readline())
    program.communicate("")
    assert program.returncode == 0
    assert not is_alive(pid)
    assert not (scratch / "data" / "postmaster.pid").exists()


def test_a_pid_file_whose_number_is_now_another_program_is_seen_through(scratch, server_in):
    server = server_in(scratch)
    server.start()
    pid_file = scratch / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    with subprocess.Popen(["sleep", "60"], cwd=scratch / "data") as innocent:
        try:
            pid_file.write_text("\n".join([str(innocent.pid), *lines[1:]]) + "\n")
            assert not server.status().running
            assert not server.start().reused
            server.stop()
            assert innocent.poll() is None  # neither the pid file nor its working folder got it ended
        finally:
            innocent.kill()


def test_a_pid_file_of_a_process_that_is_gone_is_seen_through(scratch, server_in):
    server = server_in(scratch)
    server.start()
    pid_file = scratch / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    pid_file.write_text("\n".join([str(gone.pid), *lines[1:]]) + "\n")
    assert not server.start().reused


def test_a_pid_file_that_was_cut_off_is_seen_through(scratch, server_in):
    server = server_in(scratch)
    server.start()
    server.stop()
    (scratch / "data" / "postmaster.pid").write_text("")
    server.start()


def test_an_initdb_that_was_killed_half_way_is_done_again(scratch, server_in, start_program):
    program = start_program()
    building = scratch / "data.new"
    assert wait_until((building / "data" / "PG_VERSION").exists, time_limit_s=20)
    program.kill()
    program.wait()
    assert not (scratch / "data").exists()

    server = server_in(scratch, first_start=True)
    assert not server.start().recovered
    assert not building.exists()
    write_rows(server, 1)
