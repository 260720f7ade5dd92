"""`megacity replay` on a database with a story in its log."""

import json

import psycopg
import pytest
from typer.testing import CliRunner

from infra.cli.main import app
from tests.support.postgres import ROLE_SECRET, run_folder
from tests.support.stored_story import store
from tests.support.story import a_whole_story


@pytest.fixture
def story(database):
    story = a_whole_story(4)
    store(database, story)
    return story


@pytest.fixture
def replay(database, monkeypatch):
    with run_folder("replay-command") as folder:
        secret = folder / "secrets" / "database-roles.key"
        secret.parent.mkdir()
        secret.write_bytes(ROLE_SECRET)
        monkeypatch.setenv("DATABASE_URL", database)
        monkeypatch.setenv("MEGACITY_VAR_DIR", str(folder))

        def run(*arguments, status=0):
            done = CliRunner().invoke(app, ["replay", *map(str, arguments)])
            assert done.exit_code == status, done.output
            return done

        yield run


@pytest.fixture
def attempt(story):
    return next(each for each in story.events if each.recorded.category == "attempt")


WRITE = "INSERT INTO ops.relays (name) VALUES ('written by a question')"
NO_QUESTIONS = [
    f"{WRITE} RETURNING 1",
    f"COMMIT; {WRITE}; SELECT 1",
    f"SET TRANSACTION READ WRITE; {WRITE} RETURNING 1",
    "SELECT set_config('transaction_read_only', 'off', true)",
    "SELECT ops.drop_scratch('as_of_x')",
    "COMMIT",
    "",
    "COPY attempts TO STDOUT",
    "SELECT FROM",
]


@pytest.mark.usefixtures("story")
@pytest.mark.parametrize("statement", NO_QUESTIONS)
def test_a_query_that_is_no_single_question_is_refused_and_writes_nothing(replay, statement, database):
    done = replay("--projection", "attempts", "--query", statement, status=2)
    assert "The query cannot be answered" in done.stderr
    with psycopg.connect(database) as admin:
        assert admin.execute("SELECT name FROM ops.relays").fetchall() == []
        left = admin.execute(
            "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, 'as_of_')"
        ).fetchall()
    assert left == []


@pytest.mark.usefixtures("story")
def test_columns_of_one_name_are_told_apart(replay):
    done = replay("--projection", "people", "--as-of", 1, "--query", "SELECT 1 AS a, 2 AS a", "--json")
    assert json.loads(done.stdout) == {"a": 1, "a_2": 2}


def test_an_answer_into_a_pipe_loses_nothing_of_wide_rows(replay, story):
    done = replay("--projection", "attempts", "--query", "SELECT * FROM attempts")
    starts = {each.recorded.stream_id for each in story.events if each.recorded.category == "attempt"}
    assert all(attempt in done.stdout for attempt in starts)
    assert "…" not in done.stdout


def test_rows_that_are_kept_outlive_another_look_at_the_same_position(replay, database, story):
    head = len(story.events)
    replay("--projection", "people", "--keep")
    replay("--projection", "people")
    with psycopg.connect(database) as admin:
        row = admin.execute(f"SELECT count(*) FROM as_of_people_{head}.people").fetchone()
        schemas = admin.execute(
            "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, 'as_of_')"
        ).fetchall()
    assert row[0] > 0
    assert schemas == [(f"as_of_people_{head}",)]
    assert "is removed" in replay("--drop").stdout


def test_a_stream_is_replayed_as_far_as_it_had_come(replay, attempt):
    done = replay(attempt.recorded.stream_id, "--as-of", attempt.position, "--json")
    assert [json.loads(line)["version"] for line in done.stdout.splitlines()] == [1]


def test_a_stream_that_had_no_events_yet_is_said_to_have_none(replay, attempt):
    done = replay(attempt.recorded.stream_id, "--as-of", attempt.position - 1, status=2)
    assert f"had no events yet at position {attempt.position - 1}" in done.stderr


@pytest.mark.parametrize("type_", ["attempt.unheard_of.v1", "attempt.started.v99"])
def test_a_stream_with_an_event_that_this_release_cannot_read_says_which(replay, attempt, database, type_):
    stream = attempt.recorded.stream_id
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            """INSERT INTO log.events (stream_id, version, type, meta, payload, leaf)
               SELECT stream_id, version + 1, %s, meta, payload, leaf FROM log.events
               WHERE stream_id = %s ORDER BY version DESC LIMIT 1""",
            [type_, stream],
        )
    done = replay(stream, status=1)
    assert f"({type_}) cannot be read" in done.stderr
    assert "unexpected" not in done.stderr


@pytest.mark.usefixtures("story")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--projection", "people", "--as-of", "2999-01-01"], "has not come yet"),
        (["user-019cabcd-0000-7000-8000-00000000dead", "--projection", "people"], "do not go together"),
        (["user-019cabcd-0000-7000-8000-00000000dead", "--query", "SELECT 1"], "do not go together"),
        (["--projection", "people", "--until", "3"], "do not go together"),
        (["--drop", "--as-of", "3"], "do not go together"),
        (["--query", "SELECT 1"], "Name a stream"),
    ],
)
def test_options_that_would_be_passed_over_are_refused(replay, words, sentence):
    assert sentence in replay(*words, status=2).stderr
