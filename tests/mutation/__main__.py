"""Mutation testing of `domain/cat`: are the tests such that a small wrong in the numerics makes one fail?

A seeded sample of each module's mutants; each is run against the tests that run its line, the shortest
first, as many as fit into `--budget-s`. What lives is printed; all is written to var/mutation/. No file is
changed, but the package must stay as it is while this runs.
"""

import argparse
import hashlib
import json
import time
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from tests.mutation.operators import Mutant, modules_of, mutants_of, mutated
from tests.mutation.scores import Sampled, in_total, judged_equivalent
from tests.mutation.trials import Reach, Verdict, prepare, reach_of, trial

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
FIRST_S = 2.0
"""The shortest tests, which kill most, have a process of their own: the other files need not be read."""


@dataclass(frozen=True)
class Tried:
    mutant: Mutant
    verdict: Verdict


def main() -> None:
    options = _options()
    root = options.root.resolve()
    package = root / options.package
    modules = modules_of(package, root)
    sources = {name: path.read_text(encoding="utf-8") for name, path in modules.items()}
    population = {name: found for name, text in sources.items() if (found := mutants_of(name, text))}
    chosen = _chosen(population, options)
    ends = time.monotonic() + 60 * options.minutes
    prepare(options.tests, root)
    reach = reach_of(options.tests, package)
    for test in reach.failed:
        print(f"fails without any mutant, left out: {test}", flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    tried: list[Tried] = []
    with options.out.open("w", encoding="utf-8") as out:
        for number, mutant in enumerate(chosen, start=1):
            if time.monotonic() > ends:
                break
            verdict = _try(mutant, modules[mutant.module], sources[mutant.module], reach, options)
            tried.append(Tried(mutant, verdict))
            out.write(json.dumps(_row(mutant, verdict)) + "\n")
            out.flush()
            if verdict.killer is None:
                print(f"{number}/{len(chosen)} lives: {mutant.key} {mutant}", flush=True)
    _report(tried, population)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--package", default="domain/cat")
    parser.add_argument("--tests", nargs="+", default=["tests/numerics", "tests/unit/cat_live"])
    parser.add_argument("--sample", type=int, default=25, help="mutants a module; 0 takes all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60.0, help="then no further mutant is begun")
    parser.add_argument("--budget-s", type=float, default=15.0, help="CPU seconds of tests for one mutant")
    parser.add_argument("--grace-s", type=float, default=5.0, help="CPU seconds beyond thrice the usual")
    parser.add_argument("--modules", nargs="+", help="only these, by dotted name")
    parser.add_argument("--again", type=Path, help="only what lived in this earlier result")
    parser.add_argument("--out", type=Path, default=ROOT / "var/mutation/result.jsonl")
    return parser.parse_args()


def _chosen(population: dict[str, list[Mutant]], options: argparse.Namespace) -> list[Mutant]:
    if options.again:
        rows = map(json.loads, options.again.read_text(encoding="utf-8").splitlines())
        living = {row["key"] for row in rows if row["killer"] is None}
        return [mutant for found in population.values() for mutant in found if mutant.key in living]
    wanted = options.modules or list(population)
    samples = [_sample(population[name], options.sample, options.seed) for name in wanted]
    # By turns, one of each module: a run that ends early has a sample of each, only a smaller one.
    return [mutant for turn in zip_longest(*samples) for mutant in turn if mutant is not None]


def _sample(mutants: list[Mutant], size: int, seed: int) -> list[Mutant]:
    """Drawn by a hash of what the mutant is: a change elsewhere in the module leaves the sample as it was."""
    drawn = sorted(mutants, key=lambda mutant: hashlib.sha256(f"{seed} {mutant.key}".encode()).digest())
    return drawn[: size or None]


def _try(mutant: Mutant, path: Path, source: str, reach: Reach, options: argparse.Namespace) -> Verdict:
    tests = reach.tests_of(path, mutant.lines)
    if not tests:
        return Verdict(None, 0.0)
    tree = mutated(source, mutant)
    spent, parts = 0.0, ([], [])
    for test in tests:
        spent += reach.seconds[test]
        if spent > options.budget_s and parts[0]:
            break
        parts[spent > FIRST_S and bool(parts[0])].append(test)
    seconds = 0.0
    for part in filter(None, parts):
        limit_s = options.grace_s + 3 * sum(reach.seconds[test] for test in part)
        verdict = trial(mutant.module, path, tree, part, limit_s)
        seconds += verdict.seconds
        if verdict.killer is not None:
            return Verdict(verdict.killer, seconds)
    return Verdict(None, seconds)


def _row(mutant: Mutant, verdict: Verdict) -> dict[str, object]:
    return {
        "key": mutant.key,
        "mutant": str(mutant),
        "module": mutant.module,
        "killer": verdict.killer,
        "seconds": round(verdict.seconds, 2),
    }


def _report(tried: list[Tried], population: dict[str, list[Mutant]]) -> None:
    equivalent = judged_equivalent(EQUIVALENT)
    samples = []
    print("\n| module | mutants | tried | killed | equivalent | score | 95 % |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- |")
    for module in sorted({each.mutant.module for each in tried}):
        mine = [each for each in tried if each.mutant.module == module]
        killed = sum(each.verdict.killer is not None for each in mine)
        same = sum(each.verdict.killer is None and each.mutant.key in equivalent for each in mine)
        row = f"| {module} | {len(population[module])} | {len(mine)} | {killed} | {same} |"
        if same == len(mine):
            print(row, "- | |")
            continue
        sample = Sampled(module, len(population[module]), len(mine) - same, killed)
        low, high = sample.interval
        print(row, f"{sample.share:.0%} | {low:.0%} to {high:.0%} |")
        samples.append(sample)
    if not samples:
        return
    share, low, high = in_total(samples)
    killed = sum(each.verdict.killer is not None for each in tried)
    print(f"\n{killed} of {len(tried)} killed, {killed / len(tried):.1%}.")
    print(f"Of all mutants there, but for equivalent ones: {share:.1%} ({low:.1%} to {high:.1%}).")


if __name__ == "__main__":
    main()
