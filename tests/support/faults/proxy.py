"""A line between a client and a server that breaks when it is told to, in plain Python.

with Proxy.to(conninfo) as line:
    through = line.conninfo(conninfo)       # the same server, over the line
    line.lose_answer(b"COMMIT")             # the next commit happens, and nobody is told
    line.lose_request(stream_id.encode())   # what carries these bytes never arrives
    line.cut(); line.refuse(); line.accept(); line.stall(); line.flow(); line.cut_after(100)

Bytes are searched in what the client sends. A prepared statement is sent with its text once only, so
look for something in its values (a stream id, an event id) rather than for SQL.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

HOST = "127.0.0.1"
_CHUNK = 65536
# ReadyForQuery, no transaction open: what was asked for has been committed, or rolled back.
_IDLE = b"Z\x00\x00\x00\x05I"


def transaction_is_over(answer: bytes) -> bool:
    """Whether these bytes of PostgreSQL's answer end a transaction."""
    return answer.endswith(_IDLE)


def any_answer(answer: bytes) -> bool:
    return bool(answer)


@dataclass
class Loss:
    """One thing that gets lost, some number of times; `happened` once it has been, at least once."""

    carrying: bytes
    what: str
    answered: Callable[[bytes], bool]
    times: int
    happened: threading.Event = field(default_factory=threading.Event)
    count: int = 0

    def is_due(self) -> bool:
        return self.count < self.times

    def happens(self) -> None:
        self.count += 1
        self.happened.set()


@dataclass(eq=False)
class _Connection:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    sent_tail: bytes = b""
    answer_tail: bytes = b""
    withheld_for: Loss | None = None

    def cut(self) -> None:
        for side in (self.client, self.server):
            side.transport.abort()


class Proxy:
    """Listens on a port of its own from `with` on; every method may be called from any thread."""

    def __init__(self, port: int, host: str = HOST) -> None:
        self._target = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._connections: set[_Connection] = set()
        self._losses: list[Loss] = []
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._accepting = True
        self._bytes_left: int | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.accepted = 0
        self.port = 0

    @classmethod
    def to(cls, conninfo: str) -> Self:
        told = conninfo_to_dict(conninfo)
        return cls(int(str(told["port"])), str(told["host"]))

    def conninfo(self, conninfo: str) -> str:
        """The same database, reached over this line."""
        return make_conninfo(conninfo, host=HOST, port=self.port)

    # ── what can go wrong ───────────────────────────────────────────────────────────────────────────

    def lose_answer(
        self,
        carrying: bytes,
        *,
        times: int = 1,
        answered: Callable[[bytes], bool] = transaction_is_over,
    ) -> Loss:
        """The server does what is asked in the next request with these bytes; its answer is cut off."""
        return self._lose(Loss(carrying, "answer", answered, times))

    def lose_request(self, carrying: bytes, *, times: int = 1) -> Loss:
        """The next request with these bytes does not arrive: the connection breaks instead."""
        return self._lose(Loss(carrying, "request", any_answer, times))

    def cut_after(self, bytes_left: int) -> None:
        """All connections break once so many more bytes of answers have gone through, mid-message."""
        self._call(lambda: setattr(self, "_bytes_left", bytes_left))

    def cut(self) -> None:
        """All connections break now; new ones are possible."""
        self._call(self._cut)

    def refuse(self) -> None:
        """All connections break now, and new ones are closed at once, until `accept`."""

        def now() -> None:
            self._accepting = False
            self._cut()

        self._call(now)

    def accept(self) -> None:
        self._call(lambda: setattr(self, "_accepting", True))

    def stall(self) -> None:
        """Nothing goes through any more and nothing breaks, until `flow`: a dead cable."""
        self._call(self._flowing.clear)

    def flow(self) -> None:
        self._call(self._flowing.set)

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    # ── the line ────────────────────────────────────────────────────────────────────────────────────

    def __enter__(self) -> Self:
        self._thread.start()
        listening = asyncio.run_coroutine_threadsafe(self._listen(), self._loop)
        self.port = listening.result(timeout=10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    async def _listen(self) -> int:
        self._listener = await asyncio.start_server(self._accepted, HOST, 0)
        return int(self._listener.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        self._listener.close()
        self._cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._connect(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        if not self._accepting:
            to_client.transport.abort()
            return
        try:
            from_server, to_server = await asyncio.open_connection(*self._target)
        except OSError:
            to_client.transport.abort()  # the server is away: so is the line
            return
        for writer in (to_client, to_server):
            made: socket.socket = writer.get_extra_info("socket")
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(to_client, to_server)
        self._connections.add(connection)
        self.accepted += 1
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._requests(connection, from_client))
                both.create_task(self._answers(connection, from_server))
        except* (OSError, asyncio.IncompleteReadError):
            pass  # a broken line is what this is for
        finally:
            self._connections.discard(connection)
            connection.cut()

    async def _requests(self, connection: _Connection, from_client: asyncio.StreamReader) -> None:
        while chunk := await from_client.read(_CHUNK):
            await self._flowing.wait()
            seen = connection.sent_tail + chunk
            for loss in self._losses:
                if not loss.is_due() or loss.carrying not in seen:
                    continue
                if loss.what == "request":
                    loss.happens()
                    connection.cut()
                    return
                connection.withheld_for = loss
            connection.sent_tail = seen[-1000:] if connection.withheld_for is None else b""
            connection.server.write(chunk)
            await connection.server.drain()
        with contextlib.suppress(OSError):
            connection.server.write_eof()

    async def _answers(self, connection: _Connection, from_server: asyncio.StreamReader) -> None:
        while chunk := await from_server.read(_CHUNK):
            await self._flowing.wait()
            if (loss := connection.withheld_for) is not None:
                connection.answer_tail = (connection.answer_tail + chunk)[-1000:]
                if loss.answered(connection.answer_tail):
                    loss.happens()
                    connection.cut()
                    return
                continue
            if self._bytes_left is not None:
                connection.client.write(chunk[: self._bytes_left])
                self._bytes_left -= len(chunk)
                if self._bytes_left <= 0:
                    self._bytes_left = None
                    with contextlib.suppress(OSError):
                        await connection.client.drain()
                    self._cut(gently=True)
                    return
            else:
                connection.client.write(chunk)
            await connection.client.drain()
        connection.cut()

    def _cut(self, *, gently: bool = False) -> None:
        for connection in list(self._connections):
            if gently:  # what was let through shall arrive
                connection.client.close()
                connection.server.transport.abort()
            else:
                connection.cut()

    def _lose(self, loss: Loss) -> Loss:
        self._call(lambda: self._losses.append(loss))
        return loss

    def _call(self, change: Callable[[], object]) -> None:
        """In the loop's thread; returns when it is done."""
        done = threading.Event()

        def now() -> None:
            change()
            done.set()

        self._loop.call_soon_threadsafe(now)
        assert done.wait(timeout=10), "the proxy's thread does not answer"
