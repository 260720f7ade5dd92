"""The import rules of `.importlinter`, and proof that each of them bites."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = ROOT / ".importlinter"

# A tree of the same shape as ours, with an import in it that is allowed everywhere it stands.
SKELETON = {
    "domain/__init__.py": "",
    "domain/exams.py": "from dataclasses import dataclass\n",
    "commands/__init__.py": "",
    "commands/take_exam.py": "import domain.exams\n",
    "commands/api/__init__.py": "",
    "commands/api/exams.py": "import fastapi, pydantic\nimport commands.take_exam, infra.http.problems\n",
    "projections/__init__.py": "",
    "projections/results.py": "import psycopg\nimport domain.exams\n",
    "read_api/__init__.py": "",
    "read_api/results.py": "import fastapi\nimport projections.results, infra.http.problems, domain.exams\n",
    "gpu_workers/__init__.py": "",
    "gpu_workers/speech.py": "import os\n",
    "infra/__init__.py": "",
    "infra/auth/__init__.py": "",
    "infra/auth/tokens.py": "import domain.exams\n",
    "infra/cli/__init__.py": "",
    "infra/cli/up.py": "import infra.composition, commands.api.exams\n",
    "infra/application.py": "import commands.api.exams, read_api.results\n",
    "infra/composition.py": (
        "import infra.application\n"
        "import infra.event_store.recorder, infra.postgres.pool, commands.api.exams, read_api.results\n"
    ),
    "infra/event_store/__init__.py": "",
    "infra/event_store/recorder.py": "import eventsourcing, psycopg\nimport commands.take_exam\n",
    "infra/kafka/__init__.py": "",
    "infra/kafka/python_client.py": "import kafka\n",
    "infra/http/__init__.py": "",
    "infra/http/problems.py": "import fastapi\nimport infra.auth.tokens, domain.exams\n",
    "infra/postgres/__init__.py": "",
    "infra/postgres/pool.py": "import psycopg\n",
    "infra/sample/__init__.py": "",
    "infra/settings.py": "import pydantic\n",
}

VIOLATIONS = [
    ("domain/exams.py", "commands.take_exam"),
    ("domain/exams.py", "infra.settings"),
    ("domain/exams.py", "projections.results"),
    ("domain/exams.py", "pydantic"),
    ("domain/exams.py", "psycopg"),
    ("domain/exams.py", "fastapi"),
    ("domain/exams.py", "os"),
    ("domain/exams.py", "time"),
    ("domain/exams.py", "random"),
    ("commands/take_exam.py", "infra.http.problems"),
    ("commands/take_exam.py", "infra.event_store.recorder"),
    ("commands/take_exam.py", "projections.results"),
    ("commands/take_exam.py", "fastapi"),
    ("commands/take_exam.py", "psycopg"),
    ("commands/take_exam.py", "commands.api.exams"),
    ("commands/api/exams.py", "infra.postgres.pool"),
    ("commands/api/exams.py", "infra.auth.tokens"),
    ("commands/api/exams.py", "read_api.results"),
    ("projections/results.py", "commands.take_exam"),
    ("projections/results.py", "infra.http.problems"),
    ("projections/results.py", "fastapi"),
    ("read_api/results.py", "commands.take_exam"),
    ("read_api/results.py", "infra.event_store.recorder"),
    ("read_api/results.py", "infra.postgres.pool"),
    ("gpu_workers/speech.py", "domain.exams"),
    ("gpu_workers/speech.py", "infra.settings"),
    ("infra/composition.py", "gpu_workers.speech"),
    ("infra/http/problems.py", "infra.postgres.pool"),
    ("infra/http/problems.py", "commands.take_exam"),
    ("infra/postgres/pool.py", "eventsourcing"),
    ("infra/postgres/pool.py", "kafka"),
    ("infra/postgres/pool.py", "infra.composition"),
    ("infra/postgres/pool.py", "infra.application"),
    ("infra/postgres/pool.py", "commands.api.exams"),
]


def check_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            str(Path(sys.executable).parent / "lint-imports"),
            "--no-cache",
            "--no-logo",
            "--config",
            str(CONTRACTS),
        ],
        cwd=tree,
        env={**os.environ, "COLUMNS": "400", "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def grow(tree: Path, planted: list[tuple[str, str]]) -> None:
    for file, text in SKELETON.items():
        lines = [f"import {imported}" for where, imported in planted if where == file]
        path = tree / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def verdict_on_all_violations(tmp_path_factory: pytest.TempPathFactory) -> str:
    tree = tmp_path_factory.mktemp("planted")
    grow(tree, VIOLATIONS)
    checked = check_imports(tree)
    assert checked.returncode == 1, checked.stdout + checked.stderr
    return checked.stdout


def test_the_import_rules_hold() -> None:
    checked = check_imports(ROOT)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_tree_in_which_everybody_imports_only_what_is_allowed_passes(tmp_path: Path) -> None:
    grow(tmp_path, planted=[])

    checked = check_imports(tmp_path)

    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(("file", "imported"), VIOLATIONS)
def test_a_planted_violation_is_caught(file: str, imported: str, verdict_on_all_violations: str) -> None:
    importer = file.removesuffix(".py").replace("/", ".")

    assert re.search(rf"\b{re.escape(importer)} -> {re.escape(imported)}\b", verdict_on_all_violations)


def test_every_contract_is_broken_by_some_planted_violation(verdict_on_all_violations: str) -> None:
    names = re.findall(r"^name = (.+)$", CONTRACTS.read_text(), flags=re.MULTILINE)

    assert names
    for name in names:
        assert f"{name} BROKEN" in verdict_on_all_violations
