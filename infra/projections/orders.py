"""Carries out what operators order of projections, as `commands.projections.control.ProjectionControl`.

The order stands in the log. Its effect and the mark that it has been carried out are one transaction, which
holds the checkpoint: no batch is applied meanwhile.
"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from commands.projections.control import UntoldRebuild
from commands.projections.orders import CLAIM_SCOPE
from domain.events import Actor, Event, RecordedEvent
from domain.identifiers import StreamId
from domain.system.events import (
    PoisonEventRetried,
    PoisonEventSetAside,
    PoisonEventSkipped,
    ProjectionPaused,
    ProjectionResumed,
)
from infra.event_store.codec import EventCodec
from infra.event_store.feed import EventFeed
from infra.projections.certificate import Certificate, as_fact
from infra.projections.checkpoints import Connection, ensure_checkpoint, read_checkpoint
from infra.projections.retrying import apply_waiting, leave_out
from projections.projection import Projection


class ProjectionOrders:
    """Each call opens a connection of its own: orders are rare.

    Args:
        connect: opens a connection of the projector's role, with rows as dictionaries.
        feed: where events that were set aside are read again.
        codec: reads the orders.
        projections: all that this release knows.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        feed: EventFeed,
        codec: EventCodec,
        projections: Sequence[Projection],
    ) -> None:
        self._connect = connect
        self._feed = feed
        self._codec = codec
        self._projections = {projection.name: projection for projection in projections}

    @property
    def names(self) -> Sequence[str]:
        return list(self._projections)

    async def carry_out(self, projection: str, orders: StreamId) -> None:
        """Raises `OrderMustWait` where another release keeps the rows."""
        await asyncio.to_thread(self._carry_out, projection, orders)

    async def not_carried_out(self) -> Sequence[tuple[str, StreamId]]:
        return await asyncio.to_thread(self._not_carried_out)

    async def untold(self) -> Sequence[PoisonEventSetAside]:
        return await asyncio.to_thread(self._untold)

    async def mark_told(self, fact: PoisonEventSetAside) -> None:
        await asyncio.to_thread(self._mark_told, fact)

    async def untold_rebuilds(self) -> Sequence[UntoldRebuild]:
        return await asyncio.to_thread(self._untold_rebuilds)

    async def mark_rebuild_told(self, rebuild: UntoldRebuild) -> None:
        await asyncio.to_thread(self._mark_rebuild_told, rebuild)

    def _carry_out(self, name: str, orders: StreamId) -> None:
        projection = self._projections[name]
        with self._connect() as connection:
            ensure_checkpoint(connection, projection)
            checkpoint = read_checkpoint(connection, name)
            assert checkpoint is not None
            for order in self._orders(connection, orders, checkpoint.orders_version):
                with connection.transaction():
                    held = read_checkpoint(connection, name, lock=True)
                    assert held is not None
                    if held.orders_version >= order.version:
                        continue
                    if held.version != projection.version:
                        raise OrderMustWait(name, held.version, projection.version)
                    self._obey(connection, projection, order.event)
                    connection.execute(
                        "UPDATE ops.projections SET orders_version = %s WHERE name = %s",
                        [order.version, name],
                    )

    def _obey(self, connection: Connection, projection: Projection, order: Event) -> None:
        match order:
            case ProjectionPaused():
                _set_status(connection, projection.name, "paused")
            case ProjectionResumed():
                _set_status(connection, projection.name, "running")
            case PoisonEventRetried():
                apply_waiting(connection, projection, self._feed, order.event_stream_id)
            case PoisonEventSkipped():
                leave_out(connection, projection.name, order.event_position)
                apply_waiting(connection, projection, self._feed, order.event_stream_id)
            case _:
                pass  # a fact that orders nothing

    def _orders(self, connection: Connection, stream: StreamId, after: int) -> list[RecordedEvent]:
        rows = connection.execute(
            "SELECT version, type, meta, payload FROM log.events WHERE stream_id = %s AND version > %s"
            " ORDER BY version",
            [stream, after],
        ).fetchall()
        return [
            self._codec.decode(stream, row["version"], row["type"], bytes(row["meta"]), bytes(row["payload"]))
            for row in rows
        ]

    def _not_carried_out(self) -> list[tuple[str, StreamId]]:
        ours = self._projections
        with self._connect() as connection:
            # What is ordered of another release's rows waits for that release, and holds up nothing here.
            rows = connection.execute(
                """
                SELECT c.key, c.stream_id
                FROM unnest(%s::text[], %s::integer[]) AS ours (name, version)
                JOIN ops.claims c ON c.scope = %s AND c.key = ours.name
                LEFT JOIN ops.projections p ON p.name = ours.name
                WHERE coalesce(p.version, ours.version) = ours.version
                  AND (SELECT max(e.version) FROM log.events e WHERE e.stream_id = c.stream_id)
                      > coalesce(p.orders_version, 0)
                ORDER BY c.key
                """,
                [list(ours), [each.version for each in ours.values()], CLAIM_SCOPE],
            ).fetchall()
        return [(row["key"], row["stream_id"]) for row in rows]

    def _untold(self) -> list[PoisonEventSetAside]:
        with self._connect() as connection:
            rows = connection.execute(
                """
                SELECT projection, position AS event_position, stream_id AS event_stream_id,
                    version AS event_version, type AS event_type, error_kind AS error, attempts
                FROM ops.set_aside_events WHERE NOT told ORDER BY projection, position LIMIT 500
                """
            ).fetchall()
        return [PoisonEventSetAside(**row) for row in rows]

    def _mark_told(self, fact: PoisonEventSetAside) -> None:
        with self._connect() as connection:
            # Unless it has been tried in vain again meanwhile, which is to be told too.
            connection.execute(
                "UPDATE ops.set_aside_events SET told = true"
                " WHERE projection = %s AND position = %s AND attempts = %s",
                [fact.projection, fact.event_position, fact.attempts],
            )

    def _untold_rebuilds(self) -> list[UntoldRebuild]:
        with self._connect() as connection:
            rows = connection.execute(
                "SELECT certificate_id, actor_kind, actor_id, certificate"
                " FROM ops.untold_rebuilds JOIN ops.rebuild_certificates USING (certificate_id)"
                " ORDER BY certificate_id LIMIT 500"
            ).fetchall()
        return [
            UntoldRebuild(
                certificate_id=row["certificate_id"],
                ordered_by=Actor(row["actor_kind"], row["actor_id"]),
                fact=as_fact(msgspec.convert(row["certificate"], Certificate)),
            )
            for row in rows
        ]

    def _mark_rebuild_told(self, rebuild: UntoldRebuild) -> None:
        with self._connect() as connection:
            connection.execute(
                "DELETE FROM ops.untold_rebuilds WHERE certificate_id = %s", [rebuild.certificate_id]
            )


def _set_status(connection: Connection, name: str, status: str) -> None:
    connection.execute(
        "UPDATE ops.projections SET status = %s, error = NULL, failed_position = NULL, updated_at = now()"
        " WHERE name = %s",
        [status, name],
    )


class OrderMustWait(Exception):
    """The rows are of another version of the projection: its own release carries the order out."""

    def __init__(self, name: str, found: int, ours: int) -> None:
        super().__init__(f"the rows of {name} are of version {found}, this release makes version {ours}")
