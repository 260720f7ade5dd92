"""`megacity up`: everything in one go, on embedded parts, with sample data."""

import asyncio
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import IO, Annotated, Any

import httpx
import typer

from infra.cli.console import CommandError, output, progress
from infra.composition import new_id, open_write_side
from infra.database import Database, embedded_postgres, start_embedded
from infra.observability.logging import configure_logging
from infra.postgres.embedded import EmbeddedPostgres
from infra.postgres.errors import PostgresError
from infra.postgres.migrate import migrate
from infra.postgres.runlock import RunLock
from infra.sample.demo import Demo, set_up_demo
from infra.secrets_files import read_or_create_secret
from infra.server import PortTaken, listening_socket
from infra.settings import Settings, load_settings

READY_LIMIT_S = 60.0
LOG_LIMIT_BYTES = 50 * 1024 * 1024
LOOK_EVERY_S = 0.5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0


def command(
    once: Annotated[bool, typer.Option("--once", help="Do the main job, then stop.")] = False,
    sample: Annotated[bool, typer.Option(help="Play the sample data on first start.")] = True,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one.")] = None,
) -> None:
    """Start everything: database, migrations, demo accounts, sample data, server."""
    settings = load_settings()
    configure_logging("warning", settings.log.format)
    with ExitStack() as stack:
        stack.enter_context(RunLock(settings.run_lock_file))
        supervisor = Supervisor(
            settings, host or settings.http.host, settings.http.port if port is None else port
        )
        stack.callback(supervisor.stop)
        supervisor.stop_on_signals()
        demo = supervisor.start()
        supervisor.watch()
        if sample:
            _play_samples(settings, supervisor.base_url, demo)
        _say_where_to_look(settings, supervisor.base_url, demo)
        if not once:
            supervisor.wait_to_be_stopped()


class Supervisor:
    """Keeps the embedded database and the server process running until told to stop."""

    def __init__(self, settings: Settings, host: str, port: int) -> None:
        self._settings = settings
        self._host = host
        self._port = port
        self._postgres: EmbeddedPostgres | None = None
        self._postgres_port: int | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._server_started_at = 0.0
        self._pause_s = _FIRST_PAUSE_S
        self._log: IO[bytes] | None = None
        self._tell = progress().print
        self._stopping = threading.Event()
        self._may_interrupt = True
        self._watcher: threading.Thread | None = None
        self.base_url = ""

    def start(self) -> Demo:
        """Database, schema, demo accounts, server; returns when the server is ready."""
        self._choose_port()
        database = self._open_database()
        migrate(database.admin_conninfo, role_secret=database.role_secret, progress=self._tell)
        demo = asyncio.run(_set_up_demo(self._settings, database))
        self._start_server()
        self._wait_until_ready()
        return demo

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

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                self._look_after_postgres()
                self._look_after_server()
            except PostgresError as error:
                self._tell(f"PostgreSQL does not start: {error}", markup=False)
                self._stopping.wait(_LONGEST_PAUSE_S)
            except Exception as error:  # noqa: BLE001 - whatever it is, somebody must go on watching
                self._tell(f"Could not be started again: {type(error).__name__}: {error}", markup=False)
                self._stopping.wait(_LONGEST_PAUSE_S)

    def _look_after_postgres(self) -> None:
        if self._postgres is None or self._postgres.status().running:
            return
        self._tell("PostgreSQL has died; starting it again")
        port = self._postgres.start(self._tell).port
        if port != self._postgres_port:
            # The server was told the old port when it started, and would look there for ever.
            self._tell(f"PostgreSQL has moved to port {port}; starting the server again")
            self._end_server()
            self._start_server()

    def _look_after_server(self) -> None:
        if self._server is None or self._server.poll() is None:
            return
        lived_s = time.monotonic() - self._server_started_at
        self._pause_s = _FIRST_PAUSE_S if lived_s > 60 else min(self._pause_s * 2, _LONGEST_PAUSE_S)
        self._tell(f"The server has died; starting it again in {self._pause_s:g} s")
        if not self._stopping.wait(self._pause_s):
            self._start_server()

    def stop(self) -> None:
        """The server first, so that it lets go of the database; then the database."""
        self._stopping.set()
        self._may_interrupt = False
        if self._watcher is not None:
            self._watcher.join()
        self._end_server()
        if self._log is not None:
            self._log.close()
        if self._postgres is not None:
            self._postgres.stop()

    def _end_server(self) -> None:
        if self._server is None or self._server.poll() is not None:
            return
        self._server.terminate()
        try:
            self._server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def _choose_port(self) -> None:
        """Settles the port now: a taken one is to be told before anything else is started."""
        try:
            with listening_socket(self._host, self._port) as probe:
                self._port = probe.getsockname()[1]
        except PortTaken as error:
            raise CommandError(
                f"{str(error).capitalize()}.",
                remedy="Choose another one: MEGACITY_HTTP__PORT=8001 make run (0: any free one).",
            ) from error

    def _open_database(self) -> Database:
        url = self._settings.database.url
        if url is not None:
            return Database(
                admin_conninfo=url.get_secret_value(),
                role_secret=read_or_create_secret(self._settings.database.role_secret_file),
            )
        self._postgres = embedded_postgres(self._settings)
        return start_embedded(self._settings, self._postgres, self._tell)

    def _start_server(self) -> None:
        if self._log is None:
            self._log = _open_log(self._settings.log_dir / "server.log")
        words = ["-m", "infra.cli.main", "serve", "all", "--exit-with-parent"]
        words += ["--host", self._host, "--port", str(self._port)]
        if self._postgres is not None:
            self._postgres_port = self._postgres.status().port
        self._server_started_at = time.monotonic()
        self._server = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, *words],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is for us; we stop it in order
        )

    def _wait_until_ready(self) -> None:
        assert self._server is not None
        shown = f"[{self._host}]" if ":" in self._host else self._host
        url = f"http://{shown}:{self._port}"
        gives_up_at = time.monotonic() + READY_LIMIT_S
        waiting = threading.Event()
        while time.monotonic() < gives_up_at:
            if self._server.poll() is not None:
                break
            try:
                if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                    self.base_url = url
                    return
            except httpx.TransportError:
                pass
            waiting.wait(0.1)
        raise CommandError(
            "The server did not become ready.",
            remedy=f"Its log is {self._settings.log_dir / 'server.log'}.",
            exit_code=1,
        )


async def _set_up_demo(settings: Settings, database: Database) -> Demo:
    async with open_write_side(settings, database) as write:
        return await set_up_demo(
            write, settings.secrets_dir, settings.zone, settings.demo_organization, new_id
        )


def _play_samples(settings: Settings, base_url: str, demo: Demo) -> None:
    from infra.cli.sample import play_on_first_start

    play_on_first_start(settings, base_url, demo)


def _say_where_to_look(settings: Settings, base_url: str, demo: Demo) -> None:
    from rich.table import Table

    out: Any = output()
    out.print()
    out.print(f"[bold]MegaCity answers at {base_url}[/bold]", soft_wrap=True)
    out.print(f"  try the API     {base_url}/docs", soft_wrap=True)
    out.print(f"  its document    {base_url}/openapi.json", soft_wrap=True)
    out.print(f"  health          {base_url}/readyz   figures {base_url}/metrics", soft_wrap=True)
    out.print(f"  server log      {_shown(settings.log_dir / 'server.log')}", soft_wrap=True)
    table = Table(title="Sign in with", title_justify="left", box=None, pad_edge=False)
    for column in ("role", "e-mail", "password"):
        table.add_column(column, no_wrap=True)
    for person in demo.people:
        table.add_row(person.role, person.email, person.password)
    out.print(table)


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _open_log(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")
