"""One session with the server, for prepared statements only, straight on libpq's non-blocking calls.

psycopg connects and waits, and its cursors would do the rest; but for one row they spend more time than the
server does: they parse the statement, and ask each parameter for its type. Here these come in the server's
own binary form. To keep the socket registered with the event loop would save a little more. A try at that
seemed to lose answers after a server was killed, which was not explained: libpq closes its socket within any
call, and the number may be somebody else's a moment later. psycopg looks at least every tenth of a second.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import psycopg
from psycopg import generators, pq
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

    @property
    def broken(self) -> bool:
        return self._server.status != pq.ConnStatus.OK

    async def execute(self, statement: Statement, parameters: Sequence[Buffer | None]) -> list[TupleRow]:
        """All rows. Raises `psycopg.Error`, an `OperationalError` where the line broke."""
        if statement.name not in self._prepared:
            await self._prepare(statement)
        self._server.send_query_prepared(
            statement.name.encode(), parameters, [_BINARY] * len(parameters), _BINARY
        )
        result = await self._answer()
        if not result.ntuples:
            return []
        self._rows.set_pgresult(result)
        return self._rows.load_rows(0, result.ntuples, tuple)

    async def close(self) -> None:
        """Whoever still waits for an answer is told that the line broke."""
        self._hang_up()
        with suppress(psycopg.Error):
            await self._connection.close()

    async def _prepare(self, statement: Statement) -> None:
        self._server.send_prepare(statement.name.encode(), statement.sql.encode(), statement.types)
        # It is there already where the caller who prepared it went away before being told.
        with suppress(psycopg.errors.DuplicatePreparedStatement):
            await self._answer()
        self._prepared.add(statement.name)

    async def _answer(self) -> pq.abc.PGresult:
        """Sends what libpq holds ready, and waits: psycopg knows how, whatever libpq closes."""
        hang_up = self._loop.call_later(STUCK_S, self._hang_up)
        try:
            results: list[pq.abc.PGresult] = await self._connection.wait(generators.execute(self._server))
        finally:
            hang_up.cancel()
        for result in results:
            if result.status != pq.ExecStatus.FATAL_ERROR:
                continue
            error = error_from_result(result)
            if error.diag.severity_nonlocalized in _LAST_WORDS:
                self._server.finish()  # before anybody else is sent down this line
            raise error
        if not results:
            raise psycopg.OperationalError("the server said nothing")
        return results[-1]

    def _hang_up(self) -> None:
        """Ends a wait for a server that says nothing: asking it to cancel would be one more wait."""
        if not self.broken:
            with suppress(OSError), socket.socket(fileno=os.dup(self._server.socket)) as line:
                line.shutdown(socket.SHUT_RDWR)


def int8(value: int) -> bytes:
    """A `bigint` parameter."""
    return value.to_bytes(8, "big", signed=True)
