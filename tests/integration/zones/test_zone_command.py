"""`megacity zone` on a database: look, attest, turn on and off; and what each order leaves in the log."""

import json

import psycopg
import pytest
from typer.testing import CliRunner

from infra.cli.main import app
from tests.support.postgres import ROLE_SECRET, run_folder
from tests.support.processes import running_system


@pytest.fixture
def megacity(database, monkeypatch):
    """The command line with a folder of its own, for the test's database."""
    with run_folder("zone-command") as folder:
        secret = folder / "secrets" / "database-roles.key"
        secret.parent.mkdir()
        secret.write_bytes(ROLE_SECRET)
        monkeypatch.setenv("DATABASE_URL", database)
        monkeypatch.setenv("MEGACITY_VAR_DIR", str(folder))
        monkeypatch.setenv("COLUMNS", "200")

        def run(*arguments, status=0):
            done = CliRunner().invoke(app, ["zone", *arguments])
            assert done.exit_code == status, done.output
            return done.stdout if status == 0 else done.stderr

        yield run


@pytest.fixture
def told(database):
    """Type and actor of each event in the log, but for what only records the zones' data."""

    def events():
        with psycopg.connect(database) as connection:
            rows = connection.execute(
                "SELECT type, meta FROM log.events ORDER BY append_id, version"
            ).fetchall()
        return [(type_, json.loads(meta)["actor"]) for type_, meta in rows if type_ != "zone.configured.v1"]

    return events


def rows(text):
    return {line.split()[0]: line for line in text.splitlines()[1:]}


def test_all_zones_are_listed_and_one_is_open(megacity):
    listed = rows(megacity("list"))
    assert len(listed) == 9
    assert [zone for zone, line in listed.items() if "not active" not in line] == ["univprep"]
    assert "UnivPrepAI.com" in listed["univprep"]


def test_a_zone_shows_what_it_waits_for(megacity):
    shown = megacity("show", "mediprep")
    assert shown.splitlines()[0] == "mediprep: not active"
    waiting = rows(shown.partition("\n")[2])
    assert "0 of 1,000" in waiting["items"]
    assert "attested" in waiting["expert-review"]


def test_an_operator_attests_turns_on_and_off_and_the_log_says_who_and_why(megacity, told):
    assert megacity("attest", "mpcstudy", "migration", "--evidence", "Record 7", "--operator", "kim") == (
        "migration of mpcstudy is attested\n"
    )
    assert "kim: Record 7" in megacity("show", "mpcstudy")
    assert megacity("activate", "mpcstudy", "--reason", "All moved", "--operator", "kim") == (
        "mpcstudy is active\n"
    )
    assert "not active" not in rows(megacity("list"))["mpcstudy"]
    assert "All moved" in megacity("show", "mpcstudy")
    assert megacity("deactivate", "mpcstudy", "--reason", "Broken") == "mpcstudy is not active\n"
    assert told() == [
        ("zone.prerequisite_attested.v1", {"kind": "operator", "id": "kim"}),
        ("zone.activated.v1", {"kind": "operator", "id": "kim"}),
        ("zone.deactivated.v1", {"kind": "operator", "id": "command-line"}),
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("activate", "kzone", "--reason", "why not"), "Prerequisites of the zone are missing: testers"),
        (("activate", "nowhere", "--reason", "x"), "There is no such zone."),
        (("deactivate", "univprep", "--reason", "  "), "Say why."),
        (("attest", "kzone", "testers", "--evidence", "x"), "This prerequisite is checked, not attested."),
        (("attest", "kzone", "nothing", "--evidence", "x"), "The zone has no such prerequisite."),
        (("show", "nowhere"), "There is no such zone."),
    ],
)
def test_an_order_that_is_refused_says_so_in_a_sentence_and_changes_nothing(megacity, told, words, sentence):
    said = megacity(*words, status=2)
    assert said.startswith(f"error: {sentence}")
    assert "megacity zone list" in said
    assert told() == []


def test_the_first_zone_is_open_from_the_first_start_and_the_log_says_since_when():
    with running_system("--no-sample") as system:
        found = system.query("SELECT type FROM log.events WHERE stream_id LIKE 'zone-%%' ORDER BY version")
        assert found == [("zone.configured.v1",), ("zone.activated.v1",)]
