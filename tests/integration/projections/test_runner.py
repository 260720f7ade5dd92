"""The runner: keeps up, takes up again after every fault, and applies each event exactly once."""

import threading

import psycopg
import pytest
from psycopg.rows import dict_row

from domain.items.responses import ChosenOptions
from infra.observability.metrics import ProjectionMetrics, new_registry
from infra.postgres.embedded import EmbeddedPostgres
from infra.postgres.migrate import migrate
from infra.postgres.roles import PROJECTOR, ensure_database, role_conninfo
from infra.projections.checkpoints import read_checkpoint
from infra.projections.runner import ProjectionRunner
from projections.attempts.projection import AttemptsProjection
from projections.item_analysis.projection import ItemAnalysisProjection
from projections.people.projection import PeopleProjection
from tests.support.postgres import ROLE_SECRET, run_folder
from tests.support.projecting import broken_promises, eventually, set_aside
from tests.support.story import ORG, Story, StoryFeed, a_choice_item, a_whole_story


def status(connection):
    checkpoint = read_checkpoint(connection, "people")
    return None if checkpoint is None else checkpoint.status


@pytest.fixture
def running():
    """Starts runners and stops them after the test."""
    started = []

    def start(*runners):
        for runner in runners:
            started.append(runner)
            runner.start()
        return runners[0]

    yield start
    for runner in started:
        assert runner.stop()


@pytest.fixture
def registry():
    return new_registry()


@pytest.fixture
def metrics(registry):
    return ProjectionMetrics.create(registry)


@pytest.fixture
def failures(registry):
    """How often the runners that count could not go on."""
    return lambda: counted(registry, "megacity_projection_failures_total")


def counted(registry, name, projection="people"):
    return registry.get_sample_value(name, {"projection": projection}) or 0


def a_runner(projection, story, connect, **options):
    return ProjectionRunner(projection, StoryFeed(story), connect, poll_interval_s=0.05, **options)


def test_a_runner_follows_the_log_as_it_grows(connect, projector, running):
    story = Story()
    runner = running(a_runner(PeopleProjection(), story, connect, batch_size=3))
    for number in range(20):
        story.person(("student", ORG), name=f"n{number}")
    eventually(lambda: runner.position == len(story.events) == 40)
    assert projector.execute("SELECT count(*) AS n FROM read.people").fetchone()["n"] == 20
    assert read_checkpoint(projector, "people").position == 40


def test_the_checkpoint_moves_past_events_that_do_not_concern_the_projection(connect, projector, running):
    story = Story()
    story.bank()
    runner = running(a_runner(PeopleProjection(), story, connect))
    eventually(lambda: runner.position == 1)
    assert read_checkpoint(projector, "people").position == 1


def test_a_runner_counts_what_it_applies_and_how_long_each_batch_takes(
    connect, running, registry, metrics, failures
):
    story = Story()
    for number in range(10):
        story.person(("student", ORG), name=f"n{number}")
    runner = running(a_runner(PeopleProjection(), story, connect, batch_size=4, metrics=metrics))
    eventually(lambda: counted(registry, "megacity_projection_events_applied_total") == len(story.events))
    assert runner.position == 20
    assert counted(registry, "megacity_projection_batch_duration_seconds_count") == 5
    assert counted(registry, "megacity_projection_batch_duration_seconds_sum") > 0
    assert failures() == 0


def test_two_runners_of_one_projection_apply_every_event_once(connect, projector, running):
    projection, story = ItemAnalysisProjection(), a_whole_story(20)
    first = running(
        a_runner(projection, story, connect, batch_size=2), a_runner(projection, story, connect, batch_size=3)
    )
    eventually(lambda: first.position == len(story.events))
    assert broken_promises(projector, projection, story) == []


def test_a_runner_goes_on_when_its_connection_is_killed_again_and_again(
    connect, database, projector, running
):
    story = a_whole_story(20)
    kill_at = [len(story.events) * share // 10 for share in (1, 3, 5, 7)]
    admin = psycopg.connect(database, autocommit=True)

    class KilledInTheMiddle(ItemAnalysisProjection):
        def apply(self, cursor, events):
            super().apply(cursor, events)
            if kill_at and events[-1].position > kill_at[0]:
                kill_at.pop(0)
                admin.execute("SELECT pg_terminate_backend(%s)", [cursor.connection.info.backend_pid])

    with admin:
        runner = running(a_runner(KilledInTheMiddle(), story, connect, batch_size=5))
        eventually(lambda: runner.position == len(story.events))
    assert kill_at == []
    projection = ItemAnalysisProjection()
    assert broken_promises(projector, projection, story) == []


def test_a_runner_goes_on_when_the_server_was_restarted(metrics, failures):
    with run_folder("runner") as folder:
        server = EmbeddedPostgres(folder / "data", folder / "secrets", log_file=folder / "postgres.log")
        server.start()
        try:
            ensure_database(server.superuser_conninfo("postgres"), "megacity")
            migrate(server.superuser_conninfo("megacity"), role_secret=ROLE_SECRET)

            def connect():
                conninfo = role_conninfo(server.superuser_conninfo("megacity"), PROJECTOR, ROLE_SECRET)
                return psycopg.connect(conninfo, row_factory=dict_row, autocommit=True)

            story = Story()
            story.person()
            runner = a_runner(PeopleProjection(), story, connect, metrics=metrics)
            runner.start()
            eventually(lambda: runner.position == len(story.events))
            server.stop()
            eventually(failures)
            story.person()
            server.start()
            eventually(lambda: runner.position == len(story.events))
            assert runner.stop()
        finally:
            server.stop(timeout_s=10)


def test_a_projection_that_the_database_refuses_halts_and_goes_on_by_itself(
    connect, database, projector, running
):
    story = Story()
    story.person(name="waits")
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("REVOKE INSERT ON read.people FROM megacity_projector")
        runner = running(a_runner(PeopleProjection(), story, connect))
        eventually(lambda: status(projector) == "failed")
        assert "42501" in read_checkpoint(projector, "people").error
        admin.execute("GRANT INSERT ON read.people TO megacity_projector")
    eventually(lambda: runner.position == 1)
    assert read_checkpoint(projector, "people").status == "running"
    assert read_checkpoint(projector, "people").error is None
    assert set_aside(projector, "people") == []


def test_the_next_page_is_read_while_one_is_applied_and_no_more_than_that(connect, running):
    """Back-pressure: a projection that is slow holds two pages, not the whole log."""
    applying, go_on = threading.Event(), threading.Event()

    class Slow(PeopleProjection):
        def apply(self, cursor, events):
            applying.set()
            assert go_on.wait(20)
            super().apply(cursor, events)

    story = Story()
    for number in range(20):
        story.person(name=f"n{number}")
    feed = StoryFeed(story)
    runner = running(ProjectionRunner(Slow(), feed, connect, batch_size=2, poll_interval_s=0.05))
    assert applying.wait(20)
    eventually(lambda: feed.reads == 2)
    # It has nothing to do but wait; a reader that ran further ahead would have read by now.
    assert not go_on.wait(0.2)
    assert feed.reads == 2
    go_on.set()
    eventually(lambda: runner.position == 20)


def test_rows_and_checkpoint_move_together_or_not_at_all(connect, projector, metrics, failures):
    class Dies(PeopleProjection):
        def apply(self, cursor, events):
            super().apply(cursor, events)
            cursor.connection.pgconn.finish()

    story = Story()
    story.person()
    runner = a_runner(Dies(), story, connect, metrics=metrics)
    runner.start()
    eventually(failures)
    assert runner.stop()
    assert read_checkpoint(projector, "people").position == 0
    assert projector.execute("SELECT count(*) AS n FROM read.people").fetchone()["n"] == 0


def test_a_runner_waits_while_somebody_holds_the_checkpoint_and_stops_when_told(connect, projector):
    story = Story()
    runner = a_runner(PeopleProjection(), story, connect)
    runner.start()
    eventually(lambda: read_checkpoint(projector, "people") is not None)
    with projector.transaction():
        read_checkpoint(projector, "people", lock=True)
        story.person()
        eventually(lambda: _waits_for_lock(connect))
        assert runner.stop()
    assert read_checkpoint(projector, "people").position == 0


def test_a_newer_version_of_a_projection_rebuilds_its_rows_and_the_older_stands_by(
    connect, projector, running, metrics, failures
):
    class Newer(PeopleProjection):
        version = PeopleProjection.version + 1

    story = Story()
    story.person()
    old = running(a_runner(PeopleProjection(), story, connect, metrics=metrics))
    eventually(lambda: old.position == len(story.events))
    projector.execute("UPDATE read.people SET display_name = 'as an older version wrote it'")
    new = running(a_runner(Newer(), story, connect))
    story.person()
    eventually(lambda: new.position == len(story.events))
    eventually(failures)
    assert read_checkpoint(projector, "people").version == Newer.version
    assert broken_promises(projector, Newer(), story) == []


def test_those_who_listen_are_told_that_rows_have_moved_on(connect, projector, running):
    projector.execute("LISTEN read_advanced")
    story = Story()
    exam = story.exam([story.item(story.bank(), "q", a_choice_item())])
    story.take(exam, story.person(), [ChosenOptions(("1",))])
    running(a_runner(AttemptsProjection(), story, connect))
    [told] = projector.notifies(timeout=20, stop_after=1)
    assert told.payload == "attempts"


def test_starting_a_runner_twice_is_refused(connect, running):
    runner = running(a_runner(PeopleProjection(), Story(), connect))
    with pytest.raises(RuntimeError):
        runner.start()


def _waits_for_lock(connect):
    with connect() as connection:
        return connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE usename = 'megacity_projector' AND wait_event_type = 'Lock'"
        ).fetchone()
