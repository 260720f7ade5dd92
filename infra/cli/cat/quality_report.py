"""How good simulated tests were, as tables or as one JSON object."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from domain.cat.lockstep import StopReason
from domain.cat.simulation import Accuracy, Use
from infra.cli.cat.results import as_json as json_text
from infra.cli.console import output


def print_quality(
    use: Use, groups: Sequence[Accuracy], reasons: Sequence[StopReason], *, as_json: bool
) -> None:
    """`groups`: all examinees first, then those of each range of true ability; empty where it is unknown."""
    stopped = {reason.value: count for reason, count in sorted(Counter(reasons).items())}
    if as_json:
        print(json_text(_as_content(use, groups, stopped)))
        return
    from rich.table import Table

    console = output()
    summary = Table(box=None, pad_edge=False, show_header=False)
    summary.add_column()
    summary.add_column(justify="right")
    for label, value in _figures(use, groups[0] if groups else None):
        summary.add_row(label, value)
    for reason, count in stopped.items():
        summary.add_row(f"stopped by {reason}", f"{count:,}")
    console.print(summary)
    if groups:
        console.print()
        console.print(_by_ability(groups[1:]))


def _figures(use: Use, everybody: Accuracy | None) -> list[tuple[str, str]]:
    found = [("mean length", f"{use.mean_length:.2f}"), ("mean SE", f"{use.mean_se:.4f}")]
    if everybody is not None:
        found += [
            ("RMSE", f"{everybody.rmse:.4f}"),
            ("bias", f"{everybody.bias:+.4f}"),
            ("coverage of 95 % intervals", f"{everybody.coverage:.4f}"),
        ]
    return [
        *found,
        ("highest exposure", f"{use.exposure.max():.4f}"),
        ("items never used", f"{use.unused:.1%}"),
        ("overlap of two examinees", f"{use.overlap:.4f}"),
    ]


def _by_ability(groups: Sequence[Accuracy]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("true ability", "examinees", "mean length", "mean SE", "RMSE", "bias", "coverage"):
        table.add_column(column, justify="right")
    for each in groups:
        table.add_row(
            f"{_edge(each.low)} to {_edge(each.high)}",
            f"{each.count:,}",
            *(
                f"{value:{form}}" if each.count else "-"
                for value, form in (
                    (each.mean_length, ".2f"),
                    (each.mean_se, ".4f"),
                    (each.rmse, ".4f"),
                    (each.bias, "+.4f"),
                    (each.coverage, ".4f"),
                )
            ),
        )
    return table


def _edge(value: float) -> str:
    return "…" if math.isinf(value) else f"{value:g}"


def _as_content(use: Use, groups: Sequence[Accuracy], stopped: dict[str, int]) -> dict[str, Any]:
    content: dict[str, Any] = {
        "mean_length": use.mean_length,
        "mean_se": _finite(use.mean_se),
        "stopped": stopped,
        "exposure": use.exposure.tolist(),
        "highest_exposure": float(use.exposure.max()),
        "unused": use.unused,
        "overlap": _finite(use.overlap),
    }
    if groups:
        content |= _accuracy(groups[0])
        content["by_ability"] = [
            {"from": _finite(each.low), "to": _finite(each.high), "mean_length": _finite(each.mean_length)}
            | {"examinees": each.count, "mean_se": _finite(each.mean_se)}
            | _accuracy(each)
            for each in groups[1:]
        ]
    return content


def _accuracy(group: Accuracy) -> dict[str, float | None]:
    return {name: _finite(getattr(group, name)) for name in ("rmse", "bias", "coverage")}


def _finite(value: float) -> float | None:
    """JSON has neither NaN nor infinity."""
    return value if math.isfinite(value) else None
