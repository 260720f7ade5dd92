"""How the command line speaks: results on standard output, progress and errors on standard error."""

from typing import Any

EXIT_FAILED = 1
EXIT_REFUSED = 2


class CommandError(Exception):
    """A command cannot be carried out, for a reason that the person can do something about.

    `message` says what is the matter in one sentence; `remedy`, where there is one, says what to do.
    """

    def __init__(self, message: str, *, remedy: str | None = None, exit_code: int = EXIT_REFUSED) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.exit_code = exit_code


def output() -> Any:
    """A rich console for results, on standard output."""
    from rich.console import Console

    return Console(highlight=False)


def progress() -> Any:
    """A rich console for progress and remarks, on standard error, so that results can be piped."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def print_error(message: str, remedy: str | None = None) -> None:
    """One sentence on standard error, and what to do about it."""
    from rich.text import Text

    console = progress()
    # Text, not markup: a message may hold square brackets. Soft wrap: a path must stay in one piece.
    console.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
    if remedy is not None:
        console.print(Text(f"       {remedy}"), soft_wrap=True)
