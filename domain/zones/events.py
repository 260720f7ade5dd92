"""What happens to a zone: configured, attested, turned on, turned off."""

from datetime import datetime
from typing import Literal

import msgspec

from domain.events import Event, Retention, event_type
from domain.zones.definitions import Measure, ZoneDefinition


class CheckOutcome(msgspec.Struct, frozen=True, gc=False):
    """What was counted for a prerequisite, and how much was asked for."""

    prerequisite: str
    measure: Measure
    at_least: int
    found: int

    @property
    def is_met(self) -> bool:
        return self.found >= self.at_least


@event_type("zone.configured", retention=Retention.STATE)
class ZoneConfigured(Event, frozen=True, kw_only=True):
    """The zone as the data of the running release has it; a later one replaces it."""

    definition: ZoneDefinition


@event_type("zone.prerequisite_attested", retention=Retention.STATE)
class PrerequisiteAttested(Event, frozen=True, kw_only=True):
    """Somebody stands for what the system cannot check; `evidence` says where it can be looked up.

    A later one about the same prerequisite replaces it. Evidence names documents, not people.
    """

    prerequisite: str
    evidence: str
    attested_by: str
    attested_at: datetime


@event_type("zone.activated", retention=Retention.STATE)
class ZoneActivated(Event, frozen=True, kw_only=True):
    """People may register from now on.

    `checks` holds what the system counted, `attested` the prerequisites that people stood for. Both are empty
    for a zone that is open from the first start.
    """

    origin: Literal["order", "first_start"]
    reason: str
    activated_at: datetime
    checks: tuple[CheckOutcome, ...] = ()
    attested: tuple[str, ...] = ()


@event_type("zone.deactivated", retention=Retention.STATE)
class ZoneDeactivated(Event, frozen=True, kw_only=True):
    """Nobody may register any more. Whoever is in it stays; attestations count no longer."""

    reason: str
    deactivated_at: datetime
