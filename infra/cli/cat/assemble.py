"""`megacity cat assemble`: the best fixed test form under constraints."""

import math
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.cat.options import BankFile, OutFile, PlotFile, refusals_told
from infra.cli.console import CommandError


def command(  # noqa: PLR0913, PLR0917 - each is an option of the command
    bank: BankFile,
    length: Annotated[int, typer.Option("--length", min=1, help="Items in the form.")],
    out: OutFile,
    constraints: Annotated[
        Path | None, typer.Option("--constraints", help="CSV: constraint,kind,column,value,low,high.")
    ] = None,
    theta: Annotated[
        list[float] | None,
        typer.Option("--theta", help="Ability to measure at; may be repeated: the sum counts. Default: 0."),
    ] = None,
    gap: Annotated[
        float, typer.Option("--gap", min=0, help="How far from the best form it may be, relatively.")
    ] = 1e-4,
    plot: PlotFile = None,
) -> None:
    """Choose the form that informs most at the abilities given: item,index,information.

    Kinds of constraint, over a column of the bank: `count` (items whose column has the value: low to high of
    them), `sum` (the column's numbers add up to low to high), `enemies` (of the items with the value one at
    most; without a value, for each value in turn), `testlet` (of the items with the value all or none, or
    low to high or none; without a value, for each in turn).
    """
    import numpy as np

    from domain.cat.shadow.assembler import ShadowAssembler
    from infra.cli.cat.banks import read_bank
    from infra.cli.cat.blueprints import blueprint_of
    from infra.cli.cat.pictures import draw_items, require_plots
    from infra.cli.cat.results import check_target, number, write_csv
    from infra.cli.console import output

    for each in theta or ():
        if not math.isfinite(each):
            raise CommandError(f"--theta {each:g} is no ability.")
    check_target(out)
    require_plots(plot)
    source = read_bank(bank)
    at = np.array(theta or [0.0])
    with refusals_told():
        blueprint = blueprint_of(source, length, constraints)
        information = source.items.information(at).sum(axis=0)
        test = ShadowAssembler(blueprint, gap).assemble(information)
    rows = ((source.names[item], int(item), number(information[item])) for item in test.items)
    write_csv(out, ("item", "index", "information"), rows)
    console = output()
    console.print(f"information  {test.value:.9g} (no form has more than {test.bound:.9g})")
    if test.binding:
        console.print(f"binding      {', '.join(test.binding)}", soft_wrap=True, markup=False)
    if plot is not None:
        draw_items(plot, source.items[test.items])
