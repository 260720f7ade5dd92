"""What the clock does to subscriptions: what is paid for no longer expires.

The read side knows what is due; the command decides. One that fires twice does nothing the second time.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from commands.context import CommandContext
from commands.reactions.deadlines import DeadlinesMet
from commands.subscriptions import expire_subscription
from commands.write_side import WriteSide
from domain.errors import DomainError
from domain.events import Actor
from domain.identifiers import StreamId


class DueSubscriptions(Protocol):
    async def subscriptions(self, now: datetime, limit: int) -> Sequence[StreamId]:
        """Those that are open and whose time is over."""
        ...


async def expire_subscriptions(write: WriteSide, due: DueSubscriptions, *, limit: int = 500) -> DeadlinesMet:
    """Ends what is over now, at most `limit` of them. What fails holds up nothing else."""
    failed: list[tuple[StreamId, DomainError]] = []
    found = await due.subscriptions(write.clock(), limit)
    for subscription_id in found:
        command_id = write.new_id()
        context = CommandContext(
            actor=Actor("clock", "deadlines"),
            zone_id=None,
            org_id=None,
            correlation_id=command_id,
            command_id=command_id,
        )
        try:
            await expire_subscription(write, context, subscription_id)
        except DomainError as error:
            failed.append((subscription_id, error))
    done = len(found) - len(failed)
    return DeadlinesMet(done, tuple(failed), more=done > 0 and len(found) == limit)
