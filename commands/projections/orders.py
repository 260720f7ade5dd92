"""Pause and resume a projection; retry or skip what it has set aside.

An order is recorded first, in the projection's own stream, and then carried out. Where this process dies
between the two, or the database is away, whoever follows the orders carries it out later: once.
"""

from collections.abc import Callable, Sequence

import msgspec

from commands.context import CommandContext
from commands.kinds import SYSTEM
from commands.projections.control import ProjectionControl
from commands.streams import Outcome
from commands.write_side import WriteSide
from domain.errors import NotFound
from domain.events import Event
from domain.identifiers import StreamId, stream_id
from domain.system.events import ProjectionRebuilt
from domain.system.projection_control import ControlledProjection, pause, resume, retry, skip

CLAIM_SCOPE = "projection"


class UnknownProjection(NotFound):
    code = "unknown-projection"
    title = "There is no projection of this name"


class PauseProjection(msgspec.Struct, frozen=True, kw_only=True):
    projection: str
    reason: str


class ResumeProjection(msgspec.Struct, frozen=True, kw_only=True):
    projection: str


class RetryPoison(msgspec.Struct, frozen=True, kw_only=True):
    """Apply what was set aside of one stream, in order, as far as it can be applied now."""

    projection: str
    stream_id: StreamId


class SkipPoison(msgspec.Struct, frozen=True, kw_only=True):
    """Leave one event out for good, and go on with what waits behind it."""

    projection: str
    position: int
    reason: str


async def pause_projection(
    write: WriteSide, control: ProjectionControl, context: CommandContext, command: PauseProjection
) -> Outcome[ControlledProjection]:
    """Its rows and its checkpoint stay until it is resumed. Raises `UnknownProjection`."""
    return await _order(
        write,
        control,
        context,
        command.projection,
        lambda state: pause(state, command.projection, command.reason),
    )


async def resume_projection(
    write: WriteSide, control: ProjectionControl, context: CommandContext, command: ResumeProjection
) -> Outcome[ControlledProjection]:
    """Raises `UnknownProjection`."""
    return await _order(
        write, control, context, command.projection, lambda state: resume(state, command.projection)
    )


async def retry_poison(
    write: WriteSide, control: ProjectionControl, context: CommandContext, command: RetryPoison
) -> Outcome[ControlledProjection]:
    """What fails again stays set aside with its new error. Raises `UnknownProjection`, `NothingSetAside`."""
    return await _order(
        write,
        control,
        context,
        command.projection,
        lambda state: retry(state, command.projection, command.stream_id),
    )


async def skip_poison(
    write: WriteSide, control: ProjectionControl, context: CommandContext, command: SkipPoison
) -> Outcome[ControlledProjection]:
    """Raises `UnknownProjection`, `NothingSetAside`."""
    return await _order(
        write,
        control,
        context,
        command.projection,
        lambda state: skip(state, command.projection, command.position, command.reason),
    )


async def record_rebuild(
    write: WriteSide, context: CommandContext, fact: ProjectionRebuilt
) -> Outcome[ControlledProjection]:
    """Rows that were derived anew have taken over; recorded afterwards, beside the certificate."""
    stream = await orders_of(write, fact.projection)
    return await write.streams.execute(context, SYSTEM, stream, lambda _: [fact])


async def orders_of(write: WriteSide, projection: str) -> StreamId:
    """The stream of a projection; it begins with the first fact."""
    [holder] = await write.claims.claim(CLAIM_SCOPE, [projection], [stream_id("system", write.new_id())])
    return holder


async def _order(
    write: WriteSide,
    control: ProjectionControl,
    context: CommandContext,
    projection: str,
    decide: Callable[[ControlledProjection], Sequence[Event]],
) -> Outcome[ControlledProjection]:
    if projection not in control.names:
        raise UnknownProjection(projection=projection)
    stream = await orders_of(write, projection)
    ordered = await write.streams.execute(context, SYSTEM, stream, decide)
    await control.carry_out(projection, stream)
    return ordered
