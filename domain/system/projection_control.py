"""A projection as its operators see it: paused or not, and which events it could not apply."""

import msgspec

from domain.errors import NotFound
from domain.events import Event
from domain.identifiers import StreamId
from domain.system.events import (
    PoisonEventRetried,
    PoisonEventSetAside,
    PoisonEventSkipped,
    ProjectionPaused,
    ProjectionResumed,
)


class SetAside(msgspec.Struct, frozen=True):
    """An event that could not be applied; `attempts` is how often it was tried."""

    stream_id: StreamId
    attempts: int


class ControlledProjection(msgspec.Struct, frozen=True, kw_only=True):
    """`set_aside` is by position; events that merely wait behind one of these are not in it."""

    paused: bool = False
    set_aside: dict[int, SetAside] = {}


class NothingSetAside(NotFound):
    code = "nothing-set-aside"
    title = "The projection has set aside no such event"


def evolve(state: ControlledProjection, event: Event) -> ControlledProjection:
    match event:
        case ProjectionPaused():
            return msgspec.structs.replace(state, paused=True)
        case ProjectionResumed():
            return msgspec.structs.replace(state, paused=False)
        case PoisonEventSetAside():
            found = SetAside(event.event_stream_id, event.attempts)
            return msgspec.structs.replace(state, set_aside={**state.set_aside, event.event_position: found})
        case PoisonEventRetried():
            # What fails once more is set aside by an event of its own.
            rest = {
                position: each
                for position, each in state.set_aside.items()
                if each.stream_id != event.event_stream_id
            }
            return msgspec.structs.replace(state, set_aside=rest)
        case PoisonEventSkipped():
            rest = {
                position: each
                for position, each in state.set_aside.items()
                if position != event.event_position
            }
            return msgspec.structs.replace(state, set_aside=rest)
        case _:
            return state


def pause(state: ControlledProjection, projection: str, reason: str) -> list[Event]:
    return [] if state.paused else [ProjectionPaused(projection=projection, reason=reason)]


def resume(state: ControlledProjection, projection: str) -> list[Event]:
    return [ProjectionResumed(projection=projection)] if state.paused else []


def set_aside(state: ControlledProjection, event: PoisonEventSetAside) -> list[Event]:
    """Told once for each attempt, however often it is reported."""
    known = state.set_aside.get(event.event_position)
    return [] if known is not None and known.attempts >= event.attempts else [event]


def retry(state: ControlledProjection, projection: str, stream_id: StreamId) -> list[Event]:
    """Raises `NothingSetAside`."""
    if all(each.stream_id != stream_id for each in state.set_aside.values()):
        raise NothingSetAside(projection=projection, stream_id=stream_id)
    return [PoisonEventRetried(projection=projection, event_stream_id=stream_id)]


def skip(state: ControlledProjection, projection: str, position: int, reason: str) -> list[Event]:
    """Raises `NothingSetAside`: only what was met and could not be applied may be left out."""
    found = state.set_aside.get(position)
    if found is None:
        raise NothingSetAside(projection=projection, position=position)
    return [
        PoisonEventSkipped(
            projection=projection, event_position=position, event_stream_id=found.stream_id, reason=reason
        )
    ]
