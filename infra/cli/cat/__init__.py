"""`megacity cat`: adaptive testing on files, without database or settings.

numpy is loaded by the commands alone, so that help stays quick.
"""

import typer

from infra.cli.cat import assemble, calibrate, dif, link, score, simulate

app = typer.Typer(
    help="Adaptive testing on CSV files: simulate, score, calibrate, compare.", no_args_is_help=True
)
for name, command in (
    ("simulate", simulate.command),
    ("score", score.command),
    ("calibrate", calibrate.command),
    ("dif", dif.command),
    ("link", link.command),
    ("assemble", assemble.command),
):
    app.command(name)(command)
