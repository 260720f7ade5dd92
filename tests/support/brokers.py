"""Kafka brokers for tests: Tansu everywhere, Apache Kafka where it can be had.

    pytestmark = pytest.mark.parametrize("broker", BROKERS, indirect=True)

    def test_...(broker: Broker): ...

Apache Kafka is looked for in this order: `KAFKA_BOOTSTRAP_SERVERS` (one that runs, and is not killed),
`KAFKA_HOME` (an unpacked release), jars that Maven resolves into var/cache/kafka. Where none can be had its
tests are skipped with the reason; with REQUIRE_KAFKA=1 they fail.

A broker is started once for a test run. Tests take topics of their own by a fresh prefix; who kills it or
takes its data leaves it running.
"""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Final, Protocol

import pytest

from infra.kafka.embedded import EmbeddedBroker, _free_port
from infra.kafka.python_client import PythonKafka, Timeouts
from tests.support.postgres import CHECKOUT, run_folder

BROKERS: Final = ("tansu", "apache")
JARS: Final = CHECKOUT / "var" / "cache" / "kafka"
POM: Final = Path(__file__).parent / "kafka" / "pom.xml"
START_LIMIT_S: Final = 60.0
SHORT: Final = Timeouts(connect_s=2.0, request_s=3.0, delivery_s=5.0)

_prefixes = count(1)


class Broker(Protocol):
    name: str
    keeps_data: bool
    """Over a restart."""

    @property
    def bootstrap_servers(self) -> str: ...

    def start(self) -> None: ...

    def kill(self) -> None:
        """As `kill -9` does. Skips the test where the broker is not ours."""
        ...

    def lose_data(self) -> None:
        """While it is killed: everything is gone when it starts again."""
        ...


@dataclass
class Tansu:
    folder: Path
    name: str = "tansu"
    keeps_data: bool = False
    _broker: EmbeddedBroker = field(init=False)

    def __post_init__(self) -> None:
        self._broker = EmbeddedBroker(self.folder, self.folder / "tansu.log")

    @property
    def bootstrap_servers(self) -> str:
        return self._broker.bootstrap_servers

    def start(self) -> None:
        self._broker.start()

    def kill(self) -> None:
        self._broker.kill()

    def lose_data(self) -> None:
        """It has none but in memory."""


@dataclass
class Apache:
    """One node in KRaft mode with a small heap."""

    folder: Path
    jars: str
    name: str = "apache"
    keeps_data: bool = True
    _ports: tuple[int, int] = field(default_factory=lambda: (_free_port(0), _free_port(0)))
    _process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self._ports[0]}"

    def start(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        if not self._data.exists():
            self._format()
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", str(self._properties)), stdout=output, stderr=output
            )
        self._wait_until_it_answers()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def lose_data(self) -> None:
        assert self._process is None or self._process.poll() is not None, "kill it first"
        shutil.rmtree(self._data)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _log(self) -> Path:
        return self.folder / "kafka.log"

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    def _format(self) -> None:
        port, controller = self._ports
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": str(self._data),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false",
            "default.replication.factor": "1",
            # A partition takes this much of the disk from its first message on.
            "log.segment.bytes": str(16 * 1024 * 1024),
            "log.index.size.max.bytes": str(1024 * 1024),
        }
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        words = ("format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", str(self._properties))
        subprocess.run(self._java("kafka.tools.StorageTool", *words), check=True, capture_output=True)

    def _java(self, main: str, *words: str) -> list[str]:
        small = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
        return [
            "java",
            *small,
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            self.jars,
            main,
            *words,
        ]

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        waiting = threading.Event()
        gives_up_at = monotonic() + START_LIMIT_S
        while self._process.poll() is None and monotonic() < gives_up_at:
            if answers(self.bootstrap_servers):
                return
            waiting.wait(0.2)
        raise AssertionError(f"Kafka has not started: {self._log.read_text()[-2000:]}")


@dataclass
class RunningElsewhere:
    """Named by KAFKA_BOOTSTRAP_SERVERS: it is used, and left alone."""

    bootstrap_servers: str
    name: str = "apache"
    keeps_data: bool = True

    def start(self) -> None: ...

    def kill(self) -> None:
        pytest.skip("the broker named by KAFKA_BOOTSTRAP_SERVERS is not ours to kill")

    def lose_data(self) -> None:
        pytest.skip("the data of the broker named by KAFKA_BOOTSTRAP_SERVERS is not ours to throw away")


def answers(bootstrap_servers: str) -> bool:
    from infra.kafka.port import KafkaError

    try:
        with PythonKafka(bootstrap_servers=bootstrap_servers, timeouts=SHORT).admin() as admin:
            admin.ensure_topics([])
    except KafkaError:
        return False
    return True


def fresh_prefix() -> str:
    """For topics of one test."""
    return f"test{os.getpid()}x{next(_prefixes)}"


def kafka_of(broker: Broker) -> PythonKafka:
    """Clients that do not wait long for a broker that was killed."""
    return PythonKafka(bootstrap_servers=broker.bootstrap_servers, timeouts=SHORT)


class RunningBrokers:
    """Those that a test run has started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: dict[str, Broker] = {}

    def get(self, name: str) -> Broker:
        """Running, whatever an earlier test did to it. Skips the test where there is none."""
        if name not in self._started:
            folder = self._folder / name
            folder.mkdir()
            self._started[name] = Tansu(folder) if name == "tansu" else apache(folder)
        broker = self._started[name]
        broker.start()
        return broker

    def end(self) -> None:
        for broker in self._started.values():
            if not isinstance(broker, RunningElsewhere):
                broker.kill()


@contextmanager
def running_brokers() -> Iterator[RunningBrokers]:
    with ExitStack() as stack:
        folder = stack.enter_context(run_folder("kafka"))
        brokers = RunningBrokers(folder)
        stack.callback(brokers.end)
        yield brokers


def apache(folder: Path) -> Broker:
    """An Apache Kafka, or the test is skipped and says why; with REQUIRE_KAFKA=1 it fails."""
    if servers := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        return RunningElsewhere(servers)
    try:
        return Apache(folder, jars())
    except LookupError as error:
        if os.environ.get("REQUIRE_KAFKA") == "1":
            raise
        pytest.skip(f"no Apache Kafka: {error}")


def jars() -> str:
    """The class path of Apache Kafka. Raises `LookupError`, which says what is missing."""
    if shutil.which("java") is None:
        raise LookupError("there is no java on PATH, and KAFKA_BOOTSTRAP_SERVERS names no broker")
    if home := os.environ.get("KAFKA_HOME"):
        libraries = Path(home) / "libs"
        if not libraries.is_dir():
            raise LookupError(f"KAFKA_HOME is {home}, which has no folder libs")
        return f"{libraries}/*"
    if not JARS.is_dir():
        _resolve()
    return f"{JARS}/*"


def _resolve() -> None:
    if shutil.which("mvn") is None:
        raise LookupError("neither KAFKA_HOME nor mvn is there")
    fresh = JARS.with_name(f"kafka.{os.getpid()}")
    fresh.mkdir(parents=True)
    # Maven leaves what it downloads in the home folder, where that can be written to.
    words = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={fresh}"]
    if not os.access(Path.home(), os.W_OK):
        words.append(f"-Dmaven.repo.local={JARS.parent / 'maven'}")
    try:
        done = subprocess.run([*words, "-DincludeScope=runtime"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LookupError(f"Maven cannot resolve it: {(done.stdout + done.stderr)[-500:]}")
        if not JARS.is_dir():
            fresh.rename(JARS)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
