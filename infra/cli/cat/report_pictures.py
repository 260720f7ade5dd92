"""Pictures of an adaptive exam, by matplotlib, which is an optional package.

Colours are those of Okabe and Ito, and scales that go from light to dark where there are many: all can be
told apart with any kind of colour vision, and shapes say the same once more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path as File
from typing import Any, Final

import numpy as np

from domain.cat.coverage import coverage
from domain.cat.logistic import LogisticItems
from domain.cat.simulation import NORMAL_95
from infra.cli.cat.report_tables import REASONS
from infra.cli.cat.results import drawn_whole
from infra.cli.console import CommandError
from projections.adaptive_report.figures import AdaptiveReport, ItemUse
from projections.adaptive_report.tally import EDGES

BLUE, ORANGE, VERMILION, GREEN, GREY = "#0072B2", "#E69F00", "#D55E00", "#009E73", "#6b6b6b"
PALE: Final = "#d9d9d9"
_ABILITIES: Final = np.linspace(-4.0, 4.0, 321)
_WIDE: Final = (8.0, 4.6)
_STYLE: Final[Any] = {
    "font.size": 10,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": "#333333",
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "megacity",
}


@dataclass(frozen=True)
class Step:
    """One item of a test. `difficulty` is None of a pretest item; the rest is None until it is answered."""

    code: str
    difficulty: float | None
    pretest: bool
    right: bool | None
    theta: float | None
    se: float | None


@dataclass(frozen=True)
class Path:
    attempt_id: str
    prior_mean: float
    prior_sd: float
    stop_reason: str | None
    steps: Sequence[Step]


def require_pictures() -> None:
    """Raises CommandError where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise CommandError(
            "--plot needs the Python package 'matplotlib', which is not installed.",
            remedy='`make setup EXTRAS="plots"` installs it.',
        )


def draw_report(folder: File, suffix: str, report: AdaptiveReport, path: Path | None, *, items: bool) -> None:
    """information, exposure and use always; items and path where they are wanted."""
    from matplotlib import rc_context

    with rc_context(_STYLE):
        pictures = {"information": _information(report), "exposure": _exposure(report), "use": _use(report)}
        if items:
            pictures["items"] = _items(report)
        if path is not None:
            pictures["path"] = _path(path)
        for name, figure in pictures.items():
            _save(figure, folder / f"{name}.{suffix}")


def _information(report: AdaptiveReport) -> Any:
    """What the pool tells, what one test of it can tell at most, what is wanted, and where people are."""
    figure, axes = _figure(_WIDE)
    bank = _bank(report.items)
    if bank is not None:
        found = coverage(bank, _ABILITIES, report.max_items, report.stop_se, report.prior_sd)
        axes.plot(_ABILITIES, found.information, color=BLUE, linewidth=2, label="all items of the pool")
        axes.plot(
            _ABILITIES,
            found.best,
            color=GREEN,
            linewidth=2,
            linestyle=(0, (6, 2)),
            label=f"best test of {report.max_items} items",
        )
    if report.stop_se is not None:
        wanted = report.stop_se**-2 - report.prior_sd**-2
        axes.axhline(wanted, color=VERMILION, linewidth=1.5, linestyle=(0, (2, 2)))
        axes.annotate(
            f"wanted for SE {report.stop_se:g}",
            (-3.95, wanted),
            xytext=(0, 4),
            textcoords="offset points",
            color=VERMILION,
        )
    _people(axes, report)
    axes.set(
        xlabel="ability (logits)",
        ylabel="test information",
        xlim=(-4, 4),
        title="Information of the pool, and where the examinees are",
    )
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper right")
    return figure


def _people(axes: Any, report: AdaptiveReport) -> None:
    """A histogram of final abilities behind the curves, as high as a third of the picture."""
    counts = np.array([each.attempts for each in report.by_ability])
    if not counts.any():
        return
    behind = axes.twinx()
    behind.set_zorder(0)
    axes.set_zorder(1)
    axes.patch.set_visible(False)
    centres = [each.point for each in report.by_ability]
    behind.bar(centres, counts, width=0.48, color=PALE, zorder=0)
    behind.set_ylim(0, counts.max() * 3)
    behind.set_yticks([0, int(counts.max())])
    behind.tick_params(axis="y", colors=GREY, length=0)
    behind.spines["right"].set_visible(False)
    behind.set_ylabel("attempts (grey)", color=GREY, loc="bottom")


def _exposure(report: AdaptiveReport) -> Any:
    """How many items were given to how many; those that nobody got stand apart."""
    figure, axes = _figure(_WIDE)
    rates = np.array([each.exposure for each in report.items])
    used = rates[rates > 0]
    top = max(0.3, float(np.ceil(rates.max(initial=0.0) * 20) / 20))
    bins = np.arange(0, top + 0.026, 0.025)
    limit = report.exposure_limit
    counts, edges = np.histogram(used, bins)
    colours = [VERMILION if low >= limit else BLUE for low in edges[:-1]]
    axes.bar(edges[:-1], counts, width=0.023, align="edge", color=colours)
    axes.bar([-0.03], [report.never_given], width=0.023, align="edge", color=GREY)
    highest = max(int(counts.max(initial=0)), report.never_given, 1)
    axes.annotate(
        f"never\n{report.never_given}",
        (-0.0185, report.never_given),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        color=GREY,
    )
    if limit <= top:
        axes.axvline(limit, color=VERMILION, linewidth=1.5, linestyle=(0, (2, 2)))
        axes.annotate(
            f"limit {limit:.0%}: {report.overexposed} items above",
            (limit, highest * 1.08),
            xytext=(5, 0),
            textcoords="offset points",
            color=VERMILION,
            va="center",
        )
    axes.set_ylim(0, highest * 1.18)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}" if value >= 0 else "")
    axes.yaxis.get_major_locator().set_params(integer=True)
    overlap = "" if report.overlap is None else f"; two tests share {report.overlap:.0%} of their items"
    axes.set(
        xlabel=f"share of the {report.attempts:,} attempts in which an item was given",
        ylabel="items",
        title=f"Exposure of {report.pool_size:,} items{overlap}",
    )
    return figure


def _use(report: AdaptiveReport) -> Any:
    """Which items go to whom: items by difficulty against final ability."""
    figure, axes = _figure((8.0, 5.6))
    known = sorted((each for each in report.items if each.b is not None), key=lambda each: each.b or 0.0)
    people = np.array([each.attempts for each in report.by_ability], dtype=np.float64)
    given = np.array([each.by_ability for each in known], dtype=np.float64).reshape(len(known), people.size)
    shares = np.divide(given, people, out=np.full_like(given, np.nan), where=people > 0)
    edges = np.concatenate(([EDGES[0] - 0.5], EDGES, [EDGES[-1] + 0.5]))
    mesh = axes.pcolormesh(
        edges, np.arange(len(known) + 1), shares, cmap="Blues", vmin=0, vmax=1, rasterized=True
    )
    somebody = np.flatnonzero(people)
    if somebody.size:
        axes.set_xlim(edges[somebody[0]], edges[somebody[-1] + 1])
    bar = figure.colorbar(mesh, ax=axes, fraction=0.04, pad=0.02)
    bar.set_label("share of the attempts in the bin")
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    bar.outline.set_visible(False)
    ticks = np.unique(np.linspace(0, len(known) - 1, 9).astype(int)).tolist() if known else []
    axes.set_yticks([row + 0.5 for row in ticks], [_logits(known[row].b or 0.0) for row in ticks])
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(
        xlabel="final ability (logits)",
        ylabel="items, by difficulty b (logits)",
        title="Use by ability: who was given which items",
    )
    return figure


def _items(report: AdaptiveReport) -> Any:
    """Characteristic and information curves, coloured by difficulty; the most informative are named."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    figure, (left, right) = _figure((11.0, 4.6), 2)
    bank = _bank(report.items)
    if bank is None:
        return figure
    codes = [each.code or str(each.ordinal) for each in report.items if each.b is not None]
    chances, informations = bank.correct(_ABILITIES), bank.information(_ABILITIES)
    limit = max(2.0, float(np.abs(bank.b).max()))
    scale = Normalize(-limit, limit)
    colours = colormaps["viridis"](scale(bank.b))
    thin = {"linewidth": 0.9, "alpha": 0.75}
    for column in range(len(bank)):
        left.plot(_ABILITIES, chances[:, column], color=colours[column], **thin)
        right.plot(_ABILITIES, informations[:, column], color=colours[column], **thin)
    for column in _apart(informations, 5):
        at = int(informations[:, column].argmax())
        right.annotate(
            codes[column],
            (_ABILITIES[at], informations[at, column]),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            zorder=5,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.8},
        )
    left.set(
        xlabel="ability (logits)",
        ylabel="probability of a right answer",
        ylim=(0, 1),
        title=f"Characteristic curves of {len(bank)} items",
    )
    left.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    right.set(xlabel="ability (logits)", ylabel="item information", title="What each item tells")
    right.set_ylim(0, float(informations.max()) * 1.1)
    for axes in (left, right):
        axes.set_xlim(-4, 4)
    bar = figure.colorbar(ScalarMappable(scale, "viridis"), ax=[left, right], fraction=0.03, pad=0.02)
    bar.set_label("difficulty b (logits)")
    bar.outline.set_visible(False)
    return figure


def _apart(informations: Any, most: int) -> list[int]:
    """The items that tell most where they tell most, but none less than a logit from a higher one."""
    at = informations.argmax(axis=0)
    peaks, heights = _ABILITIES[at], informations.max(axis=0)
    chosen: list[int] = []
    for column in np.argsort(-heights).tolist():
        on_top = heights[column] >= informations[at[column]].max()
        if on_top and all(abs(peaks[column] - peaks[other]) >= 1 for other in chosen):
            chosen.append(column)
        if len(chosen) == most:
            break
    return chosen


def _path(path: Path) -> Any:
    """The estimate after each item with its 95 % interval, the answers and the difficulties of the items."""
    figure, axes = _figure(_WIDE)
    answered = [(number, step) for number, step in enumerate(path.steps, 1) if step.theta is not None]
    numbers = np.array([0, *(number for number, _ in answered)])
    theta = np.array([path.prior_mean, *(step.theta for _, step in answered)], dtype=np.float64)
    se = np.array([path.prior_sd, *(step.se for _, step in answered)], dtype=np.float64)
    axes.fill_between(
        numbers,
        theta - NORMAL_95 * se,
        theta + NORMAL_95 * se,
        color=BLUE,
        alpha=0.14,
        linewidth=0,
        label="95 % interval",
    )
    axes.plot(numbers, theta, color=BLUE, linewidth=2, label="ability")
    for right, marker, colour, label in (
        (True, "o", GREEN, "item, answered right"),
        (False, "X", VERMILION, "item, answered wrong"),
    ):
        at = [
            (number, step.difficulty)
            for number, step in answered
            if step.right is right and step.difficulty is not None and not step.pretest
        ]
        if at:
            axes.scatter(*zip(*at, strict=True), marker=marker, color=colour, s=38, zorder=3, label=label)
    hidden = [number for number, step in enumerate(path.steps, 1) if step.pretest]
    if hidden:
        floor = float((theta - NORMAL_95 * se).min())
        axes.scatter(hidden, [floor] * len(hidden), marker="D", color=GREY, s=26, label="pretest item")
    axes.annotate(
        f"{_logits(float(theta[-1]), 2)} ± {NORMAL_95 * se[-1]:.2f}",
        (numbers[-1], theta[-1]),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        color=BLUE,
        fontweight="bold",
        annotation_clip=False,
    )
    ended = "" if path.stop_reason is None else f": {REASONS.get(path.stop_reason, path.stop_reason)}"
    axes.set(
        xlabel="items given",
        ylabel="ability, and difficulty of the items (logits)",
        xlim=(0, max(len(path.steps), 1) * 1.02),
        title=f"A test of {len(path.steps)} items{ended}",
    )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.axhline(path.prior_mean, color=PALE, linewidth=1, zorder=0)
    # Below the picture: the path may go anywhere in it.
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=5, columnspacing=1.4, handletextpad=0.5
    )
    return figure


def _logits(value: float, places: int = 1) -> str:
    """With its sign, a real minus, and no sign before nought."""
    rounded = round(value, places)
    return f"{rounded:+.{places}f}".replace("-", "\N{MINUS SIGN}") if rounded else f"{0:.{places}f}"


def _bank(items: Sequence[ItemUse]) -> LogisticItems | None:
    known = [(each.a, each.b, each.c, each.d) for each in items if each.b is not None]
    return LogisticItems.of(*np.array(known, dtype=np.float64).T) if known else None


def _figure(size: tuple[float, float], columns: int = 1) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", dpi=150)  # no window, whatever the machine
    return figure, figure.subplots(1, columns)


def _save(figure: Any, file: File) -> None:
    with drawn_whole(file) as draft:
        figure.savefig(draft, metadata={"Date": None} if file.suffix.lower() == ".svg" else None)
