"""`megacity log`: read the event log."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import psycopg
import typer
from rich.text import Text

from domain.errors import DomainError
from domain.events import RecordedEvent
from domain.identifiers import category_of
from infra.cli import log_options as options
from infra.cli.console import EXIT_FAILED, CommandError, output, printable
from infra.cli.log_access import open_log, print_line
from infra.cli.log_export import export
from infra.cli.log_search import search
from infra.cli.log_stats import print_figures
from infra.composition import System, event_codec
from infra.log_reading.figures import figures
from infra.log_reading.filters import LogFilter
from infra.log_reading.scan import Connection, newest, scan, stream_of
from infra.log_reading.stored import StoredAt
from infra.postgres.roles import PROJECTOR

FOLLOW_WAIT_S = 1.0
SHOWN_OF_DATA = 300

app = typer.Typer(no_args_is_help=True, help="Read the event log.")
app.command()(export)
app.command()(search)


@app.command()
def tail(  # noqa: PLR0913, PLR0917 - each is an option of the command
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=10_000, help="How many.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as events come.")] = False,
    actor: options.Actor = None,
    action: options.ActionOption = None,
    since: options.Since = None,
    until: options.Until = None,
    zone: options.Zone = None,
    event_type: options.EventTypeOption = None,
    category: options.CategoryOption = None,
    as_json: options.AsJson = False,
) -> None:
    """The newest events, oldest first."""
    chosen = LogFilter(
        actor=actor,
        action=action,
        since=since,
        until=until,
        zone=zone,
        event_type=event_type,
        category=category,
    )
    options.refuse_empty_range(chosen)
    with open_log() as (system, connection):
        position = system.feed.head()
        _print_events(newest(connection, chosen, count, head=position), as_json=as_json)
        while follow:
            system.feed.wait(position, FOLLOW_WAIT_S)
            head = system.feed.head()
            with closing(scan(connection, replace(chosen, after=position), up_to=head)) as events:
                _print_events(events, as_json=as_json)
            position = max(position, head)


@app.command()
def stats(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """How many events of each type there are, how large the log is, and how fast it grows."""
    with open_log() as (_, connection):
        found = figures(connection, datetime.now(UTC))
    if as_json:
        print_line(found.as_json())
    else:
        print_figures(found)


@app.command()
def show(
    stream: Annotated[str, typer.Argument(help="Stream id, such as attempt-….")],
    as_json: options.AsJson = False,
) -> None:
    """All events of one stream, as they are stored."""
    with open_log() as (_, connection):
        _print_events(_stored(connection, stream), as_json=as_json)


def stream_events(system: System, stream: str) -> list[RecordedEvent]:
    """The events of a stream. Raises `CommandError` where there is none, or one that cannot be read."""
    codec = event_codec()
    found = []
    with psycopg.connect(system.conninfo(PROJECTOR), autocommit=True) as connection:
        for each in _stored(connection, stream):
            try:
                found.append(codec.decode(each.stream_id, each.version, each.type, each.meta, each.payload))
            except DomainError as error:
                raise CommandError(
                    f"Version {each.version} of {stream} ({each.type}) cannot be read: {error.detail()}",
                    remedy="`megacity log show` shows it as it is stored.",
                    exit_code=EXIT_FAILED,
                ) from error
    return found


def as_object(event: RecordedEvent) -> dict[str, Any]:
    return {
        "stream_id": event.stream_id,
        "version": event.version,
        "type": event.event.type_.stored_name,
        "meta": msgspec.to_builtins(event.metadata),
        "data": msgspec.to_builtins(event.event),
    }


def _stored(connection: Connection, stream: str) -> list[StoredAt]:
    if category_of(stream) is None:
        raise CommandError(f"{stream!r} is not a stream id.", remedy="They look like attempt-0198f0a2-….")
    found = stream_of(connection, stream)
    if not found:
        raise CommandError(f"There is no stream {stream}.")
    return found


def _print_events(events: Iterable[StoredAt], *, as_json: bool) -> None:
    out = output()
    for event in events:
        if as_json:
            print_line(event.as_json())
        else:
            out.print(_line(event), soft_wrap=True)


def _line(event: StoredAt) -> Text:
    metadata = event.metadata
    data = printable(event.payload.decode(errors="replace"))
    position = "-" if event.position is None else str(event.position)
    by = "" if metadata is None else f"by {metadata.actor.kind} {printable(metadata.actor.id)}  "
    at = "(unreadable)" if metadata is None else metadata.recorded_at.isoformat(timespec="milliseconds")
    return Text.assemble(
        (f"{position:>8}", "bold"),
        f"  {at}  ",
        (event.type, "cyan"),
        f"  {event.stream_id} v{event.version}  {by}",
        (data if len(data) <= SHOWN_OF_DATA else data[: SHOWN_OF_DATA - 1] + "…", "dim"),
    )
