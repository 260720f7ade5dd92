"""What may be ordered of a projection, and what follows."""

import pytest

from commands.kinds import SYSTEM
from domain.system.events import (
    PoisonEventRetried,
    PoisonEventSetAside,
    PoisonEventSkipped,
    ProjectionPaused,
    ProjectionRebuilt,
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


def test_what_was_skipped_cannot_be_skipped_or_retried_again():
    skipped = given(SYSTEM, poison()).when(skip, "people", 7, "made by a test")
    after = skipped.then(
        PoisonEventSkipped(
            projection="people", event_position=7, event_stream_id=STUDENT, reason="made by a test"
        )
    )
    after.when(skip, "people", 7, "again").then_refused(NothingSetAside, position=7)
    after.when(retry, "people", STUDENT).then_refused(NothingSetAside, stream_id=STUDENT)


def test_a_retry_is_of_a_whole_stream_and_of_no_other():
    told = given(SYSTEM, poison(), poison(8), poison(9, TEACHER))
    retried = told.when(retry, "people", STUDENT).then(RETRIED)
    assert set(retried.state.set_aside) == {9}


def test_an_attempt_that_is_reported_late_does_not_undo_a_newer_one():
    told = given(SYSTEM, poison(attempts=3))
    told.when(set_aside, poison(attempts=2)).then_nothing()
    assert told.state.set_aside[7].attempts == 3


def test_a_paused_projection_may_be_retried_and_skipped_and_stays_paused():
    paused = given(SYSTEM, poison(), PAUSED)
    assert paused.when(retry, "people", STUDENT).then(RETRIED).state.paused


def test_a_rebuild_changes_nothing_of_what_was_ordered_and_set_aside():
    before = given(SYSTEM, poison(), PAUSED)
    rebuilt = ProjectionRebuilt(
        projection="people",
        projection_version=2,
        up_to_position=9,
        events=9,
        rows={"people": 3},
        sha256="0" * 64,
        code_sha256="1" * 64,
    )
    assert given(SYSTEM, poison(), PAUSED, rebuilt).state == before.state
