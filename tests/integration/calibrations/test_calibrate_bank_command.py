"""`megacity cat calibrate-bank` beside a running API, as an operator works."""

import re

import pytest
from typer.testing import CliRunner

from infra.cli.main import app
from tests.support.postgres import ROLE_SECRET, run_folder


@pytest.fixture
def command(tested, monkeypatch):
    with run_folder("calibrate-bank") as folder:
        secret = folder / "secrets" / "database-roles.key"
        secret.parent.mkdir()
        secret.write_bytes(ROLE_SECRET)
        monkeypatch.setenv("DATABASE_URL", tested.api.database.admin_conninfo)
        monkeypatch.setenv("MEGACITY_VAR_DIR", str(folder))
        yield lambda *arguments: CliRunner().invoke(app, ["cat", "calibrate-bank", *arguments])


def events(tested):
    return tested.api.events(tested.exam.bank_id)


def test_a_dry_run_prints_what_was_found_and_records_nothing(tested, command):
    before = events(tested)
    done = command(tested.exam.bank_id, "--dry-run")

    assert done.exit_code == 0, done.output
    for item_id in tested.pretest_ids:
        assert re.search(rf"{item_id} +1 +pretest +[\d,]+ +\d\.\d\d\d", done.output), done.output
    assert "260 examinees" in done.output
    assert "dry run: nothing was recorded" in done.output
    assert events(tested) == before


def test_what_is_proposed_is_promoted_in_the_operators_name(tested, command):
    done = command(
        tested.exam.bank_id, "--promote-proposed", "--reason", "Spring review", "--operator", "bora"
    )

    assert done.exit_code == 0, done.output
    calibration_id = re.search(r"calibration (\S+)", done.output)[1]
    recorded = tested.api.recorded(tested.exam.bank_id)
    mine = [each for each in recorded if each.metadata.actor.id == "bora"]
    kinds = [each.event.type_.name for each in mine]
    assert kinds[0] == "item_bank.calibrated"
    assert mine[0].event.calibration_id == calibration_id
    assert mine[0].metadata.org_id == tested.school.org_id
    proposed = [each for each in mine[0].event.items if each.proposal == "promote"]
    assert ("item_bank.parameters_promoted" in kinds) == bool(proposed)
    if proposed:
        assert mine[-1].event.reason == "Spring review"
        assert mine[-1].event.automatic is False


@pytest.mark.parametrize(
    "arguments",
    [("--promote-proposed",), ("--promote-proposed", "--reason", " "), ("--promote-proposed", "--dry-run")],
    ids=["without a reason", "with an empty one", "in a dry run"],
)
def test_nothing_is_promoted_without_a_reason_or_in_a_dry_run(tested, command, arguments):
    before = events(tested)
    done = command(tested.exam.bank_id, *arguments)

    assert done.exit_code == 2
    assert "needs --reason" in done.output
    assert events(tested) == before


def test_a_bank_without_tests_or_that_does_not_exist_is_a_clear_error(tested, command):
    empty = command(tested.school.bank())
    unknown = command("item_bank-0198f0a2-7b1c-7c3e-8d2f-0123456789ab")

    assert (empty.exit_code, unknown.exit_code) == (2, 2)
    assert "Too few examinees" in empty.output
    assert "needed: 200" in empty.output
    assert "no such item bank" in unknown.output
