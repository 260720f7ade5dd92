"""What `megacity cat simulate` does with its options."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from domain.cat.lockstep import Limits, Paths, administer
from domain.cat.maximum_information import NO_ITEM
from domain.cat.session import AdaptiveBank
from domain.cat.simulation import Accuracy, accuracy, simulate, use_of_bank
from domain.cat.types import MISSING, Floats
from infra.cli.cat.banks import Bank, read_bank
from infra.cli.cat.estimating import Prior, estimator
from infra.cli.cat.options import Estimate, Select, refusals_told
from infra.cli.cat.pictures import draw_simulation, require_plots
from infra.cli.cat.quality_report import print_quality
from infra.cli.cat.responses import Responses, read_responses_to
from infra.cli.cat.results import check_target, number, write_csv
from infra.cli.cat.rules import ruling
from infra.cli.cat.tables import TableError
from infra.cli.console import CommandError
from infra.cli.progress_bar import bar


@dataclass(frozen=True)
class Request:
    """The options; `responses` or `examinees` is given, and `stop_se` is None where it stops nobody."""

    bank: Path
    responses: Path | None
    examinees: int | None
    seed: int
    select: Select
    estimate: Estimate
    stop_se: float | None
    max_items: int
    min_items: int
    start: float
    prior: Prior
    out: Path | None
    truth: Path | None
    plot: Path | None
    as_json: bool


@dataclass(frozen=True, eq=False)
class _Done:
    """`true_theta` and `groups` where the examinees were drawn."""

    names: tuple[str, ...]
    paths: Paths
    true_theta: Floats | None
    groups: tuple[Accuracy, ...]


def run(request: Request) -> None:
    """Everything that can be refused is, before the first test begins. Raises CommandError."""
    check_target(request.out)
    check_target(request.truth)
    require_plots(request.plot)
    with refusals_told():
        limits = Limits(request.stop_se, request.max_items, request.min_items)
    grid = request.prior.grid()
    bank = read_bank(request.bank)
    if request.min_items > len(bank):
        raise CommandError(
            f"{request.bank} has {len(bank)} items, fewer than --min-items {request.min_items}."
        )
    given = None if request.responses is None else read_responses_to(bank, request.responses)
    if given is not None:
        _refuse_too_few(given, limits)
    with refusals_told():
        ready = AdaptiveBank(bank.items, grid)
        done = _test(request, bank, ready, limits, given)
    if request.out is not None:
        columns = ("examinee", "n", "theta", "se", "stop_reason", "items")
        write_csv(request.out, columns, _rows(done.names, done.paths))
    if request.truth is not None and done.true_theta is not None:
        write_csv(
            request.truth,
            ("examinee", "theta"),
            zip(done.names, map(number, done.true_theta), strict=True),
        )
    use = use_of_bank(done.paths, len(bank))
    print_quality(use, done.groups, done.paths.stop_reasons, as_json=request.as_json)
    if request.plot is not None:
        draw_simulation(request.plot, done.paths, use, done.true_theta)


def _test(
    request: Request, bank: Bank, ready: AdaptiveBank, limits: Limits, given: Responses | None
) -> _Done:
    # EAP is what a ready bank does by itself, response by response.
    estimating = None if request.estimate == "eap" else estimator(request.estimate, bank.items, request.prior)
    count = (request.examinees or 0) if given is None else len(given.examinees)
    choosing = ruling(request.select, bank.items, request.max_items, request.seed, count)
    with bar("Testing examinees") as tell:
        if given is not None:
            paths = administer(
                ready,
                given.values,
                limits,
                start=request.start,
                choosing=choosing,
                estimating=estimating,
                tell=tell,
            )
            return _Done(given.examinees, paths, None, ())
        drawn = simulate(
            ready,
            count,
            np.random.default_rng(request.seed),
            limits,
            start=request.start,
            choosing=choosing,
            estimating=estimating,
            tell=tell,
        )
    names = tuple(str(each) for each in range(1, count + 1))
    return _Done(names, drawn.paths, drawn.true_theta, accuracy(drawn))


def _refuse_too_few(given: Responses, limits: Limits) -> None:
    have = (given.values != MISSING).sum(axis=1)
    wanted = max(limits.min_items, 1)
    if (have < wanted).any():
        row = int(np.argmax(have < wanted))
        raise TableError(
            given.file,
            f"{have[row]} responses, where {wanted} are needed",
            row=row + 2,
            name=given.examinees[row],
        )


def _rows(names: tuple[str, ...], paths: Paths) -> Iterator[tuple[object, ...]]:
    for at, name in enumerate(names):
        items = paths.items[at]
        yield (
            name,
            int(paths.counts[at]),
            number(paths.theta[at]),
            number(paths.se[at]),
            paths.stop_reasons[at].value,
            " ".join(map(str, items[items != NO_ITEM].tolist())),
        )
