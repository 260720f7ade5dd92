"""The runner: keeps up, takes up again after every fault, and applies each event exactly once."""

import threading
from collections.abc import Callable
from time import monotonic

import psycopg
import pytest
from psycopg.rows import dict_row
from structlog.testing import capture_logs

from domain.events import UnknownEventType
from domain.items.responses import ChosenOptions
from domain.users.events import ProfileChanged
from infra.observability.metrics import ProjectionMetrics, new_registry
from infra.postgres.embedded import EmbeddedPostgres
from infra.postgres.migrate import migrate
from infra.postgres.roles import PROJECTOR, ensure_database, role_conninfo
from infra.projections.checkpoints import read_checkpoint
from infra.projections.rebuild import fingerprint
from infra.projections.runner import ProjectionRunner
from projections.attempts.projection import AttemptsProjection
from projections.item_analysis.projection import ItemAnalysisProjection
from projections.people.projection import PeopleProjection
from tests.support.postgres import ROLE_SECRET, run_folder
from tests.support.story import ORG, Story, StoryFeed, a_choice_item, a_whole_story


def eventually(condition: Callable[[], object], within_s: float = 20.0) -> None:
    gives_up_at = monotonic() + within_s
    while not condition():
        assert monotonic() < gives_up_at, "this did not come true in time"
        threading.Event().wait(0.01)


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


def expected_rows(connect, projection, story):
    """The fingerprint of rows made in one go and thrown away again."""
    with connect() as connection, connection.transaction(force_rollback=True):
        for table in projection.tables:
            connection.execute(f"DELETE FROM read.{table}")
        with connection.cursor() as cursor:
            projection.apply(cursor, story.events)
        return fingerprint(connection, projection)


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
    assert fingerprint(projector, projection) == expected_rows(connect, projection, story)


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
    assert fingerprint(projector, projection) == expected_rows(connect, projection, story)


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


def test_an_event_that_cannot_be_applied_is_never_skipped_and_is_named(connect, projector, running):
    story = Story()
    for number in range(5):
        story.person(name=f"before {number}")
    bad = story.add(story.new_id("user"), ProfileChanged(display_name="nobody", language="en"))
    story.person(name="after")
    running(a_runner(PeopleProjection(), story, connect))
    eventually(lambda: status(projector) == "failed")
    checkpoint = read_checkpoint(projector, "people")
    assert (checkpoint.position, checkpoint.failed_position) == (bad.position - 1, bad.position)
    assert "RowMissing" in checkpoint.error
    names = {row["display_name"] for row in projector.execute("SELECT display_name FROM read.people")}
    assert names == {f"before {number}" for number in range(5)}


def test_a_halted_projection_goes_on_by_itself_once_the_cause_is_gone(connect, database, projector, running):
    story = Story()
    story.person(name="blocked")
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("ALTER TABLE read.people ADD CONSTRAINT no_entry CHECK (display_name <> 'blocked')")
        runner = running(a_runner(PeopleProjection(), story, connect))
        eventually(lambda: status(projector) == "failed")
        admin.execute("ALTER TABLE read.people DROP CONSTRAINT no_entry")
    eventually(lambda: runner.position == 1)
    assert read_checkpoint(projector, "people").status == "running"
    assert read_checkpoint(projector, "people").error is None


def test_what_is_kept_about_a_failure_names_nobody(connect, database, projector, running):
    story = Story()
    person = story.person(name="blocked")
    email = f"{person[-4:]}@example.org"
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("ALTER TABLE read.people ADD CONSTRAINT no_entry CHECK (display_name <> 'blocked')")
    with capture_logs() as lines:
        running(a_runner(PeopleProjection(), story, connect))
        eventually(lambda: status(projector) == "failed")
        eventually(lambda: [line for line in lines if line["event"] == "projection halted"])
    sentences = [line["error"] for line in lines if "error" in line]
    for text in (read_checkpoint(projector, "people").error, *sentences):
        assert text.startswith("CheckViolation (23514): ")
        assert "no_entry" in text
        assert email not in text


def test_an_event_that_nobody_understands_halts_the_projection(connect, projector, running):
    class FeedWithUnknownEvent(StoryFeed):
        def read(self, *_wanted, **_options):
            raise UnknownEventType(stored_name="user.abducted.v1")

    running(ProjectionRunner(PeopleProjection(), FeedWithUnknownEvent(Story()), connect))
    eventually(lambda: status(projector) == "failed")
    assert "unknown-event-type" in read_checkpoint(projector, "people").error


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
        version = 2

    story = Story()
    story.person()
    old = running(a_runner(PeopleProjection(), story, connect, metrics=metrics))
    eventually(lambda: old.position == len(story.events))
    projector.execute("UPDATE read.people SET display_name = 'as an older version wrote it'")
    new = running(a_runner(Newer(), story, connect))
    story.person()
    eventually(lambda: new.position == len(story.events))
    eventually(failures)
    assert read_checkpoint(projector, "people").version == 2
    assert fingerprint(projector, Newer()) == expected_rows(connect, Newer(), story)


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
