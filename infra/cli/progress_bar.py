"""A bar on standard error that shows how far a long command has come."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from infra.cli.console import progress


@contextmanager
def bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Tell it what is done and what there is in all. Where nobody looks, at a pipe, nothing is shown."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = progress()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,  # else it leaves an empty line
    ) as bars:
        task = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
