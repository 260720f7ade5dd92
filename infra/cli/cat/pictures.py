"""Pictures of what the commands found, by matplotlib, which is an optional package."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from domain.cat.category_model import CategoryModel
from domain.cat.lockstep import Paths
from domain.cat.rescaling import locations, rescaled
from domain.cat.simulation import Use
from domain.cat.types import Floats
from infra.cli.cat.banks import Bank
from infra.cli.cat.results import check_target, drawn_whole
from infra.cli.console import CommandError

FORMATS: Final = (".svg", ".png", ".pdf")
_ABILITIES: Final = np.linspace(-4.0, 4.0, 161)
_UNREMARKABLE: Final = ("A", "-", "")


def require_plots(file: Path | None) -> None:
    """Says before the work begins that no picture can be drawn to `file`. Raises CommandError."""
    if file is None:
        return
    if file.suffix.lower() not in FORMATS:
        raise CommandError(f"The name {file.name} does not end in {', '.join(FORMATS)}.")
    check_target(file)
    if find_spec("matplotlib") is None:
        raise CommandError(
            "--plot needs the Python package 'matplotlib', which is not installed.",
            remedy='`make setup EXTRAS="plots"` installs it.',
        )


def draw_simulation(file: Path, paths: Paths, use: Use, true_theta: Floats | None) -> None:
    """Estimates, by the truth where it is known, with their errors; test length; exposure of the items."""
    figure, (left, middle, right) = _figure(3)
    if true_theta is None:
        left.scatter(paths.theta, paths.se, s=6, alpha=0.5)
        left.set(xlabel="estimated ability", ylabel="standard error")
    else:
        left.scatter(true_theta, paths.theta, s=6, alpha=0.5)
        ends = [float(true_theta.min()), float(true_theta.max())]
        left.plot(ends, ends, color="black", linewidth=0.8)
        left.set(xlabel="true ability", ylabel="estimated ability")
    middle.hist(paths.counts, bins=np.arange(0.5, paths.counts.max() + 1.5))
    middle.set(xlabel="items given", ylabel="examinees")
    right.bar(np.arange(use.exposure.size), np.sort(use.exposure)[::-1], width=1.0)
    right.set(xlabel="items, most used first", ylabel="share of examinees")
    _save(figure, file)


def draw_scores(file: Path, bank: Bank, theta: Floats, se: Floats) -> None:
    """The distribution of the estimates, their errors, and the information of the whole bank."""
    figure, (left, middle, right) = _figure(3)
    left.hist(theta[np.isfinite(theta)], bins=30)
    left.set(xlabel="estimated ability", ylabel="examinees")
    middle.scatter(theta, se, s=6, alpha=0.5)
    middle.set(xlabel="estimated ability", ylabel="standard error")
    _draw_information(right, bank.items)
    _save(figure, file)


def draw_items(file: Path, items: CategoryModel) -> None:
    """The expected score of each item by ability, and the information of all together."""
    figure, (left, right) = _figure(2)
    scores = items.expected_scores(_ABILITIES)
    left.plot(_ABILITIES, scores, linewidth=0.7, alpha=0.7)
    left.set(xlabel="ability", ylabel="expected score of each item")
    _draw_information(right, items)
    _save(figure, file)


def draw_dif(file: Path, names: Sequence[str], effect: Floats, flag: Sequence[str], label: str) -> None:
    """The effect of each item, in the file's order; the flag of those that have one other than A."""
    figure, axes = _figure(1)
    rows = np.arange(len(names))
    told = np.array([each not in _UNREMARKABLE for each in flag])
    axes.axhline(0.0, color="black", linewidth=0.8)
    axes.scatter(rows[~told], effect[~told], s=14, label="nothing remarkable")
    axes.scatter(rows[told], effect[told], s=22, color="tab:red", marker="D", label="flagged")
    for row in rows[told & np.isfinite(effect)]:
        at = (row, effect[row])
        axes.annotate(
            f"{names[row]} ({flag[row]})", at, xytext=(5, -2), textcoords="offset points", fontsize=6
        )
    axes.set(xlabel="items", ylabel=label)
    axes.legend(fontsize=7)
    _save(figure, file)


def draw_link(file: Path, here: CategoryModel, there: CategoryModel, scale: float, shift: float) -> None:
    """The common items on the new scale: as they were put there, and as they were calibrated there."""
    figure, (left, right) = _figure(2)
    moved = rescaled(here, scale, shift)
    old, new = locations(moved), locations(there)
    ends = [min(old.min(), new.min()), max(old.max(), new.max())]
    left.plot(ends, ends, color="black", linewidth=0.8)
    left.scatter(new, old, s=14)
    left.set(xlabel="location on the new scale", ylabel=f"{scale:.3f} · location on the old one {shift:+.3f}")
    for items, name in ((there, "as calibrated there"), (moved, "put there by the linking")):
        right.plot(_ABILITIES, items.expected_scores(_ABILITIES).sum(axis=1), label=name)
    right.set(xlabel="ability on the new scale", ylabel="expected score of the common items")
    right.legend(fontsize=7)
    _save(figure, file)


def _draw_information(axes: Any, items: CategoryModel) -> None:
    axes.plot(_ABILITIES, items.information(_ABILITIES).sum(axis=1))
    axes.set(xlabel="ability", ylabel="information of all items")
    axes.set_ylim(bottom=0)


def _figure(columns: int) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * columns, 3.6), layout="constrained")  # no window, whatever the machine
    return figure, figure.subplots(1, columns)


def _save(figure: Any, file: Path) -> None:
    with drawn_whole(file) as draft:
        figure.savefig(draft, metadata={"Date": None} if file.suffix.lower() == ".svg" else None)
