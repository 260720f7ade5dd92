"""`megacity cat simulate`: adaptive tests given to recorded or drawn examinees."""

import math
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.cat.options import (
    BankFile,
    Estimate,
    High,
    Low,
    PlotFile,
    Points,
    PriorMean,
    PriorSd,
    Select,
)
from infra.cli.console import CommandError


def command(  # noqa: PLR0913, PLR0917 - each is an option of the command
    bank: BankFile,
    responses: Annotated[
        Path | None,
        typer.Option("--responses", help="CSV of what each examinee would answer; then nothing is drawn."),
    ] = None,
    examinees: Annotated[
        int | None, typer.Option("--examinees", min=1, help="Draw so many from N(0, 1) instead.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of what is drawn.")] = 1,
    select: Annotated[Select, typer.Option("--select", help="Rule of choice, see below.")] = "mfi",
    estimate: Annotated[Estimate, typer.Option("--estimate", help="How ability is estimated.")] = "eap",
    stop_se: Annotated[
        float, typer.Option("--stop-se", min=0, help="Stop below this standard error; 0: never for that.")
    ] = 0.3,
    max_items: Annotated[int, typer.Option("--max-items", min=1, help="Stop after so many items.")] = 50,
    min_items: Annotated[int, typer.Option("--min-items", min=0, help="Do not stop before so many.")] = 0,
    start: Annotated[float, typer.Option("--start", help="Ability at which the first item is chosen.")] = 0.0,
    prior_mean: PriorMean = 0.0,
    prior_sd: PriorSd = 1.0,
    points: Points = 61,
    low: Low = -6.0,
    high: High = 6.0,
    out: Annotated[
        Path | None, typer.Option("--out", help="CSV to write: examinee,n,theta,se,stop_reason,items.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option("--truth", help="CSV to write of those drawn: examinee,theta.")
    ] = None,
    plot: PlotFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Give adaptive tests and print how good they were: length, RMSE, bias, coverage, exposure, by ability.

    Rules of choice: mfi (maximum information), mei (maximum expected information), pwi (posterior-weighted
    information), kl (Kullback-Leibler), a-stratified (four strata), randomesque (one of the best five),
    progressive, proportional. Chance in the last three comes from --seed.

    Items are chosen by exact evaluation; ties go to the lowest index. With --responses the result is
    deterministic, and an item without a response is not given to that examinee; with --examinees the same
    seed gives the same people, whatever the rules.
    """
    from infra.cli.cat.estimating import Prior
    from infra.cli.cat.simulating import Request, run

    if (responses is None) == (examinees is None):
        raise CommandError("Say either --responses FILE or --examinees N.")
    if truth is not None and examinees is None:
        raise CommandError("--truth needs --examinees: the ability of recorded examinees is not known.")
    if not math.isfinite(start):
        raise CommandError(f"--start {start:g} is no ability.")
    if max_items < min_items:
        raise CommandError(f"--min-items {min_items} is more than --max-items {max_items}.")
    request = Request(
        bank=bank,
        responses=responses,
        examinees=examinees,
        seed=seed,
        select=select,
        estimate=estimate,
        stop_se=stop_se or None,
        max_items=max_items,
        min_items=min_items,
        start=start,
        prior=Prior(prior_mean, prior_sd, points, low, high),
        out=out,
        truth=truth,
        plot=plot,
        as_json=as_json,
    )
    run(request)
