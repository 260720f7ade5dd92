"""`megacity log export`: chosen events into a file."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Final

import typer

from infra.cli import log_options as options
from infra.cli.console import EXIT_FAILED, CommandError, progress
from infra.cli.log_access import open_log
from infra.cli.progress_bar import bar
from infra.log_reading.export import Exported, Format, to_file, to_standard_output, write_all
from infra.log_reading.filters import LogFilter
from infra.log_reading.scan import Connection, scan
from infra.log_reading.stored import StoredAt

SUFFIXES: Final[dict[str, Format]] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
STANDARD_OUTPUT: Final = Path("-")

Progress = Callable[[int, int], None]


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
    force: Annotated[bool, typer.Option("--force", help="Replace the file where it is there.")] = False,
) -> None:
    """Write chosen events to a file, as JSON Lines or Parquet, in the order of the log.

    Personal values stay as they are stored. The file appears when it is complete; one that is there already
    is replaced with `--force` alone. What the log holds at the beginning is exported; go on later with
    `--after` and the position that is told at the end.
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
    options.refuse_empty_range(chosen)
    format_ = _format(file, format_)
    if file != STANDARD_OUTPUT:
        file = _target(file, force=force)
    with open_log() as (system, connection):
        head = system.feed.head()
        if after > head:
            raise CommandError(f"The log ends at position {head:,}.")
        end = head if up_to is None else min(head, up_to)
        with bar("Reading positions") as tell, closing(_scan(connection, chosen, end, tell)) as events:
            exported = (
                _to_standard_output(events) if file == STANDARD_OUTPUT else _to_file(file, format_, events)
            )
    _report(exported, file, end=end)


def _scan(connection: Connection, chosen: LogFilter, end: int, tell: Progress) -> Generator[StoredAt]:
    begin = chosen.after
    return scan(connection, chosen, up_to=end, tell=lambda position: tell(position - begin, end - begin))


def _format(file: Path, named: Format | None) -> Format:
    if file == STANDARD_OUTPUT:
        if named == "parquet":
            raise CommandError("Parquet cannot be written to standard output.", remedy="Name a file.")
        return "jsonl"
    found = named or SUFFIXES.get(file.suffix.lower())
    if found is None:
        raise CommandError(
            f"The name {file.name} does not say which format is wanted.",
            remedy="End it in .jsonl or .parquet, or say --format.",
        )
    return found


def _target(file: Path, *, force: bool) -> Path:
    """Where the file is to appear: where a link leads, and in the place of an ordinary file alone.

    What appears takes the place of what was there: of a device that would be its end.
    """
    try:
        target = file.resolve()
        if not target.parent.is_dir():
            raise CommandError(f"There is no folder {target.parent}.")
        if not target.exists():
            return target
        if target.is_dir():
            raise CommandError(f"{file} is a folder.", remedy="Name a file in it.")
        if not target.is_file():
            raise CommandError(
                f"{file} is no ordinary file.", remedy="Write to standard output with -, and lead that there."
            )
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead to each other
        raise CommandError(f"{file} cannot be written: {_reason(error)}.", exit_code=EXIT_FAILED) from error
    if not force:
        raise CommandError(
            f"{file} is there already.", remedy="Name another file, or replace it with --force."
        )
    return target


def _to_standard_output(events: Iterator[StoredAt]) -> Exported:
    try:
        with to_standard_output() as writer:
            return write_all(events, writer)
    except BrokenPipeError:
        raise  # whoever read it has seen enough
    except OSError as error:
        raise CommandError(
            f"Standard output cannot be written: {_reason(error)}.", exit_code=EXIT_FAILED
        ) from error


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


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
        raise CommandError(f"{file} cannot be written: {_reason(error)}.", exit_code=EXIT_FAILED) from error


def _report(exported: Exported, file: Path, *, end: int) -> None:
    where = "standard output" if file == STANDARD_OUTPUT else str(file)
    progress().print(
        f"{exported.events:,} events written to {where}; go on later with --after {end}", soft_wrap=True
    )
