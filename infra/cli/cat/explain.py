"""`megacity cat explain`: an adaptive attempt, decision by decision, from the log alone."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def command(
    attempt: Annotated[str, typer.Argument(help="The adaptive attempt, such as attempt-….")],
    step: Annotated[
        int | None, typer.Option("--step", min=1, help="Only the decision about this position, from 1.")
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, max=100, help="How many candidates are shown.")] = 5,
    form: Annotated[Literal["text", "json"], typer.Option("--format", help="What is printed.")] = "text",
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw the path of ability: .svg, .png or .pdf.")
    ] = None,
) -> None:
    """Tell why an adaptive attempt took the course that it took, and derive each decision again.

    For every item: what was known of the ability, which items came into question and what they were worth,
    what narrowed them, and what the answer changed; in the end why the test ended. The exit code is 1 where
    a decision that is derived again is not the one that was recorded.
    """
    from infra.cli.cat.explaining import explain

    explain(attempt, step=step, top=top, as_json=form == "json", plot=plot)
