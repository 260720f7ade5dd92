"""The read side's way to the database: read-only, as the reader's role, with the asker set.

Row-level security then decides what is visible: see `0054_row_level_security.sql`. A query that forgets to
narrow what it asks for still gets only what the asker may see. What the token says of roles is held against
those that are held now, so the four settings are an upper bound and never open anything by themselves.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self

import psycopg
from psycopg import IsolationLevel
from psycopg.rows import dict_row
from psycopg_pool import TooManyRequests

from infra.database import RECONNECT_TIMEOUT_S
from infra.http.consistency import ConsistencyToken
from infra.http.errors import BadConsistencyToken
from infra.http.principal import Principal
from infra.postgres.pool import CheckedPool
from read_api.errors import ReadModelBehind, ReadStoreUnreachable

FIRST_LOOK_S: Final = 0.005
LONGEST_LOOK_S: Final = 0.05

Connection = psycopg.AsyncConnection[dict[str, Any]]


class ReadStore:
    """A pool of the reader's connections; an asynchronous context manager.

    Args:
        conninfo: of the role `megacity_reader`.
        max_size: connections, at most.
        max_waiting: requests that may wait for one; more are told to come back.
        wait_s: how long they wait.
    """

    def __init__(
        self, conninfo: str, *, max_size: int = 8, max_waiting: int = 1_000, wait_s: float = 5.0
    ) -> None:
        self._pool = CheckedPool(
            conninfo,
            connection_class=psycopg.AsyncConnection[dict[str, Any]],
            kwargs={"row_factory": dict_row, "application_name": "megacity read"},
            configure=_configure,
            min_size=min(2, max_size),
            max_size=max_size,
            max_waiting=max_waiting,
            timeout=wait_s,
            reconnect_timeout=RECONNECT_TIMEOUT_S,
            open=False,
        )

    async def __aenter__(self) -> Self:
        await self._pool.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def session(self, principal: Principal) -> AsyncIterator[Connection]:
        """A transaction over one snapshot, in which only what this principal may see is there.

        Raises `ReadStoreUnreachable`.
        """
        with _reachable():
            async with self._pool.connection() as connection:
                await connection.execute(
                    "SELECT set_config('app.user_id', %s, true), set_config('app.zone_id', %s, true),"
                    " set_config('app.org_ids', %s, true), set_config('app.roles', %s, true)",
                    [
                        principal.subject_id,
                        principal.zone_id,
                        ",".join(principal.org_ids),
                        ",".join(_entries(principal)),
                    ],
                )
                yield connection

    async def wait_for(self, projections: Sequence[str], token: ConsistencyToken, timeout_s: float) -> None:
        """Returns when the rows of these projections include what the token names.

        Between looks no connection is held, so those who wait hold up nobody. Raises
        `ReadModelBehind` when the time is over, `BadConsistencyToken` where the token names nothing
        that was ever written, `ReadStoreUnreachable`.
        """
        gives_up_at = monotonic() + timeout_s
        pause_s = FIRST_LOOK_S
        while True:
            wanted, reached = await self._positions(projections, token)
            if wanted is None:
                raise BadConsistencyToken
            if reached >= wanted:
                return
            if monotonic() + pause_s > gives_up_at:
                raise ReadModelBehind(retry_after_s=1)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_LOOK_S)

    async def _positions(self, projections: Sequence[str], token: ConsistencyToken) -> tuple[int | None, int]:
        """The position of what the token names, and that which the slowest projection has reached."""
        with _reachable():
            async with self._pool.connection() as connection:
                found = await connection.execute(
                    "SELECT read.position_of(%s, %s) AS wanted,"
                    " (SELECT min(coalesce(read.projection_position(name), 0))"
                    "  FROM unnest(%s::text[]) AS names(name)) AS reached",
                    [token.stream_id, token.version, list(projections)],
                )
                row = await found.fetchone()
        assert row is not None
        return row["wanted"], row["reached"]


async def _configure(connection: Connection) -> None:
    # The role may not write anyway, and its transactions are read-only by default: a third wall.
    await connection.set_read_only(True)
    # The queries of one answer see one state of the database.
    await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)


def _entries(principal: Principal) -> Iterator[str]:
    """`app.roles`: `student` for a role in the whole zone, `teacher@organization-...` for one in there."""
    for grant in principal.roles:
        entry = grant.role if grant.org_id is None else f"{grant.role}@{grant.org_id}"
        if "," in entry:
            raise ValueError(f"not a role: {entry!r}")  # would read as two roles
        yield entry


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except (psycopg.OperationalError, TooManyRequests) as error:
        raise ReadStoreUnreachable(retry_after_s=1) from error
