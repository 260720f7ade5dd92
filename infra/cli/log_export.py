"""`megacity log export`: chosen events into a file."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from infra.cli import log_options as options
from infra.cli.console import CommandError, progress
from infra.cli.log_access import open_log
from infra.log_reading.export import Exported, Format, to_file, to_standard_output, write_all
from infra.log_reading.filters import LogFilter
from infra.log_reading.scan import Tell, scan
from infra.log_reading.stored import StoredAt

SUFFIXES: Final[dict[str, Format]] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
STANDARD_OUTPUT: Final = Path("-")


def export(  # noqa: PLR0913, PLR0917 - each is an option of the command
    file: Annotated[Path, typer.Argument(help="Where to; - for standard output.")],
    format_: Annotated[
        Format | None, typer.Option("--format", help="If the file's name does not say it.")
    ] = None,
    actor: options.Actor = None,
    action: options.ActionOption = None,
    since: options.Since = None,
    until: options.Until = None,
    zone: options.Zone = None,
    event_type: options.EventTypeOption = None,
    category: options.CategoryOption = None,
    after: options.After = 0,
    up_to: options.UpTo = None,
) -> None:
    """Write chosen events to a file, as JSON Lines or Parquet, in the order of the log.

    Personal values stay as they are stored. The file appears when it is complete. What the log holds at the
    beginning is exported; go on later with `--after` and the position that is told at the end.
    """
    chosen = LogFilter(
        actor=actor,
        action=action,
        since=since,
        until=until,
        zone=zone,
        event_type=event_type,
        category=category,
        after=after,
        up_to=up_to,
    )
    format_ = _format(file, format_)
    with open_log() as (system, connection):
        head = system.feed.head()
        end = head if up_to is None else min(head, up_to)
        with _bar(after, end) as tell, closing(scan(connection, chosen, up_to=end, tell=tell)) as events:
            if file == STANDARD_OUTPUT:
                with to_standard_output() as writer:
                    exported = write_all(events, writer)
            else:
                exported = _to_file(file, format_, events)
    _report(exported, file, end=max(end, after))


def _format(file: Path, named: Format | None) -> Format:
    if file == STANDARD_OUTPUT:
        if named == "parquet":
            raise CommandError("Parquet cannot be written to standard output.", remedy="Name a file.")
        return "jsonl"
    found = named or SUFFIXES.get(file.suffix)
    if found is None:
        raise CommandError(
            f"The name {file.name} does not say which format is wanted.",
            remedy="End it in .jsonl or .parquet, or say --format.",
        )
    if not file.parent.is_dir():
        raise CommandError(f"There is no folder {file.parent}.")
    if file.is_dir():
        raise CommandError(f"{file} is a folder.", remedy="Name a file in it.")
    return found


def _to_file(file: Path, format_: Format, events: Iterator[StoredAt]) -> Exported:
    try:
        with to_file(file, format_) as writer:
            return write_all(events, writer)
    except ModuleNotFoundError as error:
        raise CommandError(
            f"Parquet needs the Python package {error.name!r}, which is not installed.",
            remedy='`make setup EXTRAS="export"` installs it; JSON Lines needs nothing.',
        ) from error
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror or error}.", exit_code=1) from error


def _report(exported: Exported, file: Path, *, end: int) -> None:
    where = "standard output" if file == STANDARD_OUTPUT else str(file)
    progress().print(
        f"{exported.events:,} events written to {where}; go on later with --after {end}", soft_wrap=True
    )


@contextmanager
def _bar(after: int, end: int) -> Iterator[Tell]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=progress(),
        transient=True,
    ) as bars:
        task = bars.add_task("Reading positions", total=max(0, end - after))
        yield lambda position: bars.update(task, completed=position - after)
