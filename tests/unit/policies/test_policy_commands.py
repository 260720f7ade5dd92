"""`megacity policy`."""

import json

import msgspec
import pytest
from typer.testing import CliRunner

from infra.cli.main import app
from infra.policies.founding import founding_rules
from tests.support.policies import a_request, a_rule


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*words, **files):
        for name, content in files.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        return CliRunner().invoke(app, ["policy", *words])

    return run


NO_NIGHTS = a_rule(id="no-nights", effect="forbid", when={"op": "<", "attribute": "context.hour", "value": 6})


def request(**said):
    return msgspec.to_builtins(a_request(**said))


def test_check_prints_what_a_rule_is_compiled_to(run):
    told = run("check", "rule.json", rule=NO_NIGHTS)
    assert told.exit_code == 0
    assert told.stdout.startswith('@id("policy-')
    assert "(!(context has hour) || context.hour < 6)" in told.stdout


def test_check_names_each_fault_with_its_place(run):
    faulty = a_rule(title={"ko": "규칙"}, when={"op": "exists", "attribute": "principal.zoen"})
    told = run("check", "rule.json", rule=faulty)
    assert told.exit_code == 2
    assert "/title/en: " in told.stderr
    assert "/when/attribute: There is no attribute of this name. Is principal.zone meant?" in told.stderr


@pytest.mark.parametrize("words", [["check", "none.json"], ["try", "none.json", "--request", "none.json"]])
def test_a_file_that_is_not_there_is_told_in_a_sentence(run, words):
    told = run(*words)
    assert told.exit_code == 2
    assert "none.json cannot be read" in told.stderr


@pytest.mark.parametrize(
    ("hour", "code", "said"),
    [
        (3, 1, "deny (forbidden)\n  forbid no-nights: A rule\n"),
        (
            12,
            0,
            "allow (permitted)\n  permit service-in-ones-own-zone: The service is open in one's own zone\n",
        ),
    ],
)
def test_try_decides_with_the_founding_rules_and_tells_by_which(run, hour, code, said):
    told = run("try", "rule.json", "--request", "r.json", rule=NO_NIGHTS, r=request(context={"hour": hour}))
    assert (told.exit_code, told.stdout) == (code, said)


def test_try_alone_leaves_the_founding_rules_out(run):
    told = run(
        "try", "rule.json", "--request", "r.json", "--alone", rule=NO_NIGHTS, r=request(context={"hour": 9})
    )
    assert (told.exit_code, told.stdout) == (1, "deny (no permit)\n")


def test_try_tells_when_the_use_of_a_right_is_recorded(run):
    asked = request(principal={"roles": ["sys_admin"]}, resource={"zone": "kzone"}, context={"hour": 9})
    told = run("try", "rule.json", "--request", "r.json", rule=NO_NIGHTS, r=asked)
    assert told.stdout.endswith("  its use is recorded\n")


def test_try_prints_the_whole_decision_as_json(run):
    told = run("try", "rule.json", "--request", "r.json", "--json", rule=a_rule(), r=request())
    assert json.loads(told.stdout)["reason"] == "permitted"


def test_simulate_lists_what_would_be_decided_the_other_way(run, tmp_path):
    asked = [request(context={"hour": hour}) for hour in (3, 12, 4)]
    (tmp_path / "requests.jsonl").write_text("\n".join(map(json.dumps, asked)), encoding="utf-8")
    told = run("simulate", "rule.json", "--requests", "requests.jsonl", rule=NO_NIGHTS)
    assert told.exit_code == 0
    first, last = told.stdout.splitlines()
    assert first.split() == ["2", "allow", "->", "deny", "student", "univprep", "no-nights"]
    assert last == "2 of 3 decisions would be others"


def test_simulate_names_the_line_that_is_no_request(run, tmp_path):
    lines = [json.dumps(request()), '{"action": "enter_zone"}']
    (tmp_path / "requests.jsonl").write_text("\n".join(lines), encoding="utf-8")
    told = run("simulate", "rule.json", "--requests", "requests.jsonl", rule=NO_NIGHTS)
    assert told.exit_code == 2
    assert "requests.jsonl, line 2: " in told.stderr


def test_a_request_with_a_misspelt_attribute_is_refused(run):
    asked = request()
    asked["principal"]["zoen"] = "univprep"
    told = run("try", "rule.json", "--request", "r.json", rule=a_rule(), r=asked)
    assert told.exit_code == 2
    assert "zoen" in told.stderr


def test_the_catalogue_says_which_actions_are_asked_by_the_routes_themselves(run):
    lines = [line.split() for line in run("catalogue").stdout.splitlines()]
    said = {words[1]: words[2] for words in lines if words[0] == "action"}
    assert {action for action, asked in said.items() if asked == "enforced"} == {
        "enter_zone",
        "take_exam",
        "view_results",
    }
    assert set(said.values()) == {"enforced", "on-request"}


def test_the_schema_the_catalogue_and_the_founding_rules_are_printed(run):
    assert "$defs" in json.loads(run("schema").stdout)
    catalogue = run("catalogue").stdout
    assert "principal.has_active_exam?" in catalogue
    assert "use_ai_tutor" in catalogue
    assert run("founding").stdout.count("@id(") == len(founding_rules())
