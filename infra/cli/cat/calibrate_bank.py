"""`megacity cat calibrate-bank`: calibrate an item bank from live responses, and promote what is proposed."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.console import CommandError, output, table_output
from infra.settings import load_settings

if TYPE_CHECKING:
    from commands.calibrate_bank import Calibrated
    from domain.items.calibration import CalibratedItem

NOBODY_NAMED = "command-line"

_WORDS = {"item", "role", "proposal", "rule"}


def command(
    bank: Annotated[str, typer.Argument(help="The item bank, such as item_bank-….", show_default=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be found.")] = False,
    promote_proposed: Annotated[
        bool, typer.Option("--promote-proposed", help="Promote what is proposed; needs --reason.")
    ] = False,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Why it is promoted, for the log.", show_default=False)
    ] = None,
    operator: Annotated[str, typer.Option("--operator", help="Who orders it, for the log.")] = NOBODY_NAMED,
) -> None:
    """Put pretest items on the bank's scale, and look for operational items that drift.

    From the responses to the bank's adaptive exams: first attempts that are scored. It is recorded, and
    changes nothing unless it is promoted.
    """
    if promote_proposed and (dry_run or not (reason or "").strip()):
        raise CommandError("--promote-proposed needs --reason, and is no part of a dry run.")
    asyncio.run(_calibrate(bank, operator, reason if promote_proposed else None, dry_run=dry_run))


async def _calibrate(bank: str, operator: str, reason: str | None, *, dry_run: bool) -> None:
    from commands.calibrate_bank import CalibrateBank
    from commands.promote_items import PromoteItems, promote_items
    from domain.errors import DomainError
    from infra.composition import open_services
    from infra.database import open_database
    from infra.observability.metrics import new_registry

    settings = load_settings()
    with open_database(settings) as database:
        async with open_services(settings, database, new_registry()) as services:
            context = _context(services.new_id(), operator)
            try:
                made = await services.calibrations.calibrate(
                    services.write, context, CalibrateBank(bank_id=bank, dry_run=dry_run)
                )
                _print(made)
                proposed = [each for each in made.calibration.items if each.proposal == "promote"]
                if reason is None or not proposed:
                    return
                command = PromoteItems(
                    bank_id=bank,
                    calibration_id=made.calibration.calibration_id,
                    item_ids=tuple(each.item_id for each in proposed),
                    reason=reason,
                )
                again = _context(services.new_id(), operator).following(context.correlation_id)
                await promote_items(services.write, again, command)
            except DomainError as refusal:
                raise CommandError(_sentence(refusal)) from refusal
            output().print(f"promoted {len(proposed)} items: exams published from now on use them")


def _context(command_id: str, operator: str) -> Any:
    from commands.context import CommandContext
    from domain.events import Actor

    return CommandContext(
        actor=Actor("operator", operator),
        zone_id=None,
        org_id=None,
        correlation_id=command_id,
        command_id=command_id,
    )


def _sentence(refusal: Any) -> str:
    facts = ", ".join(f"{name}: {value}" for name, value in refusal.data().items())
    return f"{refusal.detail()} ({facts})" if facts else str(refusal.detail())


def _print(made: "Calibrated") -> None:
    from rich.table import Table

    found = made.calibration
    figures, window = found.figures, found.window
    table = Table(box=None, pad_edge=False)
    for column in ("item", "version", "role", "n", "a", "se", "b", "se", "c", "change", "proposal", "rule"):
        table.add_column(
            column, justify="left" if column in {"item", "role", "proposal", "rule"} else "right"
        )
    for item in found.items:
        if item.role == "pretest" or item.proposal == "review":
            table.add_row(*_cells(item))
    table_output().print(table)
    kept = sum(item.proposal == "keep" for item in found.items if item.role == "operational")
    alarms = 0 if made.alarms is None else len(made.alarms.items)
    output().print(
        f"{window.examinees:,} examinees, {window.responses:,} responses; {figures.model.upper()}, "
        f"{figures.iterations} iterations, {'converged' if figures.converged else 'NOT CONVERGED'}; "
        f"ability {figures.population_mean:.2f} ± {figures.population_sd:.2f} logits\n"
        f"{kept} operational items are as they were; {alarms} new drift alarms\n"
        + (f"calibration {found.calibration_id}" if made.recorded else "dry run: nothing was recorded"),
        soft_wrap=True,
    )


def _cells(item: "CalibratedItem") -> list[str]:
    found, errors = item.parameters, item.errors
    return [
        item.item_id,
        str(item.item_version),
        item.role,
        f"{item.responses:,}",
        *(
            ("",) * 5
            if found is None or errors is None
            else (
                f"{found.a:.3f}",
                _figure(errors.a),
                f"{found.b:.3f}",
                _figure(errors.b),
                f"{found.c:.3f}",
            )
        ),
        "" if item.drift is None else f"{item.drift.change:.3f}",
        item.proposal,
        item.rule,
    ]


def _figure(value: float | None) -> str:
    return "?" if value is None else f"{value:.3f}"
