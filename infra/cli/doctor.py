"""`megacity doctor`: what works here, what is missing, and how to get it."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from infra.cli import checks
from infra.cli.checks import Check
from infra.cli.console import EXIT_FAILED, output

_COLORS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Say what works here, what is missing, and how to get it. Exit code 1 when something fails."""
    found = list(checks.of_environment())
    shown: dict[str, Any] | None = None
    # The settings are read by packages that may be what is missing.
    if not any(check.status == "fail" for check in found):
        more, shown = _examine_settings()
        found += more
    well = all(check.status != "fail" for check in found)
    if as_json:
        report = {"ok": well, "checks": [asdict(check) for check in found], "settings": shown}
        typer.echo(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        _print(found, shown)
    if not well:
        raise typer.Exit(EXIT_FAILED)


def _examine_settings() -> tuple[list[Check], dict[str, Any] | None]:
    from infra.settings import InvalidSettings, load_settings, masked

    try:
        settings = load_settings()
    except InvalidSettings as error:
        return [Check("settings", "fail", problem) for problem in error.problems], None
    return list(checks.of_settings(settings)), masked(settings)


def _print(found: list[Check], settings: dict[str, Any] | None) -> None:
    from rich.table import Table
    from rich.text import Text

    console = output()
    table = Table(box=None, pad_edge=False)
    for heading in ("", "what", "how it stands"):
        table.add_column(heading, overflow="fold")
    for check in found:
        detail = Text(check.detail)
        if check.remedy is not None:
            detail.append(f"\n-> {check.remedy}", style="dim" if check.status == "ok" else "")
        table.add_row(Text(check.status, style=_COLORS[check.status]), check.name, detail)
    console.print(table)
    if settings is not None:
        listing = Table(box=None, pad_edge=False, title="Settings", title_justify="left")
        listing.add_column("name")
        listing.add_column("value", overflow="fold")
        for name, value in _flat(settings):
            listing.add_row(name, Text("-" if value is None else str(value)))
        console.print()
        console.print(listing)
    counts = {status: sum(check.status == status for check in found) for status in _COLORS}
    console.print(f"\n{counts['ok']} ok, {counts['warn']} to look at, {counts['fail']} failing")


def _flat(section: dict[str, Any], before: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in section.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{before}{name}.")
        else:
            rows.append((before + name, value))
    return rows
