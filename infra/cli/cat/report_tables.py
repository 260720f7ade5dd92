"""The report of an adaptive exam as text."""

from typing import Any, Final

from infra.cli.console import printable, table_output
from projections.adaptive_report.figures import AbilityBin, AdaptiveReport
from projections.adaptive_report.groups import GroupReport

ITEMS_SHOWN: Final = 10
REASONS: Final = {
    "se": "standard error reached",
    "max_items": "greatest number of items",
    "min_information": "no item tells enough",
    "pool_exhausted": "no item left",
    "examinee": "handed in early",
    "clock": "time was up",
    "teacher": "ended by a teacher",
}


def print_report(title: str, report: AdaptiveReport, groups: GroupReport | None) -> None:
    console = table_output()
    console.print(f"{printable(title)}  ({report.exam_id})", style="bold", soft_wrap=True, markup=False)
    console.print(_summary(report))
    if report.attempts:
        console.print()
        console.print(_by_ability(report.by_ability))
        for sentence in gaps_in_words(report):
            console.print(sentence, soft_wrap=True)
        console.print()
        console.print(_most_given(report))
    if report.person_fit.most_unusual:
        console.print()
        console.print(_unusual(report))
    if groups is not None:
        console.print()
        _print_groups(console, groups)


def gaps_in_words(report: AdaptiveReport) -> list[str]:
    """A sentence for each stretch of ability with a gap."""
    sentences = []
    for gap, what in (
        (
            "precision",
            f"no test of {report.max_items} items reaches a standard error of {_f(report.stop_se, 2)}",
        ),
        ("fresh_items", f"none does without items that over {report.exposure_limit:.0%} have been given"),
    ):
        stretches: list[list[AbilityBin]] = []
        last = None
        for number, each in enumerate(report.by_ability):
            if each.gap != gap:
                continue
            if last == number - 1:
                stretches[-1].append(each)
            else:
                stretches.append([each])
            last = number
        for stretch in stretches:
            low, high = stretch[0].low, stretch[-1].high
            ended = sum(each.attempts for each in stretch)
            sentences.append(f"Gap {_range(low, high)}: {what} ({ended:,} of {report.attempts:,} attempts).")
    return sentences


def _summary(report: AdaptiveReport) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    known = report.pool_size - report.pretest_items
    rows = [
        ("pool", f"{known:,} items", f"and {report.pretest_items:,} pretest items"),
        ("attempts", f"{report.attempts:,}", f"scored; {report.attempts_open:,} still open"),
    ]
    if report.attempts:
        fit, reference = report.person_fit, report.reference
        rows += [
            (
                "mean length",
                _f(report.length.mean, 2),
                f"items; a 500-item bank: {reference.mean_length:.0f}",
            ),
            ("mean SE", _f(report.se.mean, 3), f"logits; below the target: {_p(report.share_below_stop_se)}"),
            ("expected RMSE", _f(report.expected_rmse, 3), f"logits; a 500-item bank: {reference.rmse:.2f}"),
            ("reliability", _f(report.reliability, 3), "of the estimates"),
            (
                "shrinkage",
                _f(report.shrinkage, 3),
                f"logits on average; at the extremes {_f(report.shrinkage_at_extremes, 3)}",
            ),
            ("median duration", _f(_minutes(report.duration_s.median), 1), "minutes"),
            ("overlap", _p(report.overlap), "of the items of two attempts are the same"),
            (
                "highest exposure",
                _p(report.highest_exposure),
                f"{report.overexposed:,} above {report.exposure_limit:.0%}; {report.never_given:,} never",
            ),
            (
                "unusual patterns",
                f"{fit.flagged:,}",
                f"of {fit.attempts:,} with lz* < {fit.limit:g}; by chance at most {fit.nominal_share:.0%}",
            ),
        ]
        rows += [
            (f"ended: {REASONS.get(reason, reason)}", f"{count:,}", f"{count / report.attempts:.1%}")
            for reason, count in report.stop_reasons.items()
        ]
    for row in rows:
        table.add_row(*row)
    return table


def _by_ability(bins: list[AbilityBin]) -> Any:
    table = _table("Ability (logits): use, and what the pool could do")
    for heading in ("from", "to", "attempts", "items", "SE", "information\nused", "different\nitems"):
        table.add_column(heading, justify="right")
    for heading in ("information\nof pool", "best\nSE", "items\nneeded", "of fresh\nones"):
        table.add_column(heading, justify="right")
    table.add_column("gap")
    for each in bins:
        table.add_row(
            "…" if each.low is None else f"{each.low:+.1f}",
            "…" if each.high is None else f"{each.high:+.1f}",
            f"{each.attempts:,}",
            _f(each.mean_length, 1),
            _f(each.mean_se, 3),
            _f(each.information_used, 1),
            f"{each.items_given:,}",
            _f(each.information_of_pool, 1),
            _f(each.best_se, 3),
            "-" if each.items_needed is None else str(each.items_needed),
            "-" if each.fresh_items_needed is None else str(each.fresh_items_needed),
            "" if each.gap is None else each.gap.replace("_", " "),
        )
    return table


def _most_given(report: AdaptiveReport) -> Any:
    table = _table("Items given most")
    table.add_column("item")
    table.add_column("area")
    for heading in ("a", "b", "c", "given", "exposure", "right", "expected", "median s"):
        table.add_column(heading, justify="right")
    for item in sorted(report.items, key=lambda each: -each.given)[:ITEMS_SHOWN]:
        table.add_row(
            printable(item.code or str(item.ordinal)),
            printable(item.area or ""),
            *(_f(value, 2) for value in (item.a, item.b, item.c)),
            f"{item.given:,}",
            f"{item.exposure:.1%}",
            _f(item.right, 2),
            _f(item.expected_right, 2),
            _f(item.median_s, 1),
        )
    return table


def _unusual(report: AdaptiveReport) -> Any:
    table = _table("Unusual patterns: reasons to look")
    table.add_column("attempt")
    for heading in ("lz*", "ability", "items"):
        table.add_column(heading, justify="right")
    for each in report.person_fit.most_unusual[:ITEMS_SHOWN]:
        table.add_row(each.attempt_id, f"{each.lz_star:.2f}", f"{each.theta:+.2f}", str(each.items))
    return table


def _print_groups(console: Any, groups: GroupReport) -> None:
    table = _table("Outcomes by group (differences: from everybody else, at equal ability)")
    table.add_column("group")
    for heading in ("attempts", "ability", "items", "SE", "shrinkage", "items:\ndifference", "p"):
        table.add_column(heading, justify="right")
    for heading in ("SE:\ndifference", "p"):
        table.add_column(heading, justify="right")
    table.add_column("ended")
    for each in groups.groups:
        length, se = each.length_difference, each.se_difference
        reasons = sorted(each.stop_reasons.items(), key=lambda pair: -pair[1])
        table.add_row(
            printable(each.group),
            f"{each.attempts:,}",
            f"{each.mean_theta:+.2f}",
            f"{each.mean_length:.1f}",
            f"{each.mean_se:.3f}",
            f"{each.shrinkage:+.3f}",
            _signed(length.at_equal_ability, 2),
            _f(length.p_value, 3),
            _signed(se.at_equal_ability, 4),
            _f(se.p_value, 3),
            ", ".join(f"{reason} {count / each.attempts:.0%}" for reason, count in reasons),
        )
    console.print(table)
    if groups.hidden:
        console.print(f"Groups of fewer than {groups.least_shown} people are not shown: {groups.hidden}.")
    if groups.without_group:
        console.print(f"Attempts of people without a group: {groups.without_group:,}.")
    for found in groups.dif:
        names = f"{printable(found.group)} and {printable(found.reference)}"
        console.print()
        if not found.compared:
            console.print(f"DIF, {names}: no item was answered often enough by both.", markup=False)
            continue
        console.print(
            f"DIF, {names}: {len(found.items)} of {found.compared} items in class B or C.", markup=False
        )
        for item in found.items[:ITEMS_SHOWN]:
            harder = found.group if item.delta < 0 else found.reference
            console.print(
                f"  {printable(item.code or item.item_id)}  {item.ets_class}  delta {item.delta:+.2f}  "
                f"p {item.p_value:.4f}  harder for {printable(harder)}",
                markup=False,
            )


def _table(title: str) -> Any:
    from rich.table import Table

    return Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        title=title,
        title_justify="left",
        title_style="bold",
    )


def _range(low: float | None, high: float | None) -> str:
    if low is None:
        return "everywhere" if high is None else f"below {high:+.1f}"
    return f"above {low:+.1f}" if high is None else f"from {low:+.1f} to {high:+.1f}"


def _minutes(seconds: float | None) -> float | None:
    return None if seconds is None else seconds / 60


def _f(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value:.{places}f}"


def _signed(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value:+.{places}f}"


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
