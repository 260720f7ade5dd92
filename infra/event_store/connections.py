"""Connections to the log that come back by themselves, for one event loop."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psycopg
from psycopg.abc import Buffer
from psycopg.rows import TupleRow

from infra.event_store.line import Line, Statement

_CONNECT_TIMEOUT_S = 2


class LogConnection:
    """One connection, opened when it is first used and again when it was lost. For one caller at a time."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._line: Line | None = None

    @property
    def lost(self) -> bool:
        """The last statement failed because the connection did: whether it took effect is not known."""
        return self._line is None or self._line.broken

    async def execute(self, statement: Statement, parameters: Sequence[Buffer | None]) -> list[TupleRow]:
        """All rows. Raises `psycopg.Error`; one that leaves `lost` true is the network's."""
        line = self._line
        if line is None or line.broken:
            line = await self._open()
        return await line.execute(statement, parameters)

    async def close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.close()

    async def _open(self) -> Line:
        await self.close()
        connection = await psycopg.AsyncConnection.connect(
            self._conninfo, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S
        )
        self._line = Line(connection)
        return self._line


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
