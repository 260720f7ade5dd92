"""The path of one adaptive attempt as a picture."""

from collections.abc import Sequence
from pathlib import Path

from domain.cat.live.retelling import Retold
from domain.cat.simulation import NORMAL_95
from infra.cli.cat.results import drawn_whole


def draw_path(file: Path, told: Sequence[Retold], difficulties: Sequence[float | None]) -> None:
    """Ability with its 95 % interval by position, and the difficulty of each item, right or wrong."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 4.5), layout="constrained")
    axes = figure.subplots()
    first = told[0].before
    known = [(0, first.theta, first.se)]
    known += [(each.step, each.update.theta, each.update.se) for each in told if each.update is not None]
    steps, theta = [step for step, *_ in known], [value for _, value, _ in known]
    low = [value - NORMAL_95 * se for _, value, se in known]
    high = [value + NORMAL_95 * se for _, value, se in known]
    axes.fill_between(steps, low, high, alpha=0.2, linewidth=0, label="95 % interval")
    axes.plot(steps, theta, marker=".", label="ability")
    for right, marker, name in (
        (True, "^", "difficulty of an item answered right"),
        (False, "v", "of one answered wrong"),
    ):
        at = [
            (each.step, b)
            for each, b in zip(told, difficulties, strict=False)
            if b is not None and each.update is not None and each.update.right is right
        ]
        if at:
            places, values = [place for place, _ in at], [b for _, b in at]
            axes.scatter(places, values, 28, marker=marker, facecolors="none", edgecolors="black", label=name)
    axes.set(xlabel="position", ylabel="logits")
    axes.legend(frameon=False)
    with drawn_whole(file) as draft:
        figure.savefig(draft, metadata={"Date": None} if file.suffix.lower() == ".svg" else None)
