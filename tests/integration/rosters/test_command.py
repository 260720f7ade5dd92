"""`megacity roster import` on a database: the report, the exit code, and what is in the log."""

import json

import psycopg
import pytest
from typer.testing import CliRunner

from infra.cli.main import app
from tests.support.api import bootstrap_context, running_api
from tests.support.postgres import ROLE_SECRET, run_folder
from tests.support.rosters import a_table, archive, oneroster_files


@pytest.fixture
def folder(database, monkeypatch):
    with run_folder("roster-command") as folder:
        secret = folder / "secrets" / "database-roles.key"
        secret.parent.mkdir()
        secret.write_bytes(ROLE_SECRET)
        monkeypatch.setenv("DATABASE_URL", database)
        monkeypatch.setenv("MEGACITY_VAR_DIR", str(folder))
        monkeypatch.setenv("COLUMNS", "200")
        yield folder


@pytest.fixture
def org_id(database, folder):
    from commands.found_organization import FoundOrganization, found_organization

    with running_api(database, folder) as api:
        founding = FoundOrganization(name="한빛고등학교", zone_id="univprep")
        yield api.run(found_organization(api.write, bootstrap_context(), founding)).stream_id


@pytest.fixture
def import_(folder, org_id):
    def run(body, *arguments, status=0):
        file = folder / "roster"
        file.write_bytes(body)
        done = CliRunner().invoke(app, ["roster", "import", str(file), "--org", org_id, *arguments])
        assert done.exit_code == status, done.output
        return done.stdout if status != 2 else done.stderr

    return run


def test_a_file_is_tried_imported_changed_and_reduced(database, import_):
    body = a_table(("1", "김민지", "1-A"), ("2", "이서연", "1-A"))
    assert "nothing was written" in import_(body, "--dry-run")
    assert "2 new, 0 changed, 0 as before, 0 removed" in import_(body, "--operator", "kim")
    assert "0 new, 0 changed, 2 as before" in import_(body)
    assert "0 new, 1 changed, 0 as before, 1 removed" in import_(
        a_table(("1", "민지 김", "1-B")), "--remove-absent"
    )
    with psycopg.connect(database) as connection:
        [(meta,)] = connection.execute(
            "SELECT meta FROM log.events WHERE type = 'user.registered.v1' LIMIT 1"
        ).fetchall()
    assert json.loads(meta)["actor"] == {"kind": "operator", "id": "kim"}


def test_faults_are_listed_and_end_with_one(import_):
    told = import_(a_table(("1", "김민지", "1-A"), ("", "[누구]", "A")), status=1)
    assert "1 faults" in told
    assert "nobody was taken out of a class" in told
    [fault] = [line for line in told.splitlines() if "missing" in line]
    assert fault.split()[:2] == ["3", "external_ref"]


def test_a_report_can_be_had_as_json(import_):
    report = json.loads(import_(archive(oneroster_files()), "--json"))
    assert (report["created"], report["skipped"], report["faults"]) == (4, 1, [])


def test_an_encoding_can_be_said(import_):
    body = a_table(("1", "José", "A"))
    assert "say which" in import_(body, status=2)
    assert "1 new" in import_(body, "--encoding", "utf-8")


def test_what_cannot_be_read_or_found_is_a_sentence(import_, folder):
    assert "names no columns" in import_(b"", status=2)
    nobody = "organization-01901646-a2b4-7c3d-8e5f-0a1b2c3d4e5f"
    (folder / "roster").write_bytes(a_table(("1", "민지", "A")))
    for arguments, why in (
        ([str(folder / "roster"), "--org", nobody], "no such organisation"),
        ([str(folder / "nowhere"), "--org", nobody], "cannot be read"),
    ):
        done = CliRunner().invoke(app, ["roster", "import", *arguments])
        assert done.exit_code == 2
        assert why in done.stderr
