"""The work of `make bench-cat`, run as a program so that all threads can be pinned before numpy is loaded.

Fixed length, 30 items from 500 three-parameter items, EAP and maximum information; every contestant draws
the answers itself. Rates are examinees a second: catsim is measured on fewer examinees than we are, which
is fair to it, since it takes them one by one.
"""

import logging
import statistics
from time import perf_counter

import numpy as np
from catsim.estimation import NumericalSearchEstimator
from catsim.initialization import FixedPointInitializer
from catsim.selection import MaxInfoSelector
from catsim.simulation import Simulator
from catsim.stopping import MinErrorStopper
from mirt.cat import CATEngine
from mirt.models.dichotomous import ThreeParameterLogistic

from domain.cat.items import LogisticItems
from domain.cat.lockstep import Limits, administer
from domain.cat.maximum_information import FullEvaluation
from domain.cat.session import AdaptiveBank
from domain.cat.simulation import draw_responses, simulate
from tests.benchmarks.harness import ROUNDS, Report, paired, scaled

EXAMINEES = scaled(1_000)
EXAMINEES_OF_CATSIM = max(5, scaled(50))
ITEMS = 30
FIXED = Limits(se=None, max_items=ITEMS)
NEVER = 1e-9  # a standard error that stops nobody
LIVE_SESSIONS = max(2, scaled(200))


def bank_of(size: int) -> LogisticItems:
    rng = np.random.default_rng(1)
    return LogisticItems.of(rng.lognormal(0.2, 0.3, size), rng.normal(size=size), rng.beta(5, 17, size))


def main() -> None:
    logging.disable(logging.WARNING)
    items = bank_of(500)
    theta = np.random.default_rng(2).normal(size=EXAMINEES)
    check_exact(items, theta)
    report = Report("cat")
    found = paired(
        {
            "ours": lambda: ours(items),
            "mirt": lambda: by_mirt(items, theta),
            "catsim": lambda: by_catsim(items, theta),
        }
    )
    report.ratio("vs_catsim", found["ours"], found["catsim"], aim=">= 100, stretch 500")
    report.ratio("vs_mirt", found["ours"], found["mirt"], aim=">= 4")
    report.figure(f"{EXAMINEES:,} examinees", [1e3 * EXAMINEES / rate for rate in found["ours"]], "ms")
    for size, aim_us in ((500, 25), (10_000, 150)):
        each = [live_step_us(size) for _ in range(ROUNDS)]
        report.figure(f"live step, {size:,} items (aim {aim_us})", each, "µs")
    report.write()


def check_exact(items: LogisticItems, theta: np.ndarray) -> None:
    """What is fast is also the same: every path as if all items were evaluated at each step."""
    answers = draw_responses(items, theta, np.random.default_rng(3))
    bank = AdaptiveBank(items)
    fast = administer(bank, answers, FIXED)
    slow = administer(bank, answers, FIXED, choosing=FullEvaluation(items))
    assert (fast.items == slow.items).all()


def ours(items: LogisticItems) -> float:
    started = perf_counter()
    done = simulate(AdaptiveBank(items), EXAMINEES, np.random.default_rng(4), FIXED)
    taken = perf_counter() - started
    assert (done.paths.counts == ITEMS).all()
    return EXAMINEES / taken


def by_mirt(items: LogisticItems, theta: np.ndarray) -> float:
    model = ThreeParameterLogistic(n_items=len(items))
    model.set_parameters(discrimination=items.a, difficulty=items.b, guessing=items.c)
    model._is_fitted = True
    started = perf_counter()
    engine = CATEngine(model, max_items=ITEMS, n_quadpts=61, se_threshold=NEVER, seed=4)
    done = engine.run_batch_simulation(theta)
    taken = perf_counter() - started
    assert all(len(each.items_administered) == ITEMS for each in done)
    return len(theta) / taken


def by_catsim(items: LogisticItems, theta: np.ndarray) -> float:
    bank = np.column_stack([items.a, items.b, items.c, items.d])
    few = theta[:EXAMINEES_OF_CATSIM]
    started = perf_counter()
    simulator = Simulator(
        bank,
        few,
        FixedPointInitializer(0.0),
        MaxInfoSelector(),
        NumericalSearchEstimator(),
        MinErrorStopper(NEVER, max_items=ITEMS),
        seed=4,
    )
    simulator.simulate()
    taken = perf_counter() - started
    assert all(len(path) == ITEMS for path in simulator.administered_items)
    return len(few) / taken


def live_step_us(size: int) -> float:
    """Microseconds to take one response in and choose the next item: the median over whole sessions.

    The median, since whoever else is at work on the machine would be in the mean.
    """
    items = bank_of(size)
    bank = AdaptiveBank(items)
    theta = np.random.default_rng(5).normal(size=LIVE_SESSIONS)
    answers = draw_responses(items, theta, np.random.default_rng(6))
    return 1e6 * statistics.median(live_session_s(bank, row) for row in answers.tolist()) / ITEMS


def live_session_s(bank: AdaptiveBank, answers: list[int]) -> float:
    given = np.zeros(len(bank), dtype=bool)
    posterior = bank.prior
    item = bank.choose(0.0, given)
    started = perf_counter()
    for _ in range(ITEMS):
        given[item] = True
        posterior = bank.after(posterior, item, answers[item])
        item = bank.choose(posterior.theta, given)
    return perf_counter() - started


if __name__ == "__main__":
    main()
