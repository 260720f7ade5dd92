"""Rows of a read table, loaded for a batch of events, changed in memory, and written back at once.

However long the batch is, a table costs two statements: one to load the rows that the batch touches
and one to write them. As each event changes rows and sees what the event before it left, it makes no
difference where one batch ends and the next begins.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
from psycopg import sql

from domain.events import RecordedEvent
from projections.projection import Cursor, schema_of

Row: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[Any, ...]


def owner_of(recorded: RecordedEvent) -> Row:
    """The columns that say whose a row is; row-level security goes by them."""
    return {"zone_id": recorded.metadata.zone_id, "org_id": recorded.metadata.org_id}


class Table:
    """A table of a read model, in the schema that the cursor is for (see `schema_of`).

    Rows travel as one JSON text, which costs a fraction of what an array for each column does.

    Args:
        name: its name.
        key: the columns of its primary key.
        columns: all its columns with their PostgreSQL types, key columns included. Values of `jsonb`
            columns are Python objects in rows, values of `numeric` columns whole numbers of any size.
    """

    def __init__(self, name: str, *, key: tuple[str, ...], columns: Mapping[str, str]) -> None:
        self.name = name
        self.key = key
        self.columns = dict(columns)
        self._whole = tuple(column for column, type_ in columns.items() if type_ == "numeric")

    def load(self, cursor: Cursor, keys: Iterable[Key]) -> "Rows":
        """The rows under these keys, as far as there are any."""
        wanted = [dict(zip(self.key, key, strict=True)) for key in sorted(set(keys))]
        rows = Rows(self)
        if wanted:
            cursor.execute(self._load_statement(schema_of(cursor)), [self._json(wanted)])
            rows.be_loaded(self._read(row) for row in cursor.fetchall())
        return rows

    def save(self, cursor: Cursor, rows: Iterable[Row]) -> None:
        """Inserts the rows, or replaces those that are there."""
        # One order for everybody: two runners of a projection wait for each other, never crosswise.
        ordered = sorted(rows, key=lambda row: tuple(row[column] for column in self.key))
        if ordered:
            written = [{column: row[column] for column in self.columns} for row in ordered]
            cursor.execute(self._save_statement(schema_of(cursor)), [self._json(written)])

    def save_or_add(self, cursor: Cursor, rows: Iterable[Row], *adding: str) -> None:
        """Inserts the rows; where one is there already, adds to its columns `adding` instead."""
        ordered = sorted(rows, key=lambda row: tuple(row[column] for column in self.key))
        if ordered:
            changes = sql.SQL(", ").join(
                sql.SQL("{0} = t.{0} + excluded.{0}").format(sql.Identifier(column)) for column in adding
            )
            cursor.execute(self._save_statement(schema_of(cursor), changes), [self._json(ordered)])

    def add(self, cursor: Cursor, amounts: Mapping[Key, Sequence[int]], *columns: str) -> None:
        """Adds whole numbers to columns of rows that are there, without fetching them.

        Args:
            cursor: writes.
            amounts: for each row's key how much to add, in the order of `columns`.
            columns: of whole numbers.

        Raises `RowMissing` where there is no row for a key; then the transaction must not commit.
        """
        if not amounts:
            return
        keys = sorted(amounts)
        arrays: list[Any] = [list(values) for values in zip(*keys, strict=True)]
        # As text: a list of numbers costs psycopg many times that, and numbers here may be of any size.
        arrays += [
            f"{{{','.join(map(str, values))}}}"
            for values in zip(*(amounts[key] for key in keys), strict=True)
        ]
        cursor.execute(self._add_statement(schema_of(cursor), columns), arrays)
        if cursor.rowcount != len(keys):
            there = self.load(cursor, keys)
            raise RowMissing(self.name, next(key for key in keys if there.get(*key) is None))

    def delete(self, cursor: Cursor, **values: Iterable[Any]) -> None:
        """Deletes the rows whose columns have one of the values given for them."""
        conditions = sql.SQL(" AND ").join(
            sql.SQL("{} = ANY(%s)").format(sql.Identifier(column)) for column in values
        )
        statement = sql.SQL("DELETE FROM {} WHERE {}").format(
            sql.Identifier(schema_of(cursor), self.name), conditions
        )
        cursor.execute(statement, [list(wanted) for wanted in values.values()])

    def remove(self, cursor: Cursor, keys: Iterable[Key]) -> None:
        """Deletes the rows under these keys, as far as there are any."""
        unwanted = [dict(zip(self.key, key, strict=True)) for key in sorted(set(keys))]
        if unwanted:
            statement = sql.SQL("DELETE FROM {table} t USING {unwanted} WHERE ({key}) = ({removed})").format(
                table=sql.Identifier(schema_of(cursor), self.name),
                unwanted=self._recordset("unwanted", self.key),
                key=sql.SQL(", ").join(sql.Identifier("t", column) for column in self.key),
                removed=sql.SQL(", ").join(sql.Identifier("unwanted", column) for column in self.key),
            )
            cursor.execute(statement, [self._json(unwanted)])

    def _json(self, rows: list[Row]) -> str:
        for row in rows:
            for column in self._whole:
                if row.get(column) is not None:
                    row[column] = str(row[column])  # JSON encoders stop at 64 bits
        return msgspec.json.encode(rows).decode()

    def _read(self, row: Row) -> Row:
        # Decimal would round sums beyond 28 digits.
        return row | {column: int(row[column]) for column in self._whole if row[column] is not None}

    def _load_statement(self, schema: str) -> sql.Composed:
        return sql.SQL("SELECT t.* FROM {table} t JOIN {wanted} USING ({key})").format(
            table=sql.Identifier(schema, self.name),
            wanted=self._recordset("wanted", self.key),
            key=self._names(self.key),
        )

    def _add_statement(self, schema: str, columns: Sequence[str]) -> sql.Composed:
        named = [*self.key, *columns]
        return sql.SQL(
            "UPDATE {table} t SET {changes} FROM unnest({arrays}) AS added ({named}) "
            "WHERE ({key}) = ({added})"
        ).format(
            table=sql.Identifier(schema, self.name),
            changes=sql.SQL(", ").join(
                sql.SQL("{0} = t.{0} + added.{0}").format(sql.Identifier(column)) for column in columns
            ),
            arrays=sql.SQL(", ").join(sql.SQL(f"%s::{self.columns[column]}[]") for column in named),
            named=self._names(named),
            key=sql.SQL(", ").join(sql.Identifier("t", column) for column in self.key),
            added=sql.SQL(", ").join(sql.Identifier("added", column) for column in self.key),
        )

    def _save_statement(self, schema: str, changes: sql.Composed | None = None) -> sql.Composed:
        changed = [column for column in self.columns if column not in self.key]
        return sql.SQL(
            "INSERT INTO {table} AS t ({columns}) SELECT {columns} FROM {written} "
            "ON CONFLICT ({key}) DO UPDATE SET {changes}"
        ).format(
            table=sql.Identifier(schema, self.name),
            columns=self._names(self.columns),
            written=self._recordset("written", self.columns),
            key=self._names(self.key),
            changes=changes
            or sql.SQL(", ").join(
                sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column)) for column in changed
            ),
        )

    def _recordset(self, alias: str, columns: Iterable[str]) -> sql.Composed:
        typed = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(self.columns[column]))
            for column in columns
        )
        return sql.SQL("json_to_recordset(%s::json) AS {}({})").format(sql.Identifier(alias), typed)

    @staticmethod
    def _names(columns: Iterable[str]) -> sql.Composed:
        return sql.SQL(", ").join(map(sql.Identifier, columns))


class Rows:
    """Some rows of a table, by key; remembers which of them were changed."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._rows: dict[Key, Row] = {}
        self._changed: set[Key] = set()

    @property
    def table_name(self) -> str:
        return self._table.name

    def be_loaded(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._rows[tuple(row[column] for column in self._table.key)] = row

    def get(self, *key: Any) -> Row | None:
        return self._rows.get(key)

    def put(self, row: Row) -> None:
        """A new row, or another in the place of the one that is there."""
        key = tuple(row[column] for column in self._table.key)
        self._rows[key] = row
        self._changed.add(key)

    def change(self, *key: Any, **values: Any) -> None:
        """Raises `RowMissing` where nothing was written before."""
        row = self._rows.get(key)
        if row is None:
            raise RowMissing(self._table.name, key)
        row.update(values)
        self._changed.add(key)

    def save(self, cursor: Cursor) -> None:
        self._table.save(cursor, (self._rows[key] for key in self._changed))


class RowMissing(LookupError):
    """An event changes something of which no earlier event told: the log or the feed is broken."""

    def __init__(self, table: str, key: Key) -> None:
        super().__init__(f"read.{table} has no row {key}")
