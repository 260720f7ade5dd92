"""Processes that die while they apply events: killed by somebody, or by the event itself."""

import signal

import psycopg
import pytest

from infra.projections.checkpoints import read_checkpoint
from infra.projections.runner import ProjectionRunner
from infra.projections.runs import DEADLY_TRIES
from projections.item_analysis.projection import ItemAnalysisProjection
from projections.people.projection import PeopleProjection
from tests.support.mortal_projector import Death, run_projector
from tests.support.projecting import broken_promises, eventually, set_aside
from tests.support.story import Story, StoryFeed, a_whole_story

KILLED = -signal.SIGKILL
ANALYSIS = ItemAnalysisProjection()


def scored_positions(story):
    return [e.position for e in story.events if e.recorded.event.type_.name == "attempt.scored"]


def unended_runs(connection, name):
    return connection.execute(
        "SELECT trying FROM ops.projection_runs WHERE projection = %s AND ended_at IS NULL", [name]
    ).fetchall()


def test_a_projector_killed_between_rows_and_checkpoint_applies_every_event_once(database, projector):
    """Fault 5: again and again, each time somewhere else."""
    story = a_whole_story()
    scored = scored_positions(story)
    for position in (scored[0], scored[len(scored) // 2], scored[-1]):
        assert run_projector(database, Death("rows", position)) == KILLED
        assert read_checkpoint(projector, "item_analysis").position < position
        assert broken_promises(projector, ANALYSIS, story) == []
    assert run_projector(database) == 0
    assert read_checkpoint(projector, "item_analysis").position == len(story.events)
    assert broken_promises(projector, ANALYSIS, story) == []
    assert set_aside(projector, "item_analysis") == []


@pytest.mark.parametrize("planted", ["checkpoint-first", "rows-first"])
def test_a_projector_that_commits_rows_and_checkpoint_apart_is_found_out(database, projector, planted):
    """A test of the test before: these bugs do nothing until somebody is killed at the wrong moment."""
    story = a_whole_story()
    position = scored_positions(story)[10]
    assert run_projector(database, Death("rows", position), planted) == KILLED
    assert run_projector(database, planted=planted) == 0
    assert read_checkpoint(projector, "item_analysis").position == len(story.events)
    assert broken_promises(projector, ANALYSIS, story) == [
        f"the rows are not those of the log up to {len(story.events)}"
    ]


def test_an_event_that_kills_the_process_is_set_aside_and_the_rest_goes_on(database, projector):
    """Fault 11. The first death shows that there is something, the next ones where it is."""
    story = a_whole_story()
    deadly = scored_positions(story)[20]
    for _ in range(1 + DEADLY_TRIES):
        assert set_aside(projector, "item_analysis") == []
        assert run_projector(database, Death("event", deadly)) == KILLED
        assert read_checkpoint(projector, "item_analysis").position < deadly
    assert run_projector(database, Death("event", deadly)) == 0
    [found] = set_aside(projector, "item_analysis")
    assert found["position"] == deadly
    assert found["error"] == "ProcessDied: the process died 3 times while it applied this event"
    assert read_checkpoint(projector, "item_analysis").position == len(story.events)
    assert broken_promises(projector, ANALYSIS, story) == []
    assert unended_runs(projector, "item_analysis") == []


def test_a_process_that_is_killed_often_but_by_no_event_sets_nothing_aside(database, projector):
    story = a_whole_story()
    for position in scored_positions(story)[: DEADLY_TRIES + 2]:
        assert run_projector(database, Death("rows", position)) == KILLED
    assert run_projector(database) == 0
    assert set_aside(projector, "item_analysis") == []
    assert broken_promises(projector, ANALYSIS, story) == []


def test_a_runner_that_ends_as_it_should_leaves_nothing_that_looks_like_a_death(connect, projector):
    story = Story()
    story.person()
    for _ in range(2):
        runner = ProjectionRunner(PeopleProjection(), StoryFeed(story), connect, poll_interval_s=0.05)
        runner.start()
        eventually(lambda runner=runner: runner.position == 1)
        # One that lives is not taken for dead by another.
        other = ProjectionRunner(PeopleProjection(), StoryFeed(story), connect, poll_interval_s=0.05)
        other.start()
        eventually(lambda other=other: other.position == 1)
        assert not other._careful
        assert runner.stop()
        assert other.stop()
    assert unended_runs(projector, "people") == []
    assert projector.execute("SELECT count(*) AS n FROM ops.projection_runs").fetchone()["n"] <= 1


def test_an_event_that_crashes_the_servers_side_again_and_again_is_set_aside(connect, projector):
    """The process lives, its connection does not: such an event would end everybody's connections."""
    story = Story()
    for number in range(5):
        story.person(name=f"n{number}")
    deadly = story.person(name="deadly")
    story.person(name="after")

    class Crashes(PeopleProjection):
        def apply(self, cursor, events):
            super().apply(cursor, events)
            if any(each.recorded.stream_id == deadly for each in events):
                cursor.connection.pgconn.finish()

    runner = ProjectionRunner(Crashes(), StoryFeed(story), connect, poll_interval_s=0.05)
    runner.start()
    try:
        eventually(lambda: runner.position == len(story.events))
    finally:
        assert runner.stop()
    [found] = set_aside(projector, "people")
    assert (found["stream_id"], found["error_kind"]) == (deadly, "ProcessDied")
    assert broken_promises(projector, PeopleProjection(), story) == []


def test_connections_that_the_server_ends_in_order_are_no_deaths(connect, database, projector):
    story = Story()
    for number in range(5):
        story.person(name=f"n{number}")
    ends = DEADLY_TRIES + 2

    class IsInterrupted(PeopleProjection):
        def apply(self, cursor, events):
            nonlocal ends
            super().apply(cursor, events)
            if ends:
                ends -= 1
                with psycopg.connect(database, autocommit=True) as admin:
                    admin.execute("SELECT pg_terminate_backend(%s)", [cursor.connection.info.backend_pid])

    runner = ProjectionRunner(IsInterrupted(), StoryFeed(story), connect, poll_interval_s=0.05)
    runner.start()
    try:
        eventually(lambda: runner.position == len(story.events))
    finally:
        assert runner.stop()
    assert ends == 0
    assert set_aside(projector, "people") == []
    assert broken_promises(projector, PeopleProjection(), story) == []
