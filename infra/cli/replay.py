"""`megacity replay`: one stream with the state after each event, or a projection as of an earlier time."""

import json
from typing import Annotated, Any

import msgspec
import psycopg
import typer

from commands import kinds
from commands.streams import StreamKind
from domain.events import RecordedEvent
from domain.identifiers import category_of
from infra.cli.as_of import drop_kept, position_of, replay_projection
from infra.cli.console import CommandError, output
from infra.cli.log import as_object, stream_events
from infra.composition import System, open_system
from infra.postgres.roles import PROJECTOR
from infra.settings import load_settings

_KINDS: dict[str, StreamKind[Any]] = {
    kind.name: kind
    for kind in (
        kinds.USER,
        kinds.ORGANIZATION,
        kinds.ITEM_BANK,
        kinds.ITEM,
        kinds.EXAM,
        kinds.ATTEMPT,
    )
}


def command(  # noqa: PLR0913, PLR0917 - options of one command, by name
    stream: Annotated[
        str | None, typer.Argument(help="Stream id, such as attempt-….", show_default=False)
    ] = None,
    until: Annotated[int | None, typer.Option(min=1, help="Stop after this version.")] = None,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", help="A position in the log, or a time such as 2026-03-02T12:00:00+09:00."),
    ] = None,
    projection: Annotated[
        str | None, typer.Option("--projection", help="Build this projection's rows as of then.")
    ] = None,
    query: Annotated[
        str | None, typer.Option("--query", help="SQL over those rows; its answer is printed.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the rows for other queries.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Remove all rows that were kept.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show the history of one stream with the state after each event, or a projection as of an earlier time.

    `--projection attempts --as-of 2026-03-02T12:00:00Z --query "SELECT count(*) FROM attempts"`
    """
    of_a_stream = {"--until": until is not None}
    of_a_projection = {"--query": query is not None, "--keep": keep}
    if drop:
        given = {
            "a stream": stream is not None,
            "--projection": projection is not None,
            "--as-of": as_of is not None,
        }
        _refuse("--drop", {**given, **of_a_stream, **of_a_projection, "--json": as_json})
        drop_kept()
    elif projection is not None:
        _refuse("--projection", {"a stream": stream is not None, **of_a_stream})
        replay_projection(projection, as_of, query, keep=keep, as_json=as_json)
    elif stream is not None:
        _refuse("a stream", of_a_projection)
        _replay_stream(stream, until, as_of, as_json=as_json)
    else:
        raise CommandError("Name a stream, or a projection with --projection.")


def _refuse(chosen: str, others: dict[str, bool]) -> None:
    """What would be passed over in silence is a mistake. Raises `CommandError`."""
    if useless := [name for name, given in others.items() if given]:
        raise CommandError(f"{' and '.join(useless)} and {chosen} do not go together.")


def _replay_stream(stream: str, until: int | None, as_of: str | None, *, as_json: bool) -> None:
    with open_system(load_settings()) as system:
        recorded = stream_events(system, stream)
        if as_of is not None:
            position = position_of(system, as_of)
            until = min(until or len(recorded), _version_at(system, stream, position))
            if until == 0:
                raise CommandError(f"{stream} had no events yet at position {position:,}.")
    kind = _KINDS.get(category_of(stream) or "")
    if kind is None:
        raise CommandError("Streams of this kind have no state to show.", remedy="Try `megacity log show`.")
    state = kind.initial
    out = output()
    for event in recorded:
        if until is not None and event.version > until:
            break
        state = kind.evolve(state, event.event)
        shown = {"state": type(state).__name__, **msgspec.to_builtins(state)}
        if as_json:
            out.out(json.dumps({**as_object(event), "then": shown}, ensure_ascii=False), highlight=False)
        else:
            _print(event, shown)


def _version_at(system: System, stream: str, position: int) -> int:
    """The stream's last version that had a position by then; 0 where it had none."""
    with psycopg.connect(system.conninfo(PROJECTOR)) as connection:
        row = connection.execute(
            "SELECT coalesce(max(e.version), 0) FROM log.events e JOIN log.positions p USING (append_id)"
            " WHERE e.stream_id = %s AND p.position <= %s",
            [stream, position],
        ).fetchone()
    return 0 if row is None else int(row[0])


def _print(event: RecordedEvent, shown: dict[str, Any]) -> None:
    from rich.markup import escape

    out = output()
    out.print(
        f"[bold]v{event.version}[/bold] {event.metadata.recorded_at.isoformat(timespec='milliseconds')} "
        f"[cyan]{event.event.type_.stored_name}[/cyan] by {event.metadata.actor.kind} "
        f"{escape(event.metadata.actor.id)}",
        soft_wrap=True,
    )
    out.print(f"  → {escape(json.dumps(shown, ensure_ascii=False))}", soft_wrap=True, style="dim")
