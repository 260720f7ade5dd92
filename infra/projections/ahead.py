"""Rows that are ahead of their checkpoint: of a projection that Kafka feeds, while events come in.

Its partitions move apart, and the checkpoint is where the slowest of them stands. Whoever holds the rows
against the log would find too many of them; at rest, which comes whenever the partitions have caught up, the
rows are those of the checkpoint.
"""

from typing import Final, LiteralString

from infra.projections.checkpoints import Checkpoint, Connection, read_checkpoint
from projections.projection import LIVE_SCHEMA, Projection

WAITS_S: Final = 10.0
_LOOKS_EVERY_S: Final = 0.1

_AHEAD: Final[LiteralString] = """
    SELECT EXISTS (
        SELECT FROM ops.consumer_partitions
        WHERE consumer = %s AND position > %s
            AND row_table = format('%%I.%%I', %s::text, %s::text)::regclass::oid
    ) AS ahead
"""


class RowsAhead(Exception):
    """Events come in so steadily that the rows were never at rest."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is fed by Kafka, and some of its partitions were ahead of others all the time: "
            "try again when less is written"
        )


def are_ahead(
    connection: Connection, projection: Projection, position: int, schema: str = LIVE_SCHEMA
) -> bool:
    """Whether the rows in this schema hold effects of events after the position."""
    row = connection.execute(_AHEAD, [projection.name, position, schema, projection.tables[0]]).fetchone()
    return row is not None and bool(row["ahead"])


def begin_at_rest(connection: Connection, projection: Projection) -> Checkpoint:
    """Begins a transaction whose snapshot shows the rows as of the checkpoint. Raises `RowsAhead`."""
    for _ in range(round(WAITS_S / _LOOKS_EVERY_S)):
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        checkpoint = read_checkpoint(connection, projection.name)
        if checkpoint is None:
            raise LookupError(f"{projection.name} has no checkpoint")
        if not are_ahead(connection, projection, checkpoint.position):
            return checkpoint
        connection.execute("ROLLBACK")
        connection.execute("SELECT pg_catalog.pg_sleep(%s)", [_LOOKS_EVERY_S])
    raise RowsAhead(projection.name)
