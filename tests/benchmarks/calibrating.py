"""Seconds for a calibration by us, PyPI mirt and girth, and whether they reached the same optimum.

Run as a process of its own with all threads pinned to one: `python -m tests.benchmarks.calibrating`. Nobody
computes standard errors here. mirt runs at 61 points with its usual tolerance; for the 3PL without a prior on
c (`vs_mirt_3pl`: its fast native code, which has no priors; ours has the prior) and with the same prior
(`vs_mirt_3pl_same_prior`: one round on a fifth of the examinees, since it takes minutes). girth runs with its
own defaults. All estimates go through one evaluator, `marginal_log_likelihood`, on one grid.
"""

from collections.abc import Callable
from functools import partial
from time import perf_counter

import girth
import mirt
import numpy as np
from mirt.estimation.priors import BetaPrior

from domain.cat.calibration import Priors, calibrate, marginal_log_likelihood
from domain.cat.items import LogisticItems
from domain.cat.types import Ints
from tests.benchmarks.harness import ROUNDS, Report, paired, scaled

ITEMS = 100
QUADRATURE_POINTS = 61
SAME_OPTIMUM = 0.05
FEWEST = 500
"""With fewer, nobody may have got an easy item wrong, and it has no parameters."""
ROUNDING = 1e-6

Fit = Callable[[Ints], LogisticItems]


def main() -> None:
    report = Report("calibrate")
    examinees = max(FEWEST, scaled(5_000))
    small = _responses(200, guessing=0.2)
    for fit in (_ours_2pl, _ours_3pl, _mirt_2pl, _mirt_3pl, _mirt_3pl_same_prior, _girth_2pl):
        fit(small)  # whatever is compiled or loaded at first use
    two = _responses(examinees, guessing=0.0)
    ours, peers = _compare(
        report, two, _ours_2pl, {"vs_mirt_2pl": (_mirt_2pl, "25"), "vs_girth_2pl": (_girth_2pl, "")}
    )
    lead = marginal_log_likelihood(ours, two) - marginal_log_likelihood(peers["vs_mirt_2pl"], two)
    assert -ROUNDING <= lead <= SAME_OPTIMUM, f"2PL: ours is {lead:.4f} above mirt's"
    report.figure("2PL log-likelihood: ours less mirt's", [lead], "")
    lead = marginal_log_likelihood(ours, two) - marginal_log_likelihood(peers["vs_girth_2pl"], two)
    assert lead >= -ROUNDING, f"2PL: ours is {lead:.4f} above girth's"
    report.figure("2PL log-likelihood: ours less girth's", [lead], "")

    _compare(report, _responses(examinees, guessing=0.2), _ours_3pl, {"vs_mirt_3pl": (_mirt_3pl, "15")})
    few = _responses(max(FEWEST, examinees // 5), guessing=0.2)
    ours, peers = _compare(
        report, few, _ours_3pl, {"vs_mirt_3pl_same_prior": (_mirt_3pl_same_prior, "15")}, rounds=1
    )
    lead = _posterior_height(ours, few) - _posterior_height(peers["vs_mirt_3pl_same_prior"], few)
    assert lead >= -ROUNDING, f"3PL with the prior: ours is {lead:.4f} above mirt's"
    report.figure("3PL log-likelihood and prior: ours less mirt's", [lead], "")
    report.write()


def _compare(
    report: Report, responses: Ints, ours: Fit, peers: dict[str, tuple[Fit, str]], *, rounds: int = ROUNDS
) -> tuple[LogisticItems, dict[str, LogisticItems]]:
    """Calibrations per second, all on the same responses; our estimates and those of the peers."""
    estimates: dict[str, LogisticItems] = {}

    def rate(name: str, fit: Fit) -> float:
        started = perf_counter()
        estimates[name] = fit(responses)
        return 1 / (perf_counter() - started)

    contestants = {"ours": ours, **{name: fit for name, (fit, _) in peers.items()}}
    found = paired(
        {name: partial(rate, name, fit) for name, fit in contestants.items()}, rounds=rounds, warm_up=False
    )
    for name, (_, aim) in peers.items():
        report.ratio(name, found["ours"], found[name], aim=aim)
        report.figure(f"seconds, ours, {name}", [1 / each for each in found["ours"]], "s")
        report.figure(f"seconds, theirs, {name}", [1 / each for each in found[name]], "s")
    return estimates.pop("ours"), estimates


def _posterior_height(items: LogisticItems, responses: Ints) -> float:
    prior = Priors.usual("3pl").c
    assert prior is not None
    return marginal_log_likelihood(items, responses) + float(prior.log_density(items.c).sum())


def _responses(examinees: int, guessing: float) -> Ints:
    rng = np.random.default_rng(20_260_101)
    items = LogisticItems.of(rng.lognormal(0.1, 0.3, ITEMS), rng.normal(0, 1, ITEMS), guessing)
    chance = items.correct(rng.standard_normal(examinees))
    return (rng.random(chance.shape) < chance).astype(np.int64)


def _ours_2pl(responses: Ints) -> LogisticItems:
    return _logistic(calibrate(responses, "2pl", errors=None).items)


def _ours_3pl(responses: Ints) -> LogisticItems:
    return _logistic(calibrate(responses, "3pl", errors=None).items)


def _logistic(items: object) -> LogisticItems:
    assert isinstance(items, LogisticItems)
    return items


def _mirt_2pl(responses: Ints) -> LogisticItems:
    return _by_mirt(responses, "2PL")


def _mirt_3pl(responses: Ints) -> LogisticItems:
    return _by_mirt(responses, "3PL")


def _mirt_3pl_same_prior(responses: Ints) -> LogisticItems:
    return _by_mirt(responses, "3PL", priors={"guessing": BetaPrior(5.0, 17.0)})


def _by_mirt(responses: Ints, model: str, **more: object) -> LogisticItems:
    fit = mirt.fit_mirt(responses, model, n_quadpts=QUADRATURE_POINTS, compute_standard_errors=False, **more)
    found = fit.model.parameters
    return LogisticItems.of(found["discrimination"], found["difficulty"], found.get("guessing", 0.0))


def _girth_2pl(responses: Ints) -> LogisticItems:
    found = girth.twopl_mml(responses.T)
    return LogisticItems.of(found["Discrimination"], found["Difficulty"])


if __name__ == "__main__":
    main()
