"""The tables of `megacity log stats`."""

from itertools import groupby

from rich.table import Table

from infra.cli.console import table_output
from infra.log_reading.figures import LogFigures, OfType


def print_figures(found: LogFigures) -> None:
    out = table_output()
    table = Table(box=None, pad_edge=False)
    table.add_column("event type", overflow="fold")
    for column in ("events", "bytes", "first position", "last position"):
        table.add_column(column, justify="right")
    for category, members in groupby(found.types, key=lambda each: each.category):
        of_category = list(members)
        for each in of_category:
            table.add_row(
                each.type,
                f"{each.events:,}",
                f"{each.bytes:,}",
                _position(each.first_position),
                _position(each.last_position),
            )
        if len(of_category) > 1:
            table.add_row(f"all of {category}", *_sums(of_category), "", "", style="dim")
    table.add_row("all", *_sums(found.types), "", "", style="bold")
    out.print(table)
    out.print(f"\nhead {found.head:,}; {found.unsequenced:,} events without a position")
    out.print(f"{found.bytes_on_disk / 1024**2:,.1f} MiB on disk, indexes included")
    rates = (f"{rate:,.1f} in the {window}" for window, rate in found.per_second.items())
    out.print(f"events a second: {', '.join(rates)}")
    lags = (f"{name} {lag:,}" for name, lag in found.lags.items())
    out.print(f"events behind: {', '.join(lags) or 'no projection has started'}")


def _sums(types: list[OfType]) -> tuple[str, str]:
    return f"{sum(each.events for each in types):,}", f"{sum(each.bytes for each in types):,}"


def _position(position: int | None) -> str:
    return "-" if position is None else f"{position:,}"
