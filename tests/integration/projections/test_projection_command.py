"""`megacity projection` on a database with a log that was written by the event store itself."""

import re

import pytest
from typer.testing import CliRunner

from infra.cli.main import app
from infra.composition import all_projections, event_codec
from infra.event_store.library import EventLogApplication, RecordedFact, library_environment
from infra.event_store.library_feed import LibraryEventFeed
from infra.postgres.roles import PROJECTOR, WRITER, role_conninfo
from infra.projections.checkpoints import read_checkpoint
from infra.projections.runner import ProjectionRunner
from tests.support.postgres import ROLE_SECRET, run_folder
from tests.support.story import a_whole_story


@pytest.fixture
def story(database):
    """In the log, and not projected."""
    story = a_whole_story(4)
    conninfo = role_conninfo(database, WRITER, ROLE_SECRET)
    with EventLogApplication(library_environment(conninfo, pool_size=1), event_codec()) as application:
        for each in story.events:
            application.events.put([RecordedFact(each.recorded)])
    return story


@pytest.fixture
def megacity(database, monkeypatch):
    """Runs the command line against the test's database."""
    with run_folder("projection-command") as folder:
        secret = folder / "secrets" / "database-roles.key"
        secret.parent.mkdir()
        secret.write_bytes(ROLE_SECRET)
        monkeypatch.setenv("DATABASE_URL", database)
        monkeypatch.setenv("MEGACITY_VAR_DIR", str(folder))

        def run(*arguments):
            return CliRunner().invoke(app, ["projection", *arguments])

        yield run


def fingerprints(text):
    return re.findall(r"sha256 ([0-9a-f]{64})", text)


def test_the_list_shows_position_lag_and_status(megacity, story):
    before = megacity("list")
    assert before.exit_code == 0, before.output
    assert f"{len(story.events)}  not started" in before.stdout
    assert megacity("rebuild", "people").exit_code == 0
    line = next(line for line in megacity("list").stdout.splitlines() if line.startswith("people"))
    assert line.split() == ["people", "1", str(len(story.events)), "0", "running"]


def test_a_rebuild_shows_the_fingerprints_before_and_after(megacity, story):
    first = megacity("rebuild", "--all")
    assert first.exit_code == 0, first.output
    again = megacity("rebuild", "--all")
    before, after = fingerprints(again.stdout)[::2], fingerprints(again.stdout)[1::2]
    assert len(before) == 4
    assert before == after == fingerprints(first.stdout)[1::2]
    assert f"position {len(story.events)}" in again.stdout


def test_a_rebuild_gives_what_the_runner_gave_over_the_real_feed(megacity, story, database, connect):
    conninfo = role_conninfo(database, PROJECTOR, ROLE_SECRET)
    codec = event_codec()
    with EventLogApplication(library_environment(conninfo, pool_size=2), codec) as application:
        feed = LibraryEventFeed(application, codec, conninfo)
        runners = [ProjectionRunner(each, feed, connect, batch_size=11) for each in all_projections()]
        for runner in runners:
            runner.start()
        while any(runner.position < len(story.events) for runner in runners):
            feed.wait(len(story.events), 0.02)
        assert all(runner.stop() for runner in runners)
    verified = megacity("verify", "--all")
    assert verified.exit_code == 0, verified.output
    assert verified.stdout.count("agrees with the log") == 4


def test_rows_that_differ_from_the_log_end_the_verification_with_1(megacity, story, projector):
    megacity("rebuild", "attempts")
    assert megacity("verify", "attempts").exit_code == 0
    projector.execute("UPDATE read.attempts SET responses_given = responses_given + 1")
    found = megacity("verify", "attempts")
    assert found.exit_code == 1
    assert "attempts DIFFERS from the log" in found.stdout
    assert read_checkpoint(projector, "attempts").position == len(story.events)


@pytest.mark.parametrize("arguments", [[], ["people", "--all"], ["peeple"]])
@pytest.mark.parametrize("command", ["rebuild", "verify"])
def test_a_choice_that_means_nothing_is_refused_with_the_names_there_are(megacity, command, arguments):
    refused = megacity(command, *arguments)
    assert refused.exit_code == 2
    assert "item_analysis" in refused.stderr
