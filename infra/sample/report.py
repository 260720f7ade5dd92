"""The item analysis of an exam as tables for a screen, or for a file."""

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from infra.sample.analysis import ExamAnalysis, ItemAnalysis, ScoreCount

MAX_OPTION_COLUMNS = 8
MAX_HISTOGRAM_ROWS = 20
BAR_WIDTH = 50
UNDEFINED = "-"
LEGEND = "p: share of right answers. r: point-biserial, item included / left out. *: the key."


def print_analysis(console: Console, title: str, analysis: ExamAnalysis) -> None:
    bar = "#" if console.options.ascii_only else "█"
    console.print(
        Group(
            Text(title, style="bold"),
            _summary(analysis),
            Text(),
            _items(analysis.items),
            Text(LEGEND, style="dim"),
            Text(),
            _histogram(analysis.score_distribution, analysis.max_score, bar),
        )
    )


def _summary(analysis: ExamAnalysis) -> RenderableType:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for label, value in (
        ("examinees", str(analysis.n)),
        ("items", str(len(analysis.items))),
        (f"mean score (of {analysis.max_score})", _number(analysis.mean, 2)),
        ("standard deviation", _number(analysis.sd, 2)),
        ("coefficient alpha", _number(analysis.alpha, 4)),
        ("KR-20", _number(analysis.kr20, 4)),
        ("standard error of measurement", _number(analysis.sem, 2)),
    ):
        table.add_row(label, value)
    return table


def _items(items: Sequence[ItemAnalysis]) -> RenderableType:
    options = _option_columns(items)
    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),  # as narrow as this, five options fit on 80 columns
        title="Items",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("item", overflow="fold")
    # One word a line, so that a narrow screen has room for the options.
    for heading in ("p", "r\ntotal", "r\nrest", "alpha\nwithout"):
        table.add_column(heading, justify="right", no_wrap=True)
    if options is None:
        table.add_column("options", overflow="fold")
    else:
        for option in options:
            table.add_column(option, justify="right", no_wrap=True)
    table.add_column("no\nanswer", justify="right", no_wrap=True)
    for item in items:
        counts = _option_counts(item)
        cells = [" ".join(f"{name}: {count}" for name, count in counts.items())]
        if options is not None:
            cells = [counts.get(option, "") for option in options]
        table.add_row(
            item.code or str(item.ordinal),
            _number(item.p_value, 3),
            _number(item.point_biserial, 3),
            _number(item.point_biserial_corrected, 3),
            _number(item.alpha_if_item_deleted, 4),
            *cells,
            str(item.omitted),
        )
    return table


def _option_columns(items: Sequence[ItemAnalysis]) -> list[str] | None:
    """The options of all items, or None where they are too many for a column each."""
    options = list(dict.fromkeys(option.option for item in items for option in item.options))
    return options if len(options) <= MAX_OPTION_COLUMNS else None


def _option_counts(item: ItemAnalysis) -> dict[str, str]:
    return {option.option: f"{option.count}{'*' if option.is_key else ' '}" for option in item.options}


def _histogram(distribution: Sequence[ScoreCount], max_score: int, bar: str) -> RenderableType:
    table = Table(
        box=None, pad_edge=False, show_header=False, title="Scores", title_justify="left", title_style="bold"
    )
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    classes = score_classes(distribution, max_score)
    tallest = max((count for _, _, count in classes), default=0) or 1
    for low, high, count in classes:
        # Nobody has no bar, and somebody has one.
        length = -(-count * BAR_WIDTH // tallest)
        table.add_row(str(low) if low == high else f"{low}-{high}", str(count), bar * length)
    return table


def score_classes(distribution: Sequence[ScoreCount], max_score: int) -> list[tuple[int, int, int]]:
    """Lowest score, highest score and examinees of each class, from nought to the best score there can be.

    Classes are one score wide, or as wide as it takes to have at most `MAX_HISTOGRAM_ROWS` of them.
    """
    width = -(-(max_score + 1) // MAX_HISTOGRAM_ROWS)
    classes = []
    for low in range(0, max_score + 1, width):
        high = min(low + width - 1, max_score)
        count = sum(each.examinees for each in distribution if low <= each.score <= high)
        classes.append((low, high, count))
    return classes


def _number(value: float | None, places: int) -> str:
    return UNDEFINED if value is None else f"{value:.{places}f}"
