"""`megacity log`: read the event log."""

import json
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
import psycopg
import typer
from rich.table import Table
from rich.text import Text

from domain.events import PositionedEvent, RecordedEvent
from domain.identifiers import category_of
from infra.cli.console import CommandError, output
from infra.composition import System, event_codec, open_system
from infra.postgres.roles import PROJECTOR
from infra.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="Read the event log.")


@app.command()
def tail(
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=10_000, help="How many.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as events come.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """The newest events, oldest first."""
    with open_system(load_settings()) as system:
        position = max(0, system.feed.head() - count)
        while True:
            page = system.feed.read(position, 1000)
            _print_events(page.events, as_json=as_json)
            position = page.up_to
            if page.events:
                continue
            if not follow:
                return
            system.feed.wait(position, 1.0)


@app.command()
def stats() -> None:
    """How many events of each type there are."""
    with open_system(load_settings()) as system, psycopg.connect(system.conninfo(PROJECTOR)) as connection:
        rows = connection.execute(
            """SELECT topic, count(*), sum(length(state)), min(notification_id), max(notification_id)
               FROM log.megacity_events GROUP BY topic ORDER BY topic"""
        ).fetchall()
    table = Table(box=None, pad_edge=False)
    table.add_column("event type", overflow="fold")
    for column in ("events", "bytes", "first position", "last position"):
        table.add_column(column, justify="right")
    for topic, *figures in rows:
        table.add_row(topic, *(f"{figure:,}" for figure in figures))
    table.add_row("all", f"{sum(row[1] for row in rows):,}", f"{sum(row[2] for row in rows):,}", "", "")
    output().print(table)


@app.command()
def show(
    stream: Annotated[str, typer.Argument(help="Stream id, such as attempt-….")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """All events of one stream."""
    with open_system(load_settings()) as system:
        recorded = stream_events(system, stream)
    if as_json:
        for event in recorded:
            output().out(json.dumps(as_object(event), ensure_ascii=False), highlight=False)
        return
    for event in recorded:
        output().print(_line(f"v{event.version}", event), soft_wrap=True)


def stream_events(system: System, stream: str) -> list[RecordedEvent]:
    """Raises `CommandError` where there is no such stream."""
    if category_of(stream) is None:
        raise CommandError(f"{stream!r} is not a stream id.", remedy="They look like attempt-0198f0a2-….")
    codec = event_codec()
    with psycopg.connect(system.conninfo(PROJECTOR)) as connection:
        rows = connection.execute(
            """SELECT originator_version, topic, state FROM log.megacity_events
               WHERE originator_id = %s ORDER BY originator_version""",
            (stream,),
        ).fetchall()
    if not rows:
        raise CommandError(f"There is no stream {stream}.")
    return [codec.decode(stream, version, topic, bytes(state)) for version, topic, state in rows]


def as_object(event: RecordedEvent) -> dict[str, Any]:
    return {
        "stream_id": event.stream_id,
        "version": event.version,
        "type": event.event.type_.stored_name,
        "meta": msgspec.to_builtins(event.metadata),
        "data": msgspec.to_builtins(event.event),
    }


def _print_events(events: Iterable[PositionedEvent], *, as_json: bool) -> None:
    out = output()
    for positioned in events:
        if as_json:
            line = {"position": positioned.position, **as_object(positioned.recorded)}
            out.out(json.dumps(line, ensure_ascii=False), highlight=False)
        else:
            out.print(_line(f"{positioned.position:>8}", positioned.recorded), soft_wrap=True)


def _line(label: str, event: RecordedEvent) -> Text:
    data = json.dumps(msgspec.to_builtins(event.event), ensure_ascii=False)
    return Text.assemble(
        (label, "bold"),
        f"  {event.metadata.recorded_at.isoformat(timespec='milliseconds')}  ",
        (event.event.type_.stored_name, "cyan"),
        f"  {event.stream_id} v{event.version}  by {event.metadata.actor.kind} {event.metadata.actor.id}  ",
        (data if len(data) <= 300 else data[:299] + "…", "dim"),
    )
