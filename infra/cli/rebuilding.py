"""`megacity projection rebuild|verify`: derive rows anew from the log, and compare them with it."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import psycopg
import typer

from infra.cli.console import EXIT_FAILED, CommandError, output, progress
from infra.postgres.roles import PROJECTOR
from infra.settings import load_settings
from projections.projection import Projection

if TYPE_CHECKING:
    from infra.composition import System
    from infra.event_store.log_feed import LogFeed
    from infra.projections.certificate import Certificate
    from infra.projections.checkpoints import Connection
    from infra.projections.rebuild import Progress

Names = Annotated[list[str] | None, typer.Argument(help="Names, as `list` shows them.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="All of them, one after the other.")]


def rebuild(
    names: Names = None,
    every: All = False,
    workers: Annotated[
        int,
        typer.Option(min=1, max=64, help="Processes, for projections whose rows each come from one stream."),
    ] = 1,
    certificate_file: Annotated[
        Path | None,
        typer.Option("--certificate", help="Write the certificates there, one JSON object a line."),
    ] = None,
    operator: Annotated[str, typer.Option("--operator", help="Who orders it, for the log.")] = "command-line",
) -> None:
    """Derive the rows anew from the whole log, beside those that readers go on reading, and swap them."""
    from infra.projections import rebuild as rebuilding
    from infra.projections.partitions import Workers

    certificates = []
    with opened() as (system, connection):
        helpers = None
        if workers > 1:
            conninfo = system.conninfo(PROJECTOR)
            helpers = Workers(workers, conninfo, partial(log_feed, conninfo))
        for projection in chosen(system.projections, names, every=every):
            with bar(f"Rebuilding {projection.name}") as tell:
                certificate = rebuilding.rebuild(projection, system.feed, connection, tell, workers=helpers)
            certificates.append(certificate)
            _print_certificate(certificate)
    asyncio.run(_record(certificates, operator))
    if certificate_file is not None:
        lines = [msgspec.json.encode(each) + b"\n" for each in certificates]
        certificate_file.write_bytes(b"".join(lines))
    if any(each.agrees is False for each in certificates):
        raise typer.Exit(EXIT_FAILED)


def verify(
    names: Names = None,
    every: All = False,
    sample: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Fold only so many streams each, chosen by chance.")
    ] = None,
) -> None:
    """Compare the rows with what the log gives, and change nothing. Ends with 1 where they differ."""
    all_agree = True
    with opened() as (system, connection):
        for projection in chosen(system.projections, names, every=every):
            if sample is None:
                all_agree &= _verify_whole(system, connection, projection)
            else:
                all_agree &= _verify_sample(system, projection, sample)
    if not all_agree:
        raise typer.Exit(EXIT_FAILED)


def _verify_whole(system: "System", connection: "Connection", projection: Projection) -> bool:
    from infra.projections import rebuild as rebuilding

    with bar(f"Verifying {projection.name}") as tell:
        found = rebuilding.verify(projection, system.feed, connection, tell)
    verdict = "agrees with the log" if found.agrees else "DIFFERS from the log"
    output().print(f"{projection.name} {verdict} at position {found.position:,}")
    output().print(f"  rows    sha256 {found.rows.sha256}", soft_wrap=True)
    output().print(f"  log     sha256 {found.replayed.sha256}", soft_wrap=True)
    return found.agrees


def _verify_sample(system: "System", projection: Projection, sample: int) -> bool:
    from infra.composition import checker

    report = checker(system.database).check(projection, sample)
    verdict = "DIFFERS from the log" if report.differences else "agrees with the log"
    output().print(
        f"{projection.name} {verdict} at position {report.position:,}: "
        f"{report.streams:,} streams of {report.events:,} events folded anew"
    )
    for each in report.differences:
        place = f"{each.table} {dict(each.key)}" + ("" if each.column is None else f" {each.column}")
        output().print(
            f"  {each.stream_id} at {each.position:,}: {place}: {each.fault}", soft_wrap=True, markup=False
        )
    for reason in report.not_comparable:
        output().print(f"  not judged: {reason}", soft_wrap=True, markup=False)
    return not report.differences


def _print_certificate(certificate: "Certificate") -> None:
    out = output()
    out.print(
        f"{certificate.projection}, rebuilt up to position {certificate.position:,} "
        f"from {certificate.events:,} events in {certificate.took_s:,.1f} s"
    )
    for table in certificate.rows.tables:
        out.print(f"  {table.table:<24} {table.rows:>10,} rows  {table.sha256}", soft_wrap=True)
    if certificate.before is not None:
        out.print(f"  before  sha256 {certificate.before.sha256}", soft_wrap=True)
    out.print(f"  after   sha256 {certificate.rows.sha256}", soft_wrap=True)
    out.print(f"  code    sha256 {certificate.code_sha256}", soft_wrap=True)
    match certificate.agrees:
        case True:
            out.print("  the new rows equal the old ones")
        case False:
            differing = ", ".join(certificate.differing_tables())
            out.print(f"  the new rows DIFFER from the old ones, in {differing}")
        case None:
            out.print("  the old rows were of another version or position: nothing to compare with")
    if certificate.set_aside:
        out.print(f"  {certificate.set_aside:,} events are left out: see `megacity projection list`")


async def _record(certificates: "Sequence[Certificate]", operator: str) -> None:
    """Tells the log of each rebuild, in its projection's own stream."""
    from commands.context import CommandContext
    from commands.projections.orders import record_rebuild
    from domain.events import Actor
    from domain.system.events import ProjectionRebuilt
    from infra.composition import new_id, open_system, open_write_side

    settings = load_settings()
    with open_system(settings) as system:
        async with open_write_side(settings, system.database) as write:
            for each in certificates:
                command_id = new_id()
                context = CommandContext(
                    actor=Actor("operator", operator),
                    zone_id=None,
                    org_id=None,
                    correlation_id=command_id,
                    command_id=command_id,
                )
                fact = ProjectionRebuilt(
                    projection=each.projection,
                    projection_version=each.version,
                    up_to_position=each.position,
                    events=each.events,
                    rows={table.table: table.rows for table in each.rows.tables},
                    sha256=each.rows.sha256,
                    code_sha256=each.code_sha256,
                )
                await record_rebuild(write, context, fact)


@contextmanager
def opened() -> Iterator[tuple["System", "Connection"]]:
    """The system, and a connection of the projector's role."""
    from psycopg.rows import dict_row

    from infra.composition import open_system

    with (
        open_system(load_settings()) as system,
        psycopg.connect(system.conninfo(PROJECTOR), autocommit=True, row_factory=dict_row) as connection,
    ):
        yield system, connection


def log_feed(conninfo: str) -> "LogFeed":
    """The log, for a process of its own."""
    from infra.composition import event_codec
    from infra.event_store.log_feed import LogFeed

    return LogFeed(conninfo, event_codec())


def chosen(
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
def bar(title: str) -> Iterator["Progress"]:
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
