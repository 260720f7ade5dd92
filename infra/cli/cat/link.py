"""`megacity cat link`: put one calibration on the scale of another."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from infra.cli.cat.options import PlotFile, refusals_told


def command(
    from_: Annotated[Path, typer.Option("--from", help="Bank CSV: the common items on their old scale.")],
    to: Annotated[Path, typer.Option("--to", help="Bank CSV: the same items, same order, on the new scale.")],
    method: Annotated[
        Literal["mm", "ms", "haebara", "sl"],
        typer.Option("--method", help="mean-mean, mean-sigma, Haebara or Stocking-Lord."),
    ] = "sl",
    errors: Annotated[
        bool, typer.Option("--errors", help="Print standard errors too: jackknife over the common items.")
    ] = False,
    plot: PlotFile = None,
) -> None:
    """Print the A and B of theta_to = A * theta_from + B, as one JSON object.

    The curve methods sum over the from-items' curves on the to-scale, in one direction, with N(0,1) weights
    on 61 points of [-6, 6].
    """
    from domain.cat import linking
    from domain.cat.linking_errors import jackknife_errors
    from infra.cli.cat.banks import read_bank
    from infra.cli.cat.pictures import draw_link, require_plots
    from infra.cli.cat.results import one_line
    from infra.cli.cat.tables import TableError
    from infra.cli.console import progress

    methods: dict[str, linking.Method] = {
        "mm": "mean_mean",
        "ms": "mean_sigma",
        "haebara": "haebara",
        "sl": "stocking_lord",
    }
    require_plots(plot)
    here, there = read_bank(from_), read_bank(to)
    if len(here) != len(there):
        raise TableError(to, f"{len(there)} items, where {from_} has {len(here)}")
    for row, (name, other) in enumerate(zip(here.names, there.names, strict=True), start=2):
        if name != other:
            progress().print(
                f"{to}, row {row}: {other!r} is taken to be {name!r} of {from_}", soft_wrap=True, markup=False
            )
    told: dict[str, float] = {}
    with refusals_told():
        found = linking.link(methods[method], here.items, there.items)
        if errors:
            spread = jackknife_errors(methods[method], here.items, there.items)
            told = {"se_A": spread.se_A, "se_B": spread.se_B}
    if not found.converged:
        progress().print("The search for A and B stopped before it had converged.", soft_wrap=True)
    if plot is not None:
        draw_link(plot, here.items, there.items, found.A, found.B)
    print(one_line({"A": found.A, "B": found.B, **told}))
