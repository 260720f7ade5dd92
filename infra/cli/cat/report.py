"""`megacity cat report`: how an adaptive exam uses its bank, and what its tests came to, by group too."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from infra.cli.console import CommandError


def command(  # noqa: PLR0913, PLR0917 - each is an option of the command
    exam: Annotated[str, typer.Argument(help="The adaptive exam, such as exam-….")],
    groups: Annotated[
        Path | None,
        typer.Option("--groups", help="CSV: examinee,group; compares outcomes and looks for DIF."),
    ] = None,
    by: Annotated[
        Literal["organization"] | None, typer.Option("--by", help="Groups that the system itself knows.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for report.json, items.csv, by_ability.csv and pictures."),
    ] = None,
    plot: Annotated[
        Literal["svg", "png"] | None, typer.Option("--plot", help="Draw pictures into the folder of --out.")
    ] = None,
    items: Annotated[
        bool, typer.Option("--items", help="Draw the characteristic curves of the items, too.")
    ] = False,
    attempt: Annotated[
        str | None, typer.Option("--attempt", help="Draw the path of this attempt, too.")
    ] = None,
    exposure_limit: Annotated[
        float,
        typer.Option("--exposure-limit", min=0, max=1, help="Items given to a larger share are not fresh."),
    ] = 0.25,
    form: Annotated[Literal["text", "json"], typer.Option("--format", help="What is printed.")] = "text",
) -> None:
    """Report how an adaptive exam uses its bank: exposure, overlap, gaps, precision, lengths, person fit.

    With groups (`--groups` or `--by`): length, standard error and shrinkage of each group, raw and at equal
    ability, and items that work differently. Groups of fewer than ten people are not shown. It asks the
    database of this checkout, or that of DATABASE_URL, and sees every organisation.
    """
    from infra.cli.cat.reporting import Request, run

    if groups is not None and by is not None:
        raise CommandError("--groups and --by are two ways to say the same: use one.")
    if (plot is not None or items or attempt is not None) and (out is None or plot is None):
        raise CommandError("Pictures need --plot svg (or png), and --out for the folder that they go to.")
    run(
        Request(
            exam=exam,
            groups=groups,
            by_organization=by is not None,
            out=out,
            plot=plot,
            items=items,
            attempt=attempt,
            exposure_limit=exposure_limit,
            as_json=form == "json",
        )
    )
