"""Who did what, when and where: one row per event of the log, and nothing personal in it.

Rows are keyed by position and depend on no other row, so the order in which events come in makes no
difference, and neither does an event that comes twice: this projection may be fed by Kafka as well.
"""

from collections.abc import Sequence
from typing import ClassVar

from domain.event_types import EVENT_CLASSES
from domain.events import Event, PositionedEvent
from projections.audit.actions import action_of
from projections.projection import Cursor
from projections.rows import Row, Table

AUDIT_ENTRIES = Table(
    "audit_entries",
    key=("position",),
    columns={
        "position": "bigint",
        "recorded_at": "timestamptz",
        "actor_kind": "text",
        "actor_id": "text",
        "zone_id": "text",
        "org_id": "text",
        "action": "text",
        "resource_category": "text",
        "resource_id": "text",
        "resource_version": "bigint",
        "type": "text",
        "event_id": "text",
        "correlation_id": "text",
        "causation_id": "text",
    },
)


class AuditProjection:
    name: ClassVar[str] = "audit"
    version: ClassVar[int] = 3
    tables: ClassVar[tuple[str, ...]] = ("audit_entries",)
    event_types: ClassVar[tuple[type[Event], ...]] = EVENT_CLASSES
    order_free: ClassVar[bool] = True

    def apply(self, cursor: Cursor, events: Sequence[PositionedEvent]) -> None:
        # By position: an event may come twice in one batch, too.
        entries = {
            each.position: _entry(each)
            for each in events
            if isinstance(each.recorded.event, self.event_types)
        }
        AUDIT_ENTRIES.save(cursor, entries.values())


def _entry(event: PositionedEvent) -> Row:
    recorded, metadata = event.recorded, event.recorded.metadata
    stored_name = recorded.event.type_.stored_name
    return {
        "position": event.position,
        "recorded_at": metadata.recorded_at,
        "actor_kind": metadata.actor.kind,
        "actor_id": metadata.actor.id,
        "zone_id": metadata.zone_id,
        "org_id": metadata.org_id,
        "action": action_of(stored_name, recorded.version),
        "resource_category": recorded.category,
        "resource_id": recorded.stream_id,
        "resource_version": recorded.version,
        # Of today's schema version, to which older events are brought up before anybody sees them.
        "type": stored_name,
        "event_id": metadata.event_id,
        "correlation_id": metadata.correlation_id,
        "causation_id": metadata.causation_id,
    }
