"""Failed sign-ins: counted over all processes, and reported when there are too many in an hour.

Table `ops.sign_in_failures`, one row a minute. Each process adds what it has counted every few seconds, so
that a flood of guesses costs one small write and no more.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from infra.observability.sign_in_metrics import SignInMetrics

FLUSH_INTERVAL_S: Final = 2.0
SURGE_IN_AN_HOUR: Final = 100
_HOUR: Final = timedelta(hours=1)
_KEPT: Final = timedelta(days=2)

log = structlog.get_logger("auth")


class SignInFailures:
    def __init__(
        self,
        pool: AsyncConnectionPool[AsyncConnection[Any]],
        metrics: SignInMetrics,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._metrics = metrics
        self._clock = clock
        self._counted = 0
        self._surging = False

    def count(self) -> None:
        self._counted += 1
        self._metrics.failed.inc()

    async def flush(self) -> int:
        """Adds what was counted here, and answers with the failures of the last hour in all processes.

        The first time that there are more than `SURGE_IN_AN_HOUR` is a warning in the log; the next one
        comes after there were fewer.
        """
        counted, self._counted = self._counted, 0
        now = self._clock()
        try:
            total = await self._add(counted, now)
        except BaseException:
            self._counted += counted
            raise
        self._metrics.failed_last_hour.set(total)
        surging = total > SURGE_IN_AN_HOUR
        if surging and not self._surging:
            log.warning("many sign-ins fail", failed_last_hour=total, usual_at_most=SURGE_IN_AN_HOUR)
        self._surging = surging
        return total

    async def follow(self) -> None:
        """Flushes now and then, whatever happens, until it is cancelled."""
        while True:
            await asyncio.sleep(FLUSH_INTERVAL_S)
            try:
                await self.flush()
            except Exception as error:
                # The database may be away: what was counted is added later.
                log.exception("failed sign-ins not added up", error=type(error).__name__)

    async def _add(self, counted: int, now: datetime) -> int:
        async with self._pool.connection() as connection:
            if counted:
                await connection.execute(
                    "INSERT INTO ops.sign_in_failures (minute, failures)"
                    " VALUES (date_trunc('minute', %s::timestamptz), %s) ON CONFLICT (minute)"
                    " DO UPDATE SET failures = sign_in_failures.failures + excluded.failures",
                    (now, counted),
                )
                await connection.execute("DELETE FROM ops.sign_in_failures WHERE minute < %s", (now - _KEPT,))
            found = await connection.execute(
                "SELECT coalesce(sum(failures), 0)::bigint FROM ops.sign_in_failures"
                " WHERE minute > %s AND minute <= %s",
                (now - _HOUR, now),
            )
            row = await found.fetchone()
        return 0 if row is None else int(row[0])
