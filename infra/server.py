"""One process of the system: it serves a role until it is told to stop."""

import asyncio
import json
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

import structlog
import uvicorn
from fastapi import FastAPI

from commands.reactions.calibrations import calibrate_banks_with_news
from commands.reactions.deadlines import meet_deadlines
from commands.reactions.projections import look_after_projections
from infra.due_work import ReadModelDueWork
from infra.projections.checker import Checker
from infra.projections.orders import ProjectionOrders
from infra.settings import Settings

Role = Literal[
    "all",
    "api",
    "write-api",
    "read-api",
    "sequencer",
    "projector",
    "cat-engine",
    "deadlines",
    "relay",
    "consumer",
]
WRITING: Final[frozenset[Role]] = frozenset({"all", "api", "write-api"})
READING: Final[frozenset[Role]] = frozenset({"all", "api", "read-api"})

DEADLINE_INTERVAL_S = 1.0
PROJECTIONS_INTERVAL_S = 1.0
SWEEP_INTERVAL_S = 3600.0
FIRST_CALIBRATION_S = 60.0

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


class Supervised(Protocol):
    """A thread that outlives every fault until it is told to stop."""

    def start(self) -> None: ...

    def stop(self) -> bool: ...


@dataclass
class Background:
    """What runs beside the HTTP server in this process."""

    runners: list[Supervised] = field(default_factory=list)
    loops: list[Callable[[], Any]] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        for runner in self.runners:
            runner.start()
        tasks = [asyncio.create_task(loop()) for loop in self.loops]
        try:
            yield
        finally:
            await _ended(tasks)
            await asyncio.gather(*(asyncio.to_thread(runner.stop) for runner in self.runners))


async def _ended(tasks: Iterable[asyncio.Task[Any]]) -> None:
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        # Until Python 3.12 `asyncio.wait_for`, which waits for the database, may swallow a cancellation.
        _, pending = await asyncio.wait(pending, timeout=0.5)


async def follow_deadlines(services: Any, due: ReadModelDueWork) -> None:
    """Does what is due, every second, whatever happens."""
    while True:
        more = False
        try:
            met = await meet_deadlines(services.write, due)
            more = met.more
            if met.done:
                log.info("deadlines met", commands=met.done)
            for stream_id, error in met.failed:
                log.error("deadline not met", stream_id=stream_id, error=error.code)
        except Exception as error:
            # The database may be away: what is due stays due. This loop must outlive everything.
            log.exception("deadlines not looked at", error=type(error).__name__)
        if not more:
            await asyncio.sleep(DEADLINE_INTERVAL_S)


async def keep_calibrating(services: Any, every_s: float) -> None:
    """Calibrates item banks that enough examinees have been tested with; the first time soon after the start.

    How often this process is started makes no difference: without news a bank is left alone.
    """
    await asyncio.sleep(FIRST_CALIBRATION_S)
    while True:
        try:
            done = await calibrate_banks_with_news(services.write, services.calibrations)
            if done.calibrated:
                log.info("item banks calibrated", banks=done.calibrated)
            for bank_id, error in done.failed:
                log.error("item bank not calibrated", stream_id=bank_id, error=error.code)
        except Exception as error:
            # The database may be away: the next look will do.
            log.exception("item banks not looked at", error=type(error).__name__)
        await asyncio.sleep(every_s)


async def follow_projections(services: Any, orders: ProjectionOrders) -> None:
    """Tells the log what projections have set aside, and does what was ordered of them."""
    while True:
        try:
            await look_after_projections(services.write, orders)
        except Exception as error:
            # Nothing is lost: what is not told, or not carried out, is found again.
            log.exception("projections not looked after", error=type(error).__name__)
        await asyncio.sleep(PROJECTIONS_INTERVAL_S)


async def keep_checking(checker: Checker, interval_s: float, sample: int) -> None:
    """Holds a few streams against the rows now and then, one projection after the other."""
    while True:
        await asyncio.sleep(interval_s)
        try:
            await asyncio.to_thread(checker.check_next, sample)
        except Exception as error:
            # The database may be away, or busy: the next sample will do.
            log.exception("rows not checked", error=type(error).__name__)


async def sweep_expired(services: Any) -> None:
    """Removes what has expired: kept answers, sign-ins, links."""
    while True:
        try:
            await services.idempotency.sweep(services.clock())
            await services.sign_in.sweep(services.clock())
            await services.other_ways.sweep(services.clock())
        except Exception as error:
            log.exception("expired rows not removed", error=type(error).__name__)
        await asyncio.sleep(SWEEP_INTERVAL_S)


class Server(uvicorn.Server):
    """Tells when it answers."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        app: Any = self.config.app
        end_waiting = getattr(app.state, "end_waiting", None)
        if end_waiting is not None:
            # Who follows an attempt would go on doing so until the time for ending gracefully is over.
            end_waiting()
        await super().shutdown(sockets)


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
        proxy_headers=False,  # whose word counts is the settings' business (limits.trusted_proxies)
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
