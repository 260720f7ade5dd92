"""`megacity cat dif`: items that work differently in two groups."""

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from infra.cli.cat.options import OutFile, PlotFile, ResponsesFile, refusals_told
from infra.cli.console import CommandError

_EFFECTS: Final = {
    "mh": "delta; below 0 harder for the focal group",
    "logistic": "change of Nagelkerke's R²",
    "lord": "b of the focal group less b of the reference",
}


def command(  # noqa: PLR0913, PLR0917 - each is an option of the command
    responses: ResponsesFile,
    group: Annotated[Path, typer.Option("--group", help="CSV: examinee,group (0 reference, 1 focal).")],
    out: OutFile,
    method: Annotated[
        Literal["mh", "logistic", "lord"],
        typer.Option("--method", help="Mantel-Haenszel, logistic regression, Lord's chi-square."),
    ] = "mh",
    correction: Annotated[
        bool, typer.Option("--correction/--no-correction", help="mh: correct for continuity.")
    ] = True,
    purify: Annotated[
        bool, typer.Option("--purify", help="Leave items with DIF out of the matching score, and repeat.")
    ] = False,
    kind: Annotated[
        Literal["both", "uniform", "nonuniform"], typer.Option("--kind", help="logistic: which test.")
    ] = "both",
    model: Annotated[
        Literal["1pl", "2pl", "3pl"], typer.Option("--model", help="lord: how each group is calibrated.")
    ] = "2pl",
    plot: PlotFile = None,
) -> None:
    """Compare two groups item by item: item,statistic,p_value,effect,flag.

    mh: chi-square, effect is the ETS delta (below 0: harder for the focal group), flag its class A, B or C.
    logistic: likelihood-ratio chi-square, effect is the change of Nagelkerke's R², flag the class of Jodoin
    and Gierl. lord: each group is calibrated by itself and linked by mean and sigma; chi-square of all
    parameters, effect is b of the focal group less b of the reference, flag * where p < 0.05. Where an item
    leaves nothing to compare its numbers are empty and the flag is -.
    """
    from infra.cli.cat.comparing import Method, compare
    from infra.cli.cat.pictures import draw_dif, require_plots
    from infra.cli.cat.responses import columns_told, read_groups, read_responses
    from infra.cli.cat.results import check_target, number, write_csv
    from infra.cli.console import progress

    if method != "logistic" and kind != "both":
        raise CommandError("--kind belongs to --method logistic.")
    if method != "mh" and not correction:
        raise CommandError("--no-correction belongs to --method mh.")
    if method != "lord" and model != "2pl":
        raise CommandError("--model belongs to --method lord.")
    check_target(out)
    require_plots(plot)
    given = read_responses(responses, most=1)
    groups = read_groups(group, given)
    with refusals_told(), columns_told(given):
        found = compare(
            Method(method, correction=correction, purify=purify, kind=kind, model=model), given.values, groups
        )
    for remark in found.remarks:
        progress().print(remark, soft_wrap=True, markup=False)
    columns = (map(number, each) for each in (found.statistic, found.p_value, found.effect))
    write_csv(
        out,
        ("item", "statistic", "p_value", "effect", "flag"),
        zip(given.names, *columns, found.flag, strict=True),
    )
    if plot is not None:
        draw_dif(plot, given.names, found.effect, found.flag, _EFFECTS[method])
