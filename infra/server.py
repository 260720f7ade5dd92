"""One process of the system: it serves a role until it is told to stop."""

import asyncio
import json
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import psycopg
import structlog
import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from commands.reactions.deadlines import meet_deadlines
from domain.errors import DomainError
from infra.database import Database
from infra.due_work import ReadModelDueWork
from infra.observability.metrics import ProjectionMetrics
from infra.operations import Operations, ProjectionHealth, Readiness
from infra.postgres.migrate import pending
from infra.postgres.roles import WRITER
from infra.projections.runner import ProjectionRunner
from infra.settings import Settings

Role = Literal["all", "write-api", "read-api", "projector", "deadlines"]

DEADLINE_INTERVAL_S = 1.0
SWEEP_INTERVAL_S = 3600.0

log = structlog.get_logger("server")


class PortTaken(Exception):
    """Somebody else listens where this server was to listen."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.host = host
        self.port = port

    def __str__(self) -> str:
        return f"port {self.port} on {self.host} is taken by another program"


def listening_socket(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one. Raises `PortTaken`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    # A port whose last connections still linger is free.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise PortTaken(host, port) from error
    return made


@dataclass
class Background:
    """What runs beside the HTTP server in this process."""

    runners: list[ProjectionRunner] = field(default_factory=list)
    loops: list[Callable[[], Any]] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        for runner in self.runners:
            runner.start()
        tasks = [asyncio.create_task(loop()) for loop in self.loops]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(asyncio.to_thread(runner.stop) for runner in self.runners))


async def follow_deadlines(services: Any, due: ReadModelDueWork) -> None:
    """Does what is due, every second, whatever happens."""
    while True:
        try:
            done = await meet_deadlines(services.write, due)
            if done:
                log.info("deadlines met", commands=done)
        except (DomainError, psycopg.Error) as error:
            # Another process may have been faster, or the database is away: what is due stays due.
            log.warning("deadlines not met", error=str(error))
        await asyncio.sleep(DEADLINE_INTERVAL_S)


async def sweep_expired(services: Any) -> None:
    """Removes what has expired: kept answers and refresh tokens."""
    while True:
        try:
            await services.idempotency.sweep(services.clock())
            await services.refresh_tokens.sweep(services.clock())
        except psycopg.Error as error:
            log.warning("expired rows not removed", error=str(error))
        await asyncio.sleep(SWEEP_INTERVAL_S)


def operations_of(
    settings: Settings, database: Database, registry: CollectorRegistry, position_of: Any
) -> Operations:
    """Readiness and gauges. `position_of()` gives the log's head and each projection's checkpoint."""
    metrics = ProjectionMetrics.create(registry)

    def probe() -> Readiness:
        reasons: list[str] = []
        migrations: list[str] = []
        projections: list[ProjectionHealth] = []
        reachable = True
        try:
            migrations = pending(database.conninfo(WRITER))
            head, checkpoints = position_of()
            for row in checkpoints:
                lag = max(0, head - row["position"])
                metrics.record_progress(row["name"], position=row["position"], head=head)
                projections.append(
                    ProjectionHealth(name=row["name"], position=row["position"], lag=lag, error=row["error"])
                )
                if row["status"] == "failed":
                    reasons.append(f"projection {row['name']} has halted")
                elif lag > settings.projections.ready_lag:
                    reasons.append(f"projection {row['name']} is {lag} events behind")
        except psycopg.Error:
            reachable = False
            reasons.append("the database cannot be reached")
        if migrations:
            reasons.append("migrations are pending")
        return Readiness(
            status="not_ready" if reasons else "ready",
            reasons=reasons,
            database=reachable,
            pending_migrations=migrations,
            projections=projections,
        )

    async def probe_in_thread() -> Readiness:
        return await asyncio.to_thread(probe)

    return Operations(registry, probe_in_thread, lambda: _quietly(probe))


def _quietly(probe: Callable[[], Readiness]) -> None:
    with suppress(psycopg.Error):
        probe()


class Server(uvicorn.Server):
    """Tells when it answers."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def run_server(
    app: FastAPI, sock: socket.socket, on_ready: Callable[[], None], *, exit_with_parent: bool
) -> bool:
    """Serves until a signal ends it; False where it could not start."""
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=10,
    )
    server = Server(config, on_ready)
    if exit_with_parent:
        threading.Thread(target=_watch_parent, args=(server, os.getppid()), daemon=True).start()
    server.run(sockets=[sock])
    return server.started


def _watch_parent(server: uvicorn.Server, parent: int) -> None:
    """A server whose supervisor was killed ends too; nobody would look after it."""
    waiting = threading.Event()
    while os.getppid() == parent:
        waiting.wait(0.5)
    log.warning("the supervisor is gone; ending")
    server.should_exit = True


def write_address(settings: Settings, host: str, port: int) -> None:
    """Leaves the address where other commands of this checkout look for it."""
    path = settings.var_dir / "run" / "api.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = f"[{host}]" if ":" in host else host
    base_url = settings.http.public_base_url or f"http://{shown}:{port}"
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps({"base_url": base_url, "pid": os.getpid()}))
    fresh.replace(path)
