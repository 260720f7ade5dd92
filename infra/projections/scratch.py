"""Scratch schemas: tables as the live ones, beside them, for rows that are made anew.

The projector's role may create nothing; functions of the database make and remove these schemas for it
(`0033_rebuild.sql`). Readers have no right to look into them.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import errors
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from infra.projections.checkpoints import Connection
from projections.projection import ScratchCursor

LONGEST_NAME: Final = 63
_NAME: Final = re.compile(r"(rebuild|retired|as_of|check)_[a-z0-9_]+")


def create_scratch(
    connection: Connection, schema: str, tables: Sequence[str], *, lasting: bool = False
) -> None:
    """Empty tables after the live ones; in the place of what was there under this name.

    With `lasting` they survive a crash of the server, which costs writing them to its journal. Raises
    `ValueError` for a name that is none of a scratch schema.
    """
    if _NAME.fullmatch(schema) is None or len(schema) > LONGEST_NAME:
        raise ValueError(f"not the name of a scratch schema: {schema!r}")
    with connection.transaction():
        drop_scratch(connection, schema)
        connection.execute("SELECT ops.create_scratch(%s, %s, %s)", [schema, list(tables), lasting])


def drop_scratch(connection: Connection, schema: str) -> None:
    """Does nothing where there is none."""
    connection.execute("SELECT ops.drop_scratch(%s)", [schema])


def try_to_drop(connection: Connection, *schemas: str, lock_wait_s: float = 0.2) -> bool:
    """Drops them unless somebody still reads there; answers whether they are gone."""
    try:
        with connection.transaction():
            connection.execute(
                "SELECT set_config('lock_timeout', %s, true)", [f"{int(lock_wait_s * 1000)}ms"]
            )
            for schema in schemas:
                drop_scratch(connection, schema)
    except (errors.LockNotAvailable, errors.DeadlockDetected):
        return False
    return True


def scratch_schemas(connection: Connection, prefix: str) -> list[str]:
    """The names of those that there are."""
    rows = connection.execute(
        "SELECT nspname FROM pg_catalog.pg_namespace WHERE starts_with(nspname, %s) ORDER BY nspname",
        [prefix],
    ).fetchall()
    return [row["nspname"] for row in rows]


def shape_of(connection: Connection, tables: Sequence[str], schema: str = "read") -> str:
    """Everything about the tables but their rows."""
    found = connection.execute(
        "SELECT string_agg(coalesce(ops.table_shape(%s, name), 'none'), E'\\n\\n' ORDER BY name) AS shape"
        " FROM unnest(%s::text[]) AS names(name)",
        [schema, list(tables)],
    ).fetchone()
    return "" if found is None else str(found["shape"])


@contextmanager
def writing_to(connection: Connection, schema: str) -> Iterator[None]:
    """Within it, projections that use the connection's cursors read and write tables of this schema."""
    before = connection.cursor_factory
    connection.cursor_factory = type("ScratchCursor", (ScratchCursor,), {"schema": schema})
    try:
        yield
    finally:
        connection.cursor_factory = before


@contextmanager
def connected_beside(connection: Connection) -> Iterator[Connection]:
    """Another connection to the same database, as the same role."""
    info = connection.info
    with psycopg.connect(
        make_conninfo(info.dsn, password=info.password), autocommit=True, row_factory=dict_row
    ) as beside:
        yield beside
