"""Who holds a role beside those of students and parents, since when, and who confirmed it last."""

from collections.abc import Sequence
from typing import ClassVar, Final

from domain.events import Event, PositionedEvent, RecordedEvent
from domain.users.events import RoleConfirmed, RoleGranted, RoleLapsed, UserDeactivated
from domain.zones import Role
from projections.projection import Cursor
from projections.rows import Key, Row, Table

ZONE_WIDE: Final = "zone"
"""The place of a role that is held in no organisation."""
NOBODYS_BUSINESS: Final[tuple[Role, ...]] = ("student", "parent")
"""Roles without power over others: nobody has to know who holds them."""

ROLE_REVIEWS = Table(
    "role_reviews",
    key=("user_id", "role", "place"),
    columns={
        "user_id": "text",
        "role": "text",
        "place": "text",
        "org_id": "text",
        "zone_id": "text",
        "granted_at": "timestamptz",
        "granted_by": "text",
        "confirmed_at": "timestamptz",
        "confirmed_by": "text",
        "reviewed_at": "timestamptz",
    },
)


class RoleReviewsProjection:
    name: ClassVar[str] = "role_reviews"
    version: ClassVar[int] = 1
    partitioned: ClassVar[bool] = True
    tables: ClassVar[tuple[str, ...]] = ("role_reviews",)
    event_types: ClassVar[tuple[type[Event], ...]] = (
        RoleGranted,
        RoleConfirmed,
        RoleLapsed,
        UserDeactivated,
    )

    def apply(self, cursor: Cursor, events: Sequence[PositionedEvent]) -> None:
        recorded = [each.recorded for each in events if isinstance(each.recorded.event, self.event_types)]
        before = ROLE_REVIEWS.load(cursor, {key for each in recorded if (key := _key(each)) is not None})
        rows: dict[Key, Row | None] = {}
        deactivated: set[str] = set()
        for each in recorded:
            event, key = each.event, _key(each)
            if key is None:
                deactivated.add(each.stream_id)
                rows.update(dict.fromkeys([held for held in rows if held[0] == each.stream_id]))
            elif isinstance(event, RoleGranted):
                rows[key] = None if event.role in NOBODYS_BUSINESS else _granted(each, event, key)
            elif isinstance(event, RoleLapsed):
                rows[key] = None
            elif isinstance(event, RoleConfirmed):
                held = rows.get(key, before.get(*key))
                rows[key] = None if held is None else held | _confirmed(each, event)
        if deactivated:
            ROLE_REVIEWS.delete(cursor, user_id=sorted(deactivated))
        ROLE_REVIEWS.remove(cursor, [key for key, row in rows.items() if row is None])
        ROLE_REVIEWS.save(cursor, [row for row in rows.values() if row is not None])


def _key(recorded: RecordedEvent) -> Key | None:
    """The row that an event is about; None where it is about all of the person's."""
    event = recorded.event
    if isinstance(event, RoleGranted | RoleConfirmed | RoleLapsed):
        return (recorded.stream_id, event.role, event.org_id or ZONE_WIDE)
    return None


def _granted(recorded: RecordedEvent, event: RoleGranted, key: Key) -> Row:
    return {
        **dict(zip(ROLE_REVIEWS.key, key, strict=True)),
        "org_id": event.org_id,
        "zone_id": recorded.metadata.zone_id,
        "granted_at": recorded.metadata.recorded_at,
        "granted_by": recorded.metadata.actor.id,
        "confirmed_at": None,
        "confirmed_by": None,
        "reviewed_at": event.granted_at,
    }


def _confirmed(recorded: RecordedEvent, event: RoleConfirmed) -> Row:
    return {
        "confirmed_at": recorded.metadata.recorded_at,
        "confirmed_by": recorded.metadata.actor.id,
        "reviewed_at": event.confirmed_at,
    }
