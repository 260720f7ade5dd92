"""The options by which `megacity log` chooses events: the same for every one of its commands."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from domain.identifiers import Category
from domain.zones import ZoneId
from infra.cli.console import CommandError
from projections.audit.actions import Action
from projections.audit.queries import Criteria

_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(text: str) -> datetime:
    """A moment in ISO 8601 (UTC where it names no zone), or how long ago: `90s`, `15m`, `2h`, `7d`."""
    if ago := _AGO.fullmatch(text):
        try:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        except OverflowError:
            raise typer.BadParameter(f"{text!r} is before all time") from None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no moment: say 2026-03-02T09:00:00Z, 2026-03-02, or how long ago (15m, 2h, 7d)"
        ) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def refuse_empty_range(chosen: Criteria) -> None:
    """Raises `CommandError` where nothing could ever lie between the two ends that are asked for."""
    if chosen.since is not None and chosen.until is not None and chosen.since >= chosen.until:
        raise CommandError("Nothing can be recorded at --since or later and before --until.")
    if chosen.up_to is not None and chosen.after >= chosen.up_to:
        raise CommandError(f"No position is beyond {chosen.after:,} and up to {chosen.up_to:,}.")


Actor = Annotated[str | None, typer.Option("--actor", metavar="ID", help="Done by this user or service.")]
ActionOption = Annotated[Action | None, typer.Option("--action", help="As auditors call what was done.")]
Since = Annotated[
    datetime | None,
    typer.Option("--since", parser=moment, metavar="TIME", help="Recorded then or later: ISO 8601, or 2h."),
]
Until = Annotated[
    datetime | None,
    typer.Option("--until", parser=moment, metavar="TIME", help="Recorded before then."),
]
Zone = Annotated[ZoneId | None, typer.Option("--zone", help="Of this zone.")]
EventTypeOption = Annotated[
    str | None, typer.Option("--type", metavar="NAME", help="Such as attempt.started, or attempt.started.v1.")
]
CategoryOption = Annotated[Category | None, typer.Option("--category", help="Of streams of this kind.")]
After = Annotated[int, typer.Option("--after", min=0, help="Only positions beyond this one.")]
UpTo = Annotated[int | None, typer.Option("--up-to", min=0, help="Only positions up to this one.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
