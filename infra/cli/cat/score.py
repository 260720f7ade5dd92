"""`megacity cat score`: abilities from responses."""

from typing import Annotated

import typer

from infra.cli.cat.options import (
    BankFile,
    Estimate,
    High,
    Low,
    OutFile,
    PlotFile,
    Points,
    PriorMean,
    PriorSd,
    ResponsesFile,
    refusals_told,
)


def command(  # noqa: PLR0913, PLR0917 - each is an option of the command
    bank: BankFile,
    responses: ResponsesFile,
    out: OutFile,
    method: Annotated[Estimate, typer.Option("--method", help="How ability is estimated.")] = "eap",
    prior_mean: PriorMean = 0.0,
    prior_sd: PriorSd = 1.0,
    points: Points = 61,
    low: Low = -6.0,
    high: High = 6.0,
    plot: PlotFile = None,
) -> None:
    """Estimate each examinee's ability: examinee,theta,se.

    The prior (eap, map) is normal; eap is worked out on the grid, the others search between its ends. Where
    the likelihood has no maximum (ml: all right, all wrong) theta is the end and se is inf.
    """
    from infra.cli.cat.banks import read_bank
    from infra.cli.cat.estimating import Prior, estimator
    from infra.cli.cat.pictures import draw_scores, require_plots
    from infra.cli.cat.responses import read_responses_to
    from infra.cli.cat.results import check_target, number, write_csv
    from infra.cli.progress_bar import bar

    check_target(out)
    require_plots(plot)
    prior = Prior(prior_mean, prior_sd, points, low, high)
    prior.grid()  # refused before the files are read
    items = read_bank(bank)
    given = read_responses_to(items, responses)
    with refusals_told(), bar("Scoring examinees") as tell:
        theta, se = estimator(method, items.items, prior)(given.values, tell)
    rows = zip(given.examinees, map(number, theta), map(number, se), strict=True)
    write_csv(out, ("examinee", "theta", "se"), rows)
    if plot is not None:
        draw_scores(plot, items, theta, se)
