"""What follows from the life of projections: poison is told to the log, and orders are carried out.

Both may run in several processes and as often as they like: a fact is told under an id that belongs to it,
and an order is carried out together with its mark.
"""

from functools import partial

from commands.context import CommandContext
from commands.kinds import SYSTEM
from commands.projections.control import ProjectionControl
from commands.projections.orders import orders_of
from commands.write_side import WriteSide
from domain.events import Actor
from domain.system.events import PoisonEventSetAside
from domain.system.projection_control import set_aside


async def look_after_projections(write: WriteSide, control: ProjectionControl) -> int:
    """How much there was to tell and to carry out."""
    told = await tell_poison(write, control)
    waiting = await control.not_carried_out()
    for projection, orders in waiting:
        await control.carry_out(projection, orders)
    return told + len(waiting)


async def tell_poison(write: WriteSide, control: ProjectionControl) -> int:
    """Appends a fact for each event that was set aside since; answers how many there were."""
    untold = await control.untold()
    for fact in untold:
        orders = await orders_of(write, fact.projection)
        await write.streams.execute(
            _as_told_by_the_projector(fact), SYSTEM, orders, partial(set_aside, event=fact)
        )
        await control.mark_told(fact)
    return len(untold)


def _as_told_by_the_projector(fact: PoisonEventSetAside) -> CommandContext:
    # The same for every process that tells of it, so that it is told once.
    command_id = f"set-aside-{fact.projection}-{fact.event_position}-{fact.attempts}"
    return CommandContext(
        actor=Actor("engine", "projector"),
        zone_id=None,
        org_id=None,
        correlation_id=command_id,
        command_id=command_id,
        repeatable=True,
    )
