"""`megacity doctor` against a PostgreSQL that runs."""

import pytest

from infra.cli import checks
from infra.cli.checks import Check
from infra.settings import Settings
from tests.support.postgres import SharedServer, fresh_database


def looked_at(conninfo: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Check]:
    monkeypatch.setenv("DATABASE_URL", conninfo)
    return {check.name: check for check in checks.of_settings(Settings())}


def test_a_migrated_database_is_well(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = looked_at(database, monkeypatch)

    assert found["database"].status == "ok"
    assert found["database"].detail.startswith("PostgreSQL ")
    assert found["migrations"] == Check("migrations", "ok", "all applied")


def test_an_empty_database_is_told_to_want_its_migrations(
    postgres_server: SharedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fresh_database(postgres_server, migrated=False) as empty:
        found = looked_at(empty, monkeypatch)

    assert found["migrations"].status == "warn"
    assert "0001_roles_and_schemas" in found["migrations"].detail
    assert found["migrations"].remedy == "`megacity migrate`"


def test_a_server_that_is_too_old_fails(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "OLDEST_POSTGRES", 99)

    found = looked_at(database, monkeypatch)

    assert found["database"].status == "fail"
    assert "migrations" not in found


def test_a_wrong_password_fails_and_is_not_shown(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = looked_at(f"{database} password=not-the-one", monkeypatch)

    assert found["database"].status == "fail"
    assert "not-the-one" not in str(found["database"])


def test_the_embedded_server_of_this_checkout_is_found_running(
    postgres_server: SharedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    status = postgres_server.embedded.status()
    settings = Settings(var_dir=status.data_dir.parent)
    monkeypatch.setattr(Settings, "postgres_data_dir", property(lambda _: status.data_dir))
    monkeypatch.setattr(Settings, "secrets_dir", property(lambda _: status.data_dir.parent / "secrets"))

    found = {check.name: check for check in checks.of_settings(settings)}

    assert found["database server"] == Check(
        "database server", "ok", f"process {status.pid}, port {status.port}"
    )
