"""`megacity policy explain`, `simulate` and `report` on what a running system has recorded."""

import json
from contextlib import ExitStack

import psycopg
import pytest
from typer.testing import CliRunner

from commands.policies import (
    ApprovePolicy,
    ProposePolicy,
    activate_policy,
    approve_policy,
    found_policies,
    propose_policy,
)
from domain.events import Actor
from infra.cli.main import app
from infra.policies.engine import CedarEngine
from infra.policies.founding import founding_rules
from tests.support.api import bootstrap_context, eventually, running_api
from tests.support.policies import a_rule, rule_of
from tests.support.postgres import ROLE_SECRET, fresh_database, run_folder

PREMIUM = {"action": "use_premium_feature", "resource": {"kind": "feature", "id": "reports"}}
TUTOR = {"action": "use_ai_tutor", "resource": {"kind": "feature", "id": "ai-tutor"}}
FOUNDING = {each.rule.id: each.policy_id for each in founding_rules()}


@pytest.fixture(scope="module")
def api(postgres_server):
    with ExitStack() as stack:
        conninfo = stack.enter_context(fresh_database(postgres_server))
        folder = stack.enter_context(run_folder("policy-commands"))
        secret = folder / "secrets" / "database-roles.key"
        secret.parent.mkdir(exist_ok=True)
        secret.write_bytes(ROLE_SECRET)
        monkeypatch = stack.enter_context(pytest.MonkeyPatch.context())
        monkeypatch.setenv("DATABASE_URL", conninfo)
        monkeypatch.setenv("MEGACITY_VAR_DIR", str(folder))
        running = stack.enter_context(running_api(conninfo, folder, role="all"))
        included(running, running.run(found_policies(running.write, by("founder"), founding_rules())))
        yield running


def by(actor_id):
    return bootstrap_context().__class__(
        actor=Actor("user", actor_id),
        zone_id=None,
        org_id=None,
        correlation_id=bootstrap_context().correlation_id,
        command_id=bootstrap_context().command_id,
    )


def included(api, outcomes):
    for each in outcomes:
        api.run(api.services.access_rules.policies.include(each.stream_id, each.version))


def in_force(api, rule, replaces=None):
    command = ProposePolicy(rule=rule, reason="because\nof the noise", replaces=replaces)
    made = api.run(propose_policy(api.write, CedarEngine(), by("user-ann"), command))
    approval = ApprovePolicy(policy_id=made.stream_id, proposal_sha256=made.state.sha256, reason="good")
    api.run(approve_policy(api.write, by("user-bob"), approval))
    included(api, [api.run(activate_policy(api.write, by("user-bob"), made.stream_id))])
    return made.stream_id


def decided(api, http, question):
    """A decision that is recorded, once it can be found by its id."""
    [decision] = http.post("/access/decisions", json={"requests": [question]}).json()["decisions"]

    def is_found():
        with psycopg.connect(api.database.admin_conninfo) as connection:
            return connection.execute(
                "SELECT 1 FROM read.access_decisions WHERE decision_id = %s", [decision["decision_id"]]
            ).fetchone()

    eventually(is_found)
    return decision


def policy(*arguments):
    return CliRunner().invoke(app, ["policy", *arguments])


def test_a_decision_is_derived_again_at_its_position_whatever_was_decided_since(api):
    student = api.school().student()
    earlier = decided(api, student.http, PREMIUM)
    closed = in_force(api, rule_of(id="closed", effect="forbid", actions=["use_premium_feature"]))
    later = decided(api, student.http, PREMIUM)

    for decision in (earlier, later):
        done = policy("explain", decision["decision_id"])
        assert done.exit_code == 0, done.output
        assert "derived again: the same" in done.stdout
        assert f"{student.user_id}: use_premium_feature feature reports" in done.stdout

    first, second = (
        json.loads(policy("explain", each["decision_id"], "--json").stdout) for each in (earlier, later)
    )
    assert first["agrees"]
    assert second["agrees"]
    assert first["decision"]["decided_by"] == [FOUNDING["no-premium-without-subscription"]]
    assert second["decision"]["decided_by"] == sorted([FOUNDING["no-premium-without-subscription"], closed])
    assert first["request"]["versions"][student.user_id] >= 1
    assert second["decision"]["policies_position"] > first["decision"]["policies_position"]


def test_a_record_that_does_not_follow_from_its_facts_is_found_out(api, monkeypatch):
    """As if the engine, or the log, had been tampered with."""
    decision = decided(api, api.school().student().http, PREMIUM)
    monkeypatch.setattr(
        "infra.policies.recorded.read_request",
        lambda text: original(text.replace('"subscription_status":"none"', '"subscription_status":"active"')),
    )
    done = policy("explain", decision["decision_id"])
    assert done.exit_code == 1
    assert "derived again: decided_by: recorded" in done.stdout


def original(text):
    from domain.policies.decisions import read_request

    return read_request(text)


@pytest.mark.usefixtures("api")
def test_a_decision_that_nobody_recorded_is_not_found():
    done = policy("explain", "'; DROP TABLE read.access_decisions; --")
    assert done.exit_code == 2


def test_a_rule_is_tried_on_what_was_recorded_and_counted(api, tmp_path):
    students = api.school().students(3)
    for student in students:
        student.http.post("/access/decisions", json={"requests": [TUTOR]})
    api.clock.advance(120)
    decided(api, students[0].http, PREMIUM)  # with it the counts are written
    file = tmp_path / "rule.json"
    file.write_text(json.dumps(a_rule(id="no-tutor", effect="forbid", actions=["use_ai_tutor"])))

    def told():
        done = policy("simulate", str(file), "--since", "1d")
        assert done.exit_code == 0, done.output
        return "allow -> deny" in done.stdout and done.stdout

    line, *_ = [each for each in eventually(told).splitlines() if "allow -> deny" in each]
    assert line.split() == ["3", "allow", "->", "deny", "student", "univprep", "no-tutor"]
    done = policy("simulate", str(file), "--replaces", "policy-1")
    assert done.exit_code == 2


def test_the_week_is_told_as_text_and_as_json(api):
    closed = in_force(api, rule_of(id="closed-again", effect="forbid"))
    done = policy("report")
    assert done.exit_code == 0, done.output
    assert "closed-again" in done.stdout
    assert "because of the noise" in done.stdout
    found = json.loads(policy("report", "--json").stdout)
    steps = [(each["change"], each["by"]) for each in found["changes"] if each["policy_id"] == closed]
    assert steps == [("proposed", "user-ann"), ("approved", "user-bob"), ("activated", "user-bob")]
    assert closed in {each["policy_id"] for each in found["in_force"]}
    quiet = json.loads(policy("report", "--week", "2020-W10", "--json").stdout)
    assert (quiet["changes"], quiet["in_force"]) == ([], [])
    for nonsense in ("2026-W60", "yesterday", "2026-10"):
        assert policy("report", "--week", nonsense).exit_code == 2
