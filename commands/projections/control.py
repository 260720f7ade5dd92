"""What the orders about projections need of the outside world."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from domain.events import Actor
from domain.identifiers import StreamId
from domain.system.events import PoisonEventSetAside, ProjectionRebuilt


class UntoldRebuild(msgspec.Struct, frozen=True, kw_only=True):
    """`certificate_id` names the certificate that the fact is taken from, `ordered_by` who had it made."""

    certificate_id: int
    ordered_by: Actor
    fact: ProjectionRebuilt


class ProjectionControl(Protocol):
    """Projections as they are, beside the streams that say how they should be."""

    @property
    def names(self) -> Sequence[str]:
        """Of the projections that this release knows."""
        ...

    async def carry_out(self, projection: str, orders: StreamId) -> None:
        """Does what the stream orders and is not done yet, each order in one transaction with its mark.

        An order that was carried out is not carried out again, however often and by whomever this is called.
        """
        ...

    async def not_carried_out(self) -> Sequence[tuple[str, StreamId]]:
        """The projections, with their streams, that somebody has ordered something of."""
        ...

    async def untold(self) -> Sequence[PoisonEventSetAside]:
        """What was set aside and the log does not know yet."""
        ...

    async def mark_told(self, fact: PoisonEventSetAside) -> None: ...

    async def untold_rebuilds(self) -> Sequence[UntoldRebuild]:
        """Rebuilds that are done and the log does not know of yet."""
        ...

    async def mark_rebuild_told(self, rebuild: UntoldRebuild) -> None: ...
