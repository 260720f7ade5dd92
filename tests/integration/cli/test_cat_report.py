"""`megacity cat report` on a database with two adaptive exams' worth of attempts."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from domain.cat.logistic import LogisticItems
from domain.exams.adaptive import AdaptiveRules, PretestPlan
from infra.cli.main import app
from tests.support.adaptive_story import publish_adaptive, take_adaptive
from tests.support.postgres import ROLE_SECRET, fresh_database, run_folder
from tests.support.school import a_school, project
from tests.support.story import ORG, OTHER_ORG

REFERENCE, FOCAL, FEW = 60, 50, 4
DIFFERENT = 0
"""The first item of every test is harder for the focal group than its parameters say."""


@pytest.fixture(scope="module")
def taken():
    """An exam whose first item works differently in a second organisation, and the attempts at it."""
    school, rng = a_school(), np.random.default_rng(8)
    story = school.story
    bank = LogisticItems.of(
        np.append(2.5, rng.lognormal(0.2, 0.2, 59)), np.append(0.0, rng.normal(0, 1, 59)), 0.1
    )
    rules = AdaptiveRules(
        stop_se=0.45, max_items=12, pretest=PretestPlan(items=1, first_position=3, last_position=5)
    )
    exam = publish_adaptive(story, bank, rules, pretest=2, audience="zone")
    harder = publish_adaptive(
        story, LogisticItems.of(bank.a, np.append(2.5, bank.b[1:]), bank.c), rules, pretest=2
    )
    attempts, groups = [], {}
    for number in range(REFERENCE + FOCAL + FEW):
        group = "a" if number < REFERENCE else "b" if number < REFERENCE + FOCAL else "few"
        org = OTHER_ORG if group == "b" else ORG
        person = story.person(("student", org), name=f"P{number}", org_id=org)
        truth = harder.bank if group == "b" else exam.bank
        answered_by = type(exam)(exam.exam_id, exam.items, truth, exam.form)
        attempts.append(take_adaptive(story, answered_by, person, float(rng.normal()), rng))
        groups[person] = group
    return school, exam, attempts, groups


@pytest.fixture(scope="module")
def report(postgres_server, taken):
    school, *_ = taken
    with (
        fresh_database(postgres_server) as conninfo,
        run_folder("report-command") as folder,
        pytest.MonkeyPatch.context() as monkeypatch,
    ):
        project(conninfo, school.story)
        secret = folder / "secrets" / "database-roles.key"
        secret.parent.mkdir()
        secret.write_bytes(ROLE_SECRET)
        monkeypatch.setenv("DATABASE_URL", conninfo)
        monkeypatch.setenv("MEGACITY_VAR_DIR", str(folder))

        def run(*arguments, status=0):
            done = CliRunner().invoke(app, ["cat", "report", *map(str, arguments)])
            assert done.exit_code == status, done.output
            return done

        yield run


@pytest.fixture
def exam_id(taken):
    return taken[1].exam_id


@pytest.fixture
def groups_file(taken, tmp_path):
    file = tmp_path / "groups.csv"
    rows = "".join(f"{person},{group}\n" for person, group in taken[3].items())
    file.write_text(f"examinee,group\n{rows}", encoding="utf-8")
    return file


def test_the_figures_are_the_same_as_text_as_json_and_as_tables(report, exam_id, tmp_path):
    printed = report(exam_id, "--out", tmp_path / "found").stdout
    shown = json.loads(report(exam_id, "--format", "json").stdout)
    assert shown == json.loads((tmp_path / "found" / "report.json").read_bytes())
    assert f"{shown['length']['mean']:.2f}" in printed
    with (tmp_path / "found" / "items.csv").open(encoding="utf-8") as file:
        items = list(csv.DictReader(file))
    assert [int(row["given"]) for row in items] == [each["given"] for each in shown["items"]]
    assert items[0]["exposure"] == "1.0"
    assert items[-1]["a"] == ""
    with (tmp_path / "found" / "by_ability.csv").open(encoding="utf-8") as file:
        assert sum(int(row["attempts"]) for row in csv.DictReader(file)) == shown["attempts"]


def test_groups_are_compared_and_the_item_that_differs_is_found(report, exam_id, groups_file):
    found = json.loads(report(exam_id, "--groups", groups_file, "--format", "json").stdout)["by_group"]
    assert [(each["group"], each["attempts"]) for each in found["groups"]] == [("a", REFERENCE), ("b", FOCAL)]
    assert found["hidden"] == 1
    [dif] = found["dif"]
    assert (dif["group"], dif["reference"], dif["attempts"]) == ("b", "a", REFERENCE + FOCAL)
    assert (dif["items"][0]["code"], dif["items"][0]["ets_class"]) == ("i000", "C")
    assert dif["items"][0]["delta"] < 0

    printed = report(exam_id, "--groups", groups_file).stdout
    assert "Groups of fewer than 10 people are not shown: 1." in printed
    assert "i000  C  delta -" in printed
    assert "harder for b" in printed
    assert "few" not in printed.replace("fewer", "")


def test_organisations_are_groups_that_the_system_knows(report, exam_id):
    found = json.loads(report(exam_id, "--by", "organization", "--format", "json").stdout)["by_group"]
    assert [(each["group"], each["attempts"]) for each in found["groups"]] == [
        (ORG, REFERENCE + FEW),
        (OTHER_ORG, FOCAL),
    ]


def test_people_who_are_in_no_group_are_counted_and_left_out(report, exam_id, groups_file):
    lines = groups_file.read_text(encoding="utf-8").splitlines()
    groups_file.write_text("\n".join(lines[: REFERENCE + 1]) + "\n", encoding="utf-8")
    found = json.loads(report(exam_id, "--groups", groups_file, "--format", "json").stdout)["by_group"]
    assert found["without_group"] == FOCAL + FEW
    assert found["dif"] == []


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_pictures_are_drawn_to_the_folder(report, exam_id, taken, tmp_path, suffix):
    pytest.importorskip("matplotlib")
    begins = {"svg": b"<?xml", "png": b"\x89PNG"}[suffix]
    report(exam_id, "--out", tmp_path, "--plot", suffix, "--items", "--attempt", taken[2][0])
    drawn = {file.name: file.read_bytes() for file in tmp_path.glob(f"*.{suffix}")}
    assert drawn.keys() == {
        f"{name}.{suffix}" for name in ("information", "exposure", "use", "items", "path")
    }
    assert all(content.startswith(begins) and len(content) > 5_000 for content in drawn.values())
    if suffix == "svg":
        assert b"best test of 12 items" in drawn["information.svg"]
        assert b"pretest item" in drawn["path.svg"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["exam-019cabcd-0000-7000-8000-00000000dead"], "There is no exam"),
        (["attempt-019cabcd-0000-7000-8000-00000000dead"], "is not the id of an exam"),
        (["nothing"], "is not the id of an exam"),
    ],
)
def test_what_is_no_exam_is_said_to_be_none(report, arguments, said):
    assert said in " ".join(report(*arguments, status=2).stderr.split())


def test_a_fixed_exam_is_sent_to_its_item_analysis(report, taken):
    done = report(taken[0].exams["at_once"], status=2)
    assert "is not adaptive" in done.stderr
    assert "/api/v1/analytics/exam/" in done.stderr


def test_options_that_do_not_go_together_are_refused(report, exam_id, groups_file, tmp_path):
    assert "use one" in report(exam_id, "--groups", groups_file, "--by", "organization", status=2).stderr
    assert "--out" in report(exam_id, "--plot", "png", status=2).stderr
    assert "--plot" in report(exam_id, "--items", "--out", tmp_path, status=2).stderr
    elsewhere = "attempt-019cabcd-0000-7000-8000-00000000dead"
    done = report(exam_id, "--out", tmp_path, "--plot", "svg", "--attempt", elsewhere, status=2)
    assert "is no attempt at" in done.stderr


def test_a_group_file_without_groups_is_refused_with_its_name(report, exam_id, tmp_path):
    file = tmp_path / "wrong.csv"
    file.write_text("examinee,colour\nuser-1,red\n", encoding="utf-8")
    assert "wrong.csv" in report(exam_id, "--groups", file, status=2).stderr
