"""Checkpoints: how far each projection has come. Written in the transaction that writes its rows."""

from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

from projections.projection import Projection

ADVANCED_CHANNEL = "read_advanced"
"""Notified with the projection's name when its rows have moved on."""

_SELECT: LiteralString = (
    "SELECT name, version, position, status, error, failed_position, set_aside, orders_version"
    " FROM ops.projections WHERE name = %s"
)
_SELECT_AND_LOCK: LiteralString = _SELECT + " FOR UPDATE"

Connection = psycopg.Connection[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`position` is that of the last event whose effect the rows hold, those set aside left out.

    Attributes:
        status: `running`, `paused` (by an operator), `failed` (it cannot go on and keeps trying) or
            `rebuilding`.
        set_aside: how many events wait in `ops.set_aside_events`.
        orders_version: the version of its system stream up to which orders are carried out.
    """

    name: str
    version: int
    position: int
    status: str
    error: str | None
    failed_position: int | None
    set_aside: int
    orders_version: int

    @property
    def paused(self) -> bool:
        return self.status == "paused"


def ensure_checkpoint(connection: Connection, projection: Projection) -> None:
    connection.execute(
        "INSERT INTO ops.projections (name, version) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING",
        [projection.name, projection.version],
    )


def read_checkpoint(connection: Connection, name: str, *, lock: bool = False) -> Checkpoint | None:
    """With `lock`, nobody else moves the projection until the transaction ends."""
    row = connection.execute(_SELECT_AND_LOCK if lock else _SELECT, [name]).fetchone()
    return None if row is None else Checkpoint(**row)


def advance(connection: Connection, projection: Projection, *, from_position: int, to_position: int) -> None:
    """Raises `CheckpointMoved` where somebody else was there first: the transaction must not commit."""
    moved = connection.execute(
        "UPDATE ops.projections SET position = %s, version = %s, error = NULL, failed_position = NULL,"
        # Who paused it, or rebuilds it, says when that is over.
        " status = CASE status WHEN 'failed' THEN 'running' ELSE status END, updated_at = now()"
        " WHERE name = %s AND position = %s",
        [to_position, projection.version, projection.name, from_position],
    )
    if moved.rowcount != 1:
        raise CheckpointMoved(projection.name, from_position)
    connection.execute("SELECT pg_notify(%s, %s)", [ADVANCED_CHANNEL, projection.name])


def mark_failed(
    connection: Connection, name: str, *, at_position: int, failed_position: int | None, error: str
) -> None:
    """Says why the projection stands still, unless it has moved on or was paused meanwhile."""
    connection.execute(
        "UPDATE ops.projections SET status = 'failed', error = %s, failed_position = %s, updated_at = now()"
        " WHERE name = %s AND position = %s AND status IN ('running', 'failed')",
        [error, failed_position, name, at_position],
    )


class CheckpointMoved(Exception):
    """Another runner of the projection applied these events meanwhile."""

    def __init__(self, name: str, expected_position: int) -> None:
        super().__init__(f"{name} is no longer at {expected_position}")
