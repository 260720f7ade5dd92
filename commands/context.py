"""Who orders something, on whose behalf, and which request it came with."""

import msgspec

from domain.errors import DomainError
from domain.events import Actor
from domain.identifiers import StreamId
from domain.zones import ZoneId


class CommandContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler knows of the asker.

    Attributes:
        actor: who orders it.
        acting_as: the examinee for whom a service acts with their attempt's token, as the actor.
        zone_id: the zone that the new events belong to.
        org_id: the organisation that the new events belong to.
        staff_of: the organisations whose exams and items the actor may work on.
        correlation_id: shared by everything that follows from one request.
        command_id: becomes the causation id of all events that the command makes.
        repeatable: the command may have run before under the same id (it came with an idempotency
            key): where its events are in the stream already, it is done and is not done again.
    """

    actor: Actor
    zone_id: ZoneId | None
    org_id: StreamId | None
    correlation_id: str
    command_id: str
    acting_as: StreamId | None = None
    staff_of: frozenset[StreamId] = frozenset()
    repeatable: bool = False

    @property
    def subject_id(self) -> str:
        """Whose own things are meant: the actor's, or those of the examinee that a service acts for."""
        return self.acting_as or self.actor.id

    def within(self, zone_id: ZoneId | None, org_id: StreamId | None) -> "CommandContext":
        """The same order, for events that belong to this zone and organisation."""
        return msgspec.structs.replace(self, zone_id=zone_id, org_id=org_id)

    def following(self, correlation_id: str | None) -> "CommandContext":
        """The same order, as part of what began under an earlier correlation id."""
        return (
            self if correlation_id is None else msgspec.structs.replace(self, correlation_id=correlation_id)
        )

    def require_staff_of(self, org_id: StreamId | None, otherwise: type[DomainError]) -> None:
        """Raises `otherwise` (not found, as a rule) unless the actor works for the organisation."""
        if org_id is None or org_id not in self.staff_of:
            raise otherwise
