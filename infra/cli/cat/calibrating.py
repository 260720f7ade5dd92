"""What `megacity cat calibrate` does with its options."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from domain.cat.calibration import Anchors, Calibration, Model, Priors, calibrate
from domain.cat.category_model import CategoryModel
from infra.cli.cat.banks import read_bank, write_bank
from infra.cli.cat.estimating import Prior
from infra.cli.cat.options import refusals_told
from infra.cli.cat.pictures import draw_items, require_plots
from infra.cli.cat.responses import Responses, columns_told, read_responses
from infra.cli.cat.results import check_target, write_json
from infra.cli.console import progress
from infra.cli.progress_bar import bar


@dataclass(frozen=True)
class Request:
    """The options."""

    responses: Path
    out: Path
    model: Model
    anchors: Path | None
    no_priors: bool
    max_iterations: int
    prior: Prior
    plot: Path | None


def run(request: Request) -> None:
    """Raises CommandError where the request or the data cannot be used."""
    beside = request.out.with_name(request.out.name + ".json")
    for file in (request.out, beside):
        check_target(file)
    require_plots(request.plot)
    grid = request.prior.grid()
    given = read_responses(request.responses, most=1 if request.model.endswith("pl") else None)
    anchors = None if request.anchors is None else _anchors(request.anchors, given)
    with refusals_told(), columns_told(given), bar("Calibrating: EM steps, at most") as tell:
        found = calibrate(
            given.values,
            request.model,
            grid=grid,
            priors=Priors() if request.no_priors else None,
            anchors=anchors,
            max_iterations=request.max_iterations,
            progress=lambda steps, _change: tell(steps, request.max_iterations),
        )
    items = found.items
    assert isinstance(items, CategoryModel)  # of the models that can be asked for, all are
    write_bank(request.out, given.names, items)
    write_json(beside, _report(found, given, request.prior))
    console = progress()
    if not found.converged:
        console.print(
            f"Not converged after {found.iterations} iterations (last change {found.last_change:.3g}): "
            "allow more with --max-iterations, and look at the responses.",
            soft_wrap=True,
        )
    if found.at_bound.size:
        named = ", ".join(given.names[column] for column in found.at_bound)
        console.print(f"No estimate inside the bounds: {named}.", soft_wrap=True, markup=False)
    if request.plot is not None:
        draw_items(request.plot, items)


def _anchors(file: Path, given: Responses) -> Anchors:
    bank = read_bank(file)
    at = {name: column for column, name in enumerate(given.names)}
    for row, name in enumerate(bank.names):
        if name not in at:
            raise bank.table.error(f"{given.file} has no column {name!r}", row=row)
    with refusals_told():
        return Anchors(np.array([at[name] for name in bank.names], dtype=np.int64), bank.items)


def _report(found: Calibration, given: Responses, prior: Prior) -> dict[str, Any]:
    return {
        "model": found.model,
        "loglik": found.log_likelihood,
        "iterations": found.iterations,
        "converged": found.converged,
        "last_change": found.last_change,
        "aic": found.aic,
        "bic": found.bic,
        "parameters": found.parameters,
        "examinees": found.examinees,
        "grid": {"points": prior.points, "low": prior.low, "high": prior.high},
        "population": {"mean": found.population_mean, "sd": found.population_sd},
        "priors": {name: value for name, value in asdict(found.priors).items() if value is not None},
        "at_bound": [given.names[column] for column in found.at_bound],
        "standard_errors": _standard_errors(found, given),
    }


def _standard_errors(found: Calibration, given: Responses) -> dict[str, dict[str, Any]]:
    """By item, then by parameter; thresholds as a list; None where there is no number."""
    told: dict[str, dict[str, Any]] = {}
    for row, column in enumerate(found.calibrated.tolist()):
        errors = {} if found.standard_errors is None else found.standard_errors
        told[given.names[column]] = {name: _plain(values[row]) for name, values in errors.items()}
    return told


def _plain(value: Any) -> Any:
    """JSON has no NaN."""
    if np.ndim(value):
        return [_plain(each) for each in value]
    return float(value) if np.isfinite(value) else None
