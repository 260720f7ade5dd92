"""`megacity replay`: the history of one stream, and the state after each event."""

import json
from typing import Annotated, Any

import msgspec
import typer

from commands import kinds
from commands.streams import StreamKind
from domain.events import RecordedEvent
from domain.identifiers import category_of
from infra.cli.console import CommandError, output
from infra.cli.log import as_object, stream_events
from infra.composition import open_system
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


def command(
    stream: Annotated[str, typer.Argument(help="Stream id, such as attempt-….")],
    until: Annotated[int | None, typer.Option(min=1, help="Stop after this version.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show the history of one stream, event by event, with the state that each one leads to."""
    with open_system(load_settings()) as system:
        recorded = stream_events(system, stream)
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
