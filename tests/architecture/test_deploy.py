"""The compose file names roles and settings that exist, and images of a version. Nothing is started here."""

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

from infra.composition import fed_by_kafka
from infra.server import Role
from infra.settings import load_settings, unknown_variables

DEPLOY = Path(__file__).resolve().parents[2] / "infra" / "deploy"
COMPOSE = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
EXAMPLE = dict(
    line.split("=", 1)
    for line in (DEPLOY / ".env.example").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)
VARIABLE = re.compile(r"\$\{(\w+)[^}]*\}")
VERSIONED = re.compile(r"[\w./-]+:\d+(\.\d+)+[\w.-]*")

# As the compose file is read: what is set in .env stands in place of each variable.
SERVICES = yaml.safe_load(VARIABLE.sub(lambda found: EXAMPLE[found[1]], COMPOSE))["services"]
ROLES = {name: service for name, service in SERVICES.items() if service.get("command", [""])[0] == "serve"}


def environment_of(service: dict) -> dict[str, str]:
    return {name: str(value) for name, value in service["environment"].items()}


def test_the_example_sets_each_variable_and_no_other() -> None:
    assert set(VARIABLE.findall(COMPOSE)) == EXAMPLE.keys()


def test_the_roles_are_those_of_the_program_and_together_do_all_of_its_work() -> None:
    roles = {service["command"][1] for service in ROLES.values()}
    assert roles <= set(get_args(Role))
    assert roles == {"api", "sequencer", "projector", "relay", "consumer", "cat-engine", "deadlines"}


@pytest.mark.parametrize("name", sorted(ROLES | {"migrate": None}))
def test_the_settings_of_a_role_are_settings_of_the_program(name, monkeypatch) -> None:
    environment = environment_of(SERVICES[name])
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)

    assert unknown_variables(environment) == []
    settings = load_settings()  # raises `InvalidSettings` where a section has no such setting

    assert settings.environment == "production"
    assert settings.kafka.bootstrap_servers == "kafka:9092"
    assert settings.cat.feed == "kafka"
    assert "@postgres:5432/megacity" in settings.database.url.get_secret_value()
    assert [each.name for each in fed_by_kafka(settings)] == ["audit"]


def test_images_are_of_a_version() -> None:
    images = {service["image"] for service in SERVICES.values()}
    assert {image for image in images if not VERSIONED.fullmatch(image)} == set()
    assert {image.split(":")[0] for image in images} == {
        "postgres",
        "apache/kafka",
        "valkey/valkey",
        "megacity",
    }
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    bases = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    assert bases
    assert {base for base in bases if not VERSIONED.fullmatch(base)} == set()


def test_everything_that_keeps_running_says_whether_it_is_well() -> None:
    for name, service in SERVICES.items():
        if service["restart"] != "no":
            assert service["healthcheck"]["test"], name


def test_roles_wait_for_the_migrations_and_these_for_the_database() -> None:
    for service in ROLES.values():
        assert service["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert SERVICES["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"


def test_volumes_that_are_mounted_are_declared() -> None:
    declared = set(yaml.safe_load(COMPOSE)["volumes"])
    mounted = {each.split(":")[0] for service in SERVICES.values() for each in service.get("volumes", [])}
    assert mounted == declared


def test_the_image_runs_as_an_ordinary_user_on_locked_packages() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^USER (\w+)", dockerfile, re.MULTILINE) == ["megacity"]
    syncs = re.findall(r"^RUN uv sync (.*)$", dockerfile, re.MULTILINE)
    assert syncs
    assert all("--frozen" in sync and "--no-dev" in sync for sync in syncs)


def test_the_image_holds_all_packages_and_no_secret() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    copied = re.findall(r"^COPY ([a-z_]+) \1$", dockerfile, re.MULTILINE)
    root = DEPLOY.parents[1]
    project = (root / "pyproject.toml").read_text(encoding="utf-8")
    packages = re.search(r"^packages = \[(.*)\]$", project, re.MULTILINE)[1]
    assert copied == re.findall(r'"(\w+)"', packages)
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").split("\n")
    assert allowed[1] == "*"
    assert {line[1:] for line in allowed if line.startswith("!")} == {
        *copied,
        *("pyproject.toml", "uv.lock", "README.md", "LICENSE"),
    }
