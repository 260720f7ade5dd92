"""`megacity`: one command line for everything.

Each command lives in a module of its own, `infra.cli.<name>`, and is imported only when it is called: help
stays quick, and a package that is missing stops only the command that needs it. Such a module holds either

- `command`, a function with typer's annotations, or
- `app`, a `typer.Typer` with sub-commands.

What goes wrong in a way that a person can do something about is raised as `CommandError` (or one of the
errors of `_speaking_errors`) and ends as one sentence and exit code 2. Everything else is a bug: one line and
exit code 1, with the traceback where `--debug` is given.
"""

import importlib
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from infra.cli.console import EXIT_FAILED, EXIT_REFUSED, CommandError, print_error

COMMANDS = {
    "up": "Start everything: database, migrations, sample data, server.",
    "serve": "Run one role, or all of them, against a database that is already there.",
    "migrate": "Bring the database schema up to date.",
    "projection": "Look at projections and rebuild them from the log.",
    "log": "Read the event log.",
    "replay": "Show the history of one stream, event by event.",
    "zone": "Look at zones, attest what they need, turn them on and off.",
    "roles": "Who holds which role; accounts of leavers and unused ones.",
    "roster": "People and classes of an organisation from a file.",
    "admin": "Make the first system administrator.",
    "sample": "Play sample exams and recorded responses through the API.",
    "cat": "Adaptive testing on CSV files: simulate, score, calibrate, compare.",
    "keys": "Look at the keys that sign access tokens, and change them.",
    "policy": "Rules of access: try them out, explain what they decided.",
    "doctor": "Say what works here, what is missing, and how to get it.",
}


class _NotLoadedYet(TyperCommand):
    """Stands in the list of commands for a module that is not imported."""


class _Commands(TyperGroup):
    """Imports a command's module when the command is called, and turns what goes wrong into a sentence."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        for name, summary in COMMANDS.items():
            self.add_command(_NotLoadedYet(name, help=summary))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, found, rest = super().resolve_command(ctx, args)
        if isinstance(found, _NotLoadedYet):
            found = _load(str(found.name))
        return name, found, rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, typer.TyperException, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            raise typer.Exit(_report(error, debug=bool(ctx.params.get("debug")))) from error


app = typer.Typer(
    name="megacity",
    cls=_Commands,
    help="DreamSeedAI MegaCity: exams on an event log.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"megacity {version('megacity')}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of whatever fails.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """DreamSeedAI MegaCity: exams on an event log."""
    del debug, version  # `debug` is read where errors end; `version` by its callback


def _load(name: str) -> Any:
    """The command in `infra.cli.<name>`. Raises `CommandError` where a package that it needs is missing."""
    try:
        module = importlib.import_module(f"infra.cli.{name}")
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] == "infra":
            raise  # ours, so a bug and no missing package
        raise CommandError(
            f"`megacity {name}` needs the Python package {error.name!r}, which is not installed.",
            remedy="`make setup` installs what is missing; `megacity doctor` names the extras.",
        ) from error
    if hasattr(module, "app"):
        group = typer.main.get_group(module.app)
        group.name = name
        return group
    single = typer.Typer(add_completion=False)
    single.command(name=name, help=module.command.__doc__ or COMMANDS[name])(module.command)
    return typer.main.get_command(single)


def _report(error: Exception, *, debug: bool) -> int:
    """Prints what happened and answers with the exit code."""
    if isinstance(error, CommandError):
        print_error(error.message, error.remedy)
        return error.exit_code
    if isinstance(error, _speaking_errors()):
        for line in str(error).splitlines():
            print_error(line)
        return EXIT_REFUSED
    text = f"unexpected {type(error).__name__}: {error}"
    print_error(text, None if debug else "`megacity --debug ...` shows where it happened.")
    return EXIT_FAILED


def _speaking_errors() -> tuple[type[Exception], ...]:
    """Errors of parts below the command line whose text is already a sentence for a person."""
    from infra.kafka.port import KafkaError
    from infra.observability.tracing import TracingPackagesMissing
    from infra.payments.webhooks import UnusableSecretsFile
    from infra.postgres.errors import PostgresError
    from infra.postgres.runlock import AlreadyRunning
    from infra.rate_limits.embedded import StoreError
    from infra.secrets_files import SecretFileError
    from infra.settings import InvalidSettings

    return (
        InvalidSettings,
        KafkaError,
        SecretFileError,
        PostgresError,
        StoreError,
        AlreadyRunning,
        TracingPackagesMissing,
        UnusableSecretsFile,
    )


if __name__ == "__main__":
    app()
