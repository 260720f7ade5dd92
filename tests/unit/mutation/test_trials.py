"""The whole runner on a package of two functions, one of them tested well."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.trials import Reach

ROOT = Path(__file__).resolve().parents[3]

PACKAGE = """
LIMIT = 3


def well_tested(a: int, b: int) -> int:
    if a < b:
        return a + b
    return a - b


def hardly_tested(a: int, b: int) -> int:
    return a * b


def never_called(a: int) -> int:
    return -a


def endless(a: int) -> int:
    while a < LIMIT:
        a += 1
    return a
"""

TESTS = """
import pytest

from tests.mutation.trials import Reach
from sums.adding import endless, hardly_tested, well_tested


@pytest.mark.parametrize(("a", "b", "c"), [(1, 2, 3), (2, 1, 1), (2, 2, 0)])
def test_well(a, b, c):
    assert well_tested(a, b) == c


def test_hardly():
    assert hardly_tested(1, 1) == 1


def test_endless():
    assert endless(0) == 3
"""


@pytest.fixture
def tree(tmp_path) -> Path:
    (tmp_path / "sums").mkdir()
    (tmp_path / "sums" / "__init__.py").touch()
    (tmp_path / "sums" / "adding.py").write_text(PACKAGE, encoding="utf-8")
    (tmp_path / "test_adding.py").write_text(TESTS, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n", encoding="utf-8")
    return tmp_path


def run(tree: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.mutation", "--root", ".", "--package", "sums", "--sample", "0"]
    command += ["--grace-s", "1"]
    return subprocess.run(
        [*command, "--tests", "test_adding.py", "--out", "result.jsonl"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": f"{tree}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_mutants_of_what_is_tested_die_and_the_others_live_and_no_file_is_changed(tree) -> None:
    done = run(tree)

    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tree / "result.jsonl").read_text(encoding="utf-8").splitlines()]
    living = {row["mutant"].split(": ", 1)[1] for row in rows if row["killer"] is None}
    assert living == {"[arithmetic] a * b  =>  a / b", "[sign] -a  =>  a"}
    killers = {row["mutant"].split(": ", 1)[1]: row["killer"] for row in rows}
    assert killers["[comparison] a < b  =>  a <= b"].startswith("test_adding.py::test_well")
    assert killers["[statement] a += 1  =>  pass"].startswith("signal")  # it would never have ended
    assert (tree / "sums" / "adding.py").read_text(encoding="utf-8") == PACKAGE
    assert "2 of" not in done.stdout
    assert f"{len(rows) - 2} of {len(rows)} killed" in done.stdout


def test_a_test_that_fails_without_any_mutant_kills_none_and_is_named(tree) -> None:
    test = (
        "from sums.adding import hardly_tested\ndef test_that_fails():\n    assert hardly_tested(1, 2) == 3\n"
    )
    (tree / "test_adding.py").write_text(test, encoding="utf-8")

    done = run(tree)

    assert "left out: test_adding.py::test_that_fails" in done.stdout
    assert ", 0.0%." in done.stdout


def test_tests_are_chosen_by_the_lines_they_run_the_shortest_first() -> None:
    here, there = Path("here.py"), Path("there.py")
    reach = Reach(
        lines={
            "slow": {"here.py": frozenset({3, 4})},
            "quick": {"here.py": frozenset({4})},
            "other": {"there.py": frozenset({4})},
        },
        seconds={"slow": 2.0, "quick": 1.0, "other": 0.1},
    )
    assert reach.tests_of(here, range(4, 6)) == ["quick", "slow"]
    assert reach.tests_of(here, range(3, 4)) == ["slow"]
    assert reach.tests_of(there, range(3, 4)) == []
    # What acts at import may be seen by anybody.
    assert reach.tests_of(here, range(0)) == ["quick", "slow", "other"]
