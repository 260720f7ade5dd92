"""docs/operations.md names commands and options that exist."""

import re

import pytest
from typer.testing import CliRunner

from infra.cli.main import app
from tests.support.postgres import CHECKOUT

PAGE = (CHECKOUT / "docs" / "operations.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"`megacity (log|projection) ([a-z]+)", PAGE)))


@pytest.mark.parametrize(("group", "command"), COMMANDS)
def test_a_command_of_the_operations_page_exists(group, command):
    assert CliRunner().invoke(app, [group, command, "--help"]).exit_code == 0


def test_the_page_names_all_commands_of_the_log():
    named = {command for group, command in COMMANDS if group == "log"}
    assert named == {"tail", "stats", "show", "search", "export"}


@pytest.mark.parametrize("command", ["tail", "search", "export"])
def test_events_are_chosen_by_the_options_that_the_page_names(command):
    shown = CliRunner().invoke(app, ["log", command, "--help"], env={"COLUMNS": "200"}).stdout
    options = ["--actor", "--action", "--since", "--until", "--zone", "--type", "--category"]
    for option in [*options, *([] if command == "tail" else ["--after", "--up-to"])]:
        assert option in shown
        assert f"`{option}" in PAGE
