import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from infra.settings import (
    InvalidSettings,
    Settings,
    load_settings,
    masked,
    project_root,
    unknown_variables,
)


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("MEGACITY_") or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    empty = tmp_path / "empty.toml"
    empty.touch()
    monkeypatch.setenv("MEGACITY_SETTINGS_FILE", str(empty))


@pytest.fixture
def settings_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    file = tmp_path / "given.toml"
    monkeypatch.setenv("MEGACITY_SETTINGS_FILE", str(file))
    return file


def problems_of_loading() -> list[str]:
    with pytest.raises(InvalidSettings) as refused:
        load_settings()
    return refused.value.problems


def test_without_anything_set_the_defaults_serve_a_laptop() -> None:
    settings = load_settings()

    assert settings.environment == "development"
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 8000)
    assert settings.uses_embedded_postgres
    assert settings.zone == "univprep"
    assert settings.auth.access_token_ttl_s == 900
    assert settings.auth.refresh_grace_s == 30
    assert settings.exam.submission_grace_s == 5
    assert (settings.projections.batch_size, settings.projections.poll_interval_s) == (2000, 0.2)
    assert (settings.event_store.readers, settings.event_store.queue_limit) == (4, 512)
    assert settings.consistency_wait_s == 2


def test_everything_made_at_run_time_lies_under_var_of_the_checkout() -> None:
    settings = load_settings()

    assert settings.var_dir == project_root() / "var"
    for path in (
        settings.secrets_dir,
        settings.log_dir,
        settings.postgres_data_dir,
        settings.run_lock_file,
        settings.database.role_secret_file,
        settings.auth.signing_key_file,
        settings.auth.refresh_secret_file,
        settings.auth.email_hash_key_file,
    ):
        assert path.is_relative_to(settings.var_dir)


def test_another_var_folder_takes_the_secret_files_along(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MEGACITY_VAR_DIR", str(tmp_path / "elsewhere"))

    settings = load_settings()

    assert settings.auth.signing_key_file.parent == tmp_path / "elsewhere" / "secrets"


def test_a_relative_path_counts_from_the_checkout_wherever_the_command_is_called(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEGACITY_AUTH__SIGNING_KEY_FILE", "keys/signing.json")

    assert load_settings().auth.signing_key_file == project_root() / "keys" / "signing.json"


def test_a_variable_wins_over_the_file_and_leaves_the_rest_of_its_section(
    monkeypatch: pytest.MonkeyPatch, settings_file: Path
) -> None:
    settings_file.write_text('zone = "kzone"\n[http]\nport = 8100\nhost = "0.0.0.0"\n')
    monkeypatch.setenv("MEGACITY_HTTP__PORT", "8200")

    settings = load_settings()

    assert (settings.http.host, settings.http.port, settings.zone) == ("0.0.0.0", 8200, "kzone")


def test_the_well_known_database_url_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ann@db/exams")

    settings = load_settings()

    assert settings.database.url is not None
    assert settings.database.url.get_secret_value() == "postgresql://ann@db/exams"
    assert not settings.uses_embedded_postgres


def test_our_own_name_of_the_database_wins_over_the_well_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/other")
    monkeypatch.setenv("MEGACITY_DATABASE__URL", "postgresql://db/ours")

    url = load_settings().database.url

    assert url is not None
    assert url.get_secret_value() == "postgresql://db/ours"


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("MEGACITY_HTTP__PORT", "")

    settings = load_settings()

    assert settings.uses_embedded_postgres
    assert settings.http.port == 8000


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MEGACITY_HTTP__PORT", "eighty"),
        ("MEGACITY_HTTP__PORT", "70000"),
        ("MEGACITY_HTTP__PROT", "8000"),
        ("MEGACITY_ZONE", "atlantis"),
        ("MEGACITY_ENVIRONMENT", "prod"),
        ("MEGACITY_AUTH__ACCESS_TOKEN_TTL_S", "0"),
        ("MEGACITY_AUTH", "not json"),
        ("MEGACITY_LOG__LEVEL", "loud"),
        ("MEGACITY_HTTP__PUBLIC_BASE_URL", "exams.example.org"),
        ("MEGACITY_DATABASE__URL", "mysql://db/x"),
        ("DATABASE_URL", "mysql://db/x"),
    ],
)
def test_a_value_that_cannot_be_right_is_refused_by_the_name_of_its_variable(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    (problem,) = problems_of_loading()

    assert problem.startswith(f"{variable}: ")


def test_a_bad_entry_of_the_file_is_refused_by_its_name_and_the_file(settings_file: Path) -> None:
    settings_file.write_text("[http]\nport = -1\n")

    (problem,) = problems_of_loading()

    assert problem.startswith(f"http.port in {settings_file}: ")


def test_all_bad_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEGACITY_HTTP__PORT", "eighty")
    monkeypatch.setenv("MEGACITY_ZONE", "atlantis")

    assert len(problems_of_loading()) == 2


def test_a_refusal_does_not_repeat_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://ann:hunter2@db/x")

    assert "hunter2" not in "".join(problems_of_loading())


def test_a_file_that_is_no_toml_is_refused_by_its_name(settings_file: Path) -> None:
    settings_file.write_text("port == 1")

    (problem,) = problems_of_loading()

    assert problem.startswith(f"{settings_file}: not valid TOML")


def test_a_named_file_that_is_missing_is_refused(settings_file: Path) -> None:
    assert problems_of_loading() == [f"MEGACITY_SETTINGS_FILE: there is no file {settings_file}"]


def test_production_refuses_the_embedded_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEGACITY_ENVIRONMENT", "production")

    (problem,) = problems_of_loading()

    assert "DATABASE_URL" in problem


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "postgresql://db/exams"),
        ("MEGACITY_DATABASE__ALLOW_EMBEDDED_IN_PRODUCTION", "true"),
    ],
)
def test_production_runs_with_a_database_of_its_own_or_when_told_that_the_embedded_one_will_do(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEGACITY_ENVIRONMENT", "production")
    monkeypatch.setenv(variable, value)

    assert load_settings().environment == "production"


def test_settings_do_not_change_once_loaded() -> None:
    settings = load_settings()

    with pytest.raises(ValidationError):
        settings.zone = "kzone"
    with pytest.raises(ValidationError):
        settings.http.port = 1  # type: ignore[misc]


def test_a_test_may_set_things_directly(tmp_path: Path) -> None:
    settings = Settings(var_dir=tmp_path)

    assert settings.postgres_data_dir == tmp_path / "postgres"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:hunter2@db/exams",
        "postgresql://ann:hun@hunter2@db/exams",
        "postgresql://db/exams?user=ann&password=hunter2",
        "host=db dbname=exams user=ann password=hunter2",
        "host=db user=ann password = 'hunter2 and more' dbname=exams",
    ],
)
def test_what_is_shown_holds_no_password(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url)

    settings = load_settings()

    assert "hunter2" not in str(masked(settings))
    assert "exams" in masked(settings)["database"]["url"]
    assert "hunter2" not in repr(settings)


def test_a_misspelt_variable_is_found() -> None:
    environment = {
        "MEGACITY_HTPP__PORT": "1",
        "MEGACITY_HTTP__PORT": "1",
        "MEGACITY_TEST_DATA": "x",
        "MEGACITY_SETTINGS_FILE": "x",
        "PATH": "x",
    }

    assert unknown_variables(environment) == ["MEGACITY_HTPP__PORT"]


def test_every_setting_is_named_with_its_unit() -> None:
    def numbers(section: dict[str, object], before: str = "") -> list[str]:
        return [
            name
            for key, value in section.items()
            for name in (numbers(value, f"{before}{key}.") if isinstance(value, dict) else [f"{before}{key}"])
            if isinstance(value, dict | float)
        ]

    times = numbers(masked(load_settings()))

    assert times
    assert [name for name in times if not re.search(r"_(s|bytes|per_s|per_min)$", name)] == []


def test_the_well_known_name_of_kafkas_brokers_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "one:9092,two:9092")

    assert load_settings().kafka.bootstrap_servers == "one:9092,two:9092"


@pytest.mark.parametrize("servers", ["one", "one:", "one:9092,", "kafka://one:9092", "one:9092 two:9092"])
def test_brokers_that_name_no_host_and_port_are_refused(
    monkeypatch: pytest.MonkeyPatch, servers: str
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", servers)

    with pytest.raises(InvalidSettings, match="KAFKA_BOOTSTRAP_SERVERS"):
        load_settings()


@pytest.mark.parametrize(("given", "names"), [("audit", ("audit",)), (" audit , other,", ("audit", "other"))])
def test_the_projections_that_kafka_feeds_are_named_by_commas(
    monkeypatch: pytest.MonkeyPatch, given: str, names: tuple[str, ...]
) -> None:
    monkeypatch.setenv("MEGACITY_KAFKA__PROJECTIONS", given)

    assert load_settings().kafka.projections == names


def test_the_projections_that_kafka_feeds_are_a_list_in_the_file(settings_file: Path) -> None:
    settings_file.write_text('[kafka]\nprojections = ["audit"]\n')
    assert load_settings().kafka.projections == ("audit",)

    settings_file.write_text("[kafka]\nprojections = 5\n")
    [problem] = problems_of_loading()
    assert problem.startswith(f"kafka.projections in {settings_file}")
