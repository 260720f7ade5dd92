"""Which tokens are refused before they expire: of ended sessions, of deactivated people, of earlier roles.

Table `ops.revocations`. Each process holds it in memory, so that a request costs a few look-ups in
dictionaries, and asks for what is new several times a second.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from infra.http.principal import Principal

POLL_INTERVAL_S: Final = 0.25
KEPT: Final = timedelta(hours=25)
"""No token lives longer than a day (`infra.auth.tokens`); the rest is for clocks that differ."""

# A row is stamped before it is visible. Looking this far back again finds those that were committed late,
# and reading everything now and then those that were later still.
_OVERLAP: Final = timedelta(seconds=10)
_WHOLE_EVERY: Final = 240
_BEGINNING: Final = datetime(2000, 1, 1, tzinfo=UTC)

# What refuses everything is not weakened by what refuses older tokens only.
_ADD: Final = """
INSERT INTO ops.revocations AS known (id, kept_until, older_than) SELECT unnest(%s::text[]), %s, %s
ON CONFLICT (id) DO UPDATE SET kept_until = greatest(known.kept_until, excluded.kept_until),
    noted_at = clock_timestamp(),
    older_than = CASE WHEN known.older_than IS NULL OR excluded.older_than IS NULL THEN NULL
                      ELSE greatest(known.older_than, excluded.older_than) END
"""

log = structlog.get_logger("auth")


class Revocations:
    def __init__(
        self, pool: AsyncConnectionPool[AsyncConnection[Any]], *, clock: Callable[[], datetime]
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._ended: dict[str, datetime] = {}
        self._older: dict[str, tuple[int, datetime]] = {}
        self._seen_until = _BEGINNING
        self.on_noted: Callable[[], None] = lambda: None
        """Called when this process has revoked something: see `infra.auth.revocation_news`."""

    def ends(self, holder: Principal) -> bool:
        """Whether a token is refused: its session was ended, its person, or its roles have changed."""
        if holder.session_id in self._ended or holder.subject_id in self._ended:
            return True
        older_than = self._older.get(holder.subject_id)
        return (
            older_than is not None
            and holder.account_version is not None
            and holder.account_version < older_than[0]
        )

    def note(self, ids: Iterable[str]) -> None:
        """Refuses them in this process at once; somebody else has written them down."""
        kept_until = self._clock() + KEPT
        self._ended.update(dict.fromkeys(ids, kept_until))
        self.on_noted()

    def note_older(self, subject_id: str, account_version: int) -> None:
        """As `note`, of tokens whose roles were read from an account before this version."""
        self._note_older(subject_id, account_version, self._clock() + KEPT)
        self.on_noted()

    async def end(self, ids: Iterable[str]) -> None:
        """Refuses all tokens of these sessions or subjects, here at once and elsewhere within a second."""
        listed = list(ids)
        await self._add(listed, None)
        self.note(listed)

    async def end_older(self, subject_id: str, account_version: int) -> None:
        """Refuses somebody's tokens whose roles were read from an account before this version.

        Versions and no times: it makes no difference whose clock is late. Sign-ins go on, and the next
        refresh gives a token with the roles of now.
        """
        await self._add([subject_id], account_version)
        self.note_older(subject_id, account_version)

    async def refresh(self, *, whole: bool = False) -> None:
        """Reads what is new; with `whole`, everything, and forgets what has had its time."""
        since = _BEGINNING if whole else self._seen_until - _OVERLAP
        async with self._pool.connection() as connection:
            found = await connection.execute(
                "SELECT id, noted_at, kept_until, older_than FROM ops.revocations WHERE noted_at > %s",
                (since,),
            )
            rows = await found.fetchall()
        if whole:
            now = self._clock()
            for each in [each for each, until in self._ended.items() if until <= now]:
                del self._ended[each]
            for each in [each for each, (_, until) in self._older.items() if until <= now]:
                del self._older[each]
        for id_, noted_at, kept_until, older_than in rows:
            if older_than is None:
                self._ended[id_] = kept_until
            else:
                self._note_older(id_, older_than, kept_until)
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

    def _note_older(self, subject_id: str, account_version: int, kept_until: datetime) -> None:
        known, until = self._older.get(subject_id, (0, kept_until))
        self._older[subject_id] = (max(known, account_version), max(until, kept_until))

    async def _add(self, ids: list[str], older_than: int | None) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(_ADD, (ids, self._clock() + KEPT, older_than))
