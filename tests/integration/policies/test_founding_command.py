"""`megacity policy found`: the rules that every installation begins with, in its log."""

import psycopg
import pytest
from typer.testing import CliRunner

from infra.cli.main import app
from infra.policies.founding import founding_rules
from tests.support.postgres import ROLE_SECRET, run_folder


@pytest.fixture
def conninfo(database, monkeypatch):
    """The command line's own folder, for the test's database."""
    with run_folder("policy-command") as folder:
        secret = folder / "secrets" / "database-roles.key"
        secret.parent.mkdir()
        secret.write_bytes(ROLE_SECRET)
        monkeypatch.setenv("DATABASE_URL", database)
        monkeypatch.setenv("MEGACITY_VAR_DIR", str(folder))
        yield database


def found():
    done = CliRunner().invoke(app, ["policy", "found", "--operator", "kim"])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_founding_rules_come_into_force_once(conninfo):
    assert found() == f"{len(founding_rules())} of the founding rules came into force\n"
    assert found() == "0 of the founding rules came into force\n"
    with psycopg.connect(conninfo) as connection:
        types = connection.execute("SELECT stream_id, type FROM log.events ORDER BY stream_id").fetchall()
    assert types == [(each.policy_id, "policy.activated.v1") for each in founding_rules()]
