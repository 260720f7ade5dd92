"""An account of an adaptive attempt, as it is read on a terminal."""

from typing import Any, Final

from infra.cli.console import output, printable

_VERDICTS: Final = {
    "same": "derived again: the same",
    "differs": "derived again: DIFFERS",
    "other_algorithm": "made by another version of the algorithm",
}
_REASONS: Final = {
    "se": "the standard error is below the limit",
    "max_items": "it has as many items as a test may have",
    "min_information": "no item that is left would tell enough",
    "pool_exhausted": "every item was given",
    "probability_ratio": "the examinee is known to lie above or below each cut score",
    "confidence_interval": "the interval holds no cut score",
    "examinee": "the examinee handed it in",
    "teacher": "a teacher handed it in",
    "clock": "the time was up",
}


def print_account(told: dict[str, Any]) -> None:
    """All decisions that it holds, then how the attempt ended."""
    title = next(iter(told["title"].values()), "")
    _say(f"{told['attempt_id']} at {title} ({told['exam_id']})", style="bold")
    _say(
        f"bank {told['bank_id']} version {told['bank_version']}: {told['items']} items, "
        f"{told['pretest_items']} pretest items; seed {told['seed']}, algorithm {told['algorithm_version']}"
    )
    prior = told["prior"]
    source = prior["carried_over_from"]
    _say(
        f"prior N({prior['mean']:.4f}, {prior['sd']:.4f}²), "
        + ("as the exam says" if source is None else f"carried over from {source}")
    )
    for decision in told["decisions"]:
        _print_decision(decision)
    _say("")
    _print_end(told["end"])
    counts = told["derived_again"]
    _say(
        f"{sum(counts.values())} decisions derived again: {counts['same']} the same, "
        f"{counts['differs']} different, {counts['other_algorithm']} of another algorithm"
    )


def _print_decision(decision: dict[str, Any]) -> None:
    before, decided = decision["before"], decision["decided"]
    _say("")
    _say(f"{decision['step']}. {_headline(decided)}", style="bold")
    posterior = before["posterior"]
    _say(
        f"   known    {_ability(before)}; posterior mode {posterior['mode']:+.2f}, "
        f"half of it in [{posterior['q25']:+.3f}, {posterior['q75']:+.3f}]"
    )
    for line in _reasons(decision):
        _say(f"   because  {line}")
    for each in decision["candidates"]:
        mark = "→" if each["chosen"] else " "
        area = "" if each["area"] is None else f"  {each['area']}"
        _say(
            f"          {mark} {each['rank']:>3}. {each['code']:<16} information {each['information']:.6f}  "
            f"criterion {each['criterion']:.6f}{area}"
        )
    answer = decision["answer"]
    if answer is not None:
        counts = "" if decided["kind"] == "item" else ", which does not count"
        _say(f"   answer   {'right' if answer['right'] else 'wrong'}{counts}: {_ability(answer)}")
    elif decided["kind"] != "end":
        _say("   answer   none that the engine has seen")
    style = "bold red" if decision["verdict"] == "differs" else "dim"
    _say(f"   {_VERDICTS[decision['verdict']]}", style=style)
    for difference in decision["differences"]:
        _say(f"     {difference}", style=style)


def _headline(decided: dict[str, Any]) -> str:
    if decided["kind"] == "end":
        return f"the test ends: {_reason(decided)}"
    return f"{decided['code']} ({decided['item_id']}, version {decided['item_version']})"


def _reasons(decision: dict[str, Any]) -> list[str]:
    decided, narrowed = decision["decided"], decision["narrowed_by"]
    if decided["kind"] == "end":
        return []
    if decided["kind"] == "pretest":
        return ["a pretest item stands at this position, by the seed"]
    found = []
    if narrowed["area_due"] is not None:
        found.append(f"the area {narrowed['area_due']} lags furthest behind its share")
    shadow = narrowed["shadow_test"]
    if shadow is not None:
        binding = ", ".join(shadow["binding"]) or "none"
        found.append(
            f"the shadow test of {shadow['items']} items ({shadow['how']}, gap {shadow['gap']:.1e}) leaves "
            f"{narrowed['open']}; constraints that bind: {binding}"
        )
    if narrowed["passed_over"]:
        names = ", ".join(each["code"] for each in narrowed["passed_over"])
        found.append(f"exposure control held back {names}")
    if decided["draw"] is not None:
        among = narrowed["tied_or_drawn_among"]
        found.append(
            f"chance drew {decided['draw']:.6f}, which chose among {among} of {narrowed['open']} items"
        )
    else:
        found.append(f"it is worth most of the {narrowed['open']} items that were open")
    return found


def _print_end(end: dict[str, Any] | None) -> None:
    if end is None:
        _say("It is not handed in yet.")
        return
    category = "" if end["category"] is None else f", category {end['category']}"
    _say(
        f"Result after {end['items']} items that count: {_ability(end)}{category}; {_reason(end)}",
        style="bold",
    )


def _reason(end: dict[str, Any]) -> str:
    return _REASONS.get(end["reason"], str(end["reason"]))


def _ability(known: dict[str, Any]) -> str:
    low, high = known["interval"]
    return f"θ {known['theta']:+.4f}, SE {known['se']:.4f}, 95 % [{low:+.3f}, {high:+.3f}]"


def _say(line: str, style: str | None = None) -> None:
    output().print(printable(line), style=style, markup=False, soft_wrap=True)
