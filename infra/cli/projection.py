"""`megacity projection`: look at projections, check them against the log, rebuild them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import psycopg
import typer

from infra.cli.console import EXIT_FAILED, CommandError, output, progress
from infra.postgres.roles import PROJECTOR
from infra.settings import load_settings
from projections.projection import Projection

if TYPE_CHECKING:
    from infra.composition import System
    from infra.projections.checkpoints import Connection
    from infra.projections.rebuild import Progress

app = typer.Typer(no_args_is_help=True, help="Look at projections and rebuild them from the log.")

Names = Annotated[list[str] | None, typer.Argument(help="Names, as `list` shows them.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="All of them, one after the other.")]


@app.command("list")
def list_projections() -> None:
    """How far each projection has come."""
    from rich.table import Table

    from infra.projections.checkpoints import read_checkpoint

    table = Table(box=None, pad_edge=False)
    for column in ("projection", "version", "position", "lag", "status"):
        table.add_column(column, justify="right" if column in {"version", "position", "lag"} else "left")
    with _opened() as (system, connection):
        head = system.feed.head()
        for projection in system.projections:
            checkpoint = read_checkpoint(connection, projection.name)
            if checkpoint is None:
                table.add_row(projection.name, str(projection.version), "0", f"{head:,}", "not started")
                continue
            status = checkpoint.status
            if checkpoint.error is not None:
                place = "" if checkpoint.failed_position is None else f" at {checkpoint.failed_position:,}"
                status = f"{status}{place}: {checkpoint.error}"
            table.add_row(
                projection.name,
                str(checkpoint.version),
                f"{checkpoint.position:,}",
                f"{max(0, head - checkpoint.position):,}",
                status,
            )
    output().print(table)


@app.command()
def rebuild(names: Names = None, every: All = False) -> None:
    """Derive the rows anew from the whole log. Readers see the old rows until the new ones are complete."""
    from infra.projections import rebuild as rebuilding

    with _opened() as (system, connection):
        for projection in _chosen(system.projections, names, every=every):
            before = rebuilding.fingerprint(connection, projection)
            with _bar(f"Rebuilding {projection.name}") as tell:
                position = rebuilding.rebuild(projection, system.feed, connection, tell)
            after = rebuilding.fingerprint(connection, projection)
            output().print(f"{projection.name}, rebuilt up to position {position:,}")
            output().print(f"  before  sha256 {before}", soft_wrap=True)
            output().print(f"  after   sha256 {after}", soft_wrap=True)


@app.command()
def verify(names: Names = None, every: All = False) -> None:
    """Compare the rows with what the log gives, and change nothing. Ends with 1 where they differ."""
    from infra.projections import rebuild as rebuilding

    all_agree = True
    with _opened() as (system, connection):
        for projection in _chosen(system.projections, names, every=every):
            with _bar(f"Verifying {projection.name}") as tell:
                found = rebuilding.verify(projection, system.feed, connection, tell)
            all_agree = all_agree and found.agrees
            verdict = "agrees with the log" if found.agrees else "DIFFERS from the log"
            output().print(f"{projection.name} {verdict} at position {found.position:,}")
            output().print(f"  rows    sha256 {found.live}", soft_wrap=True)
            output().print(f"  log     sha256 {found.replayed}", soft_wrap=True)
    if not all_agree:
        raise typer.Exit(EXIT_FAILED)


@contextmanager
def _opened() -> Iterator[tuple["System", "Connection"]]:
    from psycopg.rows import dict_row

    from infra.composition import open_system

    with (
        open_system(load_settings()) as system,
        psycopg.connect(system.conninfo(PROJECTOR), autocommit=True, row_factory=dict_row) as connection,
    ):
        yield system, connection


def _chosen(
    projections: Sequence[Projection], names: Sequence[str] | None, *, every: bool
) -> list[Projection]:
    known = {projection.name: projection for projection in projections}
    if every == bool(names):
        raise CommandError("Name projections, or say --all.", remedy=f"There are {', '.join(known)}.")
    if unknown := [name for name in names or () if name not in known]:
        raise CommandError(
            f"There is no projection {', '.join(unknown)}.", remedy=f"There are {', '.join(known)}."
        )
    return list(projections) if every else [known[name] for name in names or ()]


@contextmanager
def _bar(title: str) -> Iterator["Progress"]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    with Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=progress(),
        transient=True,
    ) as bars:
        task = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
