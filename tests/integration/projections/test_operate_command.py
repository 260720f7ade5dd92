"""`megacity projection pause|resume|retry|skip`, as an operator types them."""

import psycopg
import pytest
from typer.testing import CliRunner

from domain.users.events import ProfileChanged
from infra.cli.main import app
from infra.composition import event_codec
from infra.event_store.log_feed import LogFeed
from infra.postgres.roles import PROJECTOR, role_conninfo
from infra.projections.checkpoints import read_checkpoint
from infra.projections.runner import ProjectionRunner
from projections.people.projection import PeopleProjection
from tests.support.postgres import ROLE_SECRET, run_folder
from tests.support.projecting import eventually, set_aside
from tests.support.stored_story import store
from tests.support.story import Story


@pytest.fixture
def megacity(database, monkeypatch):
    with run_folder("operate-command") as folder:
        secret = folder / "secrets" / "database-roles.key"
        secret.parent.mkdir()
        secret.write_bytes(ROLE_SECRET)
        monkeypatch.setenv("DATABASE_URL", database)
        monkeypatch.setenv("MEGACITY_VAR_DIR", str(folder))
        yield lambda *arguments: CliRunner().invoke(app, ["projection", *arguments])


@pytest.fixture
def poisoned(database, connect):
    """`people`, with a change of somebody's name that cannot be applied, and another behind it."""
    story = Story()
    story.person(name="fine")
    nobody = story.new_id("user")
    bad = story.add(nobody, ProfileChanged(display_name="a", language="en"))
    story.add(nobody, ProfileChanged(display_name="b", language="en"))
    store(database, story)
    with LogFeed(role_conninfo(database, PROJECTOR, ROLE_SECRET), event_codec()) as feed:
        runner = ProjectionRunner(PeopleProjection(), feed, connect, poll_interval_s=0.05)
        runner.start()
        try:
            eventually(lambda: runner.position == len(story.events))
        finally:
            assert runner.stop()
    return bad


def actors(database):
    with psycopg.connect(database) as connection:
        return connection.execute(
            "SELECT split_part(type, '.', 2), convert_from(meta, 'UTF8')::json #>> '{actor,kind}',"
            " convert_from(meta, 'UTF8')::json #>> '{actor,id}'"
            " FROM log.events WHERE stream_id LIKE 'system-%' ORDER BY version"
        ).fetchall()


def test_a_projection_is_paused_and_resumed_and_the_log_says_by_whom(megacity, projector, database):
    paused = megacity("pause", "people", "--reason", "the disk is moved", "--operator", "root")
    assert paused.exit_code == 0, paused.output
    assert read_checkpoint(projector, "people").status == "paused"
    assert any(
        line.split()[0] == "people" and line.split()[-1] == "paused"
        for line in megacity("list").stdout.splitlines()
    )
    assert megacity("resume", "people").exit_code == 0
    assert read_checkpoint(projector, "people").status == "running"
    assert actors(database) == [
        ("projection_paused", "operator", "root"),
        ("projection_resumed", "operator", "command-line"),
    ]


def test_the_list_names_what_is_set_aside_and_why(megacity, poisoned):
    listed = megacity("list")
    assert listed.exit_code == 0, listed.output
    assert f"people cannot apply {poisoned.position} (user.profile_changed.v1 of" in listed.stdout
    assert "tried 1 times): RowMissing: read.people has no row" in listed.stdout
    assert "people: 1 events wait behind these in their streams" in listed.stdout


def test_a_retry_in_vain_ends_with_1_and_shows_what_still_fails(megacity, poisoned, projector):
    tried = megacity("retry", "people")
    assert tried.exit_code == 1, tried.output
    assert "tried 2 times" in tried.stdout
    assert set_aside(projector, "people")[0]["position"] == poisoned.position


def test_skipping_one_by_one_lets_the_stream_go_on(megacity, poisoned, projector, database):
    first = megacity("skip", "people", str(poisoned.position), "--reason", "nobody")
    assert first.exit_code == 1, first.output  # the one behind it cannot be applied either
    assert f"cannot apply {poisoned.position + 1}" in first.stdout
    second = megacity("skip", "people", str(poisoned.position + 1), "--reason", "nobody")
    assert second.exit_code == 0, second.output
    assert "nothing set aside any more" in second.stdout
    assert [each["status"] for each in set_aside(projector, "people")] == ["skipped", "skipped"]
    assert [kind for kind, _, _ in actors(database)] == [
        "poison_event_set_aside",
        "poison_event_skipped",
        "poison_event_set_aside",
        "poison_event_skipped",
    ]


def test_a_retry_after_the_cause_is_gone_ends_well_and_the_rows_are_there(
    megacity, database, connect, projector
):
    story = Story()
    story.person(name="blocked")
    store(database, story)
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("ALTER TABLE read.people ADD CONSTRAINT no_entry CHECK (display_name <> 'blocked')")
        with LogFeed(role_conninfo(database, PROJECTOR, ROLE_SECRET), event_codec()) as feed:
            runner = ProjectionRunner(PeopleProjection(), feed, connect, poll_interval_s=0.05)
            runner.start()
            try:
                eventually(lambda: runner.position == len(story.events))
            finally:
                assert runner.stop()
        assert megacity("retry", "people").exit_code == 1
        admin.execute("ALTER TABLE read.people DROP CONSTRAINT no_entry")
    tried = megacity("retry", "people", "--operator", "jiwoo")
    assert tried.exit_code == 0, tried.output
    assert "nothing set aside any more" in tried.stdout
    assert projector.execute("SELECT display_name FROM read.people").fetchall() == [
        {"display_name": "blocked"}
    ]
    assert actors(database)[-1] == ("poison_event_retried", "operator", "jiwoo")


def test_a_retry_where_nothing_has_begun_has_nothing_to_do(megacity, database):
    tried = megacity("retry", "people")
    assert tried.exit_code == 0, tried.output
    assert "nothing set aside any more" in tried.stdout
    assert actors(database) == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("pause", "people"), "--reason"),
        (("skip", "people", "7"), "--reason"),
        (("skip", "people", "0", "--reason", "no such place"), "position"),
        (("skip", "people", "first", "--reason", "no such place"), "position"),
        (("resume",), "name"),
    ],
)
def test_what_is_missing_or_no_position_is_named_and_nothing_is_recorded(
    megacity, database, arguments, named
):
    refused = megacity(*arguments)
    assert refused.exit_code == 2
    assert named in refused.stderr.lower()
    assert actors(database) == []


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize(
    "arguments",
    [
        ("skip", "people", "1", "--reason", "it was applied"),
        ("retry", "people", "user-019cabcd-0000-7000-8000-0000000000ff"),
        ("pause", "peeple", "--reason", "misspelt"),
        ("resume", "peeple"),
        ("skip", "peeple", "2", "--reason", "misspelt"),
    ],
)
def test_an_order_that_means_nothing_is_refused_in_a_sentence(megacity, arguments):
    refused = megacity(*arguments)
    assert refused.exit_code == 2
    assert "megacity projection list" in refused.stderr


def test_a_retry_of_a_projection_that_nobody_knows_is_refused_with_the_names_there_are(megacity):
    refused = megacity("retry", "peeple")
    assert refused.exit_code == 2
    assert "There is no projection peeple." in refused.stderr
    assert "people" in refused.stderr
