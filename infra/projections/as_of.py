"""As of: a projection's rows as the log gives them at an earlier position, in a scratch schema.

What a live projection goes on without (`ops.set_aside_events`) is left out here too: so the rows at its
checkpoint are its live rows.
"""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from psycopg import Cursor, sql
from psycopg.rows import tuple_row

from infra.event_store.feed import EventFeed
from infra.projections.blue_green import LogTooShort, Progress
from infra.projections.checkpoints import Connection
from infra.projections.filling import BATCH_SIZE, LeftOut, fill
from infra.projections.poison import SetAside
from infra.projections.scratch import (
    connected_beside,
    create_scratch,
    drop_scratch,
    scratch_schemas,
    writing_to,
)
from projections.projection import Projection

PREFIX: Final = "as_of_"
ANSWERS_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class AsOf:
    """Rows as of `position`, in the tables of `schema`; `set_aside` could not be applied."""

    schema: str
    position: int
    set_aside: list[SetAside]


def build_as_of(  # noqa: PLR0913 - what is made, from what, where to
    projection: Projection,
    feed: EventFeed,
    connection: Connection,
    position: int,
    progress: Progress | None = None,
    *,
    to_be_kept: bool = False,
) -> AsOf:
    """Makes the rows in a scratch schema of their own.

    Those that are to be kept go to `as_of_<projection>_<position>`, in the place of what was kept there; the
    others never touch what somebody keeps or makes at the same time. Raises `LogTooShort` where the log ends
    before the position.
    """
    schema = f"{PREFIX}{projection.name}_{position}" + ("" if to_be_kept else f"_{uuid4().hex[:8]}")
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


def answers(connection: Connection, schema: str, statement: str) -> Generator[dict[str, Any]]:
    """Rows of a statement that reads, as they come; its tables are those of the schema.

    One statement, by a protocol that takes no second one: that could end the transaction which reads only.
    Over a connection of its own, whatever state the statement leaves it in. Columns of one name are numbered.
    Raises `psycopg.Error`, also where the statement gives no rows.
    """
    with connected_beside(connection) as beside:
        try:
            beside.execute("BEGIN READ ONLY")
            beside.execute(sql.SQL("SET LOCAL search_path = {}, pg_catalog").format(sql.Identifier(schema)))
            with (
                beside.cursor(row_factory=tuple_row) as cursor,
                closing(_streamed(cursor, statement)) as rows,
            ):
                names: list[str] = []
                for row in rows:
                    names = names or _distinct([column.name for column in cursor.description or ()])
                    yield dict(zip(names, row, strict=True))
        finally:
            beside.close()


def _streamed(cursor: Cursor[tuple[Any, ...]], statement: str) -> Generator[tuple[Any, ...]]:
    rows = cursor.stream(statement.encode(), size=ANSWERS_AT_ONCE)
    assert isinstance(rows, Generator)
    return rows


def _distinct(names: list[str]) -> list[str]:
    """Names of which no two are the same: `id`, `id_2`."""
    found: list[str] = []
    for name in names:
        number, candidate = 1, name
        while candidate in found:
            number += 1
            candidate = f"{name}_{number}"
        found.append(candidate)
    return found


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
