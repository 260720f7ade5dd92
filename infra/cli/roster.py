"""`megacity roster`: people and classes of an organisation from a file."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from infra.cli.console import EXIT_FAILED, CommandError, output, printable, table_output
from infra.settings import load_settings

if TYPE_CHECKING:
    from commands.roster.importing import Imported, ImportRoster
    from commands.roster.roster import Roster

app = typer.Typer(no_args_is_help=True, help="People and classes of an organisation from a file.")

LISTED_FAULTS = 100
ZIP_BEGINS = b"PK"


@app.callback()
def _group() -> None:
    """People and classes of an organisation from a file."""


@app.command("import")
def import_file(  # noqa: PLR0913, PLR0917 - one for each option
    file: Annotated[Path, typer.Argument(help="CSV, or OneRoster CSV as a ZIP archive.", show_default=False)],
    org: Annotated[str, typer.Option("--org", help="Id of the organisation.", show_default=False)],
    encoding: Annotated[
        Literal["utf-8", "cp949"] | None,
        typer.Option("--encoding", help="Of a CSV file; without it the one that it must be in."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    remove_absent: Annotated[
        bool,
        typer.Option(
            "--remove-absent",
            help="Whom an earlier roster brought and this file does not name is no member any longer.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The whole report as JSON.")] = False,
    operator: Annotated[str, typer.Option("--operator", help="Who orders it, for the log.")] = "command-line",
) -> None:
    """Import a roster. Ends with 1 where rows have faults; the right ones are imported all the same.

    Whoever leaves a class or is removed is kept out at once: for that a server has to run.
    """
    from commands.roster.importing import ImportRoster
    from commands.roster.oneroster import read_oneroster
    from commands.roster.reading import read_table
    from domain.errors import DomainError

    try:
        body = file.read_bytes()
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
    try:
        roster = read_oneroster(body) if body.startswith(ZIP_BEGINS) else read_table(body, encoding)
        command = ImportRoster(org_id=org, roster=roster, dry_run=dry_run, remove_absent=remove_absent)
        imported = asyncio.run(_imported(operator, command))
    except DomainError as refusal:
        raise CommandError(refusal.detail()) from refusal
    if as_json:
        output().print_json(json.dumps(_report(roster, imported, dry_run=dry_run), ensure_ascii=False))
    else:
        _print(roster, imported, dry_run=dry_run)
    if imported.faults:
        raise typer.Exit(EXIT_FAILED)


async def _imported(operator: str, command: "ImportRoster") -> "Imported":
    from commands.roster.importing import import_roster
    from infra.cli.zone import operator_context
    from infra.composition import new_id, open_services, open_system
    from infra.observability.metrics import new_registry

    settings = load_settings()
    with open_system(settings) as system:
        async with open_services(settings, system.database, new_registry()) as services:
            context = operator_context(operator, new_id)
            return await import_roster(services.write, services.roster_lists, context, command)


def _report(roster: "Roster", imported: "Imported", *, dry_run: bool) -> dict[str, object]:
    names = ("created", "updated", "unchanged", "removed", "classes_opened", "classes_renamed", "withheld")
    return {
        "dry_run": dry_run,
        "rows": roster.rows,
        "skipped": roster.skipped,
        **{name: getattr(imported, name) for name in names},
        "faults": [
            {name: getattr(each, name) for name in ("file", "row", "column", "code", "detail")}
            for each in imported.faults
        ],
    }


def _print(roster: "Roster", imported: "Imported", *, dry_run: bool) -> None:
    from rich.table import Table

    told = output()
    people = f"{imported.created:,} new, {imported.updated:,} changed, {imported.unchanged:,} as before"
    told.print(f"people:  {people}, {imported.removed:,} removed")
    told.print(f"classes: {imported.classes_opened:,} new, {imported.classes_renamed:,} renamed")
    told.print(
        f"rows:    {roster.rows:,} read, {roster.skipped:,} not for us, {len(imported.faults):,} faults"
    )
    if dry_run:
        told.print("nothing was written: this was a dry run")
    if imported.withheld:
        told.print("the file has faults: nobody was taken out of a class, and nobody was removed")
    if imported.faults:
        table = Table(box=None, pad_edge=False)
        for column in ("file", "row", "column", "fault"):
            table.add_column(column)
        for each in imported.faults[:LISTED_FAULTS]:
            cells = (each.file, str(each.row), each.column, f"{each.code}: {each.detail}")
            table.add_row(*(printable(cell).replace("[", "\\[") for cell in cells))
        table_output().print(table)
        if len(imported.faults) > LISTED_FAULTS:
            told.print(f"and {len(imported.faults) - LISTED_FAULTS:,} more: `--json` lists all of them")
