"""A class: opened once, it has teachers and students until it is closed."""

from collections.abc import Sequence
from typing import TypeAlias, assert_never

import msgspec

from domain.classes.events import (
    ClassClosed,
    ClassOpened,
    ClassRenamed,
    StudentEnrolled,
    StudentWithdrawn,
    TeacherAssigned,
    TeacherWithdrawn,
)
from domain.errors import IllegalState, NotFound
from domain.events import Event
from domain.identifiers import StreamId
from domain.zones import ZoneId


class Unopened(msgspec.Struct, frozen=True):
    pass


class Open(msgspec.Struct, frozen=True, kw_only=True):
    org_id: StreamId
    zone_id: ZoneId
    name: str
    external_id: str | None
    teachers: frozenset[StreamId] = frozenset()
    students: frozenset[StreamId] = frozenset()


class Closed(msgspec.Struct, frozen=True):
    """As it was when it was closed."""

    last: Open


SchoolClass: TypeAlias = Unopened | Open | Closed


class ClassNotFound(NotFound):
    code = "class-not-found"
    title = "There is no such class"


class ClassExists(IllegalState):
    """Another class of the organisation has the same external id; `class_id` is that one."""

    code = "class-exists"
    title = "The organisation has a class of this external id already"


class ClassIsClosed(IllegalState):
    code = "class-closed"
    title = "This class is closed"


def evolve(state: SchoolClass, event: Event) -> SchoolClass:
    """The class after one more fact; facts it does not know leave it as it is."""
    match state:
        case Unopened():
            return _opened(event) if isinstance(event, ClassOpened) else state
        case Open():
            return Closed(state) if isinstance(event, ClassClosed) else _changed(state, event)
        case Closed():
            return state
        case _:
            assert_never(state)


def _changed(state: Open, event: Event) -> Open:
    change = msgspec.structs.replace
    match event:
        case ClassRenamed():
            return change(state, name=event.name)
        case TeacherAssigned():
            return change(state, teachers=state.teachers | {event.user_id})
        case TeacherWithdrawn():
            return change(state, teachers=state.teachers - {event.user_id})
        case StudentEnrolled():
            return change(state, students=state.students | {event.user_id})
        case StudentWithdrawn():
            return change(state, students=state.students - {event.user_id})
        case _:
            return state


def _opened(event: ClassOpened) -> Open:
    return Open(org_id=event.org_id, zone_id=event.zone_id, name=event.name, external_id=event.external_id)


def organization_of(state: SchoolClass) -> StreamId | None:
    match state:
        case Unopened():
            return None
        case Open():
            return state.org_id
        case Closed():
            return state.last.org_id
        case _:
            assert_never(state)


def open_class(state: SchoolClass, opened: ClassOpened) -> list[Event]:
    """Raises `ClassExists`."""
    match state:
        case Unopened():
            return [opened]
        case Open() | Closed():
            raise ClassExists
        case _:
            assert_never(state)


def rename(state: SchoolClass, name: str) -> list[Event]:
    """Raises `ClassNotFound`, `ClassIsClosed`."""
    return [] if _require_open(state).name == name else [ClassRenamed(name=name)]


def enroll_students(state: SchoolClass, user_ids: Sequence[StreamId]) -> list[Event]:
    """Nothing for those who are in it. Raises `ClassNotFound`, `ClassIsClosed`."""
    there = _require_open(state).students
    return [StudentEnrolled(user_id=each) for each in dict.fromkeys(user_ids) if each not in there]


def assign_teachers(state: SchoolClass, user_ids: Sequence[StreamId]) -> list[Event]:
    """Nothing for those who teach it. Raises `ClassNotFound`, `ClassIsClosed`."""
    there = _require_open(state).teachers
    return [TeacherAssigned(user_id=each) for each in dict.fromkeys(user_ids) if each not in there]


def withdraw_students(state: SchoolClass, user_ids: Sequence[StreamId]) -> list[Event]:
    """Nothing for those who are not in it. Raises `ClassNotFound`, `ClassIsClosed`."""
    there = _require_open(state).students
    return [StudentWithdrawn(user_id=each) for each in dict.fromkeys(user_ids) if each in there]


def withdraw_teachers(state: SchoolClass, user_ids: Sequence[StreamId]) -> list[Event]:
    """Nothing for those who do not teach it. Raises `ClassNotFound`, `ClassIsClosed`."""
    there = _require_open(state).teachers
    return [TeacherWithdrawn(user_id=each) for each in dict.fromkeys(user_ids) if each in there]


def take_out(
    state: SchoolClass, user_id: StreamId, *, student: bool = True, teacher: bool = True
) -> list[Event]:
    """Whoever is no member of the organisation any more leaves its classes; a closed one is left alone."""
    if not isinstance(state, Open):
        return []
    events: list[Event] = []
    if student:
        events += withdraw_students(state, [user_id])
    if teacher:
        events += withdraw_teachers(state, [user_id])
    return events


def close(state: SchoolClass, reason: str) -> list[Event]:
    """No event where it was closed before. Raises `ClassNotFound`."""
    match state:
        case Unopened():
            raise ClassNotFound
        case Closed():
            return []
        case Open():
            return [ClassClosed(reason=reason)]
        case _:
            assert_never(state)


def _require_open(state: SchoolClass) -> Open:
    match state:
        case Unopened():
            raise ClassNotFound
        case Closed():
            raise ClassIsClosed
        case Open():
            return state
        case _:
            assert_never(state)
