"""What follows from the life of projections: the log is told of poison and rebuilds, orders are carried out.

Both may run in several processes and as often as they like: a fact is told under an id that belongs to it,
and an order is carried out together with its mark.
"""

from functools import partial

from commands.context import CommandContext
from commands.kinds import SYSTEM
from commands.projections.control import ProjectionControl
from commands.projections.orders import orders_of, record_rebuild
from commands.write_side import WriteSide
from domain.events import Actor
from domain.system.events import PoisonEventSetAside
from domain.system.projection_control import set_aside


async def look_after_projections(write: WriteSide, control: ProjectionControl) -> int:
    """How much there was to tell and to carry out."""
    told = await tell_poison(write, control) + await tell_rebuilds(write, control)
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


async def tell_rebuilds(write: WriteSide, control: ProjectionControl) -> int:
    """Appends a fact for each rebuild since, whoever had it made; answers how many there were."""
    untold = await control.untold_rebuilds()
    for rebuild in untold:
        command_id = f"rebuilt-{rebuild.fact.projection}-{rebuild.certificate_id}"
        await record_rebuild(write, _told_once(command_id, rebuild.ordered_by), rebuild.fact)
        await control.mark_rebuild_told(rebuild)
    return len(untold)


def _as_told_by_the_projector(fact: PoisonEventSetAside) -> CommandContext:
    command_id = f"set-aside-{fact.projection}-{fact.event_position}-{fact.attempts}"
    return _told_once(command_id, Actor("engine", "projector"))


def _told_once(command_id: str, actor: Actor) -> CommandContext:
    # The id is the same for every process that tells of it.
    return CommandContext(
        actor=actor,
        zone_id=None,
        org_id=None,
        correlation_id=command_id,
        command_id=command_id,
        repeatable=True,
    )
