"""The roles that people hold, the classes that they are in, the children that they are linked with.

Row-level security asks these rows at every read, so what is taken away here is gone at the next one. Rows
that hold no longer are deleted: what was, the log knows.
"""

from collections.abc import Sequence
from typing import ClassVar, Final

from domain.classes.events import (
    ClassClosed,
    ClassOpened,
    ClassRenamed,
    StudentEnrolled,
    StudentWithdrawn,
    TeacherAssigned,
    TeacherWithdrawn,
)
from domain.events import Event, PositionedEvent, RecordedEvent
from domain.organizations.events import OrganizationFounded, OrganizationRenamed
from domain.parent_links.events import (
    LinkApproved,
    LinkExpired,
    LinkRejected,
    LinkRequested,
    LinkRevoked,
)
from domain.users.events import RoleGranted, RoleLapsed, UserDeactivated, UserRegistered
from projections.access.tables import (
    ACCOUNTS,
    CLASS_MEMBERS,
    CLASSES,
    MEMBERSHIPS,
    ORGANIZATIONS,
    PARENT_LINKS,
    ZONE_WIDE,
)
from projections.projection import Cursor
from projections.rows import Key, Row, Table

GATHER_S: Final = 0.01
"""Somebody waits for what is taken away here, and is told that it is: so the rows are `durable` by then."""


class AccessProjection:
    name: ClassVar[str] = "access"
    version: ClassVar[int] = 1
    partitioned: ClassVar[bool] = True
    gather_s: ClassVar[float] = GATHER_S
    durable: ClassVar[bool] = True
    tables: ClassVar[tuple[str, ...]] = (
        "parent_links",
        "class_members",
        "classes",
        "organizations",
        "memberships",
        "accounts",
    )
    event_types: ClassVar[tuple[type[Event], ...]] = (
        UserRegistered,
        RoleGranted,
        RoleLapsed,
        UserDeactivated,
        OrganizationFounded,
        OrganizationRenamed,
        ClassOpened,
        ClassRenamed,
        TeacherAssigned,
        TeacherWithdrawn,
        StudentEnrolled,
        StudentWithdrawn,
        ClassClosed,
        LinkRequested,
        LinkApproved,
        LinkRejected,
        LinkExpired,
        LinkRevoked,
    )

    def apply(self, cursor: Cursor, events: Sequence[PositionedEvent]) -> None:
        recorded = [each.recorded for each in events if isinstance(each.recorded.event, self.event_types)]
        by_category: dict[str, list[RecordedEvent]] = {}
        for each in recorded:
            by_category.setdefault(each.category, []).append(each)
        _apply_people(cursor, by_category.get("user", []))
        _apply_organizations(cursor, by_category.get("organization", []))
        _apply_classes(cursor, by_category.get("class", []))
        _apply_links(cursor, by_category.get("parent_link", []))


class _Held:
    """Rows that come and go: what a batch leaves of them is written at its end."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._rows: dict[Key, Row | None] = {}

    def put(self, row: Row) -> None:
        self._rows[tuple(row[column] for column in self._table.key)] = row

    def drop(self, *key: str) -> None:
        self._rows[key] = None

    def drop_all_of(self, first: str) -> None:
        """Those that this batch has put there under the key's first column."""
        for key in self._rows:
            if key[0] == first:
                self._rows[key] = None

    def save(self, cursor: Cursor) -> None:
        self._table.remove(cursor, [key for key, row in self._rows.items() if row is None])
        self._table.save(cursor, [row for row in self._rows.values() if row is not None])


def _apply_people(cursor: Cursor, recorded: Sequence[RecordedEvent]) -> None:
    accounts = ACCOUNTS.load(cursor, ((each.stream_id,) for each in recorded))
    memberships = _Held(MEMBERSHIPS)
    deactivated: list[str] = []
    for each in recorded:
        user_id = each.stream_id
        match each.event:
            case UserRegistered() as event:
                accounts.put(
                    {"user_id": user_id, "zone_id": event.zone_id, "org_id": event.org_id, "active": True}
                )
            case RoleGranted() as event:
                account = accounts.get(user_id)
                # Nobody is granted anything before they are registered.
                zone_id = each.metadata.zone_id if account is None else account["zone_id"]
                memberships.put(
                    {
                        "user_id": user_id,
                        "role": event.role,
                        "place": event.org_id or ZONE_WIDE,
                        "org_id": event.org_id,
                        "zone_id": zone_id,
                        "since": each.metadata.recorded_at,
                    }
                )
            case RoleLapsed() as event:
                memberships.drop(user_id, event.role, event.org_id or ZONE_WIDE)
            case UserDeactivated():
                accounts.change(user_id, active=False)
                memberships.drop_all_of(user_id)
                deactivated.append(user_id)
            case _:
                pass
    accounts.save(cursor)
    if deactivated:
        # A deactivated account is granted nothing any more, so what was there before this batch goes.
        MEMBERSHIPS.delete(cursor, user_id=sorted(deactivated))
    memberships.save(cursor)


def _apply_organizations(cursor: Cursor, recorded: Sequence[RecordedEvent]) -> None:
    organizations = ORGANIZATIONS.load(cursor, ((each.stream_id,) for each in recorded))
    for each in recorded:
        match each.event:
            case OrganizationFounded() as event:
                organizations.put(
                    {
                        "org_id": each.stream_id,
                        "zone_id": event.zone_id,
                        "name": event.name,
                        "founded_at": each.metadata.recorded_at,
                        "version": each.version,
                    }
                )
            case OrganizationRenamed() as event:
                organizations.change(each.stream_id, name=event.name, version=each.version)
            case _:
                pass
    organizations.save(cursor)


def _apply_classes(cursor: Cursor, recorded: Sequence[RecordedEvent]) -> None:
    classes = CLASSES.load(cursor, ((each.stream_id,) for each in recorded))
    members = _Held(CLASS_MEMBERS)
    for each in recorded:
        class_id, at = each.stream_id, each.metadata.recorded_at
        match each.event:
            case ClassOpened() as event:
                classes.put(
                    {
                        "class_id": class_id,
                        "org_id": event.org_id,
                        "zone_id": event.zone_id,
                        "name": event.name,
                        "external_id": event.external_id,
                        "opened_at": at,
                        "closed_at": None,
                        "version": each.version,
                    }
                )
            case ClassRenamed() as event:
                classes.change(class_id, name=event.name)
            case TeacherAssigned() | StudentEnrolled() as event:
                opened = classes.get(class_id)
                members.put(
                    {
                        "class_id": class_id,
                        "user_id": event.user_id,
                        "part": "teacher" if isinstance(event, TeacherAssigned) else "student",
                        "org_id": None if opened is None else opened["org_id"],
                        "zone_id": None if opened is None else opened["zone_id"],
                        "since": at,
                    }
                )
            case TeacherWithdrawn() as event:
                members.drop(class_id, event.user_id, "teacher")
            case StudentWithdrawn() as event:
                members.drop(class_id, event.user_id, "student")
            case ClassClosed():
                classes.change(class_id, closed_at=at)
            case _:
                continue
        classes.change(class_id, version=each.version)
    classes.save(cursor)
    members.save(cursor)


def _apply_links(cursor: Cursor, recorded: Sequence[RecordedEvent]) -> None:
    links = PARENT_LINKS.load(cursor, ((each.stream_id,) for each in recorded))
    for each in recorded:
        at = each.metadata.recorded_at
        match each.event:
            case LinkRequested() as event:
                links.put(
                    {
                        "link_id": each.stream_id,
                        "parent_id": event.parent_id,
                        "student_id": event.student_id,
                        "zone_id": event.zone_id,
                        "status": "requested",
                        "since": at,
                    }
                )
            case LinkApproved():
                links.change(each.stream_id, status="approved", since=at)
            case LinkRejected() | LinkExpired() | LinkRevoked():
                links.change(each.stream_id, status="ended", since=at)
            case _:
                pass
    links.save(cursor)
