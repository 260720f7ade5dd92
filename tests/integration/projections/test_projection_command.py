"""`megacity projection` on a database with a log that was written by the event store itself."""

import json
import re
from datetime import UTC, datetime

import psycopg
import pytest
from typer.testing import CliRunner

from domain.attempts.events import AttemptStarted
from domain.users.events import UserRegistered
from infra.cli.main import app
from infra.composition import all_projections, event_codec
from infra.event_store.library import EventLogApplication, RecordedFact
from infra.event_store.log_feed import LogFeed
from infra.postgres.roles import PROJECTOR, WRITER, role_conninfo
from infra.projections.checkpoints import read_checkpoint
from infra.projections.runner import ProjectionRunner
from tests.support.postgres import ROLE_SECRET, run_folder
from tests.support.sequencing import sequenced
from tests.support.story import a_whole_story

PROJECTIONS = all_projections()


@pytest.fixture
def story(database):
    """In the log, and not projected."""
    story = a_whole_story(4)
    conninfo = role_conninfo(database, WRITER, ROLE_SECRET)
    with EventLogApplication(conninfo, event_codec(), pool_size=1) as application:
        for each in story.events:
            application.events.put([RecordedFact(each.recorded)])
    sequenced(database)
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


@pytest.fixture
def replay(megacity):
    del megacity  # it has set the command line up
    return lambda *arguments: CliRunner().invoke(app, ["replay", *arguments])


def fingerprints(text, what):
    return re.findall(rf"{what} +sha256 ([0-9a-f]{{64}})", text)


def test_the_list_shows_position_lag_and_status(megacity, story):
    before = megacity("list")
    assert before.exit_code == 0, before.output
    lines = [line.split() for line in before.stdout.splitlines()]
    assert ["people", "2", "0", str(len(story.events)), "0", "not", "started"] in lines
    assert megacity("rebuild", "people").exit_code == 0
    line = next(line for line in megacity("list").stdout.splitlines() if line.startswith("people"))
    assert line.split() == ["people", "2", str(len(story.events)), "0", "0.0", "0", "running"]


def test_a_rebuild_shows_the_fingerprints_before_and_after(megacity, story):
    first = megacity("rebuild", "--all")
    assert first.exit_code == 0, first.output
    assert first.stdout.count("nothing to compare with") == len(PROJECTIONS)
    again = megacity("rebuild", "--all")
    assert again.exit_code == 0, again.output
    before, after = fingerprints(again.stdout, "before"), fingerprints(again.stdout, "after")
    assert len(before) == len(PROJECTIONS)
    assert before == after == fingerprints(first.stdout, "after")
    assert again.stdout.count("the new rows equal the old ones") == len(PROJECTIONS)
    assert f"position {len(story.events)}" in again.stdout


def test_a_rebuild_leaves_a_certificate_and_a_fact_in_the_log(megacity, story, database, tmp_path):
    written = tmp_path / "certificates.jsonl"
    done = megacity("rebuild", "attempts", "--certificate", str(written), "--operator", "jiwoo")
    assert done.exit_code == 0, done.output
    [certificate] = [json.loads(line) for line in written.read_bytes().splitlines()]
    with psycopg.connect(database) as connection:
        kept = connection.execute("SELECT certificate FROM ops.rebuild_certificates").fetchall()
        [(payload, meta)] = connection.execute(
            "SELECT payload, meta FROM log.events WHERE type = 'system.projection_rebuilt.v1'"
        ).fetchall()
    assert kept == [(certificate,)]
    fact = json.loads(payload)
    assert (fact["sha256"], fact["up_to_position"]) == (certificate["rows"]["sha256"], len(story.events))
    assert fact["rows"]["attempts"] == next(
        each["rows"] for each in certificate["rows"]["tables"] if each["table"] == "attempts"
    )
    assert json.loads(meta)["actor"] == {"kind": "operator", "id": "jiwoo"}


@pytest.mark.usefixtures("story")
def test_a_place_for_the_certificates_that_there_is_not_is_told_before_the_work(
    megacity, projector, tmp_path
):
    refused = megacity("rebuild", "people", "--certificate", str(tmp_path / "nowhere" / "c.jsonl"))
    assert refused.exit_code == 2
    assert "cannot be written" in refused.stderr
    assert projector.execute("SELECT count(*) AS n FROM ops.rebuild_certificates").fetchone() == {"n": 0}


@pytest.mark.usefixtures("story")
def test_a_rebuild_that_another_is_in_the_way_of_is_refused_and_those_before_it_are_recorded(
    megacity, connect, database, tmp_path
):
    written = tmp_path / "certificates.jsonl"
    lock = "SELECT pg_advisory_lock(hashtextextended('megacity rebuild attempts', 0))"
    with connect() as another:
        another.execute(lock)
        refused = megacity("rebuild", "people", "attempts", "--certificate", str(written))
        verified = megacity("verify", "attempts")
    for each in (refused, verified):
        assert each.exit_code == 2
        assert "attempts is being rebuilt or verified by another process" in each.stderr
    with psycopg.connect(database) as connection:
        recorded = connection.execute(
            "SELECT convert_from(payload, 'UTF8')::json ->> 'projection' FROM log.events"
            " WHERE type = 'system.projection_rebuilt.v1'"
        ).fetchall()
        untold = connection.execute("SELECT count(*) FROM ops.untold_rebuilds").fetchone()
    assert recorded == [("people",)]
    assert untold == (0,)
    assert [json.loads(line)["projection"] for line in written.read_text().splitlines()] == ["people"]


@pytest.mark.usefixtures("story")
def test_a_rebuild_that_would_lose_events_is_refused_in_a_sentence(megacity, database, projector):
    assert megacity("rebuild", "people").exit_code == 0
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("UPDATE read.people SET display_name = ''")
        admin.execute("ALTER TABLE read.people ADD CONSTRAINT nobody CHECK (display_name = '')")
    before = projector.execute("SELECT count(*) AS n FROM read.people").fetchone()
    refused = megacity("rebuild", "people")
    assert refused.exit_code == 2
    assert "people cannot apply user.registered.v1" in refused.stderr
    assert "unexpected" not in refused.stderr
    assert projector.execute("SELECT count(*) AS n FROM read.people").fetchone() == before


@pytest.mark.usefixtures("story")
def test_where_nobody_watches_no_bar_is_drawn(megacity):
    assert megacity("rebuild", "people").stderr == ""


@pytest.mark.usefixtures("story")
def test_partitions_rebuild_to_the_same_rows(megacity):
    alone = megacity("rebuild", "attempts")
    together = megacity("rebuild", "attempts", "--workers", "2")
    assert together.exit_code == 0, together.output
    assert fingerprints(together.stdout, "after") == fingerprints(alone.stdout, "after")


def test_a_rebuild_gives_what_the_runner_gave_over_the_real_feed(megacity, story, database, connect):
    with LogFeed(role_conninfo(database, PROJECTOR, ROLE_SECRET), event_codec()) as feed:
        runners = [ProjectionRunner(each, feed, connect, batch_size=11) for each in all_projections()]
        for runner in runners:
            runner.start()
        while any(runner.position < len(story.events) for runner in runners):
            feed.wait(len(story.events), 0.02)
        assert all(runner.stop() for runner in runners)
    verified = megacity("verify", "--all")
    assert verified.exit_code == 0, verified.output
    assert verified.stdout.count("agrees with the log") == len(PROJECTIONS)


def test_rows_that_differ_from_the_log_end_the_verification_with_1(megacity, story, projector):
    megacity("rebuild", "attempts")
    assert megacity("verify", "attempts").exit_code == 0
    projector.execute("UPDATE read.attempts SET responses_given = responses_given + 1")
    found = megacity("verify", "attempts")
    assert found.exit_code == 1
    assert "attempts DIFFERS from the log" in found.stdout
    assert read_checkpoint(projector, "attempts").position == len(story.events)


def test_a_sample_names_the_stream_and_the_column_that_differ(megacity, story, projector):
    megacity("rebuild", "--all")
    agreeing = megacity("verify", "--all", "--sample", "20")
    assert agreeing.exit_code == 0, agreeing.output
    attempt = next(
        each.recorded.stream_id for each in story.events if isinstance(each.recorded.event, AttemptStarted)
    )
    projector.execute(
        "UPDATE read.attempts SET responses_given = responses_given + 1 WHERE attempt_id = %s", [attempt]
    )
    found = megacity("verify", "attempts", "--sample", "1000")
    assert found.exit_code == 1
    assert attempt in found.stdout
    assert "responses_given" in found.stdout


@pytest.mark.usefixtures("story")
def test_a_sample_that_nobody_could_judge_is_no_agreement(megacity):
    found = megacity("verify", "attempts", "--sample", "5")
    assert found.exit_code == 1
    assert "attempts was not judged" in found.stdout
    assert "agrees" not in found.stdout


def test_rows_as_of_an_earlier_position_are_asked_and_thrown_away(replay, story, projector):
    last_start = max(
        each.position for each in story.events if isinstance(each.recorded.event, AttemptStarted)
    )
    count = "SELECT count(*) AS attempts FROM attempts"
    started = sum(isinstance(each.recorded.event, AttemptStarted) for each in story.events)
    for position, expected in ((last_start, started), (last_start - 1, started - 1)):
        answer = replay("--projection", "attempts", "--as-of", str(position), "--query", count, "--json")
        assert answer.exit_code == 0, answer.output
        assert json.loads(answer.stdout) == {"attempts": expected}
    left = projector.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'as\\_of\\_%'").fetchall()
    assert left == []


def test_rows_as_of_a_time_are_those_that_had_a_position_by_then(replay, story):
    count = "SELECT count(*) AS people FROM people"
    long_ago = replay("--projection", "people", "--as-of", "2001-01-01", "--query", count, "--json")
    assert json.loads(long_ago.stdout) == {"people": 0}
    now = datetime.now(UTC).isoformat()
    by_now = replay("--projection", "people", "--as-of", now, "--query", count, "--json")
    people = sum(isinstance(each.recorded.event, UserRegistered) for each in story.events)
    assert json.loads(by_now.stdout) == {"people": people}


@pytest.mark.usefixtures("story")
def test_rows_that_are_kept_can_be_asked_again_until_they_are_dropped(replay, projector):
    kept = replay("--projection", "people", "--as-of", "40", "--keep")
    assert kept.exit_code == 0, kept.output
    assert projector.execute("SELECT count(*) AS n FROM as_of_people_40.people").fetchone()["n"] > 0
    assert "as_of_people_40 is removed" in replay("--drop").stdout
    assert "Nothing was kept" in replay("--drop").stdout


@pytest.mark.usefixtures("story")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--projection", "people", "--as-of", "yesterday"], "neither a position nor a time"),
        (["--projection", "people", "--as-of", "100000"], "The log ends at position"),
        (["--projection", "peeple"], "There is no projection peeple"),
        (["--projection", "people", "--query", "SELECT FROM nothing"], "cannot be answered"),
        (["--projection", "people", "--query", "DELETE FROM people"], "cannot be answered"),
        ([], "Name a stream"),
    ],
)
def test_a_replay_that_means_nothing_is_refused_in_a_sentence(replay, words, sentence):
    refused = replay(*words)
    assert refused.exit_code == 2
    assert sentence in refused.stderr.replace("\n", " ")


@pytest.mark.parametrize("arguments", [[], ["people", "--all"], ["peeple"]])
@pytest.mark.parametrize("command", ["rebuild", "verify"])
def test_a_choice_that_means_nothing_is_refused_with_the_names_there_are(megacity, command, arguments):
    refused = megacity(command, *arguments)
    assert refused.exit_code == 2
    assert "item_analysis" in refused.stderr
