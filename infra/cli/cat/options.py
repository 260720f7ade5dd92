"""What several commands of `megacity cat` have in common: options, and refusals told as sentences."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from infra.cli.console import CommandError

Estimate: TypeAlias = Literal["eap", "map", "ml", "wle"]
Select: TypeAlias = Literal[
    "mfi", "mei", "pwi", "kl", "a-stratified", "randomesque", "progressive", "proportional"
]

BankFile = Annotated[Path, typer.Option("--bank", help="CSV: item,a,b,c,d,content (or with a column model).")]
ResponsesFile = Annotated[
    Path, typer.Option("--responses", help="CSV: examinee, then one column per item; empty for missing.")
]
OutFile = Annotated[Path, typer.Option("--out", help="CSV to write.")]
PlotFile = Annotated[
    Path | None, typer.Option("--plot", help="Draw a picture to this file (.svg, .png, .pdf).")
]
PriorMean = Annotated[float, typer.Option("--prior-mean", help="Mean of the normal prior.")]
PriorSd = Annotated[float, typer.Option("--prior-sd", help="Standard deviation of the normal prior.")]
Points = Annotated[int, typer.Option("--points", help="Points of the grid.")]
Low = Annotated[float, typer.Option("--low", help="Lower end of the grid.")]
High = Annotated[float, typer.Option("--high", help="Upper end of the grid.")]


@contextmanager
def refusals_told() -> Iterator[None]:
    """What the numerics refuse becomes a sentence of the command line."""
    from domain.cat.errors import CatError

    try:
        yield
    except CatError as error:
        raise CommandError(error.detail()) from error
