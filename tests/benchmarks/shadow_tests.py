"""The work of `make bench-shadow`, run as a program so that all threads can be pinned before numpy is loaded.

A pool of 1,000 three-parameter items, tests of 30 items under 36 constraints, EAP, maximum information, a
proven gap of 1e-4: milliseconds for an item, the update of the posterior not counted. PyPI mirt solves the
same programs, at the same abilities and after the same items, of a pool whose constraints it can state
(areas, pairs of enemies, one budget; `vs_mirt`), on fewer examinees.
"""

from time import perf_counter, process_time

import numpy as np
from mirt.cat.content import ContentArea, ContentBlueprint
from mirt.cat.shadow import ShadowTestSelection
from mirt.models.dichotomous import ThreeParameterLogistic

from domain.cat.blueprint import Blueprint, CountBetween, Enemies, SumBetween
from domain.cat.items import LogisticItems
from domain.cat.session import AdaptiveBank
from domain.cat.shadow import ShadowAssembler
from domain.cat.simulation import draw_responses
from tests.benchmarks.harness import ROUNDS, Report, paired, scaled

POOL, LENGTH = 1_000, 30
EXAMINEES = scaled(20)
EXAMINEES_OF_MIRT = max(1, scaled(2))
GAP = 1e-4


def main() -> None:
    report = Report("shadow")
    items, blueprint = pool()
    assert len(blueprint.constraints) + 1 == 36  # with the length
    rounds = [paths(items, blueprint, EXAMINEES)[0] for _ in range(ROUNDS)]
    for at, clock in enumerate(("wall", "processor")):
        ms = [each[:, at] for each in rounds]
        report.figure(f"an item, mean (aim 14, stretch 5), {clock}", [each.mean() for each in ms], "ms")
        report.figure(f"an item, median, {clock}", [float(np.median(each)) for each in ms], "ms")
        report.figure(f"an item, p99, {clock}", [float(np.quantile(each, 0.99)) for each in ms], "ms")
    items, blueprint, theirs = pool_of_mirt()
    _, steps = paths(items, blueprint, EXAMINEES_OF_MIRT)
    found = paired(
        {
            "ours": lambda: ours(blueprint, steps),
            "mirt": lambda: by_mirt(items, theirs, steps),
        }
    )
    report.ratio("vs_mirt", found["ours"], found["mirt"])
    report.write()


def constraints_of(rng: np.random.Generator) -> tuple:
    """Areas, levels, keys and cells, one budget of words, 14 sets of enemies: as science tests have them."""
    area, level, key = (rng.integers(0, count, POOL) for count in (6, 4, 4))
    return (
        *(CountBetween(f"area {k}", np.flatnonzero(area == k), 4, 6) for k in range(6)),
        *(CountBetween(f"level {k}", np.flatnonzero(level == k), 6, 9) for k in range(4)),
        *(CountBetween(f"key {k}", np.flatnonzero(key == k), 6, 9) for k in range(4)),
        *(CountBetween(f"cell {k}", np.flatnonzero((area == k) & (level == k % 4)), 1, 3) for k in range(6)),
        SumBetween("words", rng.integers(20, 120, POOL).astype(float), 1_500, 1_900),
        *(Enemies(f"enemies {k}", rng.choice(POOL, 4, replace=False)) for k in range(14)),
    )


def items_of(rng: np.random.Generator) -> LogisticItems:
    return LogisticItems.of(rng.lognormal(0, 0.3, POOL), rng.normal(0, 1, POOL), rng.beta(5, 17, POOL))


def pool() -> tuple[LogisticItems, Blueprint]:
    rng = np.random.default_rng(1)
    items = items_of(rng)
    return items, Blueprint(POOL, LENGTH, constraints_of(rng))


def pool_of_mirt() -> tuple[LogisticItems, Blueprint, dict]:
    """Twelve areas, 22 pairs of enemies and a budget of words, for both."""
    rng = np.random.default_rng(2)
    items, area = items_of(rng), rng.integers(0, 12, POOL)
    words = rng.integers(20, 120, POOL).astype(float)
    pairs = [tuple(int(row) for row in rng.choice(POOL, 2, replace=False)) for _ in range(22)]
    members = {f"area {k}": np.flatnonzero(area == k) for k in range(12)}
    blueprint = Blueprint(
        POOL,
        LENGTH,
        (
            *(CountBetween(name, rows, 2, 3) for name, rows in members.items()),
            *(Enemies(f"pair {k}", pair) for k, pair in enumerate(pairs)),
            SumBetween("words", words, high=1_700.0),
        ),
    )
    areas = [ContentArea(name, set(rows.tolist()), 2, 3) for name, rows in members.items()]
    theirs = {
        "blueprint": ContentBlueprint(areas),
        "enemy_pairs": pairs,
        "item_costs": words,
        "max_cost": 1_700.0,
    }
    return items, blueprint, theirs


def paths(items: LogisticItems, blueprint: Blueprint, examinees: int) -> tuple[np.ndarray, list]:
    """Milliseconds of each choice, by two clocks, and at which ability and after which items it was made.

    The first item, from the same prior for all, costs most and is found once.
    """
    bank, assembler = AdaptiveBank(items), ShadowAssembler(blueprint, GAP)
    theta = np.random.default_rng(3).normal(size=examinees)
    answers = draw_responses(items, theta, np.random.default_rng(4))
    taken_ms, steps = [], []
    for row in answers.tolist():
        posterior, given, before = bank.prior, [], None
        while len(given) < LENGTH:
            information = items.information(posterior.theta)[0]
            started = np.array([perf_counter(), process_time()])
            step = assembler.next_item(information, given, before=before)
            taken_ms.append(1e3 * (np.array([perf_counter(), process_time()]) - started))
            assert step.test.gap <= GAP * 1.001
            steps.append((posterior.theta, information, list(given)))
            given.append(step.choice.item)
            posterior, before = bank.after(posterior, given[-1], row[given[-1]]), step.test
        assert blueprint.broken(given) == ()
    return np.array(taken_ms), steps


def ours(blueprint: Blueprint, steps: list) -> float:
    """Items a second."""
    assembler, before = ShadowAssembler(blueprint, GAP), None
    started = perf_counter()
    for _, information, given in steps:
        before = assembler.next_item(information, given, before=before if given else None).test
    return len(steps) / (perf_counter() - started)


def by_mirt(items: LogisticItems, theirs: dict, steps: list) -> float:
    """Items a second."""
    model = ThreeParameterLogistic(n_items=len(items))
    model.set_parameters(discrimination=items.a, difficulty=items.b, guessing=items.c)
    model._is_fitted = True
    selection = ShadowTestSelection(LENGTH, solver_options={"mip_rel_gap": GAP}, **theirs)
    everything = set(range(POOL))
    started = perf_counter()
    for theta, _, given in steps:
        selection.select_item(model, theta, everything - set(given), given)
    return len(steps) / (perf_counter() - started)


if __name__ == "__main__":
    main()
