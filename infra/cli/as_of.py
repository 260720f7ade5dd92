"""A projection's rows as of a position or a time, and questions to them: part of `megacity replay`."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row

from infra.cli.console import CommandError, output, table_output
from infra.cli.progress_bar import bar
from infra.cli.rebuilding import chosen
from infra.postgres.roles import PROJECTOR
from infra.settings import load_settings

if TYPE_CHECKING:
    from infra.composition import System
    from infra.projections.checkpoints import Connection


def position_of(system: "System", as_of: str) -> int:
    """A position in the log, from itself or from a time (UTC if it says no zone). Raises `CommandError`."""
    head = system.feed.head()
    if as_of.isdecimal():
        position = int(as_of)
        if position > head:
            raise CommandError(f"The log ends at position {head:,}.")
        return position
    try:
        time = datetime.fromisoformat(as_of)
    except ValueError as error:
        raise CommandError(
            f"{as_of!r} is neither a position nor a time.",
            remedy="Write 1200, or 2026-03-02T12:00:00+09:00.",
        ) from error
    time = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    if time > datetime.now(UTC):
        raise CommandError(f"{as_of} has not come yet: nobody knows the rows of then.")
    return system.feed.position_at(time)


def replay_projection(name: str, as_of: str | None, query: str | None, *, keep: bool, as_json: bool) -> None:
    """Builds the rows in a scratch schema, asks them, and removes them unless they are to be kept."""
    from infra.projections.as_of import build_as_of
    from infra.projections.scratch import drop_scratch

    with _connected() as (system, connection):
        [projection] = chosen(system.projections, [name], every=False)
        position = system.feed.head() if as_of is None else position_of(system, as_of)
        with bar(f"{name} as of {position:,}") as tell:
            built = build_as_of(projection, system.feed, connection, position, tell, to_be_kept=keep)
        try:
            _say(f"{name} as of position {built.position:,}", as_json=as_json)
            for each in built.set_aside:
                _say(f"left out {each.position:,}: {each.error}", as_json=as_json)
            if query is None:
                _print_counts(connection, built.schema, projection.tables, as_json=as_json)
            else:
                _print_answer(connection, built.schema, query, as_json=as_json)
        finally:
            if not keep:
                drop_scratch(connection, built.schema)
        if keep:
            _say(
                f"The rows stay in schema {built.schema}; `megacity replay --drop` removes them.",
                as_json=as_json,
            )


def drop_kept() -> None:
    """Removes the rows of all replays that were kept."""
    from infra.projections.as_of import kept_as_of
    from infra.projections.scratch import drop_scratch

    with _connected() as (_, connection):
        kept = kept_as_of(connection)
        for schema in kept:
            drop_scratch(connection, schema)
            output().print(f"{schema} is removed")
        if not kept:
            output().print("Nothing was kept")


@contextmanager
def _connected() -> Iterator[tuple["System", "Connection"]]:
    from infra.composition import open_system

    with (
        open_system(load_settings()) as system,
        psycopg.connect(system.conninfo(PROJECTOR), autocommit=True, row_factory=dict_row) as connection,
    ):
        yield system, connection


def _print_counts(connection: "Connection", schema: str, tables: tuple[str, ...], *, as_json: bool) -> None:
    from psycopg import sql

    for table in sorted(tables):
        row = connection.execute(
            sql.SQL("SELECT count(*) AS rows FROM {}").format(sql.Identifier(schema, table))
        ).fetchone()
        assert row is not None
        if as_json:
            output().out(json.dumps({"table": table, **row}), highlight=False)
        else:
            output().print(f"  {table:<24} {row['rows']:>10,} rows")


def _print_answer(connection: "Connection", schema: str, statement: str, *, as_json: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    from infra.projections.as_of import answers

    table = Table(box=None, pad_edge=False)
    try:
        with closing(answers(connection, schema, statement)) as rows:
            for row in rows:
                if as_json:
                    output().out(json.dumps(row, ensure_ascii=False, default=str), highlight=False)
                    continue
                if not table.columns:
                    for name in row:
                        table.add_column(escape(name), overflow="fold")
                table.add_row(*(escape(_text(value)) for value in row.values()))
    except psycopg.Error as error:
        raise CommandError(f"The query cannot be answered: {str(error).strip()}") from error
    if not as_json:
        table_output().print(table if table.columns else "no rows")


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


def _say(sentence: str, *, as_json: bool) -> None:
    """For a person; an output of JSON lines is for a program."""
    if not as_json:
        output().print(sentence, soft_wrap=True, markup=False)
