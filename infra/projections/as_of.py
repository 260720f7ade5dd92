"""As of: a projection's rows as the log gives them at an earlier position, in a scratch schema.

What a live projection goes on without (`ops.set_aside_events`) is left out here too: so the rows at its
checkpoint are its live rows.
"""

from dataclasses import dataclass
from typing import Any, Final

from psycopg import sql

from infra.event_store.feed import EventFeed
from infra.projections.blue_green import LogTooShort, Progress
from infra.projections.checkpoints import Connection
from infra.projections.filling import BATCH_SIZE, LeftOut, fill
from infra.projections.poison import SetAside
from infra.projections.scratch import create_scratch, drop_scratch, scratch_schemas, writing_to
from projections.projection import Projection

PREFIX: Final = "as_of_"


@dataclass(frozen=True, slots=True)
class AsOf:
    """Rows as of `position`, in the tables of `schema`; `set_aside` could not be applied."""

    schema: str
    position: int
    set_aside: list[SetAside]


def build_as_of(
    projection: Projection,
    feed: EventFeed,
    connection: Connection,
    position: int,
    progress: Progress | None = None,
) -> AsOf:
    """Makes the rows in `as_of_<projection>_<position>`, anew where they are there already.

    Raises `LogTooShort` where the log ends before the position.
    """
    schema = f"{PREFIX}{projection.name}_{position}"
    create_scratch(connection, schema, projection.tables)
    try:
        left_out = left_out_of(connection, projection.name, position)
        set_aside = fill_scratch(projection, feed, connection, schema, position, left_out, progress)
        connection.execute("SELECT ops.analyze_scratch(%s, %s)", [schema, list(projection.tables)])
    except BaseException:
        if not connection.broken:
            drop_scratch(connection, schema)
        raise
    return AsOf(schema, position, set_aside)


def kept_as_of(connection: Connection) -> list[str]:
    """The schemas that were kept."""
    return scratch_schemas(connection, PREFIX)


def query(connection: Connection, schema: str, statement: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows of a statement that reads; its tables are those of the schema."""
    with connection.transaction():
        connection.execute("SET TRANSACTION READ ONLY")
        connection.execute(sql.SQL("SET LOCAL search_path = {}, pg_catalog").format(sql.Identifier(schema)))
        cursor = connection.execute(statement.encode())
        names = [column.name for column in cursor.description or ()]
        rows = cursor.fetchall() if cursor.description else []
    return names, [tuple(row[name] for name in names) for row in rows]


def fill_scratch(  # noqa: PLR0913, PLR0917 - what is made, from what, where to
    projection: Projection,
    feed: EventFeed,
    connection: Connection,
    schema: str,
    up_to: int,
    left_out: LeftOut,
    progress: Progress | None = None,
) -> list[SetAside]:
    """Applies the log up to a position to empty scratch tables; answers what could not be applied."""
    aside: list[SetAside] = []
    position = 0
    while position < up_to:
        page = feed.read(position, BATCH_SIZE, projection.event_types, up_to=up_to)
        if page.up_to <= position:
            raise LogTooShort(projection.name, position, up_to)
        with connection.transaction(), writing_to(connection, schema):
            connection.execute("SET LOCAL synchronous_commit = off")
            aside += fill(connection, projection, page, left_out)
        position = min(page.up_to, up_to)
        if progress is not None:
            progress(position, up_to)
    return aside


def left_out_of(connection: Connection, name: str, up_to: int) -> LeftOut:
    """What the live rows go on without, as the connection's snapshot shows it."""
    rows = connection.execute(
        "SELECT position, status FROM ops.set_aside_events"
        " WHERE projection = %s AND status <> 'applied' AND position <= %s",
        [name, up_to],
    ).fetchall()
    return LeftOut({row["position"]: row["status"] for row in rows})
