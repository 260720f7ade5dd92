"""`make` and the script that makes .venv, as far as they can be tried without installing anything."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "cat", "cksum", "dirname", "head", "sort", "awk", "df", "mkdir", "rm")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the setup script reads, in a folder with a space in its name."""
    tree = tmp_path / "my checkout"
    (tree / "infra").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "uv.lock", "infra/setup.sh"):
        shutil.copy(ROOT / name, tree / name)
    return tree


@pytest.fixture
def bin_dir(tmp_path: Path) -> Path:
    """A PATH of its own: the ordinary tools, and no Python and no uv but what a test puts there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (folder / tool).symlink_to(found)
    return folder


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def set_up(checkout: Path, bin_dir: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "infra/setup.sh"],
        cwd=checkout,
        env={"PATH": str(bin_dir), "HOME": str(checkout.parent), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


# Does what the script asks uv to do, and leaves a record of how it was asked.
FAKE_UV = """
case "$1" in
    --version) echo "uv 0.9.1" ;;
    cache) echo "$HOME/.cache/uv" ;;
    sync)
        echo "$@" >>"$HOME/uv-calls"
        mkdir -p .venv/bin
        printf '#!/bin/sh\\n' >.venv/bin/python
        cp .venv/bin/python .venv/bin/megacity
        chmod +x .venv/bin/python .venv/bin/megacity ;;
esac
"""


def test_make_alone_prints_every_target_that_people_may_call() -> None:
    makefile = (ROOT / "Makefile").read_text()
    described = set(re.findall(r"^([a-z0-9%-]+):.*## ", makefile, flags=re.MULTILINE))

    printed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert described >= {
        "setup",
        "run",
        "test",
        "lint",
        "typecheck",
        "unit",
        "integration",
        "contract",
        "e2e",
    }
    assert described >= {"architecture", "soak", "bench", "bench-%", "clean", "openapi", "format", "lock"}
    assert {target for target in described if f"make {target} " not in printed} == set()


def test_an_old_python_is_refused_with_a_sentence_that_says_what_to_install(
    checkout: Path, bin_dir: Path
) -> None:
    program(bin_dir / "python3", "exit 1")  # what a too old Python answers when it is asked for its version

    done = set_up(checkout, bin_dir)

    assert done.returncode == 1
    assert "needs Python 3.11 or newer, and none was found" in done.stderr
    assert "make PYTHON=" in done.stderr


def test_a_named_python_that_does_not_work_is_refused_by_its_name(checkout: Path, bin_dir: Path) -> None:
    done = set_up(checkout, bin_dir, PYTHON="python9")

    assert done.returncode == 1
    assert "PYTHON=python9 is not a working Python 3.11 or newer" in done.stderr


def test_a_python_without_venv_and_pip_is_refused_with_the_package_to_install(
    checkout: Path, bin_dir: Path
) -> None:
    program(
        bin_dir / "python3",
        'case "$*" in *version_info*) exit 0 ;; *executable*) echo "$0" ;; *) exit 1 ;; esac',
    )

    done = set_up(checkout, bin_dir)

    assert done.returncode == 1
    assert "apt install python3-venv" in done.stderr


@pytest.fixture
def ready(checkout: Path, bin_dir: Path) -> Path:
    """A checkout that was set up once."""
    (bin_dir / "cp").symlink_to(str(shutil.which("cp")))
    (bin_dir / "chmod").symlink_to(str(shutil.which("chmod")))
    (bin_dir / "python3").symlink_to(sys.executable)
    program(bin_dir / "uv", FAKE_UV)
    done = set_up(checkout, bin_dir)
    assert done.returncode == 0, done.stderr
    return checkout


def calls_of_uv(checkout: Path) -> list[str]:
    return (checkout.parent / "uv-calls").read_text().splitlines()


def test_the_lock_file_is_followed_and_the_sample_extra_is_installed(ready: Path) -> None:
    (call,) = calls_of_uv(ready)

    assert "sync --frozen" in call
    assert "--extra samples" in call


def test_a_second_setup_calls_nothing(ready: Path, bin_dir: Path) -> None:
    done = set_up(ready, bin_dir)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(calls_of_uv(ready)) == 1


@pytest.mark.parametrize("changed", ["uv.lock", "pyproject.toml"])
def test_a_changed_lock_file_is_followed_anew(changed: str, ready: Path, bin_dir: Path) -> None:
    with (ready / changed).open("a") as file:
        file.write("\n# changed\n")

    assert set_up(ready, bin_dir).returncode == 0
    assert len(calls_of_uv(ready)) == 2


def test_another_extra_is_added(ready: Path, bin_dir: Path) -> None:
    set_up(ready, bin_dir, EXTRAS="samples stt")

    assert calls_of_uv(ready)[-1].endswith("--extra samples --extra stt")


def test_with_kafka_the_brokers_extra_is_installed_and_the_program_told(ready: Path, bin_dir: Path) -> None:
    make = str(shutil.which("make"))
    environment = {"PATH": str(bin_dir), "HOME": str(ready.parent)}

    def ran(*words: str) -> str:
        done = subprocess.run(
            [make, *words], cwd=ready, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    ran("setup", "WITH_KAFKA=1", "EXTRAS=samples export")
    assert calls_of_uv(ready)[-1].endswith("--extra samples --extra export --extra kafka")
    ran("setup", "WITH_KAFKA=1")
    assert calls_of_uv(ready)[-1].endswith("--extra samples --extra kafka")
    assert "up --with-kafka --once" in ran("--dry-run", "run", "WITH_KAFKA=1", "ONCE=1")
    assert "--with-kafka" not in ran("--dry-run", "run", "WITH_KAFKA=0")
    assert "up --with-redis --once" in ran("--dry-run", "run", "WITH_REDIS=1", "ONCE=1")
    assert "--with-redis" not in ran("--dry-run", "run", "WITH_REDIS=0")


def test_a_moved_checkout_gets_a_new_environment(ready: Path, bin_dir: Path) -> None:
    (ready / ".venv" / "left-over").touch()
    moved = ready.rename(ready.parent / "elsewhere")

    done = set_up(moved, bin_dir)

    assert "was moved" in done.stderr
    assert not (moved / ".venv" / "left-over").exists()
    assert len(calls_of_uv(moved)) == 2


def test_caches_stay_in_the_checkout_where_the_home_folder_cannot_hold_them(
    checkout: Path, bin_dir: Path
) -> None:
    for tool in ("cp", "chmod"):
        (bin_dir / tool).symlink_to(str(shutil.which(tool)))
    (bin_dir / "python3").symlink_to(sys.executable)
    program(
        bin_dir / "uv", 'echo "$UV_CACHE_DIR" >>"$RECORD"\n' + FAKE_UV.replace("$HOME", str(checkout.parent))
    )
    record = checkout.parent / "caches"

    done = set_up(checkout, bin_dir, HOME="/nonexistent", RECORD=str(record))

    assert done.returncode == 0, done.stderr
    assert set(record.read_text().split("\n")) >= {str(checkout / "var" / "cache" / "uv")}


def test_continuous_integration_calls_make_test_and_points_at_the_test_data(tmp_path: Path) -> None:
    tree = tmp_path / "checkout"
    (tree / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", tree / ".ci" / "run")
    (tmp_path / "shared" / "data").mkdir(parents=True)
    tools = tmp_path / "bin"
    tools.mkdir()
    program(tools / "make", 'echo "make $*; data $MEGACITY_TEST_DATA; kafka $REQUIRE_KAFKA"')
    environment = {key: value for key, value in os.environ.items() if key != "MEGACITY_TEST_DATA"}
    environment["PATH"] = f"{tools}{os.pathsep}{environment['PATH']}"

    done = subprocess.run(
        ["bash", str(tree / ".ci" / "run")], env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout == f"make test; data {tmp_path / 'shared' / 'data'}; kafka 1\n"
