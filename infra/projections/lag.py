"""How far each projection has come, and how far behind the log it is."""

from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

# The checkpoints and the head are of one snapshot.
_PROGRESS: LiteralString = """
    SELECT p.name, p.version, p.position, p.status, p.error, p.failed_position, p.set_aside,
        greatest(head.position - p.position, 0) AS lag,
        coalesce(greatest(extract(epoch FROM clock_timestamp() - oldest.sequenced_at), 0), 0)::float8 AS lag_s
    FROM ops.projections p
    CROSS JOIN (SELECT coalesce(max(position), 0) AS position FROM log.positions) AS head
    LEFT JOIN LATERAL (
        SELECT b.sequenced_at FROM log.batches b WHERE b.last_position > p.position
        ORDER BY b.last_position LIMIT 1
    ) AS oldest ON head.position > p.position
    ORDER BY p.name
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """A projection's checkpoint beside the log.

    Attributes:
        lag: events that are not applied yet.
        lag_s: for how many seconds the oldest of those has been in the log, by the server's clock.
        set_aside: events that wait because one of their stream cannot be applied.
    """

    name: str
    version: int
    position: int
    status: str
    error: str | None
    failed_position: int | None
    set_aside: int
    lag: int
    lag_s: float


def read_progress(connection: psycopg.Connection[dict[str, Any]]) -> list[Progress]:
    """Of every projection that has begun, by name. For the projector's role and the writer's."""
    return [Progress(**row) for row in connection.execute(_PROGRESS).fetchall()]
