"""The engine's order: take notice of the last response, and present the next item or end the test."""

from commands.context import CommandContext
from commands.kinds import ATTEMPT
from commands.streams import Outcome
from commands.write_side import WriteSide
from domain.attempts import attempt
from domain.attempts.attempt import Attempt, InProgress, NotStarted
from domain.identifiers import StreamId


async def advance_attempt(
    write: WriteSide, context: CommandContext, attempt_id: StreamId
) -> Outcome[Attempt] | None:
    """What the engine decided; None, and nothing read but the attempt, where it is not an adaptive one.

    Any number of times and from anywhere: a response is taken notice of once, and where none waits nothing
    happens. Raises `AttemptNotFound`.
    """
    known = await write.streams.peek(ATTEMPT, attempt_id)
    if isinstance(known.state, NotStarted):
        raise attempt.AttemptNotFound
    if not isinstance(known.state, InProgress) or known.state.sitting is None:
        return None
    form = await write.forms.published(known.state.exam_id)
    return await write.streams.execute(
        context.within(known.owner.zone_id, known.owner.org_id),
        ATTEMPT,
        attempt_id,
        lambda state: attempt.advance(state, form),
    )
