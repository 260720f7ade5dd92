"""`megacity admin`: the first system administrator."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.console import CommandError, output
from infra.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="Make the first system administrator.")

PROMPT = "Password"


@app.callback()
def _several_commands() -> None:
    # With one command alone typer would do without its name.
    """Make the first system administrator."""


@app.command()
def bootstrap(
    email: Annotated[str, typer.Option("--email", help="The account's address.")],
    name: Annotated[str, typer.Option("--name", help="As others see it.")] = "Administrator",
    zone: Annotated[str | None, typer.Option("--zone", help="Left out: the one of the settings.")] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(
            "--password-file",
            help="Holds the password in its first line. Left out, it is asked for.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ] = None,
    operator: Annotated[str, typer.Option("--operator", help="Who orders it, for the log.")] = "command-line",
) -> None:
    """Make the first system administrator. It works once: whoever is one makes others over HTTP."""
    password = _asked() if password_file is None else _in_file(password_file)
    asyncio.run(_bootstrap(email, name, zone, password, operator))


def _asked() -> str:
    if not sys.stdin.isatty():
        # Typed into a pipe it would stand in the shell's history.
        raise CommandError(
            "There is nobody to ask for a password here.", remedy="Name a file: --password-file FILE."
        )
    return str(typer.prompt(PROMPT, hide_input=True, confirmation_prompt=True))


def _in_file(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines or not lines[0]:
        raise CommandError("The first line of the password file is empty.")
    return lines[0]


async def _bootstrap(email: str, name: str, zone: str | None, password: str, operator: str) -> None:
    from commands.first_admin import FirstAdmin, make_first_admin
    from commands.zones import definition_of
    from domain.errors import DomainError
    from domain.users.account import EmailTaken
    from infra.cli.zone import operator_context
    from infra.composition import new_id, open_services, open_system
    from infra.observability.metrics import new_registry

    settings = load_settings()
    try:
        with open_system(settings) as system:
            async with open_services(settings, system.database, new_registry()) as services:
                services.password_rules.check(password)
                command = FirstAdmin(
                    email=_address(email),
                    password=password,
                    display_name=name,
                    language="en",
                    zone_id=definition_of(zone or settings.zone).zone_id,
                )
                made = await make_first_admin(services.write, operator_context(operator, new_id), command)
    except EmailTaken as refusal:
        raise CommandError(f"{email} has an account already: name another address.") from refusal
    except DomainError as refusal:
        raise CommandError(refusal.detail()) from refusal
    output().print(f"{made.stream_id} administers the system", soft_wrap=True)


def _address(email: str) -> str:
    from pydantic import TypeAdapter, ValidationError

    from commands.api.auth import Email

    try:
        return TypeAdapter(Email).validate_python(email)
    except ValidationError as error:
        raise CommandError("This is no e-mail address.") from error
