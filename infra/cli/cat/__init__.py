"""`megacity cat`: adaptive testing on files, without database or settings; and live attempts explained.

numpy is loaded by the commands alone, so that help stays quick.
"""

import typer

from infra.cli.cat import assemble, calibrate, calibrate_bank, dif, explain, link, report, score, simulate

app = typer.Typer(
    help="Adaptive testing on CSV files: simulate, score, calibrate, compare.", no_args_is_help=True
)
for name, command in (
    ("simulate", simulate.command),
    ("score", score.command),
    ("calibrate", calibrate.command),
    ("calibrate-bank", calibrate_bank.command),
    ("dif", dif.command),
    ("link", link.command),
    ("assemble", assemble.command),
    ("explain", explain.command),
    ("report", report.command),
):
    app.command(name)(command)
