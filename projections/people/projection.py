"""Who there is: one row per person."""

from collections.abc import Sequence
from typing import ClassVar

from domain.events import Event, PositionedEvent, RecordedEvent
from domain.users.events import ProfileChanged, RoleGranted, UserRegistered
from projections.projection import Cursor
from projections.rows import Row, Table

PEOPLE = Table(
    "people",
    key=("user_id",),
    columns={
        "user_id": "text",
        "zone_id": "text",
        "org_id": "text",
        "display_name": "text",
        "language": "text",
        "email": "text",
        "roles": "jsonb",
        "registered_at": "timestamptz",
        "version": "bigint",
    },
)


class PeopleProjection:
    name: ClassVar[str] = "people"
    version: ClassVar[int] = 1
    partitioned: ClassVar[bool] = True
    tables: ClassVar[tuple[str, ...]] = ("people",)
    event_types: ClassVar[tuple[type[Event], ...]] = (UserRegistered, ProfileChanged, RoleGranted)

    def apply(self, cursor: Cursor, events: Sequence[PositionedEvent]) -> None:
        recorded = [each.recorded for each in events if isinstance(each.recorded.event, self.event_types)]
        people = PEOPLE.load(cursor, ((each.stream_id,) for each in recorded))
        for each in recorded:
            user_id, event = each.stream_id, each.event
            match event:
                case UserRegistered():
                    people.put(_registered(each, event))
                case ProfileChanged():
                    people.change(user_id, display_name=event.display_name, language=event.language)
                case RoleGranted():
                    granted = {"role": event.role, "org_id": event.org_id}
                    person = people.get(user_id)
                    before = [] if person is None else person["roles"]
                    people.change(user_id, roles=[*before, granted])
                case _:
                    continue
            people.change(user_id, version=each.version)
        people.save(cursor)


def _registered(recorded: RecordedEvent, event: UserRegistered) -> Row:
    return {
        "user_id": recorded.stream_id,
        "zone_id": event.zone_id,
        "org_id": event.org_id,
        "display_name": event.display_name,
        "language": event.language,
        "email": event.email,
        "roles": [],
        "registered_at": recorded.metadata.recorded_at,
        "version": recorded.version,
    }
