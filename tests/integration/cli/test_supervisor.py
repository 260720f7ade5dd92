"""`megacity up` looks after what it started, whatever happens to it."""

import contextlib
import os
import signal
import socket
import subprocess

import pytest

from infra.cli import up
from infra.settings import Settings
from tests.support.api import eventually
from tests.support.processes import running_system


@contextlib.contextmanager
def port_taken_from(system):
    """Kills the database server and listens on its port before it can be started again."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        def bound():
            status = system.postgres.status()
            if status.running:
                os.kill(status.pid, signal.SIGKILL)
                eventually(lambda: system.postgres.status().pid != status.pid, every_s=0.005)
            with contextlib.suppress(OSError):
                taken.bind(("127.0.0.1", status.port))
                taken.listen()
                return status.port
            return None

        yield eventually(lambda: system.postgres.status().port is not None and bound(), every_s=0.005)


def test_a_database_that_comes_back_on_another_port_is_found_by_the_server():
    with running_system("--no-sample") as system:
        first = system.address
        with port_taken_from(system) as port:
            eventually(system.is_ready, within_s=60)
            eventually(lambda: system.address["pid"] != first["pid"], within_s=60)
            eventually(system.is_ready, within_s=60)
            assert system.postgres.status().port != port
        assert system.address["base_url"] == first["base_url"]


class Ended:
    """A server process that has died."""

    def poll(self):
        return 1


class Lives:
    def poll(self):
        return None

    def terminate(self):
        pass

    def wait(self, timeout=None):
        pass


def test_the_watcher_outlives_a_server_that_cannot_be_started(monkeypatch, tmp_path):
    outcomes = [OSError("out of memory"), RuntimeError("something else"), Lives()]

    def popen(*_, **__):
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    for name in ("LOOK_EVERY_S", "_FIRST_PAUSE_S", "_LONGEST_PAUSE_S"):
        monkeypatch.setattr(up, name, 0.01)
    monkeypatch.setattr(subprocess, "Popen", popen)
    told = []
    supervisor = up.Supervisor(Settings(var_dir=tmp_path), "127.0.0.1", 0)
    supervisor._tell = lambda text, **_: told.append(text)
    supervisor._server = Ended()
    supervisor.watch()
    try:
        eventually(lambda: isinstance(supervisor._server, Lives))
    finally:
        supervisor.stop()
    assert [text for text in told if "Error" in text] == [
        "Could not be started again: OSError: out of memory",
        "Could not be started again: RuntimeError: something else",
    ]


@pytest.mark.parametrize("moved", [False, True])
def test_the_server_is_started_again_only_where_the_database_has_moved(monkeypatch, tmp_path, moved):
    class Postgres:
        running, port = True, 5001

        def status(self):
            return self

        def start(self, _tell):
            self.running, self.port = True, 5002 if moved else 5001
            return self

        def stop(self):
            pass

    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: started.append(Lives()) or started[-1])
    supervisor = up.Supervisor(Settings(var_dir=tmp_path), "127.0.0.1", 0)
    supervisor._postgres = postgres = Postgres()
    supervisor._start_server()
    postgres.running = False
    supervisor._look_after_postgres()
    supervisor._look_after_postgres()
    assert len(started) == 1 + moved
    supervisor.stop()
