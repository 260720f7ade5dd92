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

from infra.cli.console import EXIT_FAILED, CommandError, output
from infra.cli.progress_bar import bar
from infra.postgres.roles import PROJECTOR
from infra.settings import load_settings
from projections.projection import Projection

if TYPE_CHECKING:
    from infra.composition import System
    from infra.event_store.log_feed import LogFeed
    from infra.projections.certificate import Certificate
    from infra.projections.checkpoints import Connection

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
    from domain.events import Actor
    from infra.projections import rebuild as rebuilding
    from infra.projections.partitions import Workers

    certificates: list[Certificate] = []
    ordered_by = Actor("operator", operator)
    if certificate_file is not None:
        _write_certificates(certificate_file, certificates)  # before the work: it may not be possible
    try:
        with opened() as (system, connection):
            helpers = None
            if workers > 1:
                conninfo = system.conninfo(PROJECTOR)
                helpers = Workers(workers, conninfo, partial(log_feed, conninfo))
            for projection in chosen(system.projections, names, every=every):
                with bar(f"Rebuilding {projection.name}") as tell, _refusals_in_sentences():
                    certificate = rebuilding.rebuild(
                        projection, system.feed, connection, tell, workers=helpers, ordered_by=ordered_by
                    )
                certificates.append(certificate)
                _print_certificate(certificate)
    finally:
        # Also where the next one has failed.
        if certificates:
            asyncio.run(_record())
            if certificate_file is not None:
                _write_certificates(certificate_file, certificates)
    if any(each.agrees is False for each in certificates):
        raise typer.Exit(EXIT_FAILED)


def verify(
    names: Names = None,
    every: All = False,
    sample: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Fold only so many streams each, chosen by chance.")
    ] = None,
) -> None:
    """Compare the rows with what the log gives, and change nothing.

    Ends with 1 where they differ, or where nothing could be judged.
    """
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

    with bar(f"Verifying {projection.name}") as tell, _refusals_in_sentences():
        found = rebuilding.verify(projection, system.feed, connection, tell)
    verdict = "agrees with the log" if found.agrees else "DIFFERS from the log"
    output().print(f"{projection.name} {verdict} at position {found.position:,}")
    output().print(f"  rows    sha256 {found.rows.sha256}", soft_wrap=True)
    output().print(f"  log     sha256 {found.replayed.sha256}", soft_wrap=True)
    return found.agrees


def _verify_sample(system: "System", projection: Projection, sample: int) -> bool:
    from infra.composition import checker

    report = checker(system.database).check(projection, sample)
    judged = report.streams > 0 or not report.not_comparable
    if report.differences or judged:
        verdict = "DIFFERS from the log" if report.differences else "agrees with the log"
        told = f"{report.streams:,} streams of {report.events:,} events folded anew"
        output().print(f"{projection.name} {verdict} at position {report.position:,}: {told}", soft_wrap=True)
    else:
        output().print(f"{projection.name} was not judged")
    for each in report.differences:
        place = f"{each.table} {dict(each.key)}" + ("" if each.column is None else f" {each.column}")
        output().print(
            f"  {each.stream_id} at {each.position:,}: {place}: {each.fault}", soft_wrap=True, markup=False
        )
    for reason in report.not_comparable:
        output().print(f"  not judged: {reason}", soft_wrap=True, markup=False)
    return judged and not report.differences


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


def _write_certificates(file: Path, certificates: "Sequence[Certificate]") -> None:
    try:
        file.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in certificates))
    except OSError as error:
        raise CommandError(f"The certificates cannot be written to {file}: {error.strerror}.") from error


@contextmanager
def _refusals_in_sentences() -> Iterator[None]:
    """Raises `CommandError` where a rebuild or a verification says that it cannot be done."""
    from infra.projections.ahead import RowsAhead
    from infra.projections.blue_green import (
        LogTooShort,
        NewerRowsThere,
        RebuildReplaced,
        ScratchInUse,
        WouldLoseEvents,
    )
    from infra.projections.partitions import PartitionFailed
    from infra.projections.poison import TooMuchPoison
    from infra.projections.rebuild import RebuildUnderWay

    try:
        yield
    except (RebuildUnderWay, RebuildReplaced, ScratchInUse) as error:
        raise CommandError(str(error), remedy="Try again when that has ended.") from error
    except RowsAhead as error:
        raise CommandError(str(error)) from error
    except PartitionFailed as error:
        remedy = "What it wrote above says why; a rebuild goes on where this one has ended."
        raise CommandError(str(error), remedy=remedy) from error
    except (LogTooShort, NewerRowsThere, WouldLoseEvents, TooMuchPoison) as error:
        raise CommandError(str(error), remedy="The rows that readers see are as they were.") from error


async def _record() -> None:
    """Tells the log of each rebuild, in its projection's own stream."""
    from commands.reactions.projections import tell_rebuilds
    from infra.composition import open_system, open_write_side, projection_orders

    settings = load_settings()
    with open_system(settings) as system:
        async with open_write_side(settings, system.database) as write:
            await tell_rebuilds(write, projection_orders(system.database, system.feed))


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
