"""A zone's life: it is configured from the data, its prerequisites are attested, it is turned on and off.

Every decision begins by recording the zone's data where the log does not have it as it is now. So a zone that
was added to the data, or changed there, needs no step of its own.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias, assert_never

import msgspec

from domain.errors import IllegalState, Malformed, NotFound
from domain.events import Event
from domain.zones.definitions import ZoneDefinition
from domain.zones.events import (
    CheckOutcome,
    PrerequisiteAttested,
    ZoneActivated,
    ZoneConfigured,
    ZoneDeactivated,
)

OPEN_FROM_START = "It is open from the first start."


class Attestation(msgspec.Struct, frozen=True):
    by: str
    evidence: str
    at: datetime


class Unconfigured(msgspec.Struct, frozen=True):
    """Nothing is recorded yet: the zone is as the data has it."""


class Inactive(msgspec.Struct, frozen=True, kw_only=True):
    """`reason` is why it was turned off; None where it was never on."""

    definition: ZoneDefinition
    attestations: dict[str, Attestation] = {}
    since: datetime | None = None
    reason: str | None = None


class Active(msgspec.Struct, frozen=True, kw_only=True):
    definition: ZoneDefinition
    attestations: dict[str, Attestation] = {}
    since: datetime
    reason: str


Zone: TypeAlias = Unconfigured | Inactive | Active


class ZoneNotFound(NotFound):
    code = "zone-not-found"
    title = "There is no such zone"


class ZoneNotActive(IllegalState):
    """Registration in a zone that is turned off, or was never turned on."""

    code = "zone-not-active"
    title = "This zone is not open"


class PrerequisiteNotFound(NotFound):
    code = "prerequisite-not-found"
    title = "The zone has no such prerequisite"


class PrerequisiteIsChecked(IllegalState):
    """The system counts this one itself: nobody's word replaces that."""

    code = "prerequisite-is-checked"
    title = "This prerequisite is checked, not attested"


class ZoneNotReady(IllegalState):
    """Turning on a zone of which something is missing.

    `missing` lists each prerequisite with its kind; of those that are checked also what was found and
    what is asked for.
    """

    code = "zone-not-ready"
    title = "Prerequisites of the zone are missing"

    def detail(self) -> str:
        return f"{self.title}: {', '.join(each['prerequisite'] for each in self.missing)}."


class ZoneReasonRequired(Malformed):
    """Turning a zone on or off, or attesting something, without a word why."""

    code = "zone-reason-required"
    title = "Say why"


def evolve(state: Zone, event: Event) -> Zone:
    if isinstance(state, Unconfigured):
        return Inactive(definition=event.definition) if isinstance(event, ZoneConfigured) else state
    match event:
        case ZoneConfigured():
            return _reconfigured(state, event.definition)
        case PrerequisiteAttested():
            attested = Attestation(event.attested_by, event.evidence, event.attested_at)
            return msgspec.structs.replace(
                state, attestations={**state.attestations, event.prerequisite: attested}
            )
        case ZoneActivated():
            return Active(
                definition=state.definition,
                attestations=state.attestations,
                since=event.activated_at,
                reason=event.reason,
            )
        case ZoneDeactivated():
            # What people stood for was true of the zone as it was then.
            return Inactive(definition=state.definition, since=event.deactivated_at, reason=event.reason)
        case _:
            return state


def _reconfigured(state: Inactive | Active, definition: ZoneDefinition) -> Zone:
    """Attestations of what is no longer to be attested are gone."""
    kept = {
        each: attested
        for each, attested in state.attestations.items()
        if (found := definition.prerequisite(each)) is not None and found.kind == "attested"
    }
    return msgspec.structs.replace(state, definition=definition, attestations=kept)


def is_active(state: Zone, definition: ZoneDefinition) -> bool:
    match state:
        case Unconfigured():
            return definition.open_from_start
        case Inactive():
            return False
        case Active():
            return True
        case _:
            assert_never(state)


def attestations_of(state: Zone) -> dict[str, Attestation]:
    return {} if isinstance(state, Unconfigured) else state.attestations


def configure(state: Zone, definition: ZoneDefinition, now: datetime) -> list[Event]:
    """What has to be recorded first, so that the log has the zone as the data has it now."""
    if isinstance(state, Unconfigured):
        configured = ZoneConfigured(definition=definition)
        if not definition.open_from_start:
            return [configured]
        opened = ZoneActivated(origin="first_start", reason=OPEN_FROM_START, activated_at=now)
        return [configured, opened]
    return [] if state.definition == definition else [ZoneConfigured(definition=definition)]


def attest(  # noqa: PLR0913, PLR0917 - what an attestation says, and of which zone
    state: Zone, definition: ZoneDefinition, prerequisite: str, evidence: str, by: str, now: datetime
) -> list[Event]:
    """Raises `PrerequisiteNotFound`, `PrerequisiteIsChecked`, `ZoneReasonRequired`."""
    _require_words(evidence)
    found = definition.prerequisite(prerequisite)
    if found is None:
        raise PrerequisiteNotFound(zone_id=definition.zone_id, prerequisite=prerequisite)
    if found.check is not None:
        raise PrerequisiteIsChecked(zone_id=definition.zone_id, prerequisite=prerequisite)
    first, begun = _begun(state, definition, now)
    known = attestations_of(begun).get(prerequisite)
    if known is not None and (known.by, known.evidence) == (by, evidence):
        return first
    attested = PrerequisiteAttested(
        prerequisite=prerequisite, evidence=evidence, attested_by=by, attested_at=now
    )
    return [*first, attested]


def activate(
    state: Zone, definition: ZoneDefinition, counted: Sequence[CheckOutcome], reason: str, now: datetime
) -> list[Event]:
    """Changes nothing where the zone is active. Raises `ZoneNotReady`, `ZoneReasonRequired`."""
    _require_words(reason)
    first, begun = _begun(state, definition, now)
    if isinstance(begun, Active):
        return first
    missing = missing_of(begun, definition, counted)
    if missing:
        raise ZoneNotReady(zone_id=definition.zone_id, missing=missing)
    attested = tuple(each.id for each in definition.prerequisites if each.check is None)
    activated = ZoneActivated(
        origin="order", reason=reason, activated_at=now, checks=tuple(counted), attested=attested
    )
    return [*first, activated]


def deactivate(state: Zone, definition: ZoneDefinition, reason: str, now: datetime) -> list[Event]:
    """Changes nothing where the zone is not active. Raises `ZoneReasonRequired`."""
    _require_words(reason)
    first, begun = _begun(state, definition, now)
    if not isinstance(begun, Active):
        return first
    return [*first, ZoneDeactivated(reason=reason, deactivated_at=now)]


def missing_of(
    state: Zone, definition: ZoneDefinition, counted: Sequence[CheckOutcome]
) -> list[dict[str, Any]]:
    """The prerequisites that are not fulfilled, as a refusal tells them. What was not counted is missing."""
    found = {each.prerequisite: each.found for each in counted}
    attestations = attestations_of(state)
    missing: list[dict[str, Any]] = []
    for each in definition.prerequisites:
        told: dict[str, Any] = {"prerequisite": each.id, "kind": each.kind, "titles": each.titles}
        check = each.check
        if check is None:
            if each.id not in attestations:
                missing.append(told)
        elif found.get(each.id, 0) < check.at_least:
            counts = {"measure": check.measure, "found": found.get(each.id, 0), "at_least": check.at_least}
            missing.append({**told, **counts})
    return missing


def _begun(state: Zone, definition: ZoneDefinition, now: datetime) -> tuple[list[Event], Zone]:
    first = configure(state, definition, now)
    for event in first:
        state = evolve(state, event)
    return first, state


def _require_words(text: str) -> None:
    if not text.strip():
        raise ZoneReasonRequired
