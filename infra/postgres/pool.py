"""Connections to PostgreSQL for an event loop, each one seen to work before it is handed out."""

from time import monotonic

import psycopg
from psycopg_pool import AsyncConnectionPool
from psycopg_pool.abc import ACT


class CheckedPool(AsyncConnectionPool[ACT]):
    """A pool for which a restarted server, or one that ended all sessions, costs no request.

    The library's own `check=` waits a second after the first connection that it finds broken, then two, then
    four: a handful of them, and whoever asked is told that the database cannot be reached while it can. Here
    those that are broken are thrown away one after the other until one works or a new one has come.
    """

    async def getconn(self, timeout: float | None = None) -> ACT:  # noqa: ASYNC109 - as it is there
        """Raises `PoolTimeout` where there is none within `timeout` seconds, or the pool's own."""
        gives_up_at = monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            connection = await super().getconn(gives_up_at - monotonic())
            try:
                await self.check_connection(connection)
            except psycopg.Error:
                await self.putconn(connection)
            except BaseException:
                await self.putconn(connection)
                raise
            else:
                return connection
