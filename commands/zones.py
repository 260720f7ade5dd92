"""Zones: what is attested of them, turning them on and off, and whether one takes people in."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from commands.context import CommandContext
from commands.kinds import ZONE
from commands.streams import Loaded, Outcome
from commands.write_side import WriteSide
from domain.events import Event
from domain.identifiers import StreamId
from domain.zones import ZoneId
from domain.zones.definitions import DEFINITIONS, Measure, ZoneDefinition
from domain.zones.events import CheckOutcome
from domain.zones.zone import (
    Active,
    Zone,
    ZoneNotActive,
    ZoneNotFound,
    activate,
    attest,
    configure,
    deactivate,
    is_active,
)


class ZoneMeasures(Protocol):
    """What can be counted of a zone. The read models may lag by a moment, and so may these."""

    async def count(self, zone_id: ZoneId, measure: Measure) -> int:
        """Every measure but `days_active`, which the zone's own stream tells."""
        ...


class AttestPrerequisite(msgspec.Struct, frozen=True, kw_only=True):
    zone_id: ZoneId
    prerequisite: str
    evidence: str


class ActivateZone(msgspec.Struct, frozen=True, kw_only=True):
    zone_id: ZoneId
    reason: str


class DeactivateZone(msgspec.Struct, frozen=True, kw_only=True):
    zone_id: ZoneId
    reason: str


class KnownZone(msgspec.Struct, frozen=True):
    """A zone as the data and the log have it now."""

    definition: ZoneDefinition
    state: Zone
    version: int

    @property
    def is_active(self) -> bool:
        return is_active(self.state, self.definition)


def definition_of(zone_id: str) -> ZoneDefinition:
    """Raises `ZoneNotFound`."""
    definition = DEFINITIONS.get(zone_id)
    if definition is None:
        raise ZoneNotFound(zone_id=zone_id)
    return definition


async def known_zone(write: WriteSide, zone_id: str) -> KnownZone:
    """Raises `ZoneNotFound`."""
    definition = definition_of(zone_id)
    loaded = await _loaded(write, definition)
    return KnownZone(definition, loaded.state, loaded.version)


async def known_zones(write: WriteSide) -> list[KnownZone]:
    """All of them, in the order of the data."""
    return [await known_zone(write, zone_id) for zone_id in DEFINITIONS]


async def require_active_zone(write: WriteSide, zone_id: ZoneId) -> None:
    """Raises `ZoneNotActive`, also where the data knows no zone of this id any more."""
    definition = DEFINITIONS.get(zone_id)
    if definition is None or not is_active((await _loaded(write, definition)).state, definition):
        raise ZoneNotActive(zone_id=zone_id)


async def open_first_zones(write: WriteSide, context: CommandContext) -> None:
    """Records the zones that are open from the first start, once: then the log says since when."""
    for definition in DEFINITIONS.values():
        if definition.open_from_start:
            await configure_zone(write, context, definition)


async def configure_zone(
    write: WriteSide, context: CommandContext, definition: ZoneDefinition
) -> Outcome[Zone]:
    """Records a zone as the data has it; nothing where the log has it so."""
    return await _execute(write, context, definition, lambda state, now: configure(state, definition, now))


async def attest_prerequisite(
    write: WriteSide, context: CommandContext, command: AttestPrerequisite
) -> Outcome[Zone]:
    """Raises `ZoneNotFound`, `PrerequisiteNotFound`, `PrerequisiteIsChecked`, `ZoneReasonRequired`."""
    definition, by = definition_of(command.zone_id), context.actor.id
    return await _execute(
        write,
        context,
        definition,
        lambda state, now: attest(state, definition, command.prerequisite, command.evidence, by, now),
    )


async def activate_zone(
    write: WriteSide, measures: ZoneMeasures, context: CommandContext, command: ActivateZone
) -> Outcome[Zone]:
    """Counts what can be counted, and turns the zone on if nothing is missing.

    Raises `ZoneNotFound`, `ZoneNotReady`, `ZoneReasonRequired`.
    """
    definition = definition_of(command.zone_id)
    counted = await check_outcomes(write, measures, definition)
    return await _execute(
        write,
        context,
        definition,
        lambda state, now: activate(state, definition, counted, command.reason, now),
    )


async def deactivate_zone(
    write: WriteSide, context: CommandContext, command: DeactivateZone
) -> Outcome[Zone]:
    """Raises `ZoneNotFound`, `ZoneReasonRequired`."""
    definition = definition_of(command.zone_id)
    return await _execute(
        write, context, definition, lambda state, now: deactivate(state, definition, command.reason, now)
    )


async def check_outcomes(
    write: WriteSide, measures: ZoneMeasures, definition: ZoneDefinition
) -> Sequence[CheckOutcome]:
    """What the system counts for the zone's prerequisites now, in their order."""
    outcomes = []
    for each in definition.prerequisites:
        if each.check is None:
            continue
        zone_id = each.check.of_zone or definition.zone_id
        if each.check.measure == "days_active":
            found = await _days_active(write, definition_of(zone_id))
        else:
            found = await measures.count(zone_id, each.check.measure)
        outcomes.append(CheckOutcome(each.id, each.check.measure, each.check.at_least, found))
    return outcomes


async def _days_active(write: WriteSide, definition: ZoneDefinition) -> int:
    state = (await _loaded(write, definition)).state
    return (write.clock() - state.since).days if isinstance(state, Active) else 0


async def _loaded(write: WriteSide, definition: ZoneDefinition) -> Loaded[Zone]:
    return await write.streams.read(ZONE, definition.stream_id)


async def _execute(
    write: WriteSide,
    context: CommandContext,
    definition: ZoneDefinition,
    decide: Callable[[Zone, datetime], Sequence[Event]],
) -> Outcome[Zone]:
    stream: StreamId = definition.stream_id
    return await write.streams.execute(
        context.within(definition.zone_id, None), ZONE, stream, lambda state: decide(state, write.clock())
    )
