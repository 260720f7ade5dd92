"""What is known of a person when access is decided: the account from its stream, the rest from read models.

A read model lags behind the log. Whether an exam is under way has to be true at the moment of the decision,
so the projection is waited for until it has come to all that was acknowledged when the question came. After a
second of that it is not known, which counts against access.
"""

import asyncio
from collections.abc import Callable
from datetime import date, datetime
from time import monotonic
from typing import Any, Final, LiteralString, get_args

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from commands.access import ZONE_TIME, Gathered
from commands.kinds import USER
from commands.streams import Streams
from domain.identifiers import StreamId, category_of
from domain.policies.access import Principal, SubscriptionStatus, roles_of
from domain.users.account import Registered, UserNotFound
from infra.sequencer.statements import UNSEQUENCED

WAITS_S: Final = 1.0
_FIRST_LOOK_S: Final = 0.005
_LONGEST_LOOK_S: Final = 0.05

_HEAD: Final[LiteralString] = "SELECT position FROM log.positions ORDER BY position DESC LIMIT 1"
_PLACED: Final[LiteralString] = (
    "SELECT count(*), max(position) FROM log.positions WHERE append_id = ANY (%s::bigint[])"
)
_EXAMS: Final[LiteralString] = """
    SELECT (SELECT position FROM ops.projections WHERE name = 'attempts' AND status = 'running'),
        EXISTS (SELECT FROM read.attempts WHERE examinee_id = %s AND status = 'in_progress')
"""
_HAS_SUBSCRIPTIONS: Final[LiteralString] = "SELECT to_regclass('read.subscriptions') IS NOT NULL"
_SUBSCRIPTION: Final[LiteralString] = (
    "SELECT subscription_id, status, paid_until, version FROM read.subscriptions WHERE user_id = %s"
)
_LONGEST_LIFE_YEARS: Final = 150


class GatheredAttributes:
    """`commands.access.Attributes`. `pool` is of a role that reads the log and all read models."""

    def __init__(
        self,
        streams: Streams,
        pool: AsyncConnectionPool[AsyncConnection[Any]],
        *,
        clock: Callable[[], datetime],
        waits_s: float = WAITS_S,
    ) -> None:
        self._streams = streams
        self._pool = pool
        self._clock = clock
        self._waits_s = waits_s
        self._has_subscriptions = False

    async def of(self, user_id: StreamId) -> Gathered:
        """Raises `UserNotFound` where there is no such person, or no longer."""
        if category_of(user_id) != "user":
            raise UserNotFound
        loaded = await self._streams.read(USER, user_id)
        account = loaded.state
        if not isinstance(account, Registered):
            raise UserNotFound
        versions = {user_id: loaded.version}
        running = await self._running(user_id, versions)
        subscription = await self._subscription(user_id, versions)
        return Gathered(
            principal=Principal(
                id=user_id,
                roles=roles_of((each.role, each.org_id) for each in account.roles),
                zone=account.zone_id,
                organizations=tuple(sorted(account.org_ids)),
                has_active_exam=running,
                subscription_status=subscription,
                email_verified=account.email_verified,
                age_years=age_years(account.birth_date, self._clock()),
            ),
            versions=versions,
        )

    async def _running(self, user_id: StreamId, versions: dict[str, int]) -> bool | None:
        """Whether an attempt is in progress; None where the read model stays behind."""
        gives_up_at, pause_s = monotonic() + self._waits_s, _FIRST_LOOK_S
        unplaced: list[int] | None = None
        wanted: int | None = None
        while True:
            async with self._pool.connection() as connection:
                if unplaced is None:
                    # In this order: what gets its place in between lies at or below the head.
                    unplaced = [each for (each,) in await _rows(connection, UNSEQUENCED)]
                    head = await _rows(connection, _HEAD)
                    wanted = head[0][0] if head else 0
                if unplaced:
                    [(placed, last)] = await _rows(connection, _PLACED, unplaced)
                    if placed == len(unplaced):
                        wanted, unplaced = max(wanted or 0, last), []
                [(reached, running)] = await _rows(connection, _EXAMS, user_id)
            if not unplaced and (reached or 0) >= (wanted or 0):
                # As of which position that is so: no stream of the person's own says it.
                versions["projection attempts"] = reached or 0
                return bool(running)
            if monotonic() + pause_s > gives_up_at:
                return None
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_LOOK_S)

    async def _subscription(self, user_id: StreamId, versions: dict[str, int]) -> SubscriptionStatus:
        async with self._pool.connection() as connection:
            if not self._has_subscriptions:
                asked = await connection.execute(_HAS_SUBSCRIPTIONS)
                row = await asked.fetchone()
                self._has_subscriptions = row is not None and bool(row[0])
            if not self._has_subscriptions:
                return "none"
            found = await connection.execute(_SUBSCRIPTION, [user_id])
            row = await found.fetchone()
        if row is None:
            return "none"
        subscription_id, status, paid_until, version = row
        versions[subscription_id] = version
        # The clock's own event may be a second late.
        if status in {"active", "cancelled"} and paid_until is not None and paid_until <= self._clock():
            return "expired"
        known: dict[str, SubscriptionStatus] = {each: each for each in get_args(SubscriptionStatus)}
        return known[status]


async def _rows(
    connection: AsyncConnection[Any], statement: LiteralString, *parameters: Any
) -> list[tuple[Any, ...]]:
    found = await connection.execute(statement, parameters, prepare=True)
    return await found.fetchall()


def age_years(birth_date: str | None, now: datetime) -> int | None:
    """Whole years at this moment; None where the date is not known, or cannot be that of somebody alive."""
    if birth_date is None:
        return None
    try:
        born = date.fromisoformat(birth_date)
    except ValueError:
        return None
    today = now.astimezone(ZONE_TIME).date()
    years = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    return years if 0 <= years <= _LONGEST_LIFE_YEARS else None
