"""What a rebuild certifies: which rows it made, from which events, by which code; if they are the old ones.

The hash of a table is SHA-256 over `COPY (SELECT * FROM table ORDER BY key) TO STDOUT`, with times in UTC;
that of a projection is SHA-256 over the names of its tables and these bytes. So anybody can derive it again
with psql and sha256sum.
"""

import hashlib
import inspect
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from psycopg import sql
from psycopg.types.json import Jsonb

from domain.events import Actor
from domain.system.events import ProjectionRebuilt
from infra.projections.checkpoints import Connection
from projections.projection import LIVE_SCHEMA, Projection


class TableDigest(msgspec.Struct, frozen=True):
    table: str
    rows: int
    sha256: str


class Digest(msgspec.Struct, frozen=True):
    """The rows of a projection's tables at one moment, told by their hashes."""

    sha256: str
    tables: tuple[TableDigest, ...]


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """Issued when rebuilt rows have taken over.

    Attributes:
        projection, version, code_sha256: what made the rows.
        position: they hold the effects of the log up to here.
        events: how many events were applied.
        set_aside: how many were left out, as in `ops.set_aside_events`.
        rows: the new rows.
        before: the old rows, where they are comparable: made by the same version, at the same position.
        agrees: whether the two are the same; None where they are not comparable.
        partitions: how many parts of the log were read at once.
        resumed: whether an earlier process began it.
        started_at, took_s: when the rebuild began and what it took until the new rows were live.
        live_held_s: how long the live rows did not move on meanwhile.
        readers_held_s: how long no reader could begin to read them.
    """

    projection: str
    version: int
    code_sha256: str
    position: int
    events: int
    set_aside: int
    rows: Digest
    before: Digest | None
    agrees: bool | None
    partitions: int
    resumed: bool
    started_at: datetime
    took_s: float
    live_held_s: float
    readers_held_s: float

    def differing_tables(self) -> list[str]:
        if self.before is None:
            return []
        old = {each.table: each.sha256 for each in self.before.tables}
        return [each.table for each in self.rows.tables if old.get(each.table) != each.sha256]


def as_json(certificate: Certificate) -> bytes:
    return msgspec.json.format(msgspec.json.encode(certificate), indent=2)


def keep(connection: Connection, certificate: Certificate, ordered_by: Actor) -> None:
    """Stores it for good, and that the log is to be told of it."""
    connection.execute(
        """
        WITH kept AS (
            INSERT INTO ops.rebuild_certificates (projection, position, agrees, certificate)
            VALUES (%s, %s, %s, %s) RETURNING certificate_id
        )
        INSERT INTO ops.untold_rebuilds (certificate_id, actor_kind, actor_id)
        SELECT certificate_id, %s, %s FROM kept
        """,
        [
            certificate.projection,
            certificate.position,
            certificate.agrees,
            Jsonb(msgspec.to_builtins(certificate)),
            ordered_by.kind,
            ordered_by.id,
        ],
    )


def as_fact(certificate: Certificate) -> ProjectionRebuilt:
    """What the log is told of it."""
    return ProjectionRebuilt(
        projection=certificate.projection,
        projection_version=certificate.version,
        up_to_position=certificate.position,
        events=certificate.events,
        rows={table.table: table.rows for table in certificate.rows.tables},
        sha256=certificate.rows.sha256,
        code_sha256=certificate.code_sha256,
    )


def digest(connection: Connection, projection: Projection, schema: str = LIVE_SCHEMA) -> Digest:
    """Hashes the rows as the connection's snapshot shows them."""
    whole = hashlib.sha256()
    tables = []
    with connection.transaction():
        # The text of times and numbers depends on these.
        connection.execute("SET LOCAL timezone = 'UTC'")
        connection.execute("SET LOCAL datestyle = 'ISO'")
        connection.execute("SET LOCAL extra_float_digits = 1")
        for table in sorted(projection.tables):
            whole.update(f"{table}\n".encode())
            of_table = hashlib.sha256()
            rows = 0
            copy_rows = sql.SQL("COPY (SELECT * FROM {} ORDER BY {}) TO STDOUT").format(
                sql.Identifier(schema, table),
                sql.SQL(", ").join(map(sql.Identifier, key_of(connection, table, schema))),
            )
            with connection.cursor() as cursor, cursor.copy(copy_rows) as lines:
                for line in lines:
                    whole.update(line)
                    of_table.update(line)
                    rows += bytes(line).count(b"\n")  # a newline within a value is written as \\n
            tables.append(TableDigest(table, rows, of_table.hexdigest()))
    return Digest(whole.hexdigest(), tuple(tables))


def fingerprint(connection: Connection, projection: Projection) -> str:
    """SHA-256 over all rows of the projection's live tables, in the order of their keys."""
    return digest(connection, projection).sha256


def key_of(connection: Connection, table: str, schema: str = LIVE_SCHEMA) -> list[str]:
    """The columns of the primary key, in its order."""
    rows = connection.execute(
        """
        SELECT a.attname
        FROM pg_index i
        CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS key(attnum, place)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = key.attnum
        WHERE i.indrelid = format('%%I.%%I', %s::text, %s::text)::regclass AND i.indisprimary
        ORDER BY key.place
        """,
        [schema, table],
    ).fetchall()
    return [row["attname"] for row in rows]


def code_sha256(projection: Projection) -> str:
    """SHA-256 over the source files that the projection's class and its bases come from.

    A package of its own counts as a whole. What it imports from elsewhere (the events) does not: where
    that makes other rows, the projection's version says so.
    """
    seen = hashlib.sha256(f"{type(projection).__qualname__}\n{projection.version}\n".encode())
    for path in sorted(set(_sources(type(projection).__mro__))):
        seen.update(path.name.encode() + b"\n" + path.read_bytes())
    return seen.hexdigest()


def _sources(classes: Sequence[type]) -> Iterator[Path]:
    for cls in classes:
        module = sys.modules.get(cls.__module__)
        if module is None or cls.__module__ in {"builtins", "typing", "abc"}:
            continue
        file = Path(inspect.getfile(module))
        if cls.__module__.startswith("projections.") and cls.__module__.endswith(".projection"):
            yield from file.parent.glob("*.py")
        else:
            yield file
