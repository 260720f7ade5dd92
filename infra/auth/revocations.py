"""Which tokens are refused before they expire: those of ended sessions and of deactivated people.

Table `ops.revocations`. Each process holds it in memory, so that a request costs two look-ups in a
dictionary, and asks for what is new several times a second.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

POLL_INTERVAL_S: Final = 0.25
KEPT: Final = timedelta(hours=25)
"""No token lives longer than a day (`infra.auth.tokens`); the rest is for clocks that differ."""

# A row is stamped before it is visible. Looking this far back again finds those that were committed late,
# and reading everything now and then those that were later still.
_OVERLAP: Final = timedelta(seconds=10)
_WHOLE_EVERY: Final = 240
_BEGINNING: Final = datetime(2000, 1, 1, tzinfo=UTC)

log = structlog.get_logger("auth")


class Revocations:
    def __init__(
        self, pool: AsyncConnectionPool[AsyncConnection[Any]], *, clock: Callable[[], datetime]
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._ended: dict[str, datetime] = {}
        self._seen_until = _BEGINNING

    def ends(self, session_id: str, subject_id: str) -> bool:
        """Whether tokens of this session, or of this person, are refused."""
        return session_id in self._ended or subject_id in self._ended

    def note(self, ids: Iterable[str]) -> None:
        """Refuses them in this process at once; somebody else has written them down."""
        kept_until = self._clock() + KEPT
        self._ended.update(dict.fromkeys(ids, kept_until))

    async def end(self, ids: Iterable[str]) -> None:
        """Refuses all tokens of these sessions or subjects, here at once and elsewhere within a second."""
        listed = list(ids)
        async with self._pool.connection() as connection:
            await connection.execute(
                "INSERT INTO ops.revocations (id, kept_until) SELECT unnest(%s::text[]), %s"
                " ON CONFLICT (id) DO UPDATE SET kept_until = excluded.kept_until",
                (listed, self._clock() + KEPT),
            )
        self.note(listed)

    async def refresh(self, *, whole: bool = False) -> None:
        """Reads what is new; with `whole`, everything, and forgets what has had its time."""
        since = _BEGINNING if whole else self._seen_until - _OVERLAP
        async with self._pool.connection() as connection:
            found = await connection.execute(
                "SELECT id, noted_at, kept_until FROM ops.revocations WHERE noted_at > %s", (since,)
            )
            rows = await found.fetchall()
        if whole:
            now = self._clock()
            for each in [each for each, until in self._ended.items() if until <= now]:
                del self._ended[each]
        for id_, noted_at, kept_until in rows:
            self._ended[id_] = kept_until
            self._seen_until = max(self._seen_until, noted_at)

    async def follow(self) -> None:
        """Keeps this process's list up to date, whatever happens, until it is cancelled."""
        rounds = 0
        while True:
            await asyncio.sleep(POLL_INTERVAL_S)
            rounds += 1
            try:
                await self.refresh(whole=rounds % _WHOLE_EVERY == 0)
            except Exception as error:
                # The database may be away: what is missed now is read as soon as it is back.
                log.exception("ended sessions not looked for", error=type(error).__name__)
