"""`megacity projection`: look at projections, check them against the log, rebuild and operate them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from infra.cli.console import EXIT_FAILED, CommandError, output
from infra.cli.rebuilding import chosen, opened, rebuild, verify
from infra.settings import load_settings

if TYPE_CHECKING:
    from commands.context import CommandContext
    from commands.write_side import WriteSide
    from infra.projections.checkpoints import Connection
    from infra.projections.lag import Progress
    from infra.projections.orders import ProjectionOrders

    Order: TypeAlias = Callable[[WriteSide, ProjectionOrders, CommandContext], Awaitable[object]]

app = typer.Typer(no_args_is_help=True, help="Look at projections, operate them, rebuild them from the log.")
app.command()(rebuild)
app.command()(verify)

Name = Annotated[str, typer.Argument(help="The projection, as `list` shows it.", show_default=False)]
Operator = Annotated[str, typer.Option("--operator", help="Who orders it, for the log.")]
NOBODY_NAMED = "command-line"
MOST_SHOWN = 20


@app.command("list")
def list_projections() -> None:
    """How far each projection has come, and what it has set aside."""
    from rich.table import Table

    from infra.projections.lag import read_progress

    table = Table(box=None, pad_edge=False)
    for column in ("projection", "version", "position", "lag", "lag s", "set aside", "status"):
        table.add_column(column, justify="left" if column in {"projection", "status"} else "right")
    with opened() as (system, connection):
        head = system.feed.head()
        progress = {each.name: each for each in read_progress(connection)}
        for projection in system.projections:
            found = progress.get(projection.name)
            if found is None:
                table.add_row(
                    projection.name, str(projection.version), "0", f"{head:,}", "", "0", "not started"
                )
                continue
            table.add_row(
                found.name,
                str(found.version),
                f"{found.position:,}",
                f"{found.lag:,}",
                f"{found.lag_s:,.1f}",
                f"{found.set_aside:,}",
                _status(found),
            )
        output().print(table)
        for found in progress.values():
            if found.set_aside:
                _print_poison(connection, found)


@app.command()
def pause(
    name: Name,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the log.")],
    operator: Operator = NOBODY_NAMED,
) -> None:
    """Let a projection stand still until it is resumed. Readers see its rows as they are."""
    from commands.projections.orders import PauseProjection, pause_projection

    command = PauseProjection(projection=name, reason=reason)
    _order(operator, lambda write, control, context: pause_projection(write, control, context, command))
    output().print(f"{name} is paused")


@app.command()
def resume(name: Name, operator: Operator = NOBODY_NAMED) -> None:
    """Let a projection go on that was paused."""
    from commands.projections.orders import ResumeProjection, resume_projection

    command = ResumeProjection(projection=name)
    _order(operator, lambda write, control, context: resume_projection(write, control, context, command))
    output().print(f"{name} goes on")


@app.command()
def retry(
    name: Name,
    stream: Annotated[
        str | None, typer.Argument(help="One stream; all of them without it.", show_default=False)
    ] = None,
    operator: Operator = NOBODY_NAMED,
) -> None:
    """Apply what was set aside, in order, after its cause is gone. Ends with 1 where some fails again."""
    from commands.projections.orders import RetryPoison, retry_poison

    with opened() as (system, connection):
        chosen(system.projections, [name], every=False)
        streams = [stream] if stream is not None else _streams_waiting(connection, name)

    async def each_in_turn(
        write: "WriteSide", control: "ProjectionOrders", context: "CommandContext"
    ) -> None:
        for each in streams:
            await retry_poison(write, control, context, RetryPoison(projection=name, stream_id=each))

    _order(operator, each_in_turn)
    _report_what_waits(name)


@app.command()
def skip(
    name: Name,
    position: Annotated[int, typer.Argument(min=1, help="Of the event, as `list` shows it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for the log.")],
    operator: Operator = NOBODY_NAMED,
) -> None:
    """Leave one event that was set aside out of the rows for good, and go on with those behind it."""
    from commands.projections.orders import SkipPoison, skip_poison

    command = SkipPoison(projection=name, position=position, reason=reason)
    _order(operator, lambda write, control, context: skip_poison(write, control, context, command))
    _report_what_waits(name)


def _order(operator: str, order: "Order") -> None:
    """Records the order and carries it out. Raises `CommandError` where it is refused."""
    asyncio.run(_ordered(operator, order))


async def _ordered(operator: str, order: "Order") -> None:
    from commands.context import CommandContext
    from commands.reactions.projections import tell_poison
    from domain.errors import DomainError
    from domain.events import Actor
    from infra.composition import new_id, open_system, open_write_side, projection_orders
    from infra.projections.orders import OrderMustWait

    settings = load_settings()
    with open_system(settings) as system:
        async with open_write_side(settings, system.database) as write:
            control = projection_orders(system.database, system.feed)
            command_id = new_id()
            context = CommandContext(
                actor=Actor("operator", operator),
                zone_id=None,
                org_id=None,
                correlation_id=command_id,
                command_id=command_id,
            )
            # What was set aside a moment ago may be retried or skipped at once.
            await tell_poison(write, control)
            try:
                await order(write, control, context)
            except DomainError as refusal:
                remedy = "`megacity projection list` shows what there is."
                raise CommandError(refusal.detail(), remedy=remedy) from refusal
            except OrderMustWait as waits:
                remedy = "It is recorded, and the release that keeps the rows carries it out."
                raise CommandError(str(waits), remedy=remedy) from waits


def _report_what_waits(name: str) -> None:
    from infra.projections.lag import read_progress

    with opened() as (_, connection):
        found = next((each for each in read_progress(connection) if each.name == name), None)
        if found is None or not found.set_aside:
            output().print(f"{name} has nothing set aside any more")
            return
        _print_poison(connection, found)
    raise typer.Exit(EXIT_FAILED)


def _print_poison(connection: "Connection", found: "Progress") -> None:
    """The events that are to blame; those that merely wait behind them are counted."""
    rows = _poison(connection, found.name)
    behind = found.set_aside - len(rows)
    for row in rows[:MOST_SHOWN]:
        output().print(
            f"{found.name} cannot apply {row['position']} ({row['type']} of {row['stream_id']}, "
            f"version {row['version']}, tried {row['attempts']} times): {row['error']}",
            soft_wrap=True,
            markup=False,
        )
    if len(rows) > MOST_SHOWN:
        output().print(f"{found.name}: and {len(rows) - MOST_SHOWN:,} more")
    if behind:
        output().print(f"{found.name}: {behind:,} events wait behind these in their streams")


def _poison(connection: "Connection", name: str) -> list[dict[str, Any]]:
    return connection.execute(
        """SELECT position, stream_id, version, type, attempts, error FROM ops.set_aside_events
           WHERE projection = %s AND status = 'waiting' AND error IS NOT NULL ORDER BY position""",
        [name],
    ).fetchall()


def _streams_waiting(connection: "Connection", name: str) -> list[str]:
    """In the order of the log: what others build on comes first."""
    return list(dict.fromkeys(row["stream_id"] for row in _poison(connection, name)))


def _status(found: "Progress") -> str:
    if found.error is None:
        return found.status
    place = "" if found.failed_position is None else f" at {found.failed_position:,}"
    return f"{found.status}{place}: {found.error}"
