"""A link between a parent and a student: its states and what may be done in each."""

from typing import TypeAlias, assert_never

import msgspec

from domain.errors import IllegalState, Malformed, NotFound
from domain.events import Event
from domain.identifiers import StreamId
from domain.parent_links.events import (
    LinkApproved,
    LinkEnd,
    LinkExpired,
    LinkRejected,
    LinkRequested,
    LinkRevoked,
)
from domain.zones import ZoneId


class Ends(msgspec.Struct, frozen=True):
    parent_id: StreamId
    student_id: StreamId
    zone_id: ZoneId


class Unrequested(msgspec.Struct, frozen=True):
    pass


class Requested(msgspec.Struct, frozen=True):
    """Waits for the student."""

    ends: Ends


class Approved(msgspec.Struct, frozen=True):
    """Opens the student's results to the parent, for as long as neither lets go."""

    ends: Ends


class Over(msgspec.Struct, frozen=True):
    """Rejected, expired or revoked; it may be asked for again."""

    ends: Ends
    ended_by: type[Event]


Link: TypeAlias = Unrequested | Requested | Approved | Over


class LinkNotFound(NotFound):
    code = "parent-link-not-found"
    title = "There is no such link"


class OwnParent(Malformed):
    code = "own-parent"
    title = "Nobody is their own parent"


class LinkNotPending(IllegalState):
    code = "parent-link-not-pending"
    title = "This link does not wait for an answer"


class LinkNotApproved(IllegalState):
    code = "parent-link-not-approved"
    title = "This link is not in force"


def evolve(state: Link, event: Event) -> Link:
    match event, state:
        case LinkRequested(), Unrequested() | Over():
            return Requested(Ends(event.parent_id, event.student_id, event.zone_id))
        case LinkApproved(), Requested(ends):
            return Approved(ends)
        case LinkRejected() | LinkExpired(), Requested(ends):
            return Over(ends, type(event))
        case LinkRevoked(), Approved(ends):
            return Over(ends, LinkRevoked)
        case _:
            return state


def request(state: Link, ends: Ends) -> list[Event]:
    """No event where it waits already, or is in force. Raises `OwnParent`."""
    if ends.parent_id == ends.student_id:
        raise OwnParent
    match state:
        case Unrequested() | Over():
            return [LinkRequested(parent_id=ends.parent_id, student_id=ends.student_id, zone_id=ends.zone_id)]
        case Requested() | Approved():
            return []
        case _:
            assert_never(state)


def approve(state: Link, by: StreamId) -> list[Event]:
    """By the student. No event where it is in force already. Raises `LinkNotFound`, `LinkNotPending`."""
    if _ends(state).student_id != by:
        raise LinkNotFound
    match state:
        case Requested():
            return [LinkApproved()]
        case Approved():
            return []
        case _:
            raise LinkNotPending


def reject(state: Link, by: StreamId) -> list[Event]:
    """By the student. No event where it was rejected. Raises `LinkNotFound`, `LinkNotPending`."""
    if _ends(state).student_id != by:
        raise LinkNotFound
    match state:
        case Requested():
            return [LinkRejected()]
        case Over(ended_by=ended_by) if ended_by is LinkRejected:
            return []
        case _:
            raise LinkNotPending


def expire(state: Link) -> list[Event]:
    """Only what waits expires; a link in force lives until it is revoked."""
    return [LinkExpired()] if isinstance(state, Requested) else []


def revoke(state: Link, by: StreamId) -> list[Event]:
    """By either end. No event where it was revoked. Raises `LinkNotFound`, `LinkNotApproved`."""
    ends = _ends(state)
    if by not in {ends.parent_id, ends.student_id}:
        raise LinkNotFound
    end: LinkEnd = "parent" if by == ends.parent_id else "student"
    match state:
        case Approved():
            return [LinkRevoked(by=end)]
        case Over(ended_by=ended_by) if ended_by is LinkRevoked:
            return []
        case _:
            raise LinkNotApproved


def _ends(state: Link) -> Ends:
    """Whom it links. Raises `LinkNotFound`."""
    if isinstance(state, Unrequested):
        raise LinkNotFound
    return state.ends
