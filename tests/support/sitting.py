"""A published exam of four items and two students, and the steps of sitting it, in memory."""

from datetime import timedelta

from commands.take_exam import (
    GiveResponse,
    StartAttempt,
    give_response,
    start_attempt,
)
from domain.items.responses import ChosenOptions
from tests.support.exam_parts import (
    EXAM_ID,
    OTHER_STUDENT,
    STUDENT,
)
from tests.support.memory import World

MINUTE = timedelta(minutes=1)


def a_world():
    """A school with two students and a published exam of four items."""
    world = World()
    world.given_student(STUDENT)
    world.given_student(OTHER_STUDENT)
    return world


async def start(world, context=None, examinee_id=STUDENT, exam_id=EXAM_ID, write=None):
    return await start_attempt(
        write or world.write,
        context or world.student(examinee_id),
        StartAttempt(exam_id=exam_id, examinee_id=examinee_id),
    )


async def answer(world, attempt_id, item_id, response, sequence=None, *, context=None, write=None):
    return await give_response(
        write or world.write,
        context or world.student(),
        GiveResponse(attempt_id=attempt_id, item_id=item_id, response=response, sequence=sequence),
    )


def option(*ids):
    return ChosenOptions(ids)


def kinds(world, stream_id):
    return [type(event) for event in world.log.events(stream_id)]
