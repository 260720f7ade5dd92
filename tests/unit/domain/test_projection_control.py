"""What may be ordered of a projection, and what follows."""

import pytest

from commands.kinds import SYSTEM
from domain.system.events import (
    PoisonEventRetried,
    PoisonEventSetAside,
    PoisonEventSkipped,
    ProjectionPaused,
    ProjectionResumed,
)
from domain.system.projection_control import NothingSetAside, pause, resume, retry, set_aside, skip
from tests.support.exam_parts import STUDENT, TEACHER
from tests.support.given import given

PAUSED = ProjectionPaused(projection="people", reason="to look")
RESUMED = ProjectionResumed(projection="people")
RETRIED = PoisonEventRetried(projection="people", event_stream_id=STUDENT)


def poison(position=7, stream=STUDENT, attempts=1):
    return PoisonEventSetAside(
        projection="people",
        event_position=position,
        event_stream_id=stream,
        event_version=1,
        event_type="user.registered.v1",
        error="RowMissing",
        attempts=attempts,
    )


def test_a_projection_is_paused_once_and_resumed_once():
    running = given(SYSTEM).when(pause, "people", "to look").then(PAUSED)
    running.when(pause, "people", "again").then_nothing()
    resumed = running.when(resume, "people").then(RESUMED)
    resumed.when(resume, "people").then_nothing()


def test_what_was_set_aside_is_told_once_for_each_attempt():
    told = given(SYSTEM).when(set_aside, poison()).then(poison())
    told.when(set_aside, poison()).then_nothing()
    told.when(set_aside, poison(attempts=2)).then(poison(attempts=2))


def test_a_stream_is_retried_while_something_of_it_is_set_aside():
    told = given(SYSTEM, poison(), poison(9, TEACHER))
    retried = told.when(retry, "people", STUDENT).then(RETRIED)
    retried.when(retry, "people", STUDENT).then_refused(NothingSetAside, stream_id=STUDENT)
    assert set(retried.state.set_aside) == {9}


def test_what_fails_again_can_be_retried_again():
    failed = given(SYSTEM, poison(), RETRIED, poison(attempts=2))
    failed.when(retry, "people", STUDENT).then(RETRIED)


def test_one_event_is_skipped_and_others_stay_set_aside():
    told = given(SYSTEM, poison(), poison(9, TEACHER))
    skipped = told.when(skip, "people", 7, "made by a test").then(
        PoisonEventSkipped(
            projection="people", event_position=7, event_stream_id=STUDENT, reason="made by a test"
        )
    )
    assert set(skipped.state.set_aside) == {9}


@pytest.mark.parametrize("position", [6, 8])
def test_only_what_was_set_aside_can_be_skipped(position):
    told = given(SYSTEM, poison())
    told.when(skip, "people", position, "why not").then_refused(NothingSetAside, position=position)
