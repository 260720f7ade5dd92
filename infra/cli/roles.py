"""`megacity roles`: who holds what, who has left, whose account nobody uses."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from infra.cli.console import EXIT_FAILED, CommandError, printable, table_output
from infra.settings import load_settings

if TYPE_CHECKING:
    from infra.composition import ApiServices

    Row: TypeAlias = dict[str, Any]
    Look: TypeAlias = Callable[[ApiServices], Awaitable[list[Row]]]

app = typer.Typer(no_args_is_help=True, help="Who holds which role; accounts of leavers and unused ones.")

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@app.command()
def report(*, as_json: AsJson = False) -> None:
    """Who holds what, since when, confirmed by whom, due when; of students and parents nothing."""
    _print(_REPORT, _looked(_held), as_json=as_json)


@app.command()
def idle(
    *,
    days: Annotated[int, typer.Option("--days", min=1, help="Without any sign-in for so long.")] = 90,
    as_json: AsJson = False,
) -> None:
    """Accounts that nobody has signed in to for a while. Changes nothing."""
    _print(_IDLE, _looked(lambda services: _idle(services, days)), as_json=as_json)


@app.command()
def leavers(
    file: Annotated[
        Path,
        typer.Argument(help="CSV with a column user_id or email.", exists=True, dir_okay=False),
    ],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, no more.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the log.")] = "left",
    operator: Annotated[str, typer.Option("--operator", help="Who orders it, for the log.")] = "command-line",
    as_json: AsJson = False,
) -> None:
    """Deactivate the accounts that a list names. Ends with 1 where a row could not be done."""
    from commands.leavers import DONE, read_leavers
    from domain.errors import DomainError

    try:
        listed = read_leavers(file.read_bytes())
    except DomainError as error:
        raise CommandError(error.detail()) from error

    async def leave(services: "ApiServices") -> "list[Row]":
        from commands.leavers import Leaving
        from infra.cli.zone import operator_context
        from infra.composition import new_id
        from infra.ended_sign_ins import EndedSignIns

        leaving = Leaving(
            write=services.write,
            context=operator_context(operator, new_id),
            sign_ins=EndedSignIns(services.refresh_tokens, services.sign_in.revocations, services.clock),
            reviews=services.role_reviews,
            reason=reason,
            dry_run=dry_run,
        )
        results = [await leaving.leave(each) for each in listed]
        return [
            {"row": each.row, "named": each.named, "user_id": each.user_id, "result": each.happened}
            for each in results
        ]

    results = _looked(leave)
    _print(_LEAVERS, results, as_json=as_json)
    if any(each["result"] not in DONE for each in results):
        raise typer.Exit(EXIT_FAILED)


_REPORT = (
    *("user_id", "role", "org_id", "zone_id", "granted_at", "granted_by"),
    *("confirmed_at", "confirmed_by", "due_at", "standing"),
)
_IDLE = ("user_id", "email", "registered_at", "last_seen")
_LEAVERS = ("row", "named", "user_id", "result")


async def _held(services: "ApiServices") -> "list[Row]":
    from domain.users.role_reviews import keeper_of
    from domain.users.role_rules import REVIEWED_ROLES

    rules, now = services.review_rules, services.clock()
    held = await services.role_reviews.all_held()
    keeper = keeper_of(held)
    rows = []
    for each in held:
        row = {name: getattr(each, name) for name in _REPORT[:8]} | {"due_at": None, "standing": None}
        if each.role in REVIEWED_ROLES:
            standing = each.standing(rules, now)
            kept = each == keeper and standing == "overdue"
            row |= {"due_at": each.due_at(rules), "standing": "overdue, kept" if kept else standing}
        rows.append(row)
    return rows


async def _idle(services: "ApiServices", days: int) -> "list[Row]":
    from infra.idle_accounts import IdleAccounts

    accounts = IdleAccounts(services.projector_pool, services.writer_pool)
    before = services.clock() - timedelta(days=days)
    return [{name: getattr(each, name) for name in _IDLE} async for each in accounts.not_seen_since(before)]


def _looked(look: "Look") -> "list[Row]":
    return asyncio.run(_with_services(look))


async def _with_services(look: "Look") -> "list[Row]":
    from infra.composition import open_services, open_system
    from infra.observability.metrics import new_registry

    settings = load_settings()
    with open_system(settings) as system:
        async with open_services(settings, system.database, new_registry()) as services:
            return await look(services)


def _print(columns: Sequence[str], rows: "list[Row]", *, as_json: bool) -> None:
    if as_json:
        import msgspec

        for row in rows:
            sys.stdout.write(msgspec.json.encode(row).decode() + "\n")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), no_wrap=True)
    for row in rows:
        # Text, not markup: what is listed may hold square brackets.
        table.add_row(*(Text(_shown(row[column])) for column in columns))
    table_output().print(table)


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return "" if value is None else printable(str(value))
