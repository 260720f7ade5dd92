"""`megacity cat calibrate`: item parameters from responses."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from infra.cli.cat.options import High, Low, OutFile, PlotFile, Points, ResponsesFile


def command(  # noqa: PLR0913, PLR0917 - each is an option of the command
    responses: ResponsesFile,
    out: OutFile,
    model: Annotated[
        Literal["1pl", "2pl", "3pl", "4pl", "grm", "gpcm", "pcm"],
        typer.Option("--model", help="Response model of all items."),
    ] = "2pl",
    anchors: Annotated[
        Path | None,
        typer.Option("--anchors", help="Bank CSV of items that are known and stay as they are."),
    ] = None,
    no_priors: Annotated[
        bool, typer.Option("--no-priors", help="Leave out what the 3PL and 4PL assume of a, c and d.")
    ] = False,
    max_iterations: Annotated[int, typer.Option("--max-iterations", min=1, help="Steps of EM.")] = 500,
    points: Points = 61,
    low: Low = -6.0,
    high: High = 6.0,
    plot: PlotFile = None,
) -> None:
    """Estimate item parameters by marginal maximum likelihood: a bank, and FILE.json beside it.

    Ability is N(0, 1) on the grid; with anchors its mean and spread in this group are estimated. 3PL: c has
    the prior beta(5, 17) unless --no-priors is given. The JSON holds loglik (marginal, without priors, on the
    grid), iterations, converged, AIC, BIC, standard errors and what was assumed.
    """
    from infra.cli.cat.calibrating import Request, run
    from infra.cli.cat.estimating import Prior

    run(
        Request(
            responses=responses,
            out=out,
            model=model,
            anchors=anchors,
            no_priors=no_priors,
            max_iterations=max_iterations,
            prior=Prior(points=points, low=low, high=high),
            plot=plot,
        )
    )
