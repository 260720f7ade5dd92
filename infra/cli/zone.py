"""`megacity zone`: look at zones, attest what they need, turn them on and off."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from infra.cli.console import CommandError, output, printable, table_output
from infra.settings import load_settings

if TYPE_CHECKING:
    from commands.context import CommandContext
    from commands.streams import Outcome
    from commands.write_side import WriteSide
    from commands.zones import KnownZone, ZoneMeasures
    from domain.zones.zone import Zone

    Order: TypeAlias = Callable[[WriteSide, ZoneMeasures, CommandContext], Awaitable[Outcome[Zone]]]
    Look: TypeAlias = Callable[[WriteSide, ZoneMeasures], Awaitable[None]]

app = typer.Typer(no_args_is_help=True, help="Look at zones, attest what they need, turn them on and off.")

Name = Annotated[str, typer.Argument(metavar="ZONE", help="As `list` shows it.", show_default=False)]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the log.")]
Operator = Annotated[str, typer.Option("--operator", help="Who orders it, for the log.")]
NOBODY_NAMED = "command-line"


@app.command("list")
def list_zones() -> None:
    """All zones, and which of them take people in."""
    asyncio.run(_looking(_list))


@app.command()
def show(zone: Name) -> None:
    """One zone, and what it is waiting for."""
    asyncio.run(_looking(lambda write, measures: _show(write, measures, zone)))


@app.command()
def attest(
    zone: Name,
    prerequisite: Annotated[str, typer.Argument(help="As `show` names it.", show_default=False)],
    evidence: Annotated[str, typer.Option("--evidence", help="Where it can be looked up, for the log.")],
    operator: Operator = NOBODY_NAMED,
) -> None:
    """Stand for a prerequisite that the system cannot check."""
    from commands.zones import AttestPrerequisite, attest_prerequisite

    command = AttestPrerequisite(zone_id=zone, prerequisite=prerequisite, evidence=evidence)
    _order(operator, lambda write, _, context: attest_prerequisite(write, context, command))
    output().print(f"{prerequisite} of {zone} is attested")


@app.command()
def activate(zone: Name, reason: Reason, operator: Operator = NOBODY_NAMED) -> None:
    """Turn a zone on, if nothing is missing: people may register in it from then on."""
    from commands.zones import ActivateZone, activate_zone

    command = ActivateZone(zone_id=zone, reason=reason)
    _order(operator, lambda write, measures, context: activate_zone(write, measures, context, command))
    output().print(f"{zone} is active")


@app.command()
def deactivate(zone: Name, reason: Reason, operator: Operator = NOBODY_NAMED) -> None:
    """Turn a zone off: nobody can register in it any more, and whoever is in it stays."""
    from commands.zones import DeactivateZone, deactivate_zone

    command = DeactivateZone(zone_id=zone, reason=reason)
    _order(operator, lambda write, _, context: deactivate_zone(write, context, command))
    output().print(f"{zone} is not active")


async def _list(write: "WriteSide", measures: "ZoneMeasures") -> None:
    from rich.table import Table

    from commands.zones import known_zones

    del measures  # nothing is counted for a list
    table = Table(box=None, pad_edge=False)
    for column in ("zone", "domain", "name", "languages", "status", "since"):
        table.add_column(column)
    for zone in await known_zones(write):
        definition = zone.definition
        table.add_row(
            definition.zone_id,
            definition.domain,
            definition.names["en"],
            " ".join(definition.languages),
            *_status(zone),
        )
    table_output().print(table)


async def _show(write: "WriteSide", measures: "ZoneMeasures", zone_id: str) -> None:
    from rich.table import Table

    from commands.zones import check_outcomes, known_zone
    from domain.zones.zone import Unconfigured, attestations_of

    zone = await known_zone(write, zone_id)
    counted = {each.prerequisite: each for each in await check_outcomes(write, measures, zone.definition)}
    attestations = attestations_of(zone.state)
    status, since = _status(zone)
    output().print(f"{zone_id}: {status}{f' since {since}' if since else ''}", soft_wrap=True)
    if not isinstance(zone.state, Unconfigured) and zone.state.reason:
        output().print(printable(zone.state.reason), soft_wrap=True, markup=False)
    table = Table(box=None, pad_edge=False)
    for column in ("prerequisite", "", "kind", "found", "what it is"):
        table.add_column(column)
    for each in zone.definition.prerequisites:
        outcome, attested = counted.get(each.id), attestations.get(each.id)
        if outcome is not None:
            met, found = outcome.is_met, f"{outcome.found:,} of {outcome.at_least:,}"
        else:
            met = attested is not None
            found = "" if attested is None else printable(f"{attested.by}: {attested.evidence}")
        table.add_row(each.id, "yes" if met else "no", each.kind, found, each.titles["en"])
    table_output().print(table)


def _status(zone: "KnownZone") -> tuple[str, str]:
    from domain.zones.zone import Unconfigured

    since = None if isinstance(zone.state, Unconfigured) else zone.state.since
    status = "active" if zone.is_active else "not active"
    return status, "" if since is None else f"{since:%Y-%m-%d %H:%M} UTC"


def _order(operator: str, order: "Order") -> None:
    """Carries the order out. Raises `CommandError` where it is refused."""
    from infra.composition import new_id

    async def ordered(write: "WriteSide", measures: "ZoneMeasures") -> None:
        await order(write, measures, operator_context(operator, new_id))

    asyncio.run(_looking(ordered))


async def _looking(look: "Look") -> None:
    from domain.errors import DomainError
    from infra.composition import open_services, open_system
    from infra.observability.metrics import new_registry

    settings = load_settings()
    with open_system(settings) as system:
        async with open_services(settings, system.database, new_registry()) as services:
            try:
                await look(services.write, services.zone_measures)
            except DomainError as refusal:
                remedy = "`megacity zone list` shows the zones, `megacity zone show ZONE` what one needs."
                raise CommandError(refusal.detail(), remedy=remedy) from refusal


def operator_context(operator: str, new_id: Callable[[], str]) -> "CommandContext":
    """An order from the command line."""
    from commands.context import CommandContext
    from domain.events import Actor

    command_id = new_id()
    return CommandContext(
        actor=Actor("operator", operator),
        zone_id=None,
        org_id=None,
        correlation_id=command_id,
        command_id=command_id,
    )
