"""How the command line speaks: results on standard output, progress and errors on standard error."""

from typing import Any

EXIT_FAILED = 1
EXIT_REFUSED = 2
WIDTH_OF_A_PIPE = 10_000


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


def table_output() -> Any:
    """As `output`, for tables: into a pipe columns are as wide as what is in them, so that nothing is cut."""
    console = output()
    if not console.is_terminal:
        console.width = WIDTH_OF_A_PIPE
    return console


def printable(text: str) -> str:
    """What is stored may hold what a terminal obeys: that is shown instead of sent."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


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
