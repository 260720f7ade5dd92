import importlib.util
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from infra.cli import main
from infra.cli.console import CommandError
from infra.postgres.runlock import AlreadyRunning

Plant = Callable[..., None]


@pytest.fixture
def run() -> Callable[..., tuple[int, str]]:
    """Calls `megacity` and answers with its exit code and what it printed."""

    def call(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main.app, list(arguments))
        return result.exit_code, result.output

    return call


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Puts a module of our own making in the place of one of the commands."""

    def put(name: str, **contents: object) -> None:
        module = types.ModuleType(f"infra.cli.{name}")
        module.__dict__.update(contents)
        monkeypatch.setitem(sys.modules, f"infra.cli.{name}", module)

    return put


def failing(error: Exception) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize("name", sorted(main.COMMANDS))
def test_every_command_in_the_list_has_its_module(name: str) -> None:
    assert importlib.util.find_spec(f"infra.cli.{name}") is not None


@pytest.mark.parametrize("name", sorted(main.COMMANDS))
def test_every_command_explains_itself(name: str, run) -> None:
    exit_code, printed = run(name, "--help")

    assert exit_code == 0, printed
    assert f" {name} " in printed


def test_help_lists_every_command(run) -> None:
    _, printed = run("--help")

    assert [name for name in main.COMMANDS if name not in printed] == []


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from infra.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'fastapi', 'psycopg', 'pydantic', 'numpy', 'httpx', 'eventsourcing', 'uvicorn'}\n"
        "sys.exit(sorted(heavy & set(sys.modules)) or 0)\n"
    )
    root = Path(main.__file__).parents[2]

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_the_version_is_told(run) -> None:
    assert run("--version") == (0, "megacity 0.1.0\n")


def test_a_misspelt_command_is_answered_with_the_right_one(run) -> None:
    exit_code, printed = run("docter")

    assert exit_code == 2
    assert "doctor" in printed


def test_a_module_with_a_function_is_a_command(run, plant: Plant) -> None:
    def command(port: int = 1) -> None:
        typer.echo(f"port {port}")

    plant("serve", command=command)

    assert run("serve", "--port", "8") == (0, "port 8\n")


def test_a_module_with_an_app_is_a_group_even_with_one_sub_command(run, plant: Plant) -> None:
    app = typer.Typer()

    @app.command()
    def play(name: str) -> None:
        typer.echo(f"playing {name}")

    plant("sample", app=app)

    assert run("sample", "play", "LSAT7") == (0, "playing LSAT7\n")


def test_a_refusal_is_one_sentence_a_remedy_and_exit_code_2(run, plant: Plant) -> None:
    plant("up", command=failing(CommandError("The port [8000] is taken.", remedy="Take another.")))

    exit_code, printed = run("up")

    assert exit_code == 2
    assert printed.splitlines() == ["error: The port [8000] is taken.", "       Take another."]


def test_a_second_start_is_refused_in_the_words_of_the_lock(run, plant: Plant) -> None:
    plant("up", command=failing(AlreadyRunning(4711, None)))

    exit_code, printed = run("up")

    assert exit_code == 2
    assert printed.startswith("error: MegaCity is already running in this checkout (process 4711)")
    assert "Traceback" not in printed


def test_a_bad_setting_is_refused_by_the_name_of_its_variable(
    run, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command() -> None:
        from infra.settings import load_settings

        load_settings()

    plant("serve", command=command)
    monkeypatch.setenv("MEGACITY_HTTP__PORT", "eighty")

    exit_code, printed = run("serve")

    assert exit_code == 2
    assert printed.startswith("error: MEGACITY_HTTP__PORT: ")
    assert "Traceback" not in printed


def test_a_bug_is_one_line_and_exit_code_1(run, plant: Plant) -> None:
    plant("up", command=failing(ZeroDivisionError("by zero")))

    exit_code, printed = run("up")

    assert exit_code == 1
    assert printed.splitlines()[0] == "error: unexpected ZeroDivisionError: by zero"
    assert "Traceback" not in printed


def test_debug_shows_where_a_bug_is(run, plant: Plant) -> None:
    plant("up", command=failing(ZeroDivisionError("by zero")))

    exit_code, printed = run("--debug", "up")

    assert exit_code == 1
    assert "Traceback" in printed
    assert "in command" in printed


def test_the_exit_code_that_a_command_chooses_is_kept(run, plant: Plant) -> None:
    plant("doctor", command=failing(typer.Exit(1)))

    assert run("doctor") == (1, "")


def test_a_missing_package_stops_only_the_command_that_needs_it(
    run, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NotThere:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "infra.cli.sample":
                raise ModuleNotFoundError("No module named 'mirt'", name="mirt")

    monkeypatch.delitem(sys.modules, "infra.cli.sample", raising=False)
    monkeypatch.setattr(sys, "meta_path", [NotThere, *sys.meta_path])
    plant("serve", command=lambda: typer.echo("serving"))

    exit_code, printed = run("sample")

    assert exit_code == 2
    assert "`megacity sample` needs the Python package 'mirt', which is not installed." in printed
    assert "make setup" in printed
    assert run("serve") == (0, "serving\n")
