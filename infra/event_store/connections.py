"""Connections to the log that come back by themselves, for one event loop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from infra.event_store.arrays import register_arrays

STUCK_S = 10.0
"""A server that has not answered a statement for so long is taken for gone."""

_CONNECT_TIMEOUT_S = 2


class LogConnection:
    """One connection, opened when it is first used and again when it was lost. For one caller at a time."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._connection: psycopg.AsyncConnection[TupleRow] | None = None
        self._cursor: psycopg.AsyncCursor[TupleRow] | None = None

    @property
    def lost(self) -> bool:
        """The last statement failed because the connection did: whether it took effect is not known."""
        return self._cursor is None

    async def execute(self, statement: str, parameters: Sequence[Any]) -> list[TupleRow]:
        """All rows. Raises `psycopg.Error`; one that leaves `lost` true is the network's."""
        try:
            cursor = self._cursor or await self._open()
            hang_up = asyncio.get_running_loop().call_later(STUCK_S, self._hang_up)
            try:
                await cursor.execute(statement, parameters, prepare=True, binary=True)
            finally:
                hang_up.cancel()
            return await cursor.fetchall() if cursor.description else []
        except BaseException:
            if self._connection is None or self._connection.closed or self._connection.broken:
                await self.close()
            raise

    async def close(self) -> None:
        connection, self._connection, self._cursor = self._connection, None, None
        if connection is not None:
            with suppress(psycopg.Error):
                await connection.close()

    async def _open(self) -> psycopg.AsyncCursor[TupleRow]:
        connection = await psycopg.AsyncConnection.connect(
            self._conninfo, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S
        )
        register_arrays(connection)
        self._connection, self._cursor = connection, connection.cursor()
        return self._cursor

    def _hang_up(self) -> None:
        """Ends a wait for a server that says nothing: asking it to cancel would be one more wait."""
        if self._connection is not None and not self._connection.closed:
            with suppress(OSError), socket.socket(fileno=socket.dup(self._connection.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)


class LogConnections:
    """A few connections, the one used last handed out first; whoever comes when all are taken waits."""

    def __init__(self, conninfo: str, count: int) -> None:
        self._idle = [LogConnection(conninfo) for _ in range(count)]
        self._all = list(self._idle)
        self._places = asyncio.Semaphore(count)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[LogConnection]:
        async with self._places:
            connection = self._idle.pop()
            try:
                yield connection
            finally:
                self._idle.append(connection)

    async def close(self) -> None:
        for connection in self._all:
            await connection.close()
