"""One session with the server, for prepared statements only, straight on libpq's non-blocking calls.

psycopg connects, and its cursors would do the rest; but for one row they spend more time than the server
does: they parse the statement, ask each parameter for its type, and register with the event loop anew for
each wait. Here the socket stays registered, and parameters come in the server's own binary form.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import psycopg
from psycopg import pq
from psycopg.abc import Buffer
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.rows import TupleRow

STUCK_S = 10.0
"""A server that has not answered a statement for so long is taken for gone."""

TEXT, INT8, BYTEA = 25, 20, 17
TEXT_ARRAY, INT8_ARRAY, BYTEA_ARRAY = 1009, 1016, 1001

_BINARY = 1
_LAST_WORDS = ("FATAL", "PANIC")
"""After an error of these severities the server ends the session."""


class Statement(NamedTuple):
    """SQL with `$1` and so on, and the types of these by their oids. One name, one statement."""

    name: str
    sql: str
    types: tuple[int, ...]


class Line:
    """An open session. For one caller at a time; one that goes away before its answer came does no harm.

    Must be made in the event loop that uses it.
    """

    def __init__(self, connection: psycopg.AsyncConnection[TupleRow]) -> None:
        self._connection = connection
        self._server = connection.pgconn
        self._loop = asyncio.get_running_loop()
        self._rows = Transformer(connection)
        self._prepared: set[str] = set()
        # Whether an answer is still to come, and who waits for it, if anybody still does.
        self._asked = False
        self._answer: asyncio.Future[None] | None = None
        self._results: list[pq.abc.PGresult] = []
        # A descriptor of our own: libpq closes its one within any call, and a moment later the number may be
        # that of somebody else's socket, whose reader would be taken away in place of ours.
        self._descriptor = os.dup(self._server.socket)
        self._loop.add_reader(self._descriptor, self._read)

    @property
    def broken(self) -> bool:
        return self._server.status != pq.ConnStatus.OK

    async def execute(self, statement: Statement, parameters: Sequence[Buffer | None]) -> list[TupleRow]:
        """All rows. Raises `psycopg.Error`, an `OperationalError` where the line broke."""
        if self._asked:
            # Whoever asked has gone away, and what is said to them is not meant for this caller.
            with suppress(psycopg.Error):
                await self._answered()
        if statement.name not in self._prepared:
            await self._prepare(statement)
        result = await self._ask(
            partial(
                self._server.send_query_prepared,
                statement.name.encode(),
                parameters,
                [_BINARY] * len(parameters),
                _BINARY,
            )
        )
        if not result.ntuples:
            return []
        self._rows.set_pgresult(result)
        return self._rows.load_rows(0, result.ntuples, tuple)

    async def close(self) -> None:
        """Whoever still waits for an answer is told that the line broke."""
        self._let_go()
        with suppress(psycopg.Error):
            await self._connection.close()
        self._fail(psycopg.OperationalError("the connection was closed"))

    async def _prepare(self, statement: Statement) -> None:
        name, sql = statement.name.encode(), statement.sql.encode()
        # It is there already where the caller who prepared it went away before being told.
        with suppress(psycopg.errors.DuplicatePreparedStatement):
            await self._ask(partial(self._server.send_prepare, name, sql, statement.types))
        self._prepared.add(statement.name)

    async def _ask(self, send: Callable[[], None]) -> pq.abc.PGresult:
        """Sends a statement, and waits for the answer."""
        self._asked = True
        self._results = []
        try:
            send()
            if self._server.flush():
                self._loop.add_writer(self._descriptor, self._write)
        except psycopg.Error as error:
            self._break(error)
            raise
        return await self._answered()

    async def _answered(self) -> pq.abc.PGresult:
        self._answer = self._loop.create_future()
        hang_up = self._loop.call_later(STUCK_S, self._hang_up)
        try:
            await self._answer
        finally:
            hang_up.cancel()
        return self._results[-1]

    def _write(self) -> None:
        """Sends the rest of what was too much for the socket at once."""
        try:
            if not self._server.flush():
                self._loop.remove_writer(self._descriptor)
        except psycopg.Error as error:
            self._break(error)

    def _read(self) -> None:
        server = self._server
        try:
            server.consume_input()
            while not server.is_busy():
                result = server.get_result()
                if result is None:
                    self._finish()
                    return
                self._results.append(result)
        except psycopg.Error as error:
            self._break(error)

    def _finish(self) -> None:
        """All of the answer is there."""
        if not self._asked:
            return
        self._asked = False
        for result in self._results:
            if result.status != pq.ExecStatus.FATAL_ERROR:
                continue
            error = error_from_result(result)
            if error.diag.severity_nonlocalized in _LAST_WORDS:
                self._break(error)  # before anybody else is sent down this line
            else:
                self._fail(error)
            return
        if not self._results:
            self._fail(psycopg.OperationalError("the server said nothing"))
        elif self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    def _break(self, error: psycopg.Error) -> None:
        self._let_go()
        self._server.finish()
        for result in self._results:
            if result.status == pq.ExecStatus.FATAL_ERROR:
                error = error_from_result(result)
        self._fail(error)

    def _let_go(self) -> None:
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            self._loop.remove_writer(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _fail(self, error: Exception) -> None:
        self._asked = False
        if self.broken and not isinstance(error, psycopg.OperationalError):
            error = psycopg.OperationalError(str(error))
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def _hang_up(self) -> None:
        """Ends a wait for a server that says nothing: asking it to cancel would be one more wait."""
        if self._descriptor >= 0:
            with suppress(OSError), socket.socket(fileno=socket.dup(self._descriptor)) as line:
                line.shutdown(socket.SHUT_RDWR)


def int8(value: int) -> bytes:
    """A `bigint` parameter."""
    return value.to_bytes(8, "big", signed=True)
