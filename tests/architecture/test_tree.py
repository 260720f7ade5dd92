"""What is in the repository: where files are, how long they are, and what they must not say."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST_FILE_LINES = 600
READ_AS_SOURCE = {".py", ".sql", ".sh", ".toml", ".yml", ".yaml", ".md", ".cfg", ""}
TOP_LEVEL = {
    "domain",
    "commands",
    "projections",
    "read_api",
    "gpu_workers",
    "infra",
    "tests",
    "pyproject.toml",
    "README.md",
}

# Folders of somebody's own machine. Put together here, so that this file does not match itself.
OWN_FOLDERS = ("home", "root", "work", "Users")
MACHINE_PATHS = re.compile(rf"(?<![\w.])/(?:{'|'.join(OWN_FOLDERS)})/[\w.]")


def files_of_the_repository() -> list[Path]:
    """Every file that is or would be committed; without git (a source archive), all but leftovers."""
    listed = subprocess.run(
        # Somebody else may own the checkout (a container that runs as root).
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        left_out = {".venv", "var", ".git", "__pycache__", "dist"}
        found = [path for path in ROOT.rglob("*") if not left_out & set(path.relative_to(ROOT).parts)]
    return sorted(path for path in found if path.is_file())


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""  # a picture or the like


def machine_paths(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if MACHINE_PATHS.search(line)]


def test_the_top_level_is_as_agreed() -> None:
    assert {name for name in TOP_LEVEL if not (ROOT / name).exists()} == set()


def test_no_file_is_longer_than_anybody_reads() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(text_of(path).splitlines())
        for path in files_of_the_repository()
        if path.suffix in READ_AS_SOURCE and path.name != "uv.lock"
    }

    assert lengths
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE_LINES} == {}


def test_no_file_names_a_folder_of_somebodys_machine() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {line[:120]}"
        for path in files_of_the_repository()
        for line in machine_paths(text_of(path))
    }

    assert found == set()


@pytest.mark.parametrize("user", ["home/ann", "root/.cache", "Users/ann", "work/main"])
def test_a_planted_machine_path_is_seen(user: str) -> None:
    assert machine_paths(f"data = '/{user}/data'")


@pytest.mark.parametrize(
    "innocent", ["/api/v1/users/me", "GET /users/me", "https://example.org/home", "/homework/1"]
)
def test_a_path_of_the_api_is_no_machine_path(innocent: str) -> None:
    assert machine_paths(innocent) == []


def test_every_test_folder_is_a_tier_that_make_knows() -> None:
    makefile = (ROOT / "Makefile").read_text()
    tiers = {
        path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and any(path.rglob("test_*.py"))
    }

    assert tiers
    assert {tier for tier in tiers if f"tests/{tier}" not in makefile} == set()


def test_no_generated_or_secret_file_is_committed() -> None:
    unwanted = re.compile(r"(^|/)(\.env|var/|.*\.(pem|key|pyc|db|sqlite3))($|/)")

    assert [
        name
        for path in files_of_the_repository()
        if unwanted.search(name := path.relative_to(ROOT).as_posix())
    ] == []


def test_what_tests_share_in_a_package_is_shared_in_a_real_one() -> None:
    # pytest takes `scope="package"` outside a package for `scope="session"`: servers stay open to the end.
    asks = [path for path in (ROOT / "tests").rglob("*.py") if 'scope="package"' in text_of(path)]
    homeless = {path.parent for path in asks if path != Path(__file__).resolve()}
    assert [str(folder) for folder in homeless if not (folder / "__init__.py").exists()] == []
