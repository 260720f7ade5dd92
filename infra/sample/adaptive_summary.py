"""What the play of the adaptive sample exam came to, for a screen."""

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from infra.sample.adaptive_player import AdaptivePlayReport

SHOWN = 8


def print_adaptive(console: Console, report: AdaptivePlayReport) -> None:
    pool = f"{report.pool_size - report.pretest_items} items and {report.pretest_items} pretest items"
    last = report.examinees[-1].attempt_id
    console.print(
        Group(
            Text("Adaptive sample exam", style="bold"),
            Text(f"Simulated examinees, of whom the truth is known; a pool of {pool}.", style="dim"),
            _figures(report),
            Text(),
            _examinees(report),
        )
    )
    console.print()
    console.print("See more:")
    for command, what in (
        (f"megacity cat explain {last}", "why each item of a test was chosen"),
        (f"megacity cat report {report.exam_id}", "how the exam uses its bank"),
    ):
        # In one piece, to be copied.
        console.print(Text.assemble("  .venv/bin/", command, ("  # " + what, "dim")), soft_wrap=True)


def _figures(report: AdaptivePlayReport) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    rows = [
        ("examinees", str(len(report.examinees))),
        ("mean length (items)", f"{report.mean_length:.1f}"),
        ("mean standard error (logits)", f"{report.mean_se:.3f}"),
        ("RMSE against the truth", f"{report.rmse:.3f}"),
        ("bias", f"{report.bias:+.3f}"),
        *((f"ended by {reason}", str(count)) for reason, count in report.stop_reasons.items()),
    ]
    if report.highest_exposure is not None:
        rows.append(("item given most often", f"{report.highest_exposure:.0%}"))
    rows.append(("items never given", str(report.never_given)))
    if report.answers:
        rate = report.answers / max(report.duration_s, 0.001)
        rows.append(("answers of this play", f"{report.answers} in {report.duration_s:.1f} s ({rate:.0f}/s)"))
    for row in rows:
        table.add_row(*row)
    return table


def _examinees(report: AdaptivePlayReport) -> Table:
    """Some of them, from the least to the most able."""
    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        title="Some of them",
        title_justify="left",
        title_style="bold",
    )
    for heading in ("true\nability", "found", "standard\nerror", "items"):
        table.add_column(heading, justify="right", no_wrap=True)
    by_ability = sorted(report.examinees, key=lambda each: each.true_theta)
    last = len(by_ability) - 1
    for place in sorted({round(last * number / (SHOWN - 1)) for number in range(SHOWN)}):
        each = by_ability[place]
        found = each.found
        table.add_row(
            f"{each.true_theta:+.2f}", f"{found.theta:+.2f}", f"{found.se:.2f}", str(found.items_counted)
        )
    return table
