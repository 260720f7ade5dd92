"""Who there is: one row per person."""

from collections.abc import Sequence
from typing import ClassVar

from domain.events import Event, PositionedEvent, RecordedEvent
from domain.users.events import ProfileChanged, RoleGranted, RoleLapsed, UserRegistered
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
    version: ClassVar[int] = 2
    partitioned: ClassVar[bool] = True
    tables: ClassVar[tuple[str, ...]] = ("people",)
    event_types: ClassVar[tuple[type[Event], ...]] = (
        UserRegistered,
        ProfileChanged,
        RoleGranted,
        RoleLapsed,
    )

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
                    people.change(user_id, roles=[*_roles_but(people.get(user_id), event), _role(event)])
                case RoleLapsed():
                    people.change(user_id, roles=_roles_but(people.get(user_id), event))
                case _:
                    continue
            people.change(user_id, version=each.version)
        people.save(cursor)


def _role(event: RoleGranted | RoleLapsed) -> dict[str, str | None]:
    return {"role": event.role, "org_id": event.org_id}


def _roles_but(person: Row | None, event: RoleGranted | RoleLapsed) -> list[dict[str, str | None]]:
    return [] if person is None else [each for each in person["roles"] if each != _role(event)]


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
