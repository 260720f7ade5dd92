"""Subscriptions end when what is paid for does."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import structlog

from commands.reactions.subscriptions import DueSubscriptions, expire_subscriptions
from commands.write_side import WriteSide
from domain.identifiers import StreamId
from infra.claims import Pool

EXPIRY_INTERVAL_S: Final = 1.0

log = structlog.get_logger("payments")


class ReadModelDueSubscriptions:
    """`commands.reactions.subscriptions.DueSubscriptions` over the read model, which may lag."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def subscriptions(self, now: datetime, limit: int) -> Sequence[StreamId]:
        async with self._pool.connection() as connection:
            found = await connection.execute(
                """SELECT subscription_id FROM read.subscriptions
                   WHERE status <> 'expired' AND paid_until <= %s
                   ORDER BY paid_until, subscription_id LIMIT %s""",
                (now, limit),
            )
            return [str(subscription_id) for (subscription_id,) in await found.fetchall()]


async def keep_expiring(write: WriteSide, due: DueSubscriptions) -> None:
    """Ends what is over, every second, whatever happens."""
    while True:
        more = False
        try:
            met = await expire_subscriptions(write, due)
            more = met.more
            if met.done:
                log.info("subscriptions expired", commands=met.done)
            for stream_id, error in met.failed:
                log.error("subscription not expired", stream_id=stream_id, error=error.code)
        except Exception as error:
            # The database may be away: what is over stays over. This loop must outlive everything.
            log.exception("subscriptions not looked at", error=type(error).__name__)
        if not more:
            await asyncio.sleep(EXPIRY_INTERVAL_S)
