"""Keeps the parts of `megacity up` running: embedded database, embedded broker, and the roles' processes."""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Final, Protocol

from infra.database import Database, embedded_postgres, start_embedded
from infra.postgres.embedded import EmbeddedPostgres
from infra.postgres.errors import PostgresError
from infra.secrets_files import read_or_create_secret
from infra.server import Role, listening_socket
from infra.settings import Settings
from infra.supervision.broker import WatchedBroker
from infra.supervision.processes import RoleProcess
from infra.supervision.store import WatchedStore

READY_LIMIT_S: Final = 120.0
LOOK_EVERY_S: Final = 0.5
TRY_AGAIN_AFTER_S: Final = 10.0
BESIDE_THE_API: Final[tuple[Role, ...]] = (
    "sequencer",
    "projector",
    "relay",
    "consumer",
    "cat-engine",
    "deadlines",
)
"""What runs with Kafka, each in a process of its own; their figures are for this machine alone."""
LOOPBACK: Final = "127.0.0.1"


class Tell(Protocol):
    def __call__(self, text: str, /, *, markup: bool = True) -> None: ...


class NotReady(Exception):
    """A process did not become ready, or died before it was."""

    def __init__(self, name: str, log_file: Path) -> None:
        super().__init__(name, log_file)
        self.name = name
        self.log_file = log_file

    def __str__(self) -> str:
        return f"the {self.name} did not become ready"


class Supervisor:
    """Of one checkout, whose run lock the caller holds.

    Args:
        settings: of everything.
        host: where the API listens.
        port: where the API listens; 0 takes a free one.
        tell: told what happens.
        fed_by_kafka: projections that the role `consumer` keeps; None runs everything in one process,
            without Kafka. The broker is the one of the settings, else an embedded one.
        with_redis: the processes share what Redis holds: the one of the settings, else an embedded Valkey.
    """

    def __init__(  # noqa: PLR0913 - what the command line says, the last two by name
        self,
        settings: Settings,
        host: str,
        port: int,
        tell: Tell,
        *,
        fed_by_kafka: Sequence[str] | None = None,
        with_redis: bool = False,
    ) -> None:
        self._settings = settings
        self._host = host
        self._port = port
        self._tell = tell
        self._fed_by_kafka = fed_by_kafka
        self._with_redis = with_redis
        self._postgres: EmbeddedPostgres | None = None
        self._postgres_port: int | None = None
        self._broker: WatchedBroker | None = None
        self._store: WatchedStore | None = None
        self._processes: list[RoleProcess] = []
        self._not_before: dict[str, float] = {}
        self._stopping = threading.Event()
        self._may_interrupt = True
        self._watcher: threading.Thread | None = None

    @property
    def processes(self) -> Sequence[RoleProcess]:
        """Those that run, the one that answers the API last."""
        return self._processes

    @property
    def base_url(self) -> str:
        return self._processes[-1].base_url

    @property
    def kafka(self) -> str | None:
        """The brokers that are in use."""
        if self._fed_by_kafka is None:
            return None
        return (
            self._settings.kafka.bootstrap_servers if self._broker is None else self._broker.bootstrap_servers
        )

    def open(self) -> Database:
        """Broker, store and database.

        Raises `PortTaken` before it starts any, `KafkaError`, `StoreError`, `PostgresError`.
        """
        with listening_socket(self._host, self._port) as probe:
            self._port = probe.getsockname()[1]
        if self._fed_by_kafka is not None and self._settings.kafka.bootstrap_servers is None:
            log_file = self._settings.log_dir / "kafka.log"
            self._broker = WatchedBroker(self._settings.var_dir / "kafka", log_file, self._tell)
            self._tell("Starting Kafka")
            self._broker.start()
        if self._with_redis and self._settings.redis.url is None:
            self._store = WatchedStore(self._settings.log_dir / "valkey.log", self._tell)
            self._tell("Starting Valkey")
            self._store.start()
        return self._open_database()

    def start(self) -> None:
        """The processes; returns when all of them are ready. Raises `NotReady`."""
        self._processes = self._laid_out()
        self._start_processes()
        gives_up_at = time.monotonic() + READY_LIMIT_S
        waited_for = list(self._processes)
        while waited_for:
            self._stopping.wait(0.1)
            waited_for = [each for each in waited_for if not each.is_ready]
            lost = next((each for each in waited_for if each.has_died), None)
            if lost is not None or (waited_for and time.monotonic() > gives_up_at):
                given_up = lost or waited_for[0]
                raise NotReady(given_up.name, given_up.log_file)

    def watch(self) -> None:
        """From now on what dies is started again, ever more slowly if it keeps dying."""
        self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self._watcher.start()

    def wait_to_be_stopped(self) -> None:
        """Returns when Ctrl-C or SIGTERM asks for the end."""
        self._may_interrupt = False
        self._stopping.wait()
        self._tell("Stopping")

    def stop_on_signals(self) -> None:
        """Ctrl-C and SIGTERM end the command in order; what is being done at that moment is interrupted."""

        def stop(number: int, frame: FrameType | None) -> None:
            del number, frame
            self._stopping.set()
            if self._may_interrupt:
                raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)

    def stop(self) -> None:
        """Whoever takes commands first; then the others, which let go of the broker and the database."""
        self._stopping.set()
        self._may_interrupt = False
        if self._watcher is not None:
            self._watcher.join()
        with ExitStack() as stack:  # the last one that is named goes first, and each goes, whatever others do
            if self._postgres is not None:
                stack.callback(self._postgres.stop)
            if self._store is not None:
                stack.callback(self._store.stop)
            if self._broker is not None:
                stack.callback(self._broker.stop)
            for each in self._processes:
                stack.callback(each.close)
            for each in self._processes:
                stack.callback(each.ask_to_end)
            if self._processes:
                stack.callback(self._processes[-1].end)

    def _laid_out(self) -> list[RoleProcess]:
        logs = self._settings.log_dir
        if self._fed_by_kafka is None:
            log_file = logs / "server.log"
            return [RoleProcess("all", self._host, self._port, log_file, self._tell, name="server")]
        beside = [RoleProcess(role, LOOPBACK, 0, logs / f"{role}.log", self._tell) for role in BESIDE_THE_API]
        return [*beside, RoleProcess("api", self._host, self._port, logs / "api.log", self._tell)]

    def _environment(self) -> dict[str, str]:
        told = {} if self._store is None else {"MEGACITY_REDIS__URL": self._store.url}
        if self._fed_by_kafka is None or self.kafka is None:
            return told
        # Where Kafka runs it brings the responses to the engine, unless somebody has said otherwise.
        feed = self._settings.cat.feed if "feed" in self._settings.cat.model_fields_set else "kafka"
        return told | {
            "MEGACITY_CAT__FEED": feed,
            "MEGACITY_KAFKA__BOOTSTRAP_SERVERS": self.kafka,
            "MEGACITY_KAFKA__PROJECTIONS": ",".join(self._fed_by_kafka),
        }

    def _open_database(self) -> Database:
        url = self._settings.database.url
        if url is not None:
            return Database(
                admin_conninfo=url.get_secret_value(),
                role_secret=read_or_create_secret(self._settings.database.role_secret_file),
            )
        self._postgres = embedded_postgres(self._settings)
        return start_embedded(self._settings, self._postgres, self._tell)

    def _start_processes(self) -> None:
        """All of them, anew where they run."""
        if self._postgres is not None:
            self._postgres_port = self._postgres.status().port
        for each in self._processes:
            each.ask_to_end()
        for each in self._processes:
            each.end()
        for each in self._processes:
            each.start(self._environment())

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            self._guarded("PostgreSQL", self._look_after_postgres)
            self._guarded("Kafka", self._look_after_broker)
            self._guarded("Valkey", self._look_after_store)
            for each in self._processes:
                self._guarded(each.name, each.look_after)

    def _guarded(self, name: str, look_after: Callable[[], None]) -> None:
        """Whatever happens to one, somebody must go on watching the others."""
        if self._stopping.is_set() or time.monotonic() < self._not_before.get(name, 0.0):
            return
        try:
            look_after()
        except PostgresError as error:
            self._tell(f"PostgreSQL does not start: {error}", markup=False)
        except Exception as error:  # noqa: BLE001 - see above
            self._tell(
                f"The {name} could not be started again: {type(error).__name__}: {error}", markup=False
            )
        else:
            return
        self._not_before[name] = time.monotonic() + TRY_AGAIN_AFTER_S

    def _look_after_postgres(self) -> None:
        if self._postgres is None or self._postgres.status().running:
            return
        self._tell("PostgreSQL has died; starting it again")
        port = self._postgres.start(self._tell).port
        if port != self._postgres_port:
            # The processes were told the old port when they started, and would look there for ever.
            self._tell(f"PostgreSQL has moved to port {port}; starting the processes again")
            self._start_processes()

    def _look_after_broker(self) -> None:
        if self._broker is not None and self._broker.look_after():
            self._start_processes()

    def _look_after_store(self) -> None:
        if self._store is not None and self._store.look_after():
            self._start_processes()
